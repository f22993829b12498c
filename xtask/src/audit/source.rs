//! Rust source reduced to what the compiler acts on, for checks that look for words.
//!
//! Comments and the contents of literals become spaces; lines keep their numbers. It knows just
//! enough of the language for that: nested comments, raw strings, and that `'a` may be a lifetime.

/// `text` without comments and literals.
pub fn code_only(text: &str) -> String {
    let mut scanner = Scanner {
        chars: text.chars().collect(),
        at: 0,
        code: String::with_capacity(text.len()),
    };
    while scanner.at < scanner.chars.len() {
        scanner.step();
    }
    scanner.code
}

/// `code` (without literals) without its `#[cfg(test)] mod … { … }` blocks.
pub fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        kept.push_str(&rest[..start]);
        let after = &rest[start + MARK.len()..];
        let item = after.trim_start();
        let is_module = ["mod ", "pub mod ", "pub(crate) mod "]
            .iter()
            .any(|word| item.starts_with(word));
        rest = match after.find(['{', ';']) {
            Some(open) if is_module => &after[block_end(after, open)..],
            _ => after,
        };
    }
    kept.push_str(rest);
    kept
}

/// Whether `word` stands in `code` as a word of its own.
pub fn has_word(code: &str, word: &str) -> bool {
    word_starts(code, word).next().is_some()
}

/// Where `word` stands in `code` as a word of its own.
pub fn word_starts<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .map(|(start, _)| start)
        .filter(move |&start| {
            !code[..start].ends_with(is_part) && !code[start + word.len()..].starts_with(is_part)
        })
}

/// Where the block that opens at `open` ends; a `;` is its own end.
fn block_end(text: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in text[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at + c.len_utf8();
        }
    }
    text.len()
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    code: String,
}

impl Scanner {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Moves on by one character that is part of the code.
    fn keep(&mut self) {
        self.code.extend(self.peek(0));
        self.at += 1;
    }

    /// Moves on by one character that is not.
    fn blank(&mut self) {
        self.code.push(match self.peek(0) {
            Some('\n') => '\n',
            _ => ' ',
        });
        self.at += 1;
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            (Some('/'), Some('/')) => {
                while !matches!(self.peek(0), None | Some('\n')) {
                    self.blank();
                }
            }
            (Some('/'), Some('*')) => self.block_comment(),
            (Some('"'), _) => self.string(),
            (Some('r'), Some('"' | '#')) if self.is_word_start() => self.raw_string(),
            (Some('b' | 'c'), Some('r')) if self.is_word_start() => {
                self.keep();
                self.raw_string();
            }
            (Some('\''), _) => self.char_or_lifetime(),
            _ => self.keep(),
        }
    }

    fn is_word_start(&self) -> bool {
        !self
            .code
            .ends_with(|c: char| c.is_alphanumeric() || c == '_')
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.peek(0).is_some() {
            let step: isize = match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => 1,
                (Some('*'), Some('/')) => -1,
                _ => 0,
            };
            self.blank();
            if step != 0 {
                self.blank();
                depth += step;
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep();
        while let Some(c) = self.peek(0) {
            match c {
                '"' => return self.keep(),
                '\\' => {
                    self.blank();
                    self.blank();
                }
                _ => self.blank(),
            }
        }
    }

    /// At the `r` of `r"…"` or `r#"…"#`; a raw identifier such as `r#type` is code.
    fn raw_string(&mut self) {
        let hashes = (1..).take_while(|&n| self.peek(n) == Some('#')).count();
        if self.peek(1 + hashes) != Some('"') {
            return self.keep();
        }
        for _ in 0..hashes + 2 {
            self.keep();
        }
        while let Some(c) = self.peek(0) {
            let closes = c == '"' && (1..=hashes).all(|n| self.peek(n) == Some('#'));
            if closes {
                for _ in 0..=hashes {
                    self.keep();
                }
                return;
            }
            self.blank();
        }
    }

    fn char_or_lifetime(&mut self) {
        self.keep();
        if self.peek(0) == Some('\\') {
            self.blank();
            self.blank();
            while !matches!(self.peek(0), None | Some('\'' | '\n')) {
                self.blank();
            }
            self.keep();
        } else if self.peek(1) == Some('\'') {
            self.blank();
            self.keep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_become_blank() {
        let text = r##"
            let a = "unsafe"; // unsafe
            /* unsafe /* nested */ unsafe */
            let b = r#"unsafe " "#; let c = br"unsafe"; let d = '"'; let e = '\''; let f = '\u{41}';
            fn keep<'a>(x: &'a str) {}
        "##;
        let code = code_only(text);
        assert!(!has_word(&code, "unsafe"), "{code}");
        assert!(has_word(&code, "keep"));
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("unsafe {", "unsafe"));
        assert!(has_word("#[unsafe(no_mangle)]", "unsafe"));
        assert!(!has_word("#![deny(unsafe_op_in_unsafe_fn)]", "unsafe"));
        assert!(!has_word("dynamic", "dyn"));
    }

    #[test]
    fn raw_identifiers_are_code() {
        assert_eq!(code_only("r#type + bar"), "r#type + bar");
    }

    #[test]
    fn test_modules_are_cut_out() {
        let code = "a\n#[cfg(test)]\nmod tests { fn x() { } }\nb\n#[cfg(test)] use z;\nc";
        let kept = without_tests(code);
        assert!(!kept.contains("fn x"), "{kept}");
        assert!(kept.contains('b') && kept.contains("use z;") && kept.contains('c'));
        assert_eq!(without_tests("#[cfg(test)] mod t;\nend").trim(), "end");
    }
}

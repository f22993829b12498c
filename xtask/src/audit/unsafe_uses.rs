//! Where `unsafe` stands in source, and with which claim.

use super::source::{code_only, without_tests, word_starts};

/// One use of `unsafe`.
#[derive(Debug, PartialEq, Eq)]
pub struct Use {
    /// The line, from 1.
    pub line: usize,
    /// The function around it, or the item that it is part of.
    pub of: String,
    /// What the comment above it says.
    pub claim: String,
}

/// Every use in a file, but for those of its tests.
pub fn uses(text: &str) -> Vec<Use> {
    let code = without_tests_in_place(&code_only(text));
    let lines: Vec<&str> = text.lines().collect();
    let code_lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (index, line) in code_lines.iter().enumerate() {
        // `#[unsafe(no_mangle)]` names a symbol, and a function's type has no code.
        let is_name = line.contains("#[unsafe(") || line.contains("fn(");
        if is_name || word_starts(line, "unsafe").next().is_none() {
            continue;
        }
        found.push(Use {
            line: index + 1,
            of: place(&code_lines, index),
            claim: claim(&lines, index),
        });
    }
    found
}

/// `code` with its tests blank: lines keep their numbers.
fn without_tests_in_place(code: &str) -> String {
    let kept = without_tests(code);
    // What is kept of a file with one module of tests at its end is its beginning.
    let common = kept.bytes().zip(code.bytes()).take_while(|(a, b)| a == b);
    code[..common.count()].to_owned()
}

/// The item of this line, or the function around it.
fn place(code: &[&str], index: usize) -> String {
    let item = code[index].trim();
    if let Some(rest) = item.strip_prefix("unsafe impl ") {
        return format!("impl {}", rest.trim_end_matches(['{', '}', ' ']));
    }
    if item.starts_with("unsafe extern") {
        return "functions and symbols in assembly".to_owned();
    }
    let name = |line: &&str| {
        let (before, after) = line.split_once("fn ")?;
        let is_item = before.split_whitespace().all(|word| {
            [
                "pub",
                "const",
                "unsafe",
                "extern",
                "pub(crate)",
                "pub(super)",
            ]
            .contains(&word)
                || word.starts_with('"')
        });
        let name = after.split(['(', '<']).next()?;
        is_item.then(|| format!("fn {name}"))
    };
    let around = code[..=index].iter().rev().find_map(name);
    around.unwrap_or_else(|| "the file".to_owned())
}

/// The `SAFETY` comment or section above a line, without marks.
fn claim(lines: &[&str], index: usize) -> String {
    let is_between = |line: &&&str| {
        let line = line.trim();
        line.starts_with("//") || line.starts_with("#[")
    };
    // A statement may begin a few lines above its `unsafe`.
    let begin = (index.saturating_sub(REACH)..index)
        .rev()
        .find(|at| lines[*at].contains("SAFETY:") || lines[*at].contains("# Safety"));
    let Some(begin) = begin else {
        return String::new();
    };
    let said = lines[begin..index].iter().take_while(is_between);
    let said = said.filter(|line| line.trim().starts_with("//"));
    let words: Vec<&str> = said
        .map(|line| line.trim().trim_start_matches('/').trim())
        .map(|line| {
            line.trim_start_matches("SAFETY:")
                .trim_start_matches("# Safety")
                .trim()
        })
        .filter(|line| !line.is_empty())
        .collect();
    words.join(" ")
}

/// Lines from a claim's beginning to what it is about, at most.
const REACH: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "//! A file.\n\
        pub fn f() {\n\
        \x20   // SAFETY: it is\n\
        \x20   // so.\n\
        \x20   #[cfg(x)]\n\
        \x20   unsafe { g() };\n\
        \x20   let p: unsafe extern fn(u8) = f;\n\
        \x20   let unsafe_word = \"unsafe\"; // unsafe\n\
        }\n\
        /// Does it.\n\
        ///\n\
        /// # Safety\n\
        /// Do as said.\n\
        pub unsafe fn h<T>() {}\n\
        // SAFETY: one thread.\n\
        unsafe impl Sync for A {}\n\
        #[cfg(test)]\n\
        mod tests {\n\
        \x20   fn t() { unsafe { g() } }\n\
        }\n";

    #[test]
    fn each_use_has_its_place_and_claim() {
        let found = uses(TEXT);
        let seen: Vec<_> = found
            .iter()
            .map(|it| (it.line, it.of.as_str(), it.claim.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (6, "fn f", "it is so."),
                (14, "fn h", "Do as said."),
                (16, "impl Sync for A", "one thread."),
            ]
        );
    }
}

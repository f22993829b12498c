//! What a mutant's `cfg` is of: the lines that are built away with it, or that it chooses between.
//!
//! Of an attribute that is the item, statement, arm or argument after it; of `cfg!(…)` the statement around
//! it, with its block. It reads brackets and ends of statements, which is enough for formatted code.

use std::ops::RangeInclusive;

const MARK: &str = "mutant = \"";

/// A mutant, and the lines that are its own, counted from 1.
#[derive(Debug)]
pub struct Region {
    pub name: String,
    pub lines: RangeInclusive<usize>,
}

/// The regions in `text`, which without comments and literals is `code`.
pub fn regions(code: &str, text: &str) -> Vec<Region> {
    let bytes = code.as_bytes();
    // The two agree in characters, not in bytes.
    let text: Vec<char> = text.chars().collect();
    let name = |mark: usize| {
        let begin = code[..mark].chars().count() + MARK.len();
        let name = text.get(begin..).unwrap_or_default().iter();
        name.take_while(|c| **c != '"').collect()
    };
    let line = |at: usize| 1 + code[..at.min(code.len())].matches('\n').count();
    code.match_indices(MARK)
        .filter_map(|(mark, _)| {
            let attribute = code[..mark].rfind("#[");
            let call = code[..mark].rfind("cfg!(");
            let (start, after) = match (attribute, call) {
                (Some(attribute), call) if call.is_none_or(|call| call < attribute) => {
                    (attribute, skip_attributes(bytes, attribute))
                }
                (_, Some(call)) => (statement_start(bytes, call), call),
                _ => return None,
            };
            Some(Region {
                name: name(mark),
                lines: line(start)..=line(end(bytes, after)),
            })
        })
        .collect()
}

/// Behind the attribute at `at` and those that follow it.
fn skip_attributes(code: &[u8], mut at: usize) -> usize {
    while code[at..].starts_with(b"#[") {
        let mut depth = 0;
        while at < code.len() {
            match code[at] {
                b'[' => depth += 1,
                b']' => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 && code[at - 1] == b']' {
                break;
            }
        }
        at = skip_space(code, at);
    }
    at
}

fn skip_space(code: &[u8], at: usize) -> usize {
    let space = code[at..].iter().take_while(|c| c.is_ascii_whitespace());
    at + space.count()
}

/// Where the statement around `at` begins.
fn statement_start(code: &[u8], at: usize) -> usize {
    let before = code[..at].iter().rposition(|c| b";{}".contains(c));
    skip_space(code, before.map_or(0, |before| before + 1))
}

/// Where what begins at `from` ends: with its `;`, its `,`, its last block, or the block around it.
fn end(code: &[u8], from: usize) -> usize {
    let mut depth: i32 = 0;
    let mut blocks = 0;
    for at in from..code.len() {
        match code[at] {
            b'(' | b'[' => depth += 1,
            // Out of the brackets that `cfg!` stands in.
            b')' | b']' => depth = (depth - 1).max(0),
            b'{' => blocks += 1,
            b'}' => blocks -= 1,
            b';' if blocks == 0 && depth == 0 => return at,
            b',' if blocks == 0 && depth == 0 => return at,
            _ => {}
        }
        let has_else = || code[skip_space(code, at + 1)..].starts_with(b"else");
        let closes = code[at] == b'}' && blocks <= 0 && depth == 0;
        if closes && (blocks < 0 || !has_else()) {
            return at;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(code: &str) -> Vec<(usize, usize)> {
        let pair = |region: Region| (*region.lines.start(), *region.lines.end());
        regions(code, code).into_iter().map(pair).collect()
    }

    #[test]
    fn an_attribute_is_of_what_follows() {
        let code = "a();\n#[cfg(not(mutant = \" \"))]\n#[inline]\nlet x = y\n    .f(|z| {\n w; })\n    .g();\nb();";
        assert_eq!(lines(code), [(2, 7)]);
        let code = "#[cfg(mutant = \" \")]\nfn f(a: A, b: B) {\n  c;\n}\nfn g() {}";
        assert_eq!(lines(code), [(1, 4)]);
        let code = "g(\n  #[cfg(mutant = \" \")]\n  Ordering::Relaxed,\n  next,\n);";
        assert_eq!(lines(code), [(2, 3)]);
        let code = "{\n#[cfg(mutant = \" \")]\nlast\n}\n}";
        assert_eq!(lines(code), [(2, 4)]);
    }

    #[test]
    fn a_region_has_its_mutant_s_name() {
        let text = "// ä\n#[cfg(mutant = \"no-x\")]\na;";
        let found = regions(&crate::audit::source::code_only(text), text);
        assert_eq!(found[0].name, "no-x");
    }

    #[test]
    fn a_choice_is_of_its_statement() {
        let code = "a;\nlet order = if cfg!(mutant = \" \") {\n  x\n} else {\n  y\n};\nb;";
        assert_eq!(lines(code), [(2, 6)]);
        let code = "a;\nif cfg!(not(mutant = \" \")) {\n  x;\n  y;\n}\nb;";
        assert_eq!(lines(code), [(2, 5)]);
        let code = "a;\nw.swap(\n  0,\n  unless(cfg!(mutant = \" \"), A),\n);\nb;";
        assert_eq!(lines(code), [(2, 4)]);
        let code = "a;\nw.swap(0, unless(cfg!(mutant = \" \"), A))\n    .ok();\nb;";
        assert_eq!(lines(code), [(2, 2)]);
    }
}

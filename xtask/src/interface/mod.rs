//! Writes everything that follows from `engine/abi/interface.toml`, so that no number of the call
//! interface is typed twice: the Rust half that engine and host share, the C header for other host
//! kernels, the reference page, and the names that the specification is about.
//!
//! Invariant: each output is a pure function of the interface file. `check` therefore means
//! "generate again and compare", and an output that differs is stale or was edited by hand.

mod coq;
mod header;
mod model;
mod page;
mod rust;
mod source;

use anyhow::{Context, Result, bail};
use model::Interface;
use std::fs;
use std::path::Path;

/// Where the interface is written down, relative to the repository's root.
const SOURCE: &str = "engine/abi/interface.toml";

/// Makes one output's text.
type Render = fn(&Interface) -> String;

/// What is made from it: path relative to the root, and the function that makes its text.
const OUTPUTS: [(&str, Render); 4] = [
    ("engine/abi/src/generated.rs", rust::render),
    ("engine/abi/bulkhead.h", header::render),
    ("docs/interface.md", page::render),
    ("spec/Interface.v", coq::render),
];

/// Writes all outputs under `root`, or, when `check` is set, fails naming those that are not what
/// the interface file says.
pub fn generate(root: &Path, check: bool) -> Result<()> {
    let source = root.join(SOURCE);
    let text =
        fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    let interface = Interface::parse(&text).with_context(|| format!("{SOURCE} is not valid"))?;

    let mut stale = Vec::new();
    for (path, render) in OUTPUTS {
        let wanted = render(&interface);
        let target = root.join(path);
        if fs::read_to_string(&target).is_ok_and(|found| found == wanted) {
            continue;
        }
        if check {
            stale.push(path);
        } else {
            fs::write(&target, wanted)
                .with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    if !stale.is_empty() {
        bail!(
            "not what {SOURCE} says (run `cargo xtask gen`): {}",
            stale.join(", ")
        );
    }
    Ok(())
}

/// Breaks `text` into lines of at most `width` characters, at spaces; a longer word gets a line
/// of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// `VM_MAP` as `VmMap`.
fn camel(screaming: &str) -> String {
    screaming
        .split('_')
        .map(|word| {
            let (head, tail) = word.split_at(word.len().min(1));
            head.to_uppercase() + &tail.to_lowercase()
        })
        .collect()
}

/// `VmMap` as `VM_MAP`.
fn screaming(camel: &str) -> String {
    let mut name = String::new();
    let mut previous_lower = false;
    for letter in camel.chars() {
        if letter.is_uppercase() && previous_lower {
            name.push('_');
        }
        previous_lower = !letter.is_uppercase();
        name.extend(letter.to_uppercase());
    }
    name
}

/// A sentence with a full stop at its end.
fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with('.') {
        text.to_string()
    } else {
        format!("{text}.")
    }
}

/// A sentence that begins with a capital letter.
fn capitalised(text: &str) -> String {
    let text = sentence(text);
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (upper, mixed) in [
            ("VM_MAP_LIST", "VmMapList"),
            ("VCPU_RESPOND", "VcpuRespond"),
        ] {
            assert_eq!(camel(upper), mixed);
            assert_eq!(screaming(mixed), upper);
        }
        assert_eq!(screaming("SError"), "SERROR");
    }

    #[test]
    fn wrapping_keeps_every_word_within_the_width() {
        let lines = wrap("one two three extraordinarily four", 9);
        assert_eq!(lines, ["one two", "three", "extraordinarily", "four"]);
    }

    #[test]
    fn sentences_end_once() {
        assert_eq!(capitalised("first page"), "First page.");
        assert_eq!(capitalised("done."), "Done.");
        assert_eq!(capitalised(""), "");
    }
}

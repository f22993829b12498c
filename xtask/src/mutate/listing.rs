//! Which mutants there are: what cargo-mutants lists, without what is not compiled as it is tested.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::areas::Area;
use super::mutant::Key;
use super::tool::Tool;
use crate::audit::regions::regions;
use crate::audit::source::code_only;
use crate::process::{capture, show};

#[derive(Deserialize)]
struct Listed {
    name: String,
    file: String,
    span: Span,
}

#[derive(Deserialize)]
struct Span {
    start: Position,
}

#[derive(Deserialize)]
struct Position {
    line: usize,
}

/// Full names of the mutants of `area`; with `diff`, of what that file changes alone.
pub fn list(root: &Path, tool: &Tool, area: &Area, diff: Option<&Path>) -> Result<Vec<String>> {
    let mut command = tool.command(root, area, &[])?;
    command.args(["--list", "--json"]);
    if let Some(diff) = diff {
        command.arg("--in-diff").arg(diff);
    }
    let text = capture(&mut command)?;
    // Of a diff that touches nothing it says so, in words.
    if diff.is_some() && !text.trim_start().starts_with('[') {
        return Ok(Vec::new());
    }
    let listed: Vec<Listed> = serde_json::from_str(&text).with_context(|| show(&command))?;
    let mut dead: BTreeMap<String, Vec<RangeInclusive<usize>>> = BTreeMap::new();
    let mut names = Vec::new();
    for mutant in listed {
        if !dead.contains_key(&mutant.file) {
            let text =
                fs::read_to_string(root.join(&mutant.file)).with_context(|| mutant.file.clone())?;
            dead.insert(mutant.file.clone(), dead_lines(&text));
        }
        let is_dead = dead[&mutant.file]
            .iter()
            .any(|lines| lines.contains(&mutant.span.start.line));
        if !is_dead && Key::of(&mutant.name).is_some() {
            names.push(mutant.name);
        }
    }
    Ok(names)
}

/// Lines of tests behind the code, and those that only a mutant of `cargo xtask mutants` has.
fn dead_lines(text: &str) -> Vec<RangeInclusive<usize>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_only_mutants = |first: usize| {
        let line = lines.get(first - 1).map_or("", |line| line.trim_start());
        line.starts_with("#[cfg(") && !line.contains("not(")
    };
    let mut dead: Vec<_> = regions(&code_only(text), text)
        .into_iter()
        .map(|region| region.lines)
        .filter(|lines| is_only_mutants(*lines.start()))
        .collect();
    // cargo-mutants knows `cfg(test)` alone. A module of tests is the last thing in a file.
    let is_tests = |pair: &[&str]| {
        pair[0].starts_with("#[cfg(all(test")
            && pair[1].starts_with("mod ")
            && pair[1].ends_with('{')
    };
    if let Some(at) = lines.windows(2).position(is_tests) {
        dead.push(at + 1..=lines.len());
    }
    dead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_compiled_as_it_is_tested_is_dead() {
        let text = "fn f() {\n    #[cfg(not(mutant = \"a\"))]\n    one();\n    #[cfg(mutant = \"a\")]\n    two();\n}\n\
                    #[cfg(all(test, not(loom)))]\nmod tests {\n    fn g() {}\n}\n";
        assert_eq!(dead_lines(text), [4..=5, 7..=10]);
        let chosen = "fn f() {\n    let x = cfg!(mutant = \"a\") || g();\n}\n";
        assert_eq!(dead_lines(chosen), []);
        let declared =
            "#[cfg(all(test, not(loom)))]\n#[path = \"x_tests.rs\"]\nmod tests;\nfn f() {}\n";
        assert_eq!(dead_lines(declared), []);
    }
}

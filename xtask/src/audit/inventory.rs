//! The concurrency inventory (docs/architecture.md): every object that cores share names a test that
//! there is, or says why it needs none.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::audit::Findings;
use crate::audit::workspace::Workspace;
use crate::mutants::check_test;

const FILE: &str = "docs/architecture.md";
const HEADING: &str = "## Concurrency inventory";
/// How a row begins to say why it needs no test.
const NO_TEST: &str = "– (";

pub fn check(root: &Path, _workspace: &Workspace) -> Result<Findings> {
    let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("reading {FILE}"))?;
    let rows = rows(&text);
    if rows.is_empty() {
        return Ok(vec![format!("{FILE} has no inventory")]);
    }
    println!("    {:>6}  objects that cores share", rows.len());
    let broken = rows.into_iter().flat_map(|(object, tried_by)| {
        let tests = tests(tried_by);
        let nothing = tests.is_empty() && !tried_by.starts_with(NO_TEST);
        let unnamed = nothing.then(|| "names no test, and not why".to_owned());
        let wrong = tests.into_iter().filter_map(|test| check_test(root, test));
        let all: Vec<_> = unnamed.into_iter().chain(wrong).collect();
        all.into_iter().map(move |what| format!("{object}: {what}"))
    });
    Ok(broken.collect())
}

/// The first and last cell of each row.
fn rows(text: &str) -> Vec<(&str, &str)> {
    let Some((_, section)) = text.split_once(HEADING) else {
        return Vec::new();
    };
    let section = section.split("\n## ").next().unwrap_or(section);
    let lines = section.lines().filter_map(|line| {
        let cells = line.trim().strip_prefix('|')?.strip_suffix('|')?;
        let (first, rest) = cells.split_once('|')?;
        let (_, last) = rest.rsplit_once('|')?;
        Some((first.trim(), last.trim()))
    });
    // Behind the head and the line beneath it.
    lines.skip(2).collect()
}

/// What stands in backticks.
fn tests(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_the_section() {
        let text = "| a | b |\n## Concurrency inventory\n\n| object | of | tried by |\n| --- | --- \
                    | --- |\n| word | x | `loom a b`, `sim c::d` |\n| other | y | – (why) |\n\n## Next\n| no | row |\n";
        let rows = rows(text);
        assert_eq!(
            rows,
            [("word", "`loom a b`, `sim c::d`"), ("other", "– (why)")]
        );
        assert_eq!(tests(rows[0].1), ["loom a b", "sim c::d"]);
        assert!(tests(rows[1].1).is_empty());
    }
}

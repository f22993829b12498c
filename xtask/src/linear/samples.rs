//! Histories of which it is known whether there is an order: the checker must say so.
//!
//! Invariant: a history of the folder `refused` is readable, and none of its kind is missing.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::linear::checker::split;
use crate::linear::{Checker, Row, Verdict, is_wanted};
use crate::paths::Paths;

/// Where they are, and whether there is an order.
const FOLDERS: [(&str, bool); 2] = [("accepted", true), ("refused", false)];

/// Has the checker judge those that are wanted.
pub fn run(paths: &Paths, program: &Path, wanted: &str) -> Result<Vec<Row>> {
    let root = paths.root.join("xtask/conform/histories");
    let mut samples = Vec::new();
    for (folder, has_order) in FOLDERS {
        let folder_path = root.join(folder);
        let name = || folder_path.display().to_string();
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder_path).with_context(name)? {
            files.push(entry?.path());
        }
        files.sort();
        for file in files {
            let stem = file.file_stem().context("a name")?.to_string_lossy();
            samples.push((format!("{folder}: {stem}"), file.clone(), has_order));
        }
    }
    let names: Vec<&str> = samples.iter().map(|(name, ..)| name.as_str()).collect();
    let mut checker = Checker::start(program)?;
    let mut rows = Vec::new();
    for (name, file, has_order) in &samples {
        if !is_wanted(name, wanted, &names) {
            continue;
        }
        let begun = Instant::now();
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let mut faults = Vec::new();
        let histories = split(&text);
        for history in &histories {
            faults.extend(judge(&checker.check(history)?, *has_order));
        }
        if histories.is_empty() {
            faults.push("no history".into());
        }
        let evidence = format!("{} histories", histories.len());
        rows.push(Row::new(name, evidence, faults.into_iter().next(), begun));
    }
    Ok(rows)
}

/// What is wrong with a verdict.
fn judge(verdict: &Verdict, has_order: bool) -> Option<String> {
    match (verdict, has_order) {
        (Verdict::Explained(_), true) => None,
        (Verdict::Refused(why), false) if why.starts_with("no order") => None,
        (Verdict::Explained(_), false) => Some("an order was found, and there is none".into()),
        (Verdict::Refused(why), _) => Some(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_search_that_came_to_its_end_refuses() {
        let refused = |why: &str| Verdict::Refused(why.into());
        assert_eq!(judge(&Verdict::Explained(3), true), None);
        assert_eq!(judge(&refused("no order: x"), false), None);
        assert!(judge(&Verdict::Explained(3), false).is_some());
        assert!(judge(&refused("no order: x"), true).is_some());
        for other in ["gave up after 3 places", "unreadable: x"] {
            assert!(judge(&refused(other), false).is_some(), "{other}");
        }
    }
}

//! Mutants: protections that can be built away to see the checks catch it.
//!
//! A mutant exists where the source says so: `cfg(mutant = "NAME")` in a crate of the engine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::walk::rust_files;

/// Folders whose crates are part of the engine.
const SOURCES: [&str; 5] = ["engine", "ownership", "percpu", "smp-boot", "sync"];
const MARK: &str = "mutant = \"";

/// The names, sorted.
pub fn names(root: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in SOURCES {
        for file in rust_files(&root.join(folder))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            names.extend(names_in(&text).map(str::to_owned));
        }
    }
    Ok(names)
}

/// Fails unless `name` is a mutant.
pub fn require(root: &Path, name: &str) -> Result<()> {
    ensure!(
        names(root)?.contains(name),
        "--mutant {name}: no such mutant; `--mutant list` names them"
    );
    Ok(())
}

fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split(MARK).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .filter(|name| !name.is_empty() && name.chars().all(is_name))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_cfgs_and_not_from_comments() {
        let text = r#"
            // cfg(mutant = "commented")
            #[cfg(not(mutant = "skip-scrub"))]
            if cfg!(any(mutant = "no-tlbi", mutant = "late-tlbi")) {}
        "#;
        let found: Vec<&str> = names_in(text).collect();
        assert_eq!(found, ["skip-scrub", "no-tlbi", "late-tlbi"]);
    }
}

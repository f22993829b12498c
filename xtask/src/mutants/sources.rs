//! Which mutants the sources have.
//!
//! A mutant exists where the source says so: `cfg(mutant = "NAME")` in a crate of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::walk::rust_files;

/// Folders whose crates are part of the engine.
pub const SOURCES: [&str; 5] = ["engine", "ownership", "percpu", "smp-boot", "sync"];
const MARK: &str = "mutant = \"";

/// The names, each with the folders whose sources have it.
pub fn names(root: &Path) -> Result<BTreeMap<String, BTreeSet<&'static str>>> {
    let mut names = BTreeMap::new();
    for folder in SOURCES {
        for file in rust_files(&root.join(folder))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            for name in names_in(&text) {
                let folders: &mut BTreeSet<_> = names.entry(name.to_owned()).or_default();
                folders.insert(folder);
            }
        }
    }
    Ok(names)
}

/// Fails unless `name` is a mutant.
pub fn require(root: &Path, name: &str) -> Result<()> {
    ensure!(
        names(root)?.contains_key(name),
        "--mutant {name}: no such mutant; `cargo xtask mutants --list` names them"
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

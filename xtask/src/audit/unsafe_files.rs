//! `unsafe` stands only in the files of `unsafe_files.txt`, so that a review knows where to look.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::audit::source::{code_only, has_word};
use crate::audit::workspace::Workspace;
use crate::audit::{Findings, TRUSTED};
use crate::walk::rust_files;

/// What runs before the engine, outside of it.
const LOADER: &str = "smp-boot/efi";
const LIST: &str = include_str!("unsafe_files.txt");

pub fn check(root: &Path, _workspace: &Workspace) -> Result<Findings> {
    let mut with_unsafe = BTreeSet::new();
    for folder in TRUSTED.iter().chain(&[LOADER]) {
        for file in rust_files(&root.join(folder).join("src"))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            if has_word(&code_only(&text), "unsafe") {
                let file = file.strip_prefix(root).unwrap_or(&file);
                with_unsafe.insert(file.display().to_string());
            }
        }
    }
    Ok(compare(LIST, &with_unsafe))
}

fn compare(list: &str, with_unsafe: &BTreeSet<String>) -> Findings {
    let listed: BTreeSet<String> = list
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let unlisted = with_unsafe
        .difference(&listed)
        .map(|file| format!("{file} has unsafe and is not in unsafe_files.txt"));
    let stale = listed
        .difference(with_unsafe)
        .map(|file| format!("{file} is in unsafe_files.txt and has no unsafe"));
    unlisted.chain(stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_and_source_must_agree() {
        let found = BTreeSet::from(["a.rs".to_owned(), "b.rs".to_owned()]);
        assert!(compare("# why\na.rs\n\nb.rs\n", &found).is_empty());
        assert_eq!(
            compare("a.rs\nc.rs", &found),
            [
                "b.rs has unsafe and is not in unsafe_files.txt",
                "c.rs is in unsafe_files.txt and has no unsafe"
            ]
        );
    }
}

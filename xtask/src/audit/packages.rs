//! Where the packages that the project is built with are used.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::audit::Findings;
use crate::audit::source::{code_only, word_starts};
use crate::audit::workspace::Workspace;
use crate::walk::rust_files;

const PACKAGES: [&str; 7] = [
    "crossbeam-utils",
    "atomic",
    "loom",
    "aarch64-cpu",
    "spin",
    "heapless",
    "bitvec",
];

pub fn report(root: &Path, workspace: &Workspace) -> Result<Findings> {
    for package in PACKAGES {
        let mut places = Vec::new();
        for (folder, member) in &workspace.packages {
            if !member.registry.iter().any(|name| name == package) {
                continue;
            }
            for file in rust_files(&root.join(folder).join("src"))? {
                let text = fs::read_to_string(&file)
                    .with_context(|| format!("read {}", file.display()))?;
                if uses(&code_only(&text), &package.replace('-', "_")) {
                    let file = file.strip_prefix(root).unwrap_or(&file);
                    places.push(file.display().to_string());
                }
            }
        }
        if places.is_empty() {
            places.push("nowhere".into());
        }
        println!("    {package:<16} {}", places.join(" "));
    }
    Ok(Findings::new())
}

/// Whether a path in `code` starts with the crate `name`.
fn uses(code: &str, name: &str) -> bool {
    word_starts(code, name).any(|at| {
        let is_first = !code[..at].ends_with("::");
        is_first && code[at + name.len()..].starts_with("::")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crate_paths_count_and_modules_of_that_name_do_not() {
        assert!(uses("use atomic::Atomic;", "atomic"));
        assert!(uses("let x = heapless::Vec::new();", "heapless"));
        assert!(!uses("use core::sync::atomic::AtomicU64;", "atomic"));
        assert!(!uses("atomic.load()", "atomic"));
    }
}

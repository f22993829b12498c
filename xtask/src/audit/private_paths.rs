//! What is committed stands on its own: no file points at folders beside the checkout.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::audit::Findings;
use crate::audit::workspace::Workspace;
use crate::process::capture;

/// Written in two pieces, so that this file does not find itself.
const OUTSIDE: [&str; 2] = [concat!("../", "shared"), concat!("/work", "/shared")];

pub fn check(root: &Path, _workspace: &Workspace) -> Result<Findings> {
    // Tracked files, and those that would be committed next.
    let files = capture(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(root),
    )?;
    let mut findings = Findings::new();
    for name in files.lines() {
        // A file that is deleted but still tracked has nothing to say.
        let Ok(bytes) = fs::read(root.join(name)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in text.lines().enumerate() {
            if points_outside(line) {
                findings.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    Ok(findings)
}

fn points_outside(line: &str) -> bool {
    OUTSIDE.iter().any(|path| line.contains(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_beside_the_checkout_count() {
        assert!(points_outside(&format!("see {}/design", OUTSIDE[0])));
        assert!(!points_outside("a page shared with the host"));
    }
}

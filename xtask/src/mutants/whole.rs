//! Which tests were seen to pass on the whole engine, kept from one run of the tool to the next.
//!
//! Invariant: what is remembered was seen with the very sources that lie in the checkout now, and with
//! the same bounds of the models: a digest of both is kept beside it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::catcher::Catcher;
use crate::paths::Paths;
use crate::walk::files_with;

/// What a test's result depends on: the code, its manifests, its assembly.
const KINDS: [&str; 8] = ["rs", "toml", "lock", "S", "ld", "litmus", "smt2", "txt"];
/// Folders of the checkout with nothing of that.
const ELSEWHERE: [&str; 3] = ["target", ".git", "docs"];
/// How far the models are explored.
const BOUNDS: [&str; 2] = ["BULKHEAD_LOOM_PREEMPTIONS", "BULKHEAD_LOOM_DEEP"];

/// What passed, as a file.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Seen {
    digest: String,
    passed: BTreeSet<String>,
}

/// What passed, and where that is kept.
#[derive(Debug)]
pub struct Whole {
    file: PathBuf,
    seen: Seen,
}

impl Whole {
    /// What is known of the checkout as it is.
    pub fn load(paths: &Paths) -> Result<Self> {
        let file = paths.target.join("mutants").join("whole.json");
        let text = fs::read_to_string(&file).unwrap_or_default();
        Ok(Self::from_text(file, &text, digest(&paths.root)?))
    }

    fn from_text(file: PathBuf, text: &str, digest: String) -> Self {
        let seen: Seen = serde_json::from_str(text).unwrap_or_default();
        let seen = match seen.digest == digest {
            true => seen,
            false => Seen {
                digest,
                passed: BTreeSet::new(),
            },
        };
        Self { file, seen }
    }

    pub fn has_passed(&self, catcher: &Catcher) -> bool {
        self.seen.passed.contains(&catcher.to_string())
    }

    /// Notes that it passed now.
    pub fn note(&mut self, catcher: &Catcher) -> Result<()> {
        self.seen.passed.insert(catcher.to_string());
        fs::write(&self.file, serde_json::to_string_pretty(&self.seen)?)
            .with_context(|| format!("write {}", self.file.display()))
    }
}

fn digest(root: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for bound in BOUNDS {
        hash.update(std::env::var(bound).unwrap_or_default());
        hash.update("\n");
    }
    let mut files = vec![root.join("Cargo.toml"), root.join("Cargo.lock")];
    for entry in fs::read_dir(root)? {
        let folder = entry?;
        let is_code = !ELSEWHERE.iter().any(|name| folder.file_name() == *name);
        if is_code && folder.path().is_dir() {
            files.extend(files_with(&folder.path(), &KINDS)?);
        }
    }
    files.sort();
    for file in files {
        hash.update(file.display().to_string());
        hash.update(fs::read(&file).with_context(|| format!("read {}", file.display()))?);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::catcher::Kind;
    use super::*;

    #[test]
    fn what_was_seen_with_other_sources_is_forgotten() {
        let catcher = Catcher::new(Kind::Loom, "percpu a");
        let text = r#"{"digest": "1", "passed": ["loom percpu a"]}"#;
        let known = |text, digest: &str| {
            Whole::from_text(PathBuf::new(), text, digest.to_owned()).has_passed(&catcher)
        };
        assert!(known(text, "1"));
        assert!(!known(text, "2"));
        assert!(!known("", ""));
    }
}

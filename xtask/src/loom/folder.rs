//! The folder of one test's last run: its log and the record of its search
//! (`loom-tests/src/record.rs`).
//!
//! Invariant: what another build or another bound left there is never gone on with: the key says
//! what it is of.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::de::IgnoredAny;

use crate::paths::Paths;

/// What files of the test with this name are called.
pub fn file_name(name: &str) -> String {
    name.replace("::", ".")
}

/// See the header.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of the test with this name.
    pub fn of(paths: &Paths, name: &str) -> Self {
        Self(paths.target.join("loom-runs").join(file_name(name)))
    }

    /// What the test says.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Loom's path of the execution at which a search goes on.
    pub fn path(&self) -> PathBuf {
        self.0.join("path")
    }

    /// What happened in the told execution.
    pub fn story(&self) -> PathBuf {
        self.0.join("story")
    }

    /// Has a search keep its record here.
    pub fn equip(&self, command: &mut Command) {
        command
            .env("BULKHEAD_LOOM_RUN", &self.0)
            .env_remove("BULKHEAD_LOOM_TELL");
    }

    /// Has it tell this execution, too.
    pub fn equip_to_tell(&self, command: &mut Command, execution: u64) {
        self.equip(command);
        command.env("BULKHEAD_LOOM_TELL", execution.to_string());
    }

    /// Empties it for a run with this key.
    pub fn clear(&self, key: &str) -> Result<()> {
        let name = || format!("folder {}", self.0.display());
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(name);
            }
            _ => {}
        }
        fs::create_dir_all(&self.0).with_context(name)?;
        self.write("key", key)
    }

    /// Makes it ready for a run with this key that goes on with the one before; where that cannot
    /// be, empties it.
    pub fn keep(&self, key: &str) -> Result<()> {
        let is_whole = |path: &Path| match fs::read_to_string(path) {
            Ok(text) => serde_json::from_str::<IgnoredAny>(&text).is_ok(),
            Err(_) => false,
        };
        let is_same = fs::read_to_string(self.0.join("key")).is_ok_and(|old| old == key);
        // A search that was killed while it wrote left half of a path.
        if is_same && self.number("path-of").is_some() && is_whole(&self.path()) {
            return self.forget("failed");
        }
        self.clear(key)
    }

    /// How many executions the search began; none if there is no search.
    pub fn executions(&self) -> Option<u64> {
        self.number("executions")
    }

    /// The execution that panicked.
    pub fn failed(&self) -> Option<u64> {
        self.number("failed")
    }

    /// What a run with this key left as its result.
    pub fn result(&self, key: &str) -> Option<String> {
        let is_same = fs::read_to_string(self.0.join("key")).is_ok_and(|old| old == key);
        let result = fs::read_to_string(self.0.join("result"));
        result.ok().filter(|_| is_same)
    }

    /// How many seconds the last run that was completed took, whatever its key.
    pub fn seconds(&self) -> Option<u64> {
        let result = fs::read_to_string(self.0.join("result")).ok()?;
        let seconds: f64 = result.split_once(' ')?.1.parse().ok()?;
        Some(seconds as u64)
    }

    /// Leaves the result of a run that need not be repeated.
    pub fn set_result(&self, result: &str) -> Result<()> {
        self.write("result", result)
    }

    /// Puts loom's path of one execution there, and nothing else.
    pub fn put_path(&self, from: &Path) -> Result<()> {
        self.clear("")?;
        fs::copy(from, self.path()).with_context(|| format!("read {}", from.display()))?;
        self.write("path-of", "1")
    }

    fn number(&self, name: &str) -> Option<u64> {
        fs::read_to_string(self.0.join(name)).ok()?.parse().ok()
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.0.join(name);
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))
    }

    fn forget(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> Folder {
        let dir = std::env::temp_dir().join(format!("bulkhead-{name}-{}", std::process::id()));
        Folder(dir)
    }

    #[test]
    fn only_a_whole_path_of_the_same_build_is_gone_on_with() {
        for (key, path, is_kept) in [("a", "{}", true), ("b", "{}", false), ("a", "{", false)] {
            let folder = folder("keep");
            folder.clear("a").unwrap();
            folder.write("path", path).unwrap();
            folder.write("path-of", "20000").unwrap();
            folder.write("failed", "20007").unwrap();
            folder.keep(key).unwrap();
            assert_eq!(folder.path().exists(), is_kept, "{key} {path}");
            assert_eq!(folder.failed(), None);
            fs::remove_dir_all(&folder.0).unwrap();
        }
    }

    #[test]
    fn a_result_is_that_of_its_key() {
        let folder = folder("result");
        folder.clear("a").unwrap();
        assert_eq!(folder.result("a"), None);
        assert_eq!(folder.seconds(), None);
        folder.set_result("17 2.5").unwrap();
        assert_eq!(folder.result("a").as_deref(), Some("17 2.5"));
        assert_eq!(folder.result("b"), None);
        assert_eq!(folder.seconds(), Some(2));
        fs::remove_dir_all(&folder.0).unwrap();
    }
}

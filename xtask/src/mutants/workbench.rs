//! A cargo target folder in which one mutant after the other is built for the development machine.
//!
//! Cargo does not know the mutants: it calls one compiler wrapper at one path, so that the compiler
//! finds what it did for the mutant before and does only the rest. What was built with another
//! mutant is forgotten before the wrapper changes; so the folder never holds two mutants, not even
//! after an interruption.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::image::build::write_wrapper;
use crate::paths::Paths;

/// Packages of this workspace have names that start so.
const PACKAGES: &str = "bulkhead-";

/// The folder.
pub struct Workbench {
    dir: PathBuf,
    /// The compiler's flags.
    flags: &'static str,
    /// The profile's folder.
    profile: &'static str,
    /// What it builds: nothing yet, or a mutant, or the whole engine.
    current: Option<Option<String>>,
    /// Packages compiled since then.
    compiled: BTreeSet<String>,
    /// Nobody else builds other mutants here meanwhile.
    _lock: File,
}

impl Workbench {
    /// The one for tests beside the code and on the simulated machine.
    pub fn for_tests(paths: &Paths) -> Result<Self> {
        Self::open(paths, "tests", "", "debug")
    }

    /// The one for models.
    pub fn for_loom(paths: &Paths) -> Result<Self> {
        Self::open(paths, "loom", "--cfg loom", "release")
    }

    /// The one for models whose histories are asked for an order: who tries mutants by turns has the other.
    pub fn for_linear(paths: &Paths) -> Result<Self> {
        Self::open(paths, "linear", "--cfg loom", "release")
    }

    fn open(paths: &Paths, name: &str, flags: &'static str, profile: &'static str) -> Result<Self> {
        let dir = paths.target.join("mutants").join(name);
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let lock = File::create(dir.join("lock"))?;
        lock.lock()
            .with_context(|| format!("lock {}", dir.display()))?;
        Ok(Self {
            dir,
            flags,
            profile,
            current: None,
            compiled: BTreeSet::new(),
            _lock: lock,
        })
    }

    fn wrapper(&self) -> PathBuf {
        self.dir.join("rustc-mutant")
    }

    /// From now on builds `mutant`, or the whole engine.
    pub fn take_up(&mut self, mutant: Option<&str>) -> Result<()> {
        if self.current.as_ref().map(Option::as_deref) == Some(mutant) {
            return Ok(());
        }
        let fingerprints = self.dir.join(self.profile).join(".fingerprint");
        if fingerprints.is_dir() {
            for entry in fs::read_dir(&fingerprints)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(PACKAGES) {
                    fs::remove_dir_all(entry.path())?;
                }
            }
        }
        write_wrapper(&self.wrapper(), mutant)?;
        self.current = Some(mutant.map(str::to_owned));
        self.compiled.clear();
        Ok(())
    }

    /// Lets the cargo of `command` work here, on the mutant.
    pub fn equip(&self, command: &mut Command) {
        command
            .env("CARGO_TARGET_DIR", &self.dir)
            .env("RUSTC_WORKSPACE_WRAPPER", self.wrapper())
            .env("RUSTFLAGS", self.flags)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            // A model's thread has too small a stack to be shown in full when it panics.
            .env("RUST_BACKTRACE", "0")
            // What the tests do is the same; building takes a fifth of the time.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true");
    }

    /// Whether one of `folders`, where the mutant's code lies, was compiled for it; `output` is
    /// what cargo said last.
    pub fn has_compiled(&mut self, output: &str, folders: &BTreeSet<&str>) -> bool {
        let packages = output
            .lines()
            .filter_map(|line| {
                line.trim_start()
                    .strip_prefix("Compiling ")?
                    .strip_prefix(PACKAGES)
            })
            .filter_map(|package| package.split(' ').next());
        self.compiled.extend(packages.map(str::to_owned));
        folders.iter().any(|folder| self.compiled.contains(*folder))
    }
}

//! herd7, which decides litmus tests, and the solver z3: found, or unpacked from Debian.
//!
//! herd7 needs a C library that is newer than this machine's may be; it is taken with its own and
//! started by that library's loader, so nothing else here meets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{capture, find_program};
use crate::setup::debian::{AptView, Purpose};
use crate::setup::toolchain::library_path;

/// The oldest herd7 whose model of translation tables these tests were decided with.
const OLDEST_HERD: [u32; 2] = [7, 58];
/// The oldest z3 that these tests were decided with.
const OLDEST_Z3: [u32; 2] = [4, 8];

/// A herd7 with its library of models.
pub struct Herd {
    program: PathBuf,
    /// The folder that it was unpacked into; none for an installed one.
    private_root: Option<PathBuf>,
    version: String,
}

impl Herd {
    /// Finds herd7, or fetches it into `cache`.
    pub fn set_up(cache: &Path) -> Result<Self> {
        if let Some(herd) = find_program("herd7").and_then(|program| Self::probe(program, None)) {
            return Ok(herd);
        }
        let root = cache.join("herd");
        let private = || Self::probe(root.join("usr/bin/herd7"), Some(root.clone()));
        if let Some(herd) = private() {
            return Ok(herd);
        }
        println!("    no herd7 here: taking Debian's with its C library (about 45 MB)");
        AptView::open(cache, Purpose::Later)
            .and_then(|view| view.unpack(&["herdtools7"], &root))
            .context("herd7 (package herdtools7) is needed in PATH")?;
        private().context("Debian's herd7 does not run here")
    }

    /// The command, with nothing to decide yet.
    pub fn command(&self) -> Command {
        command(&self.program, self.private_root.as_deref())
    }

    /// What to tell a person about it.
    pub fn describe(&self) -> String {
        format!("herd7 {}, {}", self.version, self.program.display())
    }

    fn probe(program: PathBuf, private_root: Option<PathBuf>) -> Option<Self> {
        let said = capture(command(&program, private_root.as_deref()).arg("-version")).ok()?;
        let version = said.split([',', ' ', '\n']).next()?.to_owned();
        is_new_enough(&version, OLDEST_HERD).then_some(Self {
            program,
            private_root,
            version,
        })
    }
}

/// Whether `version`, numbers with dots, is `oldest` or later.
fn is_new_enough(version: &str, oldest: [u32; 2]) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let (first, second) = (numbers.next().flatten(), numbers.next().flatten());
    matches!((first, second), (Some(first), Some(second)) if [first, second] >= oldest)
}

/// A herd7 that was unpacked runs under the loader that was unpacked with it.
fn command(program: &Path, private_root: Option<&Path>) -> Command {
    let Some(root) = private_root else {
        return Command::new(program);
    };
    let libraries = library_path(root);
    let Some(loader) = libraries.split(':').find_map(|dir| loader_in(dir.as_ref())) else {
        return Command::new(program);
    };
    let mut command = Command::new(loader);
    command
        .args(["--library-path", &libraries])
        .arg(program)
        .arg("-set-libdir")
        .arg(root.join("usr/share/herdtools7/herd"));
    command
}

/// The loader among a C library's files.
pub fn loader_in(dir: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    files
        .filter(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("ld-linux") && name.contains(".so")
        })
        .min()
}

/// The SMT solver.
pub struct Solver {
    program: PathBuf,
    private_root: Option<PathBuf>,
    version: String,
}

impl Solver {
    /// Finds z3, or fetches it into `cache`.
    pub fn set_up(cache: &Path) -> Result<Self> {
        if let Some(solver) = find_program("z3").and_then(|program| Self::probe(program, None)) {
            return Ok(solver);
        }
        let root = cache.join("z3");
        let private = || Self::probe(root.join("usr/bin/z3"), Some(root.clone()));
        if let Some(solver) = private() {
            return Ok(solver);
        }
        println!("    no z3 here: taking Debian's (about 8 MB)");
        AptView::open(cache, Purpose::Tools)
            .and_then(|view| view.unpack(&["z3"], &root))
            .context("z3 is needed in PATH")?;
        private().context("Debian's z3 does not run here")
    }

    /// The command, with nothing to decide yet.
    pub fn command(&self) -> Command {
        with_libraries(&self.program, self.private_root.as_deref())
    }

    /// What to tell a person about it.
    pub fn describe(&self) -> String {
        format!("{}, {}", self.version, self.program.display())
    }

    fn probe(program: PathBuf, private_root: Option<PathBuf>) -> Option<Self> {
        let mut command = with_libraries(&program, private_root.as_deref());
        let said = capture(command.arg("--version")).ok()?;
        let version = said.split(" - ").next()?.trim().to_owned();
        let number = version.split_whitespace().nth(2)?;
        is_new_enough(number, OLDEST_Z3).then_some(Self {
            program,
            private_root,
            version,
        })
    }
}

fn with_libraries(program: &Path, private_root: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    if let Some(root) = private_root {
        command.env("LD_LIBRARY_PATH", library_path(root));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_tools_are_not_taken() {
        for (version, is_new) in [
            ("7.58", true),
            ("7.58+1", false),
            ("7.56.3", false),
            ("8.0", true),
            ("7", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version, OLDEST_HERD), is_new, "{version}");
        }
        assert!(is_new_enough("4.8.12", OLDEST_Z3));
    }
}

//! The proof assistant Coq: found, or unpacked from Debian with its library.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{capture, find_program};
use crate::setup::debian::{AptView, Purpose};
use crate::setup::toolchain::library_path;

/// The oldest Coq that the proofs were checked with.
const OLDEST: [u32; 2] = [8, 16];

/// A Coq with its programs and standard library.
pub struct Coq {
    programs: PathBuf,
    /// The folder that it was unpacked into; none for an installed one.
    private_root: Option<PathBuf>,
    version: String,
}

impl Coq {
    /// Finds Coq, or fetches it into `cache`.
    pub fn set_up(cache: &Path) -> Result<Self> {
        let installed = find_program("coqc");
        let programs = installed.and_then(|coqc| Some(coqc.parent()?.to_path_buf()));
        if let Some(coq) = programs.and_then(|programs| Self::probe(programs, None)) {
            return Ok(coq);
        }
        let root = cache.join("coq");
        let private = || Self::probe(root.join("usr/bin"), Some(root.clone()));
        if let Some(coq) = private() {
            return Ok(coq);
        }
        println!("    no Coq here: taking Debian's (about 250 MB, 1 GB unpacked)");
        AptView::open(cache, Purpose::Tools)
            .and_then(|view| view.unpack(&["coq", "libcoq-stdlib"], &root))
            .context("coqc (package coq) is needed in PATH")?;
        private().context("Debian's Coq does not run here")
    }

    /// One of its programs: `coqc`, `coqdep`, `coqchk`.
    pub fn command(&self, program: &str) -> Command {
        command(&self.programs.join(program), self.private_root.as_deref())
    }

    /// What to tell a person about it.
    pub fn describe(&self) -> String {
        format!("Coq {}, {}", self.version, self.programs.display())
    }

    fn probe(programs: PathBuf, private_root: Option<PathBuf>) -> Option<Self> {
        let mut coqc = command(&programs.join("coqc"), private_root.as_deref());
        let said = capture(coqc.arg("--print-version")).ok()?;
        let version = said.split_whitespace().next()?.to_owned();
        is_new_enough(&version).then_some(Self {
            programs,
            private_root,
            version,
        })
    }
}

/// A Coq that was unpacked is told where its library and its plugins are.
fn command(program: &Path, private_root: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    if let Some(root) = private_root {
        let ocaml = root.join("usr/lib/ocaml");
        command
            .env("COQLIB", ocaml.join("coq"))
            .env("COQCORELIB", ocaml.join("coq-core"))
            .env("OCAMLPATH", &ocaml)
            .env("OCAMLFIND_CONF", root.join("etc/ocamlfind.conf"))
            .env("LD_LIBRARY_PATH", library_path(root));
    }
    command
}

/// Whether `version`, numbers with dots, is the oldest that will do or later.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let (first, second) = (numbers.next().flatten(), numbers.next().flatten());
    matches!((first, second), (Some(first), Some(second)) if [first, second] >= OLDEST)
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn an_older_coq_is_not_taken() {
        for (version, is_new) in [
            ("8.16.1", true),
            ("8.15.2", false),
            ("8.20.0", true),
            ("9.0", true),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), is_new, "{version}");
        }
    }
}

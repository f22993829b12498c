//! The OCaml compiler and its library of large numbers: found, or unpacked from Debian.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{capture, find_program};
use crate::setup::debian::{AptView, Purpose};
use crate::setup::toolchain::library_path;

/// The library that extracted numbers are of.
const NUMBERS: &str = "zarith";

/// A compiler with its standard library and `zarith`.
pub struct Ocaml {
    compiler: PathBuf,
    /// The folder that it was unpacked into; none for an installed one.
    private_root: Option<PathBuf>,
    numbers: PathBuf,
    version: String,
}

impl Ocaml {
    /// Finds OCaml, or fetches it into `cache`.
    pub fn set_up(cache: &Path) -> Result<Self> {
        if let Some(ocaml) = find_program("ocamlopt").and_then(|it| Self::probe(it, None)) {
            return Ok(ocaml);
        }
        let root = cache.join("ocaml");
        let private = || Self::probe(root.join("usr/bin/ocamlopt.opt"), Some(root.clone()));
        if let Some(ocaml) = private() {
            return Ok(ocaml);
        }
        println!("    no OCaml with {NUMBERS} here: taking Debian's (110 MB, 450 MB unpacked)");
        AptView::open(cache, Purpose::Tools)
            .and_then(|view| view.unpack(&["ocaml", "libzarith-ocaml-dev"], &root))
            .context("ocamlopt and zarith (packages ocaml, libzarith-ocaml-dev) are needed")?;
        private().context("Debian's OCaml does not run here")
    }

    /// The compiler to machine code, told where its libraries are. It needs `gcc` and `as`, as Rust's does.
    pub fn command(&self) -> Command {
        let mut command = command(&self.compiler, self.private_root.as_deref());
        command.arg("-I").arg(&self.numbers);
        if let Some(root) = &self.private_root {
            for folder in library_path(root).split(':') {
                command.args(["-ccopt", &format!("-L{folder}")]);
            }
        }
        command
    }

    /// What to tell a person about it.
    pub fn describe(&self) -> String {
        format!("OCaml {}, {}", self.version, self.compiler.display())
    }

    fn probe(compiler: PathBuf, private_root: Option<PathBuf>) -> Option<Self> {
        let ask = |what| {
            let said = capture(command(&compiler, private_root.as_deref()).arg(what)).ok()?;
            Some(said.trim().to_owned())
        };
        let version = ask("-version")?;
        let library = PathBuf::from(ask("-where")?);
        // Beside the standard library, or in a folder of packages beside it.
        let places = [library.join(NUMBERS), library.join("..").join(NUMBERS)];
        let has_it = |place: &PathBuf| place.join("zarith.cmxa").exists();
        let numbers = places.into_iter().find(has_it)?;
        Some(Self {
            compiler,
            private_root,
            numbers,
            version,
        })
    }
}

/// A compiler that was unpacked is told where its standard library is.
fn command(compiler: &Path, private_root: Option<&Path>) -> Command {
    let mut command = Command::new(compiler);
    if let Some(root) = private_root {
        command.env("OCAMLLIB", root.join("usr/lib/ocaml"));
    }
    command
}

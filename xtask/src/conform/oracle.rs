//! The oracle: the specification, extracted by Coq to OCaml and compiled, with the programs that speak for it: one that
//! follows a machine call by call, and one that looks for an order of calls that were made at the same time.
//!
//! Invariant: both are built anew when anything that they are made of has changed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::paths::Paths;
use crate::process::{capture, run};
use crate::setup::coq::Coq;
use crate::setup::ocaml::Ocaml;
use crate::spec::build::{Build, LIBRARY};

/// What Coq writes.
const EXTRACTED: &str = "spec.ml";
/// The file that says what is extracted, and how.
const EXTRACTION: &str = "Extract.v";
/// What both programs are compiled with, in order.
const SHARED: [&str; 2] = ["dump.ml", "model.ml"];
/// What each has of its own.
const FOLLOWS: [&str; 1] = ["main.ml"];
const ORDERS: [&str; 5] = [
    "history.ml",
    "touch.ml",
    "moves.ml",
    "search.ml",
    "linear.ml",
];

/// The programs, below the target folder.
pub struct Oracle {
    /// Follows a machine call by call.
    pub follows: PathBuf,
    /// Looks for an order of what was done at the same time.
    pub orders: PathBuf,
}

/// Builds them.
pub fn build(paths: &Paths, coq: &Coq, ocaml: &Ocaml) -> Result<Oracle> {
    let folder = paths.target.join("oracle");
    let sources = paths.root.join("xtask/conform/oracle");
    // Not where `cargo xtask spec` compiles: what it finds there it takes for checked.
    let library = folder.join("spec");
    let build = Build::new(coq, &paths.root.join("spec"), library.clone())?;
    let mut is_new = copy(&sources, &folder, EXTRACTION)? | !folder.join(EXTRACTED).exists();
    for file in build.needed_by(&folder.join(EXTRACTION))? {
        is_new |= build.is_due(&file);
        if let Some(fault) = build.compile(&file)? {
            bail!("{} does not compile:\n{fault}", file.display());
        }
    }
    if is_new {
        println!("    extracting the specification");
        let mut coqc = coq.command("coqc");
        coqc.current_dir(&folder).arg("-q").arg("-Q").arg(&library);
        capture(coqc.args([LIBRARY, EXTRACTION]))?;
    }
    let (follows, orders) = (folder.join("oracle"), folder.join("linear"));
    let mut are_new = is_new | !follows.exists() | !orders.exists();
    for source in SHARED.iter().chain(&FOLLOWS).chain(&ORDERS) {
        are_new |= copy(&sources, &folder, source)?;
    }
    if are_new {
        let compile = |arguments: &[&str]| {
            let mut ocamlopt = ocaml.command();
            run(ocamlopt.current_dir(&folder).args(arguments))
        };
        // What is generated is not for its warnings.
        compile(&["-O3", "-w", "-a", "-c", "spec.mli", EXTRACTED])?;
        for (program, own) in [(&follows, &FOLLOWS[..]), (&orders, &ORDERS[..])] {
            let _ = fs::remove_file(program);
            let name = program
                .file_name()
                .and_then(OsStr::to_str)
                .context("a name")?;
            let mut all = vec!["-w", "+a-4-9-40-41-42-44-45-70", "zarith.cmxa", "spec.cmx"];
            all.extend(SHARED);
            all.extend(own);
            compile(&[&all[..], &["-o", name]].concat())?;
        }
    }
    Ok(Oracle { follows, orders })
}

/// Copies a file that has changed. Says whether it has.
fn copy(from: &Path, to: &Path, name: &str) -> Result<bool> {
    let (from, to) = (from.join(name), to.join(name));
    let text = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
    if fs::read(&to).is_ok_and(|known| known == text) {
        return Ok(false);
    }
    fs::write(&to, text).with_context(|| format!("write {}", to.display()))?;
    Ok(true)
}

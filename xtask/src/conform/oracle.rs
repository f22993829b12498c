//! The oracle: the specification, extracted by Coq to OCaml and compiled, with the program that speaks for it.
//!
//! Invariant: it is built anew when anything that it is made of has changed.

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
/// What is compiled with it, in order.
const SOURCES: [&str; 2] = ["dump.ml", "main.ml"];

/// Builds it below the target folder; where it is.
pub fn build(paths: &Paths, coq: &Coq, ocaml: &Ocaml) -> Result<PathBuf> {
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
    let program = folder.join("oracle");
    let mut are_new = is_new | !program.exists();
    for source in SOURCES {
        are_new |= copy(&sources, &folder, source)?;
    }
    if are_new {
        let _ = fs::remove_file(&program);
        let compile = |arguments: &[&str]| {
            let mut ocamlopt = ocaml.command();
            run(ocamlopt.current_dir(&folder).args(arguments))
        };
        // What is generated is not for its warnings.
        compile(&["-O3", "-w", "-a", "-c", "spec.mli", EXTRACTED])?;
        let mut all = vec!["-w", "+a-4-9-40-41-42-44-45-70", "zarith.cmxa", "spec.cmx"];
        all.extend(SOURCES);
        compile(&[&all[..], &["-o", "oracle"]].concat())?;
    }
    Ok(program)
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

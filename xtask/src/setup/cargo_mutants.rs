//! cargo-mutants, which changes one expression of a crate after another: installed below the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::toolchain::ordinary_cargo;

/// Which mutants there are, and how they are named, depends on it: one in `PATH` may be another.
const VERSION: &str = "27.1.0";

/// Finds that version below `cache`, or installs it there.
pub fn set_up(cache: &Path) -> Result<PathBuf> {
    let root = cache.join(format!("cargo-mutants-{VERSION}"));
    let program = root.join("bin/cargo-mutants");
    if program.exists() {
        return Ok(program);
    }
    println!("    no cargo-mutants {VERSION} here: taking it from crates.io (a minute)");
    let mut install = Command::new(ordinary_cargo());
    install.args(["install", "--quiet", "--locked", "--profile", "dev"]);
    install.args(["cargo-mutants", "--version", VERSION, "--root"]);
    install.arg(&root);
    // Of this tool's own cargo, not of what it builds.
    install.env_remove("CARGO_TARGET_DIR");
    process::run(&mut install).with_context(|| format!("cargo-mutants {VERSION} is needed"))?;
    Ok(program)
}

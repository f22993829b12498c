//! What fuzzing needs beside cargo: a nightly compiler, whose coverage instrumentation a stable one has not; a C++
//! compiler, which builds libFuzzer; cargo-fuzz, which is installed below the cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{self, capture, find_program};
use crate::setup::toolchain::ordinary_cargo;

/// Where rustup keeps it, or will.
const TOOLCHAIN: &str = "nightly";
/// Of cargo-fuzz, which was tried with these targets.
const VERSION: &str = "0.13.2";

/// The tools.
pub struct FuzzTools {
    cargo_fuzz: PathBuf,
}

/// What is missing that nothing here can install; a line each.
pub fn missing() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !has_nightly() {
        missing.push("no nightly compiler (rustup toolchain install nightly --profile minimal)");
    }
    if !has_cxx() {
        missing.push("no C++ compiler (package g++)");
    }
    missing
}

fn has_nightly() -> bool {
    let list = capture(Command::new("rustup").args(["toolchain", "list"]));
    list.is_ok_and(|list| list.lines().any(|line| line.starts_with(TOOLCHAIN)))
}

/// As the `cc` crate looks for it.
fn has_cxx() -> bool {
    let named = std::env::var_os("CXX");
    let names = named.map_or_else(|| vec![OsString::from("c++")], |name| vec![name]);
    names.iter().any(|name| {
        let path = Path::new(name);
        path.is_absolute() && path.exists() || find_program(&name.to_string_lossy()).is_some()
    })
}

impl FuzzTools {
    /// Finds them, or installs what cargo can into `cache`.
    pub fn set_up(cache: &Path) -> Result<Self> {
        let missing = missing();
        if !missing.is_empty() {
            bail!("fuzzing needs more than there is: {}", missing.join("; "));
        }
        let root = cache.join("cargo-fuzz");
        let private = root.join("bin/cargo-fuzz");
        let found =
            find_program("cargo-fuzz").or_else(|| private.exists().then(|| private.clone()));
        if let Some(cargo_fuzz) = found {
            return Ok(Self { cargo_fuzz });
        }
        println!("    no cargo-fuzz here: taking it from crates.io (4 minutes)");
        let mut install = Command::new(ordinary_cargo());
        install.args(["install", "--quiet", "--locked", "cargo-fuzz"]);
        install.args(["--version", VERSION, "--root"]).arg(&root);
        // Of this tool's own cargo, not of what it builds.
        install.env_remove("CARGO_TARGET_DIR");
        process::run(&mut install).context("cargo-fuzz is needed in PATH")?;
        Ok(Self {
            cargo_fuzz: private,
        })
    }

    /// cargo-fuzz with the nightly compiler; arguments are still to be added.
    pub fn command(&self) -> Command {
        let mut command = Command::new("rustup");
        command.args(["run", TOOLCHAIN]).arg(&self.cargo_fuzz);
        for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
            command.env_remove(name);
        }
        command
    }

    /// What to tell a person about them.
    pub fn describe(&self) -> String {
        let version =
            capture(Command::new("rustup").args(["run", TOOLCHAIN, "rustc", "--version"]));
        let version = version.unwrap_or_default();
        format!("{}, {}", version.trim(), self.cargo_fuzz.display())
    }
}

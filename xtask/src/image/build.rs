//! Builds the bare-metal programs and makes them into images.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::image::flatten::flatten;
use crate::image::header::ImageHeader;
use crate::paths::Paths;
use crate::process;
use crate::setup::toolchain::{BARE, Toolchain};

/// One bare-metal program of the workspace.
#[derive(Clone, Copy)]
pub struct Program<'a> {
    /// Cargo package.
    pub package: &'a str,
    /// Binary in it.
    pub binary: &'a str,
}

impl Program<'_> {
    /// Where cargo leaves the linked program.
    pub fn elf(&self, paths: &Paths) -> PathBuf {
        let dir = paths.metal().join(BARE.triple).join("release");
        dir.join(self.binary)
    }
}

/// The engine.
pub const ENGINE: Program<'static> = Program {
    package: "bulkhead-engine",
    binary: "bulkhead",
};
/// The reference host.
pub const HOST: Program<'static> = Program {
    package: "bulkhead-host",
    binary: "host",
};

/// Builds `program` and returns its flat image. With a mutant's name the workspace's crates are
/// compiled with `cfg(mutant = "NAME")`.
pub fn build(
    paths: &Paths,
    toolchain: &Toolchain,
    program: Program<'_>,
    mutant: Option<&str>,
) -> Result<Vec<u8>> {
    let mut cargo = toolchain.cargo_build();
    cargo
        .args(["--release", "--package", program.package])
        .args(["--bin", program.binary])
        .current_dir(&paths.root)
        .env("CARGO_TARGET_DIR", paths.metal())
        .env("RUSTFLAGS", "-C relocation-model=static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if let Some(name) = mutant {
        cargo.env("RUSTC_WORKSPACE_WRAPPER", mutant_wrapper(paths, name)?);
    }
    process::run(&mut cargo).with_context(|| format!("{} does not build", program.binary))?;

    let elf = program.elf(paths);
    let name = || elf.display().to_string();
    let image = flatten(&fs::read(&elf).with_context(name)?).with_context(name)?;
    ImageHeader::parse(&image).with_context(name)?;
    Ok(image)
}

/// A compiler wrapper for this mutant. Cargo applies it to workspace members only and keeps what it
/// builds apart by the wrapper's path, so a mutant shares `core` with the real build.
fn mutant_wrapper(paths: &Paths, name: &str) -> Result<PathBuf> {
    let wrapper = paths.target.join("mutants").join(format!("rustc-{name}"));
    write_wrapper(&wrapper, Some(name))?;
    Ok(wrapper)
}

/// Writes a compiler wrapper that adds the mutant's cfg, or nothing without one.
pub fn write_wrapper(wrapper: &Path, mutant: Option<&str>) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let flags = mutant.map_or_else(String::new, |name| format!(" --cfg 'mutant=\"{name}\"'"));
    let script = format!("#!/bin/sh\nexec \"$@\"{flags}\n");
    write_if_changed(wrapper, script.as_bytes())?;
    fs::set_permissions(wrapper, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Writes `file` unless it holds `content` already; keeps its time for those who look at it.
pub fn write_if_changed(file: &Path, content: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(file, content).with_context(|| format!("write {}", file.display()))
}

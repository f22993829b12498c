//! The EFI application that starts the engine, and a disk with all that it needs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::image::boot::BootFiles;
use crate::image::build::write_if_changed;
use crate::paths::Paths;
use crate::process;
use crate::setup::edk2;
use crate::setup::toolchain::{EFI, Toolchain};

const PACKAGE: &str = "bulkhead-efi";
/// Where firmware looks on a disk for something to start (UEFI specification 3.5.1.1).
const DEFAULT: &str = "EFI/BOOT/BOOTAA64.EFI";

/// Builds the application.
pub fn build(paths: &Paths) -> Result<Vec<u8>> {
    let toolchain = Toolchain::set_up(&paths.cache(), EFI)?;
    let mut cargo = toolchain.cargo_build();
    cargo
        .args(["--release", "--package", PACKAGE, "--bin", PACKAGE])
        .current_dir(&paths.root)
        .env("CARGO_TARGET_DIR", paths.metal())
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    process::run(&mut cargo).context("the EFI application does not build")?;
    let dir = paths.metal().join(EFI.triple).join("release");
    let file = dir.join(PACKAGE).with_extension("efi");
    fs::read(&file).with_context(|| file.display().to_string())
}

/// Writes a disk's folder from which firmware starts `files` by itself.
pub fn write_disk(disk: &Path, application: &[u8], files: &BootFiles) -> Result<()> {
    let file = disk.join(DEFAULT);
    write_if_changed(&file, application)?;
    for source in [&files.engine, &files.archive] {
        let name = source.file_name().context("a file without a name")?;
        write_if_changed(&file.with_file_name(name), &fs::read(source)?)?;
    }
    Ok(())
}

/// What machines are made of that boot through firmware.
pub struct EfiImages {
    /// The firmware's file.
    pub firmware: PathBuf,
    application: Vec<u8>,
}

impl EfiImages {
    /// Finds or builds it.
    pub fn set_up(paths: &Paths) -> Result<Self> {
        Ok(Self {
            firmware: edk2::set_up(&paths.cache())?,
            application: build(paths)?,
        })
    }

    /// The folder of a disk with `files`, beside them.
    pub fn write_disk(&self, files: &BootFiles) -> Result<PathBuf> {
        let disk = files.engine.with_file_name("disk");
        write_disk(&disk, &self.application, files)?;
        Ok(disk)
    }
}

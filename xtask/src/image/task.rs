//! `cargo xtask image`: the files that a person needs to start the engine on a real machine, by UEFI or by
//! a boot loader that knows arm64 Images.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::hw::TESTS;
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE};
use crate::image::header::ImageHeader;
use crate::image::{efi, kernel};
use crate::paths::Paths;
use crate::setup::toolchain::{BARE, Toolchain};

/// What the machine is to run.
#[derive(Args, Debug)]
pub struct Options {
    /// Where to write the files [default: target/images/machine]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The host's kernel [default: the hardware tests]
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
    /// The host's command line; for the hardware tests `filter=PARTS seed=N`
    #[arg(long, value_name = "TEXT", default_value = "")]
    cmdline: String,
    /// The host's initial RAM disk
    #[arg(long, value_name = "FILE", requires = "host")]
    initrd: Option<PathBuf>,
    /// Only the Image and its archive, for U-Boot or kexec
    #[arg(long, conflicts_with = "efi")]
    image: bool,
    /// Only the folder for an EFI system partition
    #[arg(long)]
    efi: bool,
}

/// Builds and writes them, and says what is what.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let toolchain = Toolchain::set_up(&paths.cache(), BARE)?;
    let host = match &options.host {
        Some(file) => kernel::load(file)?,
        None => build::build(paths, &toolchain, TESTS, None)?,
    };
    ImageHeader::parse(&host).context("the host")?;
    let initrd = match &options.initrd {
        Some(file) => fs::read(file).with_context(|| file.display().to_string())?,
        None => Vec::new(),
    };
    let host = HostFiles {
        image: &host,
        cmdline: &options.cmdline,
        initrd: &initrd,
    };
    let engine = build::build(paths, &toolchain, ENGINE, None)?;
    let out = match &options.out {
        Some(folder) => folder.clone(),
        None => paths.images().join("machine"),
    };
    let files = BootFiles::write_in(&out, &engine, &host)?;
    if !options.image {
        let disk = out.join("esp");
        efi::write_disk(&disk, &efi::build(paths)?, &files)?;
        tell(&disk, "what belongs on an EFI system partition");
    }
    if options.efi {
        fs::remove_file(&files.engine)?;
        fs::remove_file(&files.archive)?;
    } else {
        tell(&files.engine, "the engine, an arm64 Image");
        tell(&files.archive, "its initial RAM disk, with the host");
    }
    println!("docs/real-hosts.md says how to start them");
    Ok(ExitCode::SUCCESS)
}

fn tell(file: &Path, what: &str) {
    println!("    {}: {what}", file.display());
}

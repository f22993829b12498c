//! UEFI firmware for QEMU's arm64 machine: the installed package's, else a private copy.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::setup::debian::{AptView, Purpose};

const PACKAGE: &str = "qemu-efi-aarch64";
/// Where the package has it.
const FILE: &str = "usr/share/qemu-efi-aarch64/QEMU_EFI.fd";

/// Finds the firmware, or fetches it into `cache`.
pub fn set_up(cache: &Path) -> Result<PathBuf> {
    let private = cache.join("edk2");
    let find = || {
        let files = [Path::new("/"), &private].map(|root| root.join(FILE));
        files.into_iter().find(|file| file.exists())
    };
    if let Some(file) = find() {
        return Ok(file);
    }
    println!("    no UEFI firmware for arm64 here: taking Debian's (about 3 MB)");
    AptView::open(cache, Purpose::Guest)
        .and_then(|view| view.unpack(&[PACKAGE], &private))
        .with_context(|| format!("UEFI firmware is needed: {PACKAGE} has it"))?;
    find().with_context(|| format!("{PACKAGE} holds no {FILE}"))
}

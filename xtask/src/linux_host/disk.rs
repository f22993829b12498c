//! The host's disks: what stands on them before, and what must stand there after.
//!
//! The first half is for reading: bytes that repeat nowhere. The host writes the second half. The files
//! are looked at when the machine is off, so that the host's word is not all there is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::setup::qemu::Qemu;

/// Bytes of a disk.
pub const MIB: usize = 16;
const HALF: usize = MIB * (1 << 20) / 2;
/// What the host writes, over and over.
const WRITTEN: &str = "bulkhead linux host disk\n";

/// One disk of the machine.
pub struct Disk {
    /// What Linux calls it.
    pub name: &'static str,
    /// What the driver's lines in `/proc/interrupts` end with, or begin their last word with.
    pub interrupt: &'static str,
    /// Vendor, device and driver on the PCI bus.
    pub pci: [&'static str; 3],
    /// What QEMU calls it, and its properties.
    device: &'static str,
    properties: &'static str,
    /// A property that is switched off where the device has it.
    off: Option<&'static str>,
    file: PathBuf,
}

impl Disk {
    /// All of them, with files in `dir`: one whose driver is part of the kernel, and one whose driver is a
    /// module.
    pub fn all(dir: &Path) -> [Self; 2] {
        [
            Self {
                name: "nvme0n1",
                interrupt: "nvme",
                pci: ["0x1b36", "0x0010", "nvme"],
                device: "nvme",
                properties: "serial=bulkhead",
                // Doorbells in memory: the host does not always tell then that it has seen a completion, and the
                // level of the interrupt may stay up while it finds nothing to do, until Linux gives the line up.
                off: Some("dbcs"),
                file: dir.join("nvme.raw"),
            },
            Self {
                name: "vda",
                interrupt: "virtio",
                pci: ["0x1af4", "0x1042", "virtio-pci"],
                device: "virtio-blk-pci",
                properties: "disable-legacy=on",
                off: None,
                file: dir.join("virtio.raw"),
            },
        ]
    }

    /// Writes the file anew.
    pub fn write(&self) -> Result<()> {
        let mut content = self.first_half();
        content.resize(2 * HALF, 0);
        fs::write(&self.file, content).with_context(|| format!("write {}", self.file.display()))
    }

    /// Puts it into the machine that `qemu` makes.
    pub fn attach(&self, command: &mut Command, qemu: &Qemu) {
        let Self {
            name,
            device,
            properties,
            ..
        } = self;
        let off = self.off.filter(|option| qemu.has_option(device, option));
        let off = off.map_or_else(String::new, |option| format!(",{option}=off"));
        let drive = format!(
            "file={},format=raw,if=none,id={name}",
            self.file.display().to_string().replace(',', ",,")
        );
        command.args(["-drive", &drive]).args([
            "-device",
            &format!("{device},{properties}{off},drive={name}"),
        ]);
    }

    /// The digest of the first half.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.first_half()))
    }

    /// Whether the file is now what the host was to make of it.
    pub fn is_as_written(&self) -> Result<bool> {
        let mut wanted = self.first_half();
        wanted.extend(WRITTEN.bytes().cycle().take(HALF));
        let content = fs::read(&self.file)?;
        Ok(content == wanted)
    }

    fn first_half(&self) -> Vec<u8> {
        let mut content = Vec::with_capacity(2 * HALF);
        for number in 0..HALF as u64 / 32 {
            let mut hash = Sha256::new();
            hash.update(self.name);
            hash.update(number.to_le_bytes());
            content.extend(hash.finalize());
        }
        content
    }
}

/// A digest as `sha256sum` prints it.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_as_written_only_whole_and_with_its_first_half() {
        let dir = std::env::temp_dir().join(format!("xtask-disk-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let [disk, other] = Disk::all(&dir);
        assert_ne!(disk.digest(), other.digest());
        disk.write().unwrap();
        assert!(!disk.is_as_written().unwrap());
        let mut content = fs::read(&disk.file).unwrap();
        assert_eq!(content.len(), MIB << 20);
        assert_eq!(hex(&Sha256::digest(&content[..HALF])), disk.digest());
        let written: Vec<u8> = WRITTEN.bytes().cycle().take(HALF).collect();
        content[HALF..].copy_from_slice(&written);
        for (at, good) in [(None, true), (Some(0), false), (Some(2 * HALF - 1), false)] {
            let mut content = content.clone();
            at.into_iter().for_each(|at: usize| content[at] ^= 1);
            fs::write(&disk.file, content).unwrap();
            assert_eq!(disk.is_as_written().unwrap(), good, "{at:?}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}

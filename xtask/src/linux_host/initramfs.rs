//! The host's user space: busybox, the script, and the kernel package's own module for one of the disks.

use std::fs;

use anyhow::{Context, Result};

use crate::image::cpio::Archive;
use crate::linux_host::disk::{self, Disk};
use crate::linux_host::work::{BLOCK_KIB, FILL_BLOCKS, HASH_BLOCKS, STEPS};
use crate::setup::guest::GuestFiles;

const INIT: &str = include_str!("init.sh");
/// Modules to load, as the package names them: the driver of the second disk.
const MODULES: &[&str] = &["kernel/drivers/block/virtio_blk.ko.xz"];

/// The archive. The script works for `seconds` and turns the cores 1 to `hotplug` off and on meanwhile.
pub fn build(debian: &GuestFiles, seconds: u64, hotplug: u32) -> Result<Vec<u8>> {
    let program = fs::read(&debian.busybox)
        .with_context(|| format!("program {}", debian.busybox.display()))?;
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "modules", "proc", "sys", "tmp"] {
        archive.add_directory(dir)?;
    }
    archive.add_file("bin/busybox", 0o755, &program)?;
    archive.add_symlink("bin/sh", "busybox")?;
    let modules = debian.modules()?;
    for module in MODULES {
        let file = modules.join(module);
        let content = fs::read(&file).with_context(|| format!("module {}", file.display()))?;
        archive.add_file(&format!("modules/{}", name(module)), 0o644, &content)?;
    }
    archive.add_file("init", 0o755, init(seconds, hotplug).as_bytes())?;
    archive.finish()
}

/// Names of the modules' files.
pub fn module_names() -> impl Iterator<Item = &'static str> {
    MODULES.iter().map(|module| name(module))
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The script, with its settings put below its first line.
fn init(seconds: u64, hotplug: u32) -> String {
    let disks = Disk::all("".as_ref()).map(|disk| disk.name).join(" ");
    let disk_mib = disk::MIB;
    let settings = format!(
        "\nLOAD_SECONDS={seconds} HOTPLUG={hotplug} BLOCK_KIB={BLOCK_KIB} HASH_BLOCKS={HASH_BLOCKS} \
         FILL_BLOCKS={FILL_BLOCKS} STEPS={STEPS} DISK_MIB={disk_mib} DISKS='{disks}'\n"
    );
    INIT.replacen('\n', &settings, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_follow_the_interpreter_line() {
        let script = init(5, 7);
        let second = script.lines().nth(1).unwrap();
        assert!(second.starts_with("LOAD_SECONDS=5 HOTPLUG=7 "), "{second}");
        assert!(second.ends_with("DISKS='nvme0n1 vda'"), "{second}");
    }

    #[test]
    fn modules_have_names() {
        assert_eq!(module_names().collect::<Vec<_>>(), ["virtio_blk.ko.xz"]);
    }
}

//! The guests' user space: busybox and the script that runs the workload.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::image::cpio::Archive;
use crate::image::workload::{BLOCK_KIB, WORK_KIB};

const INIT: &str = include_str!("init.sh");

/// Returns the archive, with `busybox` as the only program. The guest `shell_guest` gives a shell
/// on its console instead of powering off by itself.
pub fn build(busybox: &Path, shell_guest: Option<u32>) -> Result<Vec<u8>> {
    let program =
        fs::read(busybox).with_context(|| format!("guest program {}", busybox.display()))?;
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "proc", "sys", "tmp"] {
        archive.add_directory(dir)?;
    }
    archive.add_file("bin/busybox", 0o755, &program)?;
    archive.add_symlink("bin/sh", "busybox")?;
    archive.add_file("init", 0o755, init(shell_guest).as_bytes())?;
    archive.finish()
}

/// The script, with its settings put below its first line.
fn init(shell_guest: Option<u32>) -> String {
    let shell_guest = shell_guest.map_or_else(String::new, |guest| guest.to_string());
    let settings =
        format!("\nBLOCK_KIB={BLOCK_KIB} WORK_KIB={WORK_KIB} SHELL_GUEST={shell_guest}\n");
    INIT.replacen('\n', &settings, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_follow_the_interpreter_line() {
        let script = init(Some(1));
        let mut lines = script.lines();
        assert_eq!(lines.next(), Some("#!/bin/sh"));
        assert_eq!(
            lines.next(),
            Some("BLOCK_KIB=1024 WORK_KIB=65536 SHELL_GUEST=1")
        );
    }
}

//! QEMU for arm64, version 9 or newer: the installed one, else a private copy.
//!
//! Older versions lack the processor models and the exact counter that the runs rely on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{capture, find_program};
use crate::setup::debian::{AptView, Purpose};
use crate::setup::toolchain::library_path;

const PROGRAM: &str = "qemu-system-aarch64";
const OLDEST_MAJOR: u32 = 9;

/// A QEMU that is new enough.
pub struct Qemu {
    program: PathBuf,
    /// Where its libraries and firmware lie when it is a private copy.
    private_root: Option<PathBuf>,
    version: String,
}

impl Qemu {
    /// Finds QEMU, or fetches it into `cache`.
    pub fn set_up(cache: &Path) -> Result<Self> {
        let installed = find_program(PROGRAM).and_then(|program| Self::probe(program, None));
        if let Some(qemu) = installed {
            return Ok(qemu);
        }
        let root = cache.join("qemu");
        let private = || Self::probe(root.join("usr/bin").join(PROGRAM), Some(root.clone()));
        if let Some(qemu) = private() {
            return Ok(qemu);
        }
        println!("    no {PROGRAM} >= {OLDEST_MAJOR} here: taking Debian's (about 40 MB)");
        AptView::open(cache, Purpose::Tools)
            .and_then(|view| view.unpack(&["qemu-system-arm"], &root))
            .with_context(|| format!("{PROGRAM} {OLDEST_MAJOR} or newer is needed in PATH"))?;
        private().with_context(|| format!("Debian's {PROGRAM} does not run here"))
    }

    /// The command, with nothing of a machine yet.
    pub fn command(&self) -> Command {
        command(&self.program, self.private_root.as_deref())
    }

    /// The processor models that it emulates.
    pub fn cpu_models(&self) -> Result<Vec<String>> {
        let text = capture(self.command().args(["-machine", "virt", "-cpu", "help"]))?;
        Ok(text
            .lines()
            .filter(|line| line.starts_with(' '))
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect())
    }

    /// Has its `device` an option of this name?
    pub fn has_option(&self, device: &str, option: &str) -> bool {
        let mut command = self.command();
        command.args(["-machine", "virt", "-device", &format!("{device},help")]);
        let start = format!("{option}=");
        capture(&mut command).is_ok_and(|text| {
            text.lines()
                .any(|line| line.trim_start().starts_with(&start))
        })
    }

    /// What to tell a person about it.
    pub fn describe(&self) -> String {
        format!("QEMU {}, {}", self.version, self.program.display())
    }

    /// Asks a program whether it is QEMU and new enough.
    fn probe(program: PathBuf, private_root: Option<PathBuf>) -> Option<Self> {
        let text = capture(command(&program, private_root.as_deref()).arg("--version")).ok()?;
        let version = version(&text)?;
        let major: u32 = version.split('.').next()?.parse().ok()?;
        (major >= OLDEST_MAJOR).then(|| Self {
            program,
            private_root,
            version: version.to_owned(),
        })
    }
}

fn command(program: &Path, private_root: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    if let Some(root) = private_root {
        command
            .env("LD_LIBRARY_PATH", library_path(root))
            .arg("-L")
            .arg(root.join("usr/share/qemu"));
    }
    command
}

/// The `10.0.2` of `QEMU emulator version 10.0.2 (Debian …)`.
fn version(text: &str) -> Option<&str> {
    let mut words = text
        .split_whitespace()
        .skip_while(|&word| word != "version");
    words.nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_its_banner() {
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds)\nCopyright";
        assert_eq!(version(text), Some("10.0.2"));
        assert_eq!(version("bash 5"), None);
    }
}

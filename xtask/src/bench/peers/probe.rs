//! The probes, built for one kernel: its module, the user spaces of KVM's guests, and the archive that holds them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::bench::peers::kernel::Kernel;
use crate::image::cpio::Archive;
use crate::paths::Paths;
use crate::process::{run_logged, show_with_environment};
use crate::setup::cross::Cross;

/// Their sources, in the checkout.
const SOURCES: &str = "xtask/peers";
const OF_MODULE: [&str; 2] = ["Kbuild", "peerbench.c"];
/// Programs, and what each is made of.
const PROGRAMS: [(&str, [&str; 3]); 2] = [
    ("vmbench", ["vmbench.c", "vm.c", "guest.S"]),
    ("ipibench", ["ipibench.c", "vm.c", "guest_ipi.S"]),
];
const INIT: &str = include_str!("../../../peers/init.sh");

/// A kernel that can be booted with the probes.
pub struct Probe {
    /// The kernel's image.
    pub kernel: PathBuf,
    busybox: Vec<u8>,
    module: Vec<u8>,
    programs: Vec<(&'static str, Vec<u8>)>,
    folder: PathBuf,
}

impl Probe {
    /// Builds the probes for `kernel`.
    pub fn build(paths: &Paths, kernel: &Kernel, busybox: &Path) -> Result<Self> {
        let series = kernel.series;
        let folder = paths.images().join("peers").join(series);
        let sources = paths.root.join(SOURCES);
        let module = folder.join("module");
        fs::create_dir_all(&module).with_context(|| module.display().to_string())?;
        for name in OF_MODULE {
            fs::copy(sources.join(name), module.join(name)).with_context(|| name.to_owned())?;
        }
        let log = paths.logs().join(format!("peers/module-{series}.log"));
        let module = kernel.build_module(&module, &log)?;
        let image = folder.join("Image");
        println!("    probes for Linux {}", kernel.release);
        fs::write(&image, &kernel.image).with_context(|| image.display().to_string())?;
        let read = |file: &Path| fs::read(file).with_context(|| file.display().to_string());
        let programs = PROGRAMS.iter().map(|(name, parts)| {
            let log = paths.logs().join(format!("peers/{name}-{series}.log"));
            let parts = parts.map(|part| sources.join(part));
            let file = folder.join(name);
            build_program(&kernel.cross, &parts, &file, &log)?;
            Ok((*name, read(&file)?))
        });
        Ok(Self {
            kernel: image,
            busybox: read(busybox)?,
            module: read(&module)?,
            programs: programs.collect::<Result<_>>()?,
            folder,
        })
    }

    /// Writes the initramfs that measures `peer` in its `mode`, and returns its file.
    pub fn write_archive(&self, peer: &str, mode: &str) -> Result<PathBuf> {
        let mut archive = Archive::default();
        for dir in ["bin", "dev", "proc", "sys"] {
            archive.add_directory(dir)?;
        }
        archive.add_file("bin/busybox", 0o755, &self.busybox)?;
        archive.add_symlink("bin/sh", "busybox")?;
        archive.add_file("peerbench.ko", 0o644, &self.module)?;
        for (name, program) in &self.programs {
            archive.add_file(name, 0o755, program)?;
        }
        archive.add_file("init", 0o755, init(peer, mode).as_bytes())?;
        let file = self.folder.join(format!("{peer}-{mode}.cpio"));
        fs::write(&file, archive.finish()?).with_context(|| file.display().to_string())?;
        Ok(file)
    }
}

fn build_program(cross: &Cross, parts: &[PathBuf], file: &Path, log: &Path) -> Result<()> {
    let mut compiler = cross.command(cross.compiler());
    compiler.args(["-O1", "-Wall", "-Werror", "-static", "-pthread", "-o"]);
    compiler.arg(file).args(parts);
    let (status, _) = run_logged(&mut compiler, log)?;
    ensure!(
        status == Some(0),
        "{} is not built\n    again:   {}\n    log: {}",
        file.display(),
        show_with_environment(&compiler),
        log.display()
    );
    Ok(())
}

/// The script, with its settings put below its first line.
fn init(peer: &str, mode: &str) -> String {
    INIT.replacen('\n', &format!("\nPEER={peer} MODE={mode}\n"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_follow_the_interpreter_line() {
        let script = init("kvm", "vhe");
        let mut lines = script.lines();
        assert_eq!(lines.next(), Some("#!/bin/busybox sh"));
        assert_eq!(lines.next(), Some("PEER=kvm MODE=vhe"));
    }
}

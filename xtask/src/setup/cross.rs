//! A C compiler for arm64 and make, of a named Debian release, unpacked below the cache.
//!
//! Which compiler it is matters: kernel modules are built with the release's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::capture;
use crate::setup::debian::{AptView, Purpose, native_architecture};
use crate::setup::loader::wrap_programs;

/// How its programs' names begin.
pub const TRIPLE: &str = "aarch64-linux-gnu";

/// A compiler, its binutils, a C library for what it compiles, and make.
pub struct Cross {
    root: PathBuf,
    /// As the package is called: `gcc-12`.
    gcc: String,
}

impl Cross {
    /// Finds the compiler `gcc` of the release `codename` in `cache`, or fetches it.
    pub fn set_up(cache: &Path, codename: &'static str, gcc: &str) -> Result<Self> {
        let root = cache.join(format!("cross-{codename}"));
        let cross = Self {
            root,
            gcc: gcc.to_owned(),
        };
        if !cross.compiler().exists() {
            let architecture = native_architecture()?;
            ensure!(
                architecture == "amd64",
                "the compiler is known to be had on amd64 only, and this is {architecture}"
            );
            println!("    {gcc} for arm64 and make, of Debian {codename} (about 60 MB)");
            let package = format!("{gcc}-{TRIPLE}");
            AptView::open_release(cache, Purpose::Later, codename)?
                .unpack(&[&package, "libc6-dev-arm64-cross", "make"], &cross.root)?;
        }
        // Its scripts say where it is, which may have changed.
        wrap_programs(&cross.root)?;
        let compiler = || capture(cross.command(cross.compiler()).arg("--version"));
        capture(cross.command("make").arg("--version"))
            .and_then(|_| compiler())
            .with_context(|| format!("Debian's {gcc} does not run here"))?;
        Ok(cross)
    }

    /// The compiler's path.
    pub fn compiler(&self) -> PathBuf {
        let name = format!("{TRIPLE}-{}", self.gcc);
        self.root.join("usr/bin").join(name)
    }

    /// The command `name` of these tools, which finds the others of them in `PATH`.
    pub fn command(&self, name: impl AsRef<Path>) -> Command {
        let bin = self.root.join("usr/bin");
        let mut command = Command::new(bin.join(name));
        let old = std::env::var_os("PATH").unwrap_or_default();
        let dirs = std::iter::once(bin).chain(std::env::split_paths(&old));
        if let Ok(path) = std::env::join_paths(dirs) {
            command.env("PATH", path);
        }
        command
    }
}

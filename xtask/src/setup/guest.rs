//! What guests run, and Linux as the host: Debian's arm64 cloud kernel with its modules, and its static
//! busybox, unpacked.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::setup::debian::{AptView, Purpose};

/// The kernel series that the guests are tested with (a POSIX regular expression).
const KERNEL_PACKAGE: &str = r"^linux-image-6\.12\.[0-9]+\+deb[0-9.]+-cloud-arm64$";

/// How the kernel's file is called, before its release.
const KERNEL: &str = "vmlinuz-";

/// The files that guests are made of.
pub struct GuestFiles {
    /// The kernel as Debian packs it.
    pub kernel: PathBuf,
    /// A statically linked busybox.
    pub busybox: PathBuf,
}

impl GuestFiles {
    /// Finds the files in `cache`, or fetches them.
    pub fn set_up(cache: &Path) -> Result<Self> {
        let root = cache.join("guest");
        if let Some(files) = Self::find(&root) {
            return Ok(files);
        }
        println!("    Debian's arm64 cloud kernel and busybox for the guests (about 30 MB)");
        let view = AptView::open(cache, Purpose::Guest).context(
            "guests need a kernel and busybox: on other systems than Debian give them with \
             --kernel FILE --initrd FILE",
        )?;
        let kernel = view.newest_named(KERNEL_PACKAGE)?;
        view.unpack(&[&kernel, "busybox-static"], &root)?;
        Self::find(&root).with_context(|| format!("{kernel} holds no kernel"))
    }

    /// What the kernel calls itself.
    pub fn release(&self) -> Result<String> {
        let name = self.kernel.file_name().unwrap_or_default();
        let release = name.to_string_lossy();
        let release = release
            .strip_prefix(KERNEL)
            .context("no name of a kernel")?;
        Ok(release.to_owned())
    }

    /// The folder of the kernel's modules.
    pub fn modules(&self) -> Result<PathBuf> {
        let root = self.kernel.parent().and_then(Path::parent);
        let root = root.context("the kernel lies nowhere")?;
        let release = self.release()?;
        ["lib/modules", "usr/lib/modules"]
            .map(|folder| root.join(folder).join(&release))
            .into_iter()
            .find(|folder| folder.exists())
            .with_context(|| format!("no modules of {release}"))
    }

    fn find(root: &Path) -> Option<Self> {
        let kernel = fs::read_dir(root.join("boot"))
            .ok()?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.file_name().is_some_and(is_kernel));
        let busybox = ["bin/busybox", "usr/bin/busybox"]
            .map(|path| root.join(path))
            .into_iter()
            .find(|path| path.exists());
        kernel
            .zip(busybox)
            .map(|(kernel, busybox)| Self { kernel, busybox })
    }
}

fn is_kernel(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with(KERNEL)
}

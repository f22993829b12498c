//! Puts together what QEMU boots: the engine's image, and the archive with host and guests.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::image::build::write_if_changed;
use crate::image::cpio::Archive;
use crate::image::{initramfs, kernel, workload};
use crate::paths::Paths;
use crate::run::options::RunOptions;
use crate::setup::guest::GuestFiles;

/// The guests' content, loaded and checked.
pub struct GuestContent {
    kernel: Vec<u8>,
    initrd: Vec<u8>,
    /// Empty when the user space is not ours, so that nothing is known of its results.
    expected: String,
}

impl GuestContent {
    /// Loads what `options` name; Debian's kernel and our user space where they name nothing.
    pub fn load(paths: &Paths, options: &RunOptions) -> Result<Self> {
        let debian = || GuestFiles::set_up(&paths.cache());
        let kernel = match &options.kernel {
            Some(file) => kernel::load(file)?,
            None => kernel::load(&debian()?.kernel)?,
        };
        let (initrd, expected) = match &options.initrd {
            Some(file) => {
                let content =
                    fs::read(file).with_context(|| format!("initramfs {}", file.display()))?;
                (content, String::new())
            }
            None => (
                initramfs::build(&debian()?.busybox, options.console)?,
                workload::expected(options.guests, options.vcpus),
            ),
        };
        Ok(Self {
            kernel,
            initrd,
            expected,
        })
    }

    /// Debian's kernel, and our user space with `more` behind it.
    pub fn debian(paths: &Paths, more: &[u8]) -> Result<Self> {
        let files = GuestFiles::set_up(&paths.cache())?;
        let mut initrd = initramfs::build(&files.busybox, None)?;
        initrd.extend(more);
        Ok(Self {
            kernel: kernel::load(&files.kernel)?,
            initrd,
            expected: String::new(),
        })
    }

    /// The kernel's Image.
    pub fn kernel(&self) -> &[u8] {
        &self.kernel
    }

    /// The initramfs.
    pub fn initrd(&self) -> &[u8] {
        &self.initrd
    }

    /// Bytes that the host keeps of it while guests run.
    pub fn size(&self) -> u64 {
        (self.kernel.len() + self.initrd.len()) as u64
    }

    /// Whether the guests' results are known, so that the run can be judged by them.
    pub fn has_expected_results(&self) -> bool {
        !self.expected.is_empty()
    }

    /// The archive that the reference host reads.
    pub fn archive(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        archive.add_file("kernel", 0o644, &self.kernel)?;
        archive.add_file("initrd", 0o644, &self.initrd)?;
        archive.add_file("expected", 0o644, self.expected.as_bytes())?;
        archive.finish()
    }
}

/// The files to give to QEMU.
pub struct BootFiles {
    /// For `-kernel`.
    pub engine: PathBuf,
    /// For `-initrd`.
    pub archive: PathBuf,
    /// Locked as long as these are in use: another run that writes files of the same name waits.
    #[expect(dead_code, reason = "held, not looked at")]
    lock: Option<File>,
}

/// What the boot archive holds.
pub struct HostFiles<'a> {
    /// The host's image.
    pub image: &'a [u8],
    /// Its command line.
    pub cmdline: &'a str,
    /// Its files; what is in them is between it and this tool.
    pub initrd: &'a [u8],
}

/// Locks the files in `dir` against other runs in this checkout.
fn lock(dir: &Path) -> Result<File> {
    let name = dir.join("lock");
    let context = || name.display().to_string();
    fs::create_dir_all(dir).with_context(context)?;
    let file = File::create(&name).with_context(context)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            println!(
                "    waits for another run that boots from {}",
                dir.display()
            );
            file.lock().with_context(context)?;
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(context),
    }
    Ok(file)
}

impl BootFiles {
    /// Writes the files for a boot called `name`.
    pub fn write(paths: &Paths, name: &str, engine: &[u8], host: &HostFiles<'_>) -> Result<Self> {
        let dir = paths.images().join(name);
        let lock = lock(&dir)?;
        let files = Self::write_in(&dir, engine, host)?;
        Ok(Self {
            lock: Some(lock),
            ..files
        })
    }

    /// Writes the files into the folder `dir`.
    pub fn write_in(dir: &Path, engine: &[u8], host: &HostFiles<'_>) -> Result<Self> {
        let mut archive = Archive::default();
        archive.add_file("host", 0o644, host.image)?;
        archive.add_file("host.cmdline", 0o644, host.cmdline.as_bytes())?;
        archive.add_file("host.initrd", 0o644, host.initrd)?;

        let files = Self {
            engine: dir.join("bulkhead.img"),
            archive: dir.join("boot.cpio"),
            lock: None,
        };
        write_if_changed(&files.engine, engine)?;
        write_if_changed(&files.archive, &archive.finish()?)?;
        Ok(files)
    }
}

//! Archives in cpio's "newc" format, which Linux and the engine unpack.
//!
//! Reproducible: inode numbers count up, owners and times are zero.

use anyhow::{Context, Result, ensure};

const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
const TRAILER: &str = "TRAILER!!!";

/// Builds one archive, entry by entry.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a file with these permission bits.
    pub fn add_file(&mut self, path: &str, permissions: u32, content: &[u8]) -> Result<()> {
        self.add(path, REGULAR | permissions, content)
    }

    /// Adds a folder.
    pub fn add_directory(&mut self, path: &str) -> Result<()> {
        self.add(path, DIRECTORY | 0o755, &[])
    }

    /// Adds a symbolic link.
    pub fn add_symlink(&mut self, path: &str, to: &str) -> Result<()> {
        self.add(path, SYMLINK | 0o777, to.as_bytes())
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.add(TRAILER, 0, &[])?;
        Ok(self.bytes)
    }

    fn add(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        ensure!(
            !path.is_empty() && !path.contains('\0'),
            "bad name {path:?}"
        );
        let size = u32::try_from(content.len())
            .with_context(|| format!("{path} is too large for a cpio archive"))?;
        self.entries += 1;
        let name_size = path.len() as u32 + 1;
        // inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name, check
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
        Ok(())
    }

    /// Headers and contents start at multiples of 4.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_has_the_documented_layout() {
        let mut archive = Archive::default();
        archive.add_file("a", 0o644, b"hello").unwrap();
        let bytes = archive.finish().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.starts_with("07070100000001000081a4"));
        // Header 110 bytes, name "a\0" makes 112, already aligned.
        assert_eq!(&bytes[112..117], b"hello");
        assert_eq!(&bytes[120..126], b"070701");
        assert!(text.contains(TRAILER));
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn cpio_lists_what_was_added() {
        use std::io::Write;
        use std::process::{Command, Stdio};

        let mut archive = Archive::default();
        archive.add_directory("bin").unwrap();
        archive.add_file("bin/odd name", 0o755, b"12345").unwrap();
        archive.add_symlink("bin/sh", "busybox").unwrap();
        let bytes = archive.finish().unwrap();

        // busybox and GNU have it; a machine without cpio has nothing to compare with.
        let Ok(mut cpio) = Command::new("cpio")
            .args(["-t", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            return;
        };
        cpio.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = cpio.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(output.stdout, b"bin\nbin/odd name\nbin/sh\n");
    }

    #[test]
    fn names_that_no_archive_can_hold_are_refused() {
        let mut archive = Archive::default();
        assert!(archive.add_file("", 0o644, b"").is_err());
        assert!(archive.add_file("a\0b", 0o644, b"").is_err());
    }
}

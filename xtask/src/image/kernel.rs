//! A guest kernel as distributions ship it, made into the plain arm64 Image that is booted.
//!
//! Accepted: a plain Image, a gzip-compressed one, and an EFI zboot wrapper around a gzip one.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::image::header::ImageHeader;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
/// EFI zboot (Linux, drivers/firmware/efi/libstub/zboot-header.S): "MZ", then this at offset 4,
/// payload offset and size at 8 and 12, the compression's name at 24.
const ZBOOT_MAGIC: &[u8] = b"zimg";

/// Reads `file` and returns the Image in it.
pub fn load(file: &Path) -> Result<Vec<u8>> {
    let name = || format!("kernel {}", file.display());
    let bytes = fs::read(file).with_context(name)?;
    let image = unwrap(bytes).with_context(name)?;
    ImageHeader::parse(&image).with_context(name)?;
    Ok(image)
}

fn unwrap(bytes: Vec<u8>) -> Result<Vec<u8>> {
    if bytes.starts_with(GZIP_MAGIC) {
        return gunzip(&bytes);
    }
    if bytes.starts_with(b"MZ") && bytes.get(4..8) == Some(ZBOOT_MAGIC) {
        return gunzip(zboot_payload(&bytes)?);
    }
    Ok(bytes)
}

fn zboot_payload(bytes: &[u8]) -> Result<&[u8]> {
    let word = |offset: usize| -> Result<usize> {
        let field = bytes
            .get(offset..offset + 4)
            .and_then(|field| field.first_chunk())
            .context("zboot header is cut off")?;
        Ok(u32::from_le_bytes(*field) as usize)
    };
    let (start, size) = (word(8)?, word(12)?);
    let payload = start
        .checked_add(size)
        .and_then(|end| bytes.get(start..end))
        .context("zboot payload lies outside the file")?;
    ensure!(
        payload.starts_with(GZIP_MAGIC),
        "zboot payload is not gzip; only gzip is understood"
    );
    Ok(payload)
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("gzip is needed to unpack the kernel")?;
    let mut input = gzip.stdin.take().context("gzip has no standard input")?;
    let output = std::thread::scope(|scope| {
        // A writer of its own: gzip's output must drain while its input fills. That gzip closes
        // its input early shows in its exit status, not here.
        scope.spawn(move || input.write_all(bytes));
        gzip.wait_with_output()
    })?;
    // Status 2 is a warning: bytes follow the compressed data, as they do in a zboot payload.
    if !matches!(output.status.code(), Some(0 | 2)) {
        bail!("gzip cannot unpack it");
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let file = std::env::temp_dir().join(format!("xtask-gzip-{}", std::process::id()));
        fs::write(&file, bytes).unwrap();
        let output = Command::new("gzip").arg("-c").arg(&file).output().unwrap();
        fs::remove_file(&file).unwrap();
        output.stdout
    }

    #[test]
    fn compressed_kernels_are_unwrapped() {
        let plain = vec![7; 1000];
        let packed = gzip(&plain);
        assert_eq!(unwrap(packed.clone()).unwrap(), plain);

        let mut zboot = b"MZ\0\0zimg".to_vec();
        zboot.extend(32u32.to_le_bytes());
        zboot.extend((packed.len() as u32).to_le_bytes());
        zboot.resize(24, 0);
        zboot.extend(b"gzip\0\0\0\0");
        zboot.extend(&packed);
        assert_eq!(unwrap(zboot.clone()).unwrap(), plain);

        zboot.truncate(40);
        assert!(unwrap(zboot).is_err());
        assert!(unwrap(vec![0x1f, 0x8b, 0]).is_err());
    }

    #[test]
    fn plain_files_pass_unchanged() {
        assert_eq!(unwrap(b"MZ anything".to_vec()).unwrap(), b"MZ anything");
    }
}

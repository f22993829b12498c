//! The 64-byte header of an arm64 Image (Linux, Documentation/arch/arm64/booting.rst).

use anyhow::{Context, Result, bail, ensure};

const LENGTH: usize = 64;
const MAGIC_OFFSET: usize = 0x38;
const MAGIC: &[u8; 4] = b"ARM\x64";
const TEXT_OFFSET: usize = 0x08;
const IMAGE_SIZE: usize = 0x10;

/// What a loader needs to know of an Image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// Distance from a 2 MiB boundary to the place where the Image wants to lie.
    pub text_offset: u64,
    /// Bytes of memory that it uses from there, zeroed data included.
    pub image_size: u64,
}

impl ImageHeader {
    /// Reads the header; fails when `bytes` is something else than an arm64 Image.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(bytes.len() >= LENGTH, "shorter than an Image header");
        if &bytes[MAGIC_OFFSET..MAGIC_OFFSET + MAGIC.len()] != MAGIC {
            bail!("not an arm64 Image (no \"ARM\\x64\" at offset 0x38)");
        }
        let header = Self {
            text_offset: read_u64(bytes, TEXT_OFFSET)?,
            image_size: read_u64(bytes, IMAGE_SIZE)?,
        };
        ensure!(
            header.image_size >= bytes.len() as u64,
            "the Image header says {} bytes, but the file has {}",
            header.image_size,
            bytes.len()
        );
        Ok(header)
    }
}

fn read_u64(bytes: &[u8], offset: usize) -> Result<u64> {
    let field = bytes[offset..]
        .first_chunk()
        .context("header field outside the file")?;
    Ok(u64::from_le_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(size: u64) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH];
        bytes[IMAGE_SIZE..IMAGE_SIZE + 8].copy_from_slice(&size.to_le_bytes());
        bytes[MAGIC_OFFSET..MAGIC_OFFSET + 4].copy_from_slice(MAGIC);
        bytes
    }

    #[test]
    fn fields_are_read() {
        let header = ImageHeader::parse(&image(0x1234)).unwrap();
        assert_eq!((header.text_offset, header.image_size), (0, 0x1234));
    }

    #[test]
    fn other_files_are_refused() {
        let mut elf = vec![0; 100];
        elf[..4].copy_from_slice(b"\x7fELF");
        let error = ImageHeader::parse(&elf).unwrap_err().to_string();
        assert!(error.contains("not an arm64 Image"), "{error}");
        assert!(ImageHeader::parse(b"MZ").is_err());
    }

    #[test]
    fn an_image_that_uses_less_than_it_has_is_refused() {
        assert!(ImageHeader::parse(&image(10)).is_err());
    }
}

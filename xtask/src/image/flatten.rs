//! A linked ELF file made into the flat image that a loader copies into memory.
//!
//! Byte n of the image is the byte at the lowest load address plus n. Zeroed data at the end is
//! left out: the Image header's `image_size` covers it.

use anyhow::{Context, Result, ensure};
use elf::ElfBytes;
use elf::abi::PT_LOAD;
use elf::endian::LittleEndian;

/// Sanity bound: no image of ours comes near it, a stray section easily does.
const LARGEST: u64 = 64 << 20;

/// Returns the loadable bytes of `file`.
pub fn flatten(file: &[u8]) -> Result<Vec<u8>> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).context("not an ELF file")?;
    let loads: Vec<_> = elf
        .segments()
        .context("ELF file without program headers")?
        .iter()
        .filter(|segment| segment.p_type == PT_LOAD && segment.p_filesz > 0)
        .collect();
    let base = loads
        .iter()
        .map(|segment| segment.p_paddr)
        .min()
        .context("ELF file without anything to load")?;

    let mut image = Vec::new();
    for segment in loads {
        let start = segment.p_paddr - base;
        let end = start
            .checked_add(segment.p_filesz)
            .filter(|&end| end <= LARGEST)
            .with_context(|| format!("segment at {:#x} is too far away", segment.p_paddr))?;
        let (start, end) = (start as usize, end as usize);
        let bytes = elf.segment_data(&segment)?;
        if image.len() < end {
            image.resize(end, 0);
        }
        ensure!(
            image[start..end].iter().all(|&byte| byte == 0),
            "segments overlap at {:#x}",
            segment.p_paddr
        );
        image[start..end].copy_from_slice(bytes);
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with one program header per `(address, bytes)`.
    fn elf_with(segments: &[(u64, &[u8])]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend(2u16.to_le_bytes()); // ET_EXEC
        file.extend(183u16.to_le_bytes()); // EM_AARCH64
        file.extend(1u32.to_le_bytes());
        file.extend(0u64.to_le_bytes()); // entry
        file.extend(64u64.to_le_bytes()); // program headers follow the file header
        file.extend(0u64.to_le_bytes());
        file.extend(0u32.to_le_bytes());
        for half in [64u16, 56, segments.len() as u16, 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        let mut offset = 64 + 56 * segments.len() as u64;
        for (address, bytes) in segments {
            file.extend(PT_LOAD.to_le_bytes());
            file.extend(7u32.to_le_bytes());
            let size = bytes.len() as u64;
            for word in [offset, *address, *address, size, size + 0x1000, 1] {
                file.extend(word.to_le_bytes());
            }
            offset += size;
        }
        for (_, bytes) in segments {
            file.extend(*bytes);
        }
        file
    }

    #[test]
    fn segments_land_at_their_distance_and_gaps_are_zero() {
        let file = elf_with(&[(0x4000_0004, b"cd"), (0x4000_0000, b"ab")]);
        assert_eq!(flatten(&file).unwrap(), b"ab\0\0cd");
    }

    #[test]
    fn overlap_and_distance_are_refused() {
        let overlap = elf_with(&[(0x1000, b"abcd"), (0x1002, b"xy")]);
        assert!(
            flatten(&overlap)
                .unwrap_err()
                .to_string()
                .contains("overlap")
        );
        let far = elf_with(&[(0, b"a"), (1 << 40, b"b")]);
        assert!(flatten(&far).unwrap_err().to_string().contains("too far"));
    }

    #[test]
    fn other_files_are_refused() {
        assert!(flatten(b"#!/bin/sh\n").is_err());
        assert!(flatten(&elf_with(&[])).is_err());
    }
}

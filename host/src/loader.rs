//! Where a guest's kernel, initial RAM disk and device tree go.
//!
//! Invariants: the parts lie in the guest's RAM in that order, page-aligned, disjoint, with room
//! after the kernel's file for the memory its header asks for. Header: Linux's
//! `Documentation/arch/arm64/booting.rst`.

use core::fmt;

const PAGE: u64 = 4096;
const BLOCK: u64 = 2 << 20;
/// Least memory beside the parts that a guest can start in.
const ROOM: u64 = 32 << 20;

/// Why a guest can't be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The kernel has no arm64 Image header.
    NotAnImage,
    /// The parts do not fit in the guest's RAM.
    TooLarge {
        /// Bytes of RAM that would do.
        needed: u64,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnImage => f.write_str("the guest kernel is not an arm64 Image"),
            Self::TooLarge { needed } => {
                write!(f, "guest-mem is too small: {needed} bytes would do")
            }
        }
    }
}

/// An arm64 Image.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<'a> {
    /// The file.
    pub file: &'a [u8],
    text_offset: u64,
    image_size: u64,
}

impl<'a> Kernel<'a> {
    /// Reads the header of `file`.
    pub fn parse(file: &'a [u8]) -> Result<Self, LoadError> {
        let word = |offset: usize| {
            let bytes = file.get(offset..offset + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let (Some(text_offset), Some(image_size), Some(magic)) = (word(8), word(16), word(56))
        else {
            return Err(LoadError::NotAnImage);
        };
        // "ARM\x64"; kernels before 3.17 leave the size zero.
        if magic as u32 != 0x644d_5241 || image_size == 0 || text_offset >= BLOCK {
            return Err(LoadError::NotAnImage);
        }
        let image_size = image_size.max(file.len() as u64);
        Ok(Self {
            file,
            text_offset,
            image_size,
        })
    }
}

/// Where the parts go: intermediate physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The kernel's first byte and entry point.
    pub kernel: u64,
    /// The initial RAM disk.
    pub initrd: u64,
    /// The device tree.
    pub tree: u64,
}

impl Layout {
    /// Places the parts in RAM at `base`, which is 2 MiB-aligned; `tree_size` bounds the device
    /// tree's size.
    pub fn place(
        kernel: &Kernel<'_>,
        initrd_size: u64,
        tree_size: u64,
        base: u64,
        ram_size: u64,
    ) -> Result<Self, LoadError> {
        let start = base + kernel.text_offset;
        let too_large = LoadError::TooLarge { needed: u64::MAX };
        let place = || {
            let initrd = start
                .checked_add(kernel.image_size)?
                .checked_next_multiple_of(BLOCK)?;
            let tree = initrd
                .checked_add(initrd_size)?
                .checked_next_multiple_of(PAGE)?;
            let needed = tree.checked_add(tree_size)?.checked_add(ROOM)? - base;
            Some((
                Self {
                    kernel: start,
                    initrd,
                    tree,
                },
                needed,
            ))
        };
        match place().ok_or(too_large)? {
            (_, needed) if needed > ram_size => Err(LoadError::TooLarge { needed }),
            (layout, _) => Ok(layout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    fn image(text_offset: u64, image_size: u64, length: usize) -> Vec<u8> {
        let mut file = vec![0; length];
        file[8..16].copy_from_slice(&text_offset.to_le_bytes());
        file[16..24].copy_from_slice(&image_size.to_le_bytes());
        file[56..60].copy_from_slice(b"ARM\x64");
        file
    }

    #[test]
    fn parts_follow_each_other() {
        let file = image(0, 5 << 20, 3 << 20);
        let kernel = Kernel::parse(&file).unwrap();
        let layout = Layout::place(&kernel, 5000, 4096, 1 << 36, 64 << 20).unwrap();
        assert_eq!(layout.kernel, 1 << 36);
        assert_eq!(layout.initrd, (1 << 36) + (6 << 20));
        assert_eq!(layout.tree, layout.initrd + 8192);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert_eq!(Kernel::parse(b"MZ").unwrap_err(), LoadError::NotAnImage);
        assert_eq!(Kernel::parse(&[0; 64]).unwrap_err(), LoadError::NotAnImage);
        assert_eq!(
            Kernel::parse(&image(0, 0, 64)).unwrap_err(),
            LoadError::NotAnImage
        );
        assert_eq!(
            Kernel::parse(&image(BLOCK, 64, 64)).unwrap_err(),
            LoadError::NotAnImage
        );
    }

    #[test]
    fn too_little_memory_says_how_much_would_do() {
        let file = image(0, 5 << 20, 64);
        let kernel = Kernel::parse(&file).unwrap();
        let needed = match Layout::place(&kernel, 0, 4096, 1 << 36, 1 << 20) {
            Err(LoadError::TooLarge { needed }) => needed,
            other => panic!("{other:?}"),
        };
        assert!(Layout::place(&kernel, 0, 4096, 1 << 36, needed).is_ok());
        assert!(Layout::place(&kernel, u64::MAX, 4096, 1 << 36, 1 << 30).is_err());
    }
}

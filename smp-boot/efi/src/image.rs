//! The 64-byte header of an arm64 Image (Linux, Documentation/arch/arm64/booting.rst), as far as the one
//! who loads it must know it.

/// "ARM\x64", at byte 56.
const MAGIC: [u8; 4] = *b"ARM\x64";
/// What an Image wants its place to be a multiple of, `text_offset` apart.
pub const ALIGNMENT: u64 = 2 << 20;
/// No engine comes near it: what claims more is not one.
const LARGEST: u64 = 1 << 30;

/// What an Image asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes from a multiple of [`ALIGNMENT`] to its first one.
    pub offset: u64,
    /// Bytes that it takes from there, zeroed data included.
    pub size: u64,
}

/// Reads the header of `image`; nothing if it is no Image.
pub fn extent(image: &[u8]) -> Option<Extent> {
    let field = |at: usize| image.get(at..)?.first_chunk().copied();
    let number = |at: usize| field(at).map(u64::from_le_bytes);
    let magic: [u8; 4] = image.get(56..)?.first_chunk().copied()?;
    let (offset, size) = (number(8)?, number(16)?.max(image.len() as u64));
    (magic == MAGIC && offset < ALIGNMENT && size <= LARGEST).then_some(Extent { offset, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> [u8; 64] {
        let mut image = [0; 64];
        image[16..24].copy_from_slice(&0x1234u64.to_le_bytes());
        image[56..60].copy_from_slice(&MAGIC);
        image
    }

    #[test]
    fn says_what_it_takes() {
        let extent = extent(&image());
        assert_eq!(
            extent,
            Some(Extent {
                offset: 0,
                size: 0x1234
            })
        );
    }

    #[test]
    fn takes_at_least_its_file() {
        let mut long = image().to_vec();
        long.resize(0x2000, 0);
        assert_eq!(extent(&long).map(|it| it.size), Some(0x2000));
    }

    #[test]
    fn refuses_what_is_none() {
        assert_eq!(extent(b"MZ"), None);
        assert_eq!(extent(&[0; 64]), None);
        let mut far = image();
        far[8..16].copy_from_slice(&ALIGNMENT.to_le_bytes());
        assert_eq!(extent(&far), None);
        let mut huge = image();
        huge[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(extent(&huge), None);
    }
}

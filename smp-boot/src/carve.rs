//! Choosing where in RAM the engine lives.
//!
//! Pure. The engine takes the highest fitting place, so that the low end of RAM, which some
//! devices and boot loaders prefer, stays the host's.

use crate::error::BootError;
use crate::range::{BLOCK, PaRange};

/// A range of `need` bytes, rounded up to and aligned to 2 MiB, in one of `ram` and clear of all
/// of `taken`.
pub fn carve(ram: &[PaRange], taken: &[PaRange], need: u64) -> Result<PaRange, BootError> {
    let refusal = || BootError::TooLittleRam {
        need,
        largest: find_largest(ram, taken),
    };
    let size = need.checked_next_multiple_of(BLOCK).ok_or_else(refusal)?;
    ram.iter()
        .rev()
        .find_map(|&range| carve_top(range, taken, size))
        .ok_or_else(refusal)
}

/// The same, for the engine whose `image` is one of `taken`: that is RAM, as what is not is a device, and the host's.
pub fn carve_beside(
    image: PaRange,
    ram: &[PaRange],
    taken: &[PaRange],
    need: u64,
) -> Result<PaRange, BootError> {
    if !is_in_ram(ram, image) && cfg!(not(mutant = "image-anywhere")) {
        return Err(BootError::ImageOutsideRam(image));
    }
    carve(ram, taken, need)
}

/// Is all of `range` in `ram`, whose ranges are in order?
fn is_in_ram(ram: &[PaRange], range: PaRange) -> bool {
    let covered = ram.iter().fold(range.start(), |at, part| {
        match part.start() <= at && at < part.end() {
            true => part.end(),
            false => at,
        }
    });
    covered >= range.end()
}

/// The highest fitting place in one range of RAM.
fn carve_top(range: PaRange, taken: &[PaRange], size: u64) -> Option<PaRange> {
    let mut top = range.end() / BLOCK * BLOCK;
    // Ends: each turn takes `top` below the start of one more of `taken`.
    loop {
        let place = PaRange::between(top.checked_sub(size)?, top)?;
        if !range.contains(place) {
            return None;
        }
        match taken.iter().find(|other| other.overlaps(place)) {
            Some(other) => top = other.start() / BLOCK * BLOCK,
            None => return Some(place),
        }
    }
}

/// Bytes in the largest free piece, for the complaint.
fn find_largest(ram: &[PaRange], taken: &[PaRange]) -> u64 {
    let starts = ram
        .iter()
        .map(|range| range.start())
        .chain(taken.iter().map(|range| range.end()));
    starts
        .filter(|&start| {
            !taken
                .iter()
                .any(|other| other.start() <= start && start < other.end())
        })
        .filter_map(|start| {
            let range = ram
                .iter()
                .find(|range| range.start() <= start && start < range.end())?;
            let ends = taken
                .iter()
                .map(|other| other.start())
                .filter(|&end| end >= start);
            let end = ends.chain([range.end()]).min()?;
            // None of the ends is before `start`.
            Some(end.saturating_sub(start))
        })
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn mib(start: u64, end: u64) -> PaRange {
        PaRange::between(start * MIB, end * MIB).unwrap()
    }

    #[test]
    fn what_lies_in_ram_lies_in_all_of_it() {
        let range = |start, end| PaRange::between(start, end).unwrap();
        // Two side by side, and one apart.
        let ram = [
            range(0x1000, 0x3000),
            range(0x3000, 0x5000),
            range(0x8000, 0x9000),
        ];
        for (start, end) in [
            (0x1000, 0x3000),
            (0x2000, 0x4000),
            (0x1000, 0x5000),
            (0x8000, 0x9000),
        ] {
            assert!(is_in_ram(&ram, range(start, end)), "{start:#x}");
        }
        for (start, end) in [
            (0, 0x2000),
            (0x4000, 0x6000),
            (0x4000, 0x9000),
            (0x6000, 0x7000),
            (0x9000, 0xa000),
        ] {
            assert!(!is_in_ram(&ram, range(start, end)), "{start:#x}");
        }
        assert!(!is_in_ram(&[], range(0, 1)));
    }

    #[test]
    fn an_image_lies_in_ram() {
        let ram = [mib(1024, 1536)];
        let carved = |image| carve_beside(image, &ram, &[image], MIB);
        assert_eq!(carved(mib(1024, 1026)), Ok(mib(1534, 1536)));
        for image in [mib(8, 10), mib(1535, 1537)] {
            assert_eq!(carved(image), Err(BootError::ImageOutsideRam(image)));
        }
    }

    #[test]
    fn takes_the_top_of_ram() {
        assert_eq!(carve(&[mib(1024, 1536)], &[], 3 * MIB), Ok(mib(1532, 1536)));
    }

    #[test]
    fn steps_below_what_is_taken() {
        let taken = [mib(1534, 1535), mib(1528, 1531), mib(1531, 1533)];
        assert_eq!(
            carve(&[mib(1024, 1536)], &taken, 2 * MIB),
            Ok(mib(1526, 1528))
        );
    }

    #[test]
    fn aligns_when_ram_is_not() {
        assert_eq!(carve(&[mib(1, 8)], &[mib(7, 8)], MIB), Ok(mib(4, 6)));
        assert!(carve(&[mib(1, 3)], &[], MIB).is_err());
    }

    #[test]
    fn says_how_much_there_was() {
        let taken = [mib(4, 5), mib(11, 12)];
        assert_eq!(
            carve(&[mib(0, 16)], &taken, 64 * MIB),
            Err(BootError::TooLittleRam {
                need: 64 * MIB,
                largest: 6 * MIB
            })
        );
        assert!(carve(&[mib(0, 16)], &[], u64::MAX).is_err());
    }

    #[test]
    fn falls_back_to_a_lower_range() {
        assert_eq!(
            carve(&[mib(0, 16), mib(32, 34)], &[], 4 * MIB),
            Ok(mib(12, 16))
        );
    }
}

//! Half-open ranges of physical addresses.
//!
//! Invariant: `start <= end`. Rounding never wraps: what would pass the top of the address space
//! is refused when the range is made.

use core::fmt;

/// Bytes in a page, the granule of every table in the engine.
pub const PAGE: u64 = 4096;

/// Bytes in a level-2 block of the 4 KiB granule.
pub const BLOCK: u64 = 2 << 20;

/// Physical addresses `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PaRange {
    start: u64,
    end: u64,
}

impl PaRange {
    /// No address.
    pub const EMPTY: Self = Self { start: 0, end: 0 };

    /// The range of `size` bytes from `start`; `None` if it passes 2^63, which leaves every
    /// rounding below free of overflow.
    pub const fn new(start: u64, size: u64) -> Option<Self> {
        match start.checked_add(size) {
            Some(end) if end <= 1 << 63 => Some(Self { start, end }),
            _ => None,
        }
    }

    /// The range `start..end`; `None` if it is inverted or passes 2^63.
    pub const fn between(start: u64, end: u64) -> Option<Self> {
        match end.checked_sub(start) {
            Some(size) => Self::new(start, size),
            None => None,
        }
    }

    /// First address.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// First address past the range.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Bytes.
    pub const fn size(self) -> u64 {
        // Does not wrap: `start <= end`.
        self.end.wrapping_sub(self.start)
    }

    /// Whether the range holds no address.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether both ranges hold some address.
    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether every address of `other` is in `self`.
    pub const fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The smallest range that holds both.
    pub const fn hull(self, other: Self) -> Self {
        let start = if self.start < other.start {
            self.start
        } else {
            other.start
        };
        let end = if self.end > other.end {
            self.end
        } else {
            other.end
        };
        Self { start, end }
    }

    /// The smallest range of whole pages that holds this one: for what must be kept clear of.
    pub const fn pages_around(self) -> Self {
        Self {
            start: self.start / PAGE * PAGE,
            end: round_up(self.end),
        }
    }

    /// The largest range of whole pages in this one: for what may be used.
    pub const fn pages_within(self) -> Self {
        let start = round_up(self.start);
        let end = self.end / PAGE * PAGE;
        Self {
            start,
            end: if end < start { start } else { end },
        }
    }
}

/// The next whole page from an address of a range, which is 2^63 at most: the sum does not wrap.
const fn round_up(address: u64) -> u64 {
    address.wrapping_add(PAGE - 1) / PAGE * PAGE
}

/// Puts ranges in ascending order, each down among those before it: they are few, and mostly in order. The library's
/// sort calls itself, so that nobody could say how much stack it takes.
#[cfg(not(mutant = "sort-by-library"))]
pub fn put_in_order(ranges: &mut [PaRange]) {
    for end in 2..=ranges.len() {
        for at in (1..end).rev() {
            match ranges.get_mut(at - 1..=at) {
                Some([low, high]) if *low > *high => core::mem::swap(low, high),
                _ => break,
            }
        }
    }
}
#[cfg(mutant = "sort-by-library")]
pub fn put_in_order(ranges: &mut [PaRange]) {
    ranges.sort_unstable();
}

impl fmt::Display for PaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_outward_and_inward() {
        let range = PaRange::new(0x1234, 0x2000).unwrap();
        assert_eq!(
            range.pages_around(),
            PaRange::between(0x1000, 0x4000).unwrap()
        );
        assert_eq!(
            range.pages_within(),
            PaRange::between(0x2000, 0x3000).unwrap()
        );
        assert!(
            PaRange::new(0x1001, 0x10)
                .unwrap()
                .pages_within()
                .is_empty()
        );
    }

    #[test]
    fn refuses_what_wraps() {
        assert_eq!(PaRange::new(u64::MAX, 2), None);
        assert_eq!(PaRange::new(1 << 63, 1), None);
        assert_eq!(PaRange::between(2, 1), None);
    }

    #[test]
    fn any_order_is_put_in_order() {
        let starts = [5_u64, 1, 4, 1, 3, 0];
        let mut ranges = starts.map(|start| PaRange::new(start * PAGE, PAGE).unwrap());
        for turned in 0..ranges.len() {
            ranges.rotate_left(turned);
            let mut expected = ranges;
            expected.sort_unstable();
            put_in_order(&mut ranges);
            assert_eq!(ranges, expected);
            ranges.reverse();
        }
        put_in_order(&mut []);
    }

    #[test]
    fn touching_ranges_do_not_overlap() {
        let low = PaRange::new(0, 0x1000).unwrap();
        let high = PaRange::new(0x1000, 0x1000).unwrap();
        assert!(!low.overlaps(high) && !high.overlaps(low));
        assert!(low.overlaps(PaRange::new(0xfff, 1).unwrap()));
    }
}

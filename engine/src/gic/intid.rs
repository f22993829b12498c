//! Interrupt numbers that have been looked at: private ones (SGIs and PPIs) and SPIs (IHI0069,
//! section "INTIDs").
//!
//! Invariant: a [`PrivateId`] is below 32, an [`Spi`] from 32 to 1019.

/// First SPI.
const FIRST_SPI: u16 = 32;
/// Last SPI; 1020 to 1023 are special.
const LAST_SPI: u16 = 1019;

/// INTID 0 to 31: an SGI (0 to 15) or a PPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateId(u8);

impl PrivateId {
    /// The EL1 virtual timer's PPI (Arm BSA).
    pub const VIRTUAL_TIMER: Self = Self(27);

    /// The private interrupt of this number.
    pub const fn new(intid: u64) -> Option<Self> {
        if intid < FIRST_SPI as u64 {
            Some(Self(intid as u8))
        } else {
            None
        }
    }

    /// Its number.
    pub const fn raw(self) -> u16 {
        self.0 as u16
    }

    /// Its bit in the registers that hold one bit for each private interrupt.
    pub const fn bit(self) -> u32 {
        1 << (self.0 & 31)
    }
}

/// INTID 32 to 1019: a shared peripheral interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spi(u16);

impl Spi {
    /// The SPI of this number.
    pub const fn new(intid: u64) -> Option<Self> {
        if intid >= FIRST_SPI as u64 && intid <= LAST_SPI as u64 {
            Some(Self(intid as u16))
        } else {
            None
        }
    }

    /// The SPI at a place counted from the first one.
    pub const fn at(word: usize, bit: u32) -> Option<Self> {
        Self::new((word as u64) * 64 + bit as u64 + FIRST_SPI as u64)
    }

    /// Its number.
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// Which 64-bit word of a bitmap over SPIs has its bit.
    pub const fn word(self) -> usize {
        self.0.wrapping_sub(FIRST_SPI) as usize / 64
    }

    /// Its place in that word.
    pub const fn place(self) -> usize {
        self.0.wrapping_sub(FIRST_SPI) as usize % 64
    }

    /// Its bit in that word.
    pub const fn bit(self) -> u64 {
        1 << self.place()
    }
}

/// The places of the bits that are set, from the lowest up.
pub(super) fn places(word: u64) -> impl Iterator<Item = u32> {
    let mut rest = word;
    core::iter::from_fn(move || {
        let place = rest.trailing_zeros();
        // Clears the lowest bit; none is left exactly when the place is past the word's end.
        rest &= rest.wrapping_sub(1);
        (place < u64::BITS).then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_nobody_s() {
        assert!(PrivateId::new(31).is_some() && PrivateId::new(32).is_none());
        assert!(Spi::new(31).is_none() && Spi::new(1020).is_none() && Spi::new(u64::MAX).is_none());
    }

    #[test]
    fn every_spi_has_its_own_place() {
        for intid in 32..=1019 {
            let spi = Spi::new(intid).unwrap();
            assert_eq!(Spi::at(spi.word(), spi.place() as u32), Some(spi));
            assert_eq!(spi.bit(), 1 << spi.place());
        }
        assert_eq!(Spi::at(15, 63), None);
    }

    #[test]
    fn places_come_in_order() {
        assert!(places(0).next().is_none());
        assert!(places(1 << 63 | 0b101).eq([0, 2, 63]));
        assert_eq!(places(u64::MAX).count(), 64);
    }
}

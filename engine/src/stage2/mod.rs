//! Stage-2 translation: the tables that decide what a VM, the host among them, can reach.
//!
//! The tables follow the page words, never the other way round: a leaf that names a page is written
//! only by the holder of that page's claim, a block is split by whoever won the *entry*. Both rules
//! are enforced here by compare-exchange on entries, so that cores working on neighbouring pages
//! never wait for each other; whoever meets a transient mark is told `Busy`.
//!
//! Every VM, the host included, uses the same VTCR_EL2 (one input size, one starting level), so no
//! sequence can pair one VM's table with another's geometry.
//!
//! Layout: `descriptor` the bits, `walk` finding entries, `grow` installing tables and taking entries,
//! `resize` between a block and a table of smaller ones.

pub mod descriptor;
mod grow;
mod resize;
mod walk;

pub use resize::Fill;
pub use walk::Found;

use crate::memory::tlb::Regime;
use descriptor::shift_of;
use ownership::{Ipa, PAGE_SIZE, Pfn};

/// Why an entry could not be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum MapError {
    /// The IPA already has a leaf.
    Occupied,
    /// Another operation is changing this entry or one above it.
    Busy,
    /// The engine's pool has no page for a table.
    NoMemory,
    /// The IPA is wider than the tables.
    OutOfRange,
}

/// The geometry that every stage-2 table has on this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Input (intermediate physical) address bits.
    pub ipa_bits: u8,
    /// Level of the root.
    pub start_level: u8,
    /// log2 of the bytes that one entry of the root translates.
    pub root_shift: u8,
    /// Contiguous pages that make the root (concatenation, Arm ARM D8.2.2).
    pub root_pages: u8,
}

impl Geometry {
    /// The geometry for `pa_bits` of physical address. A level-0 start needs at least 44 bits of
    /// physical address (Arm ARM D8.2.5, reserved SL0 values); below that up to sixteen level-1
    /// tables are concatenated.
    pub const fn for_pa_bits(pa_bits: u8) -> Self {
        let ipa_bits = if pa_bits > 48 { 48 } else { pa_bits };
        if ipa_bits >= 44 {
            return Self {
                ipa_bits,
                start_level: 0,
                root_shift: shift_of(0) as u8,
                root_pages: 1,
            };
        }
        let root_pages = if ipa_bits > 39 {
            1 << (ipa_bits - 39)
        } else {
            1
        };
        Self {
            ipa_bits,
            start_level: 1,
            root_shift: shift_of(1) as u8,
            root_pages,
        }
    }

    /// VTCR_EL2 (Arm ARM D19.2.164): 4 KiB granule, write-back inner-shareable walks, no hardware
    /// access flag or dirty state, 8-bit VMIDs, `PS` = the input size's class.
    pub const fn vtcr(self, pa_bits: u8) -> u64 {
        let t0sz = 64u64.saturating_sub(self.ipa_bits as u64);
        let sl0: u64 = if self.start_level == 0 { 2 } else { 1 };
        let ps: u64 = match pa_bits {
            0..=35 => 0,
            36..=39 => 1,
            40..=41 => 2,
            42..=43 => 3,
            44..=47 => 4,
            _ => 5,
        };
        const RES1: u64 = 1 << 31;
        const WALKS_WRITE_BACK_INNER_SHAREABLE: u64 = 0b11 << 12 | 0b01 << 10 | 0b01 << 8;
        RES1 | ps << 16 | WALKS_WRITE_BACK_INNER_SHAREABLE | sl0 << 6 | t0sz
    }

    /// Is `ipa` within the input size?
    pub const fn contains(self, ipa: Ipa) -> bool {
        // At most 48, and no shift that might be too wide.
        ipa.raw().wrapping_shr(self.ipa_bits as u32) == 0
    }
}

/// The IPA `pages` pages after `ipa`, if there is one.
pub fn ipa_after(ipa: Ipa, pages: u64) -> Option<Ipa> {
    ipa.checked_add(pages.checked_mul(PAGE_SIZE)?)
}

/// One VM's stage-2 table. A plain value: the tables themselves live in engine pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage2 {
    root: Pfn,
    vmid: u16,
    geometry: Geometry,
}

impl Stage2 {
    /// The table of `vmid` whose root is at `root`.
    pub const fn new(root: Pfn, vmid: u16, geometry: Geometry) -> Self {
        Self {
            root,
            vmid,
            geometry,
        }
    }

    /// What VTTBR_EL2 holds while the VM runs.
    pub const fn regime(self) -> Regime {
        Regime::new(self.vmid, self.root)
    }

    /// Root page (the first of them).
    pub const fn root(self) -> Pfn {
        self.root
    }

    /// Geometry.
    pub const fn geometry(self) -> Geometry {
        self.geometry
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn geometry_follows_the_physical_size() {
        let of = |bits| {
            let g = Geometry::for_pa_bits(bits);
            (g.ipa_bits, g.start_level, g.root_pages)
        };
        assert_eq!(of(52), (48, 0, 1));
        assert_eq!(of(48), (48, 0, 1));
        assert_eq!(of(44), (44, 0, 1));
        assert_eq!(of(42), (42, 1, 8));
        assert_eq!(of(40), (40, 1, 2));
        assert_eq!(of(36), (36, 1, 1));
        assert_eq!(of(43), (43, 1, 16));
        assert_eq!(of(39), (39, 1, 1));
        // The root's entries, of 1 GiB or 512 GiB, reach to the end of the input size.
        for bits in 32..=52 {
            let g = Geometry::for_pa_bits(bits);
            let root = u64::from(g.root_pages) * 512;
            let wanted = 1 << g.ipa_bits;
            let reach = root << g.root_shift;
            assert!(
                reach >= wanted && (g.root_pages == 1 || reach == wanted),
                "{bits}"
            );
            assert_eq!(g.root_shift, if g.start_level == 0 { 39 } else { 30 });
        }
    }

    #[test]
    fn vtcr_has_the_architecture_s_bits() {
        // T0SZ=16, SL0=2, IRGN0=ORGN0=1, SH0=3, TG0=0, PS=5, VS=0, HA=HD=0, RES1.
        assert_eq!(Geometry::for_pa_bits(48).vtcr(48), 0x8005_3590);
        assert_eq!(Geometry::for_pa_bits(40).vtcr(40), 0x8002_3558);
    }

    #[test]
    fn vtcr_has_the_class_of_the_physical_size() {
        // PS as ID_AA64MMFR0_EL1.PARange encodes it; 52 bits take a format that is not used here.
        let classes = [
            (32, 0),
            (36, 1),
            (40, 2),
            (42, 3),
            (44, 4),
            (48, 5),
            (52, 5),
        ];
        for (bits, class) in classes {
            let vtcr = Geometry::for_pa_bits(bits).vtcr(bits);
            assert_eq!(vtcr >> 16 & 0b111, class, "{bits}");
            assert_eq!(vtcr & 0x3f, 64 - u64::from(bits.min(48)), "{bits}");
        }
        // Between two classes the smaller one holds.
        for (bits, class) in [(35, 0), (39, 1), (41, 2), (43, 3), (47, 4)] {
            let vtcr = Geometry::for_pa_bits(bits).vtcr(bits);
            assert_eq!(vtcr >> 16 & 0b111, class, "{bits}");
        }
    }

    #[test]
    fn an_address_is_within_the_input_size_or_not() {
        let geometry = Geometry::for_pa_bits(40);
        assert!(geometry.contains(Ipa::from_raw((1 << 40) - 1)));
        assert!(!geometry.contains(Ipa::from_raw(1 << 40)));
        let at = Ipa::from_raw(0x5000);
        assert_eq!(ipa_after(at, 3), Some(Ipa::from_raw(0x8000)));
        assert_eq!(ipa_after(at, u64::MAX >> 12), None);
        assert_eq!(ipa_after(at, u64::MAX), None);
    }
}

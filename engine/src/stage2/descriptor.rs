//! Stage-2 descriptors of the VMSAv8-64 translation system, 4 KiB granule (Arm ARM D8.3, D8.6).
//!
//! Invariants: a descriptor with bit 0 clear is invalid to hardware whatever the rest says; the
//! engine uses the rest of an invalid descriptor for its two transient marks. Every leaf has the
//! access flag set, is inner shareable, and has no hardware-managed bits (VTCR_EL2.HA = HD = 0).

use ownership::{FAN_OUT_SHIFT, GranuleSize, Pfn};

/// log2 of the page size.
pub const PAGE_SHIFT: u32 = 12;
/// Address bits that one level translates: a granule of each size is one entry of a level.
const INDEX_BITS: u32 = FAN_OUT_SHIFT;
/// Entries of one table, but for the root, which may have more.
pub const ENTRIES: u64 = 1 << INDEX_BITS;
/// Entries that are looked at or written in one turn of a loop over a whole table. Models have fewer.
pub const AT_ONCE: u64 = if ENTRIES < 8 { ENTRIES } else { 8 };
/// Entries that fit into one page of a root.
pub const ROOT_PAGE_ENTRIES: u64 = 512;
/// The deepest level: its leaves are pages.
pub const LAST_LEVEL: u8 = 3;

/// Valid bit.
const VALID: u64 = 1;
/// At levels 0–2: table (1) or block (0). At level 3 it must be 1.
const TABLE_OR_PAGE: u64 = 1 << 1;
/// Output address or next-level table, bits 47:12.
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// MemAttr[3:0], bits 5:2.
const MEMATTR_SHIFT: u32 = 2;
/// S2AP[0]: readable.
const READ: u64 = 1 << 6;
/// S2AP[1]: writable.
const WRITE: u64 = 1 << 7;
/// SH = 0b11: inner shareable.
const INNER_SHAREABLE: u64 = 0b11 << 8;
/// Access flag.
const ACCESS_FLAG: u64 = 1 << 10;
/// XN[1]: with XN[0] = 0, no execution at EL1 and EL0.
const NO_EXECUTE: u64 = 1 << 54;
/// Everything of a leaf but its address and bit 1.
const ATTRIBUTES: u64 = !(ADDRESS | TABLE_OR_PAGE);

/// An entry that an operation has taken for itself: the claim's holder will write a leaf, or has
/// taken one away and not flushed yet.
const MARK_RESERVED: u64 = 1 << 1;
/// An entry whose block is being split: keeps the block's output address.
const MARK_SPLITTING: u64 = 1 << 2;
/// Where the marks live.
const MARKS: u64 = MARK_RESERVED | MARK_SPLITTING;

/// log2 of the bytes that one entry of `level` translates.
pub const fn shift_of(level: u8) -> u32 {
    PAGE_SHIFT + INDEX_BITS * LAST_LEVEL.saturating_sub(level) as u32
}

/// Bytes that one entry of `level` translates.
pub const fn bytes_of(level: u8) -> u64 {
    1 << shift_of(level)
}

/// Pages that one entry of `level` translates.
pub const fn pages_of(level: u8) -> u64 {
    bytes_of(level) >> PAGE_SHIFT
}

/// The level whose leaves translate granules of this size.
pub const fn level_of(size: GranuleSize) -> u8 {
    match size {
        GranuleSize::Page => LAST_LEVEL,
        GranuleSize::Block2M => 2,
        GranuleSize::Block1G => 1,
    }
}

/// What kind of memory a leaf makes of its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    /// Normal, write-back cacheable.
    Normal,
    /// Device-nGnRE: the host's non-RAM.
    Device,
}

/// What a leaf allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Stores.
    pub write: bool,
    /// Instruction fetches.
    pub execute: bool,
}

impl Access {
    /// Loads, stores and fetches.
    pub const ALL: Self = Self {
        write: true,
        execute: true,
    };
    /// Loads and stores.
    pub const DATA: Self = Self {
        write: true,
        execute: false,
    };
}

/// The attribute bits of a leaf: all but its address. Never valid on their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeafBits(u64);

impl LeafBits {
    /// Attributes for `memory` with `access`. With FEAT_S2FWB (`force_write_back`) MemAttr says
    /// 0b0110, write-back whatever stage 1 asks for (Arm ARM D8.6.5); without it 0b1111.
    pub const fn new(memory: Memory, access: Access, force_write_back: bool) -> Self {
        let mem_attr = match (memory, force_write_back) {
            (Memory::Normal, true) => 0b0110,
            (Memory::Normal, false) => 0b1111,
            (Memory::Device, _) => 0b0001,
        };
        let mut bits = VALID | mem_attr << MEMATTR_SHIFT | READ | INNER_SHAREABLE | ACCESS_FLAG;
        if access.write {
            bits |= WRITE;
        }
        if !access.execute {
            bits |= NO_EXECUTE;
        }
        Self(bits)
    }

    /// The leaf at `level` for the area that starts at `base`.
    pub const fn leaf(self, base: Pfn, level: u8) -> u64 {
        let page = if level == LAST_LEVEL {
            TABLE_OR_PAGE
        } else {
            0
        };
        (base.raw() << PAGE_SHIFT) & ADDRESS | page | self.0
    }

    /// Does the leaf allow stores?
    pub const fn writable(self) -> bool {
        self.0 & WRITE != 0
    }

    /// Does the leaf allow instruction fetches?
    pub const fn executable(self) -> bool {
        self.0 & NO_EXECUTE == 0
    }
}

/// A table descriptor. No hierarchical attributes exist in stage 2.
pub const fn table_descriptor(table: Pfn) -> u64 {
    (table.raw() << PAGE_SHIFT) & ADDRESS | TABLE_OR_PAGE | VALID
}

/// The table that the descriptor `raw` at `level` leads to: [`Entry::Table`] alone.
pub const fn table_of(raw: u64, level: u8) -> Option<Pfn> {
    if level < LAST_LEVEL && raw & (VALID | TABLE_OR_PAGE) == VALID | TABLE_OR_PAGE {
        Some(Pfn::from_raw((raw & ADDRESS) >> PAGE_SHIFT))
    } else {
        None
    }
}

/// Is the descriptor `raw` at `level` a block or page: [`Entry::Leaf`]?
pub const fn is_leaf(raw: u64, level: u8) -> bool {
    let page = if level == LAST_LEVEL {
        TABLE_OR_PAGE
    } else {
        0
    };
    level != 0 && raw & (VALID | TABLE_OR_PAGE) == VALID | page
}

/// The mark of an entry that an operation has taken: for a leaf to come, or until the flush of one
/// that went.
pub const RESERVED: u64 = MARK_RESERVED;

/// The mark of an entry whose block, starting at `base`, is being split.
pub const fn splitting_descriptor(base: Pfn) -> u64 {
    (base.raw() << PAGE_SHIFT) & ADDRESS | MARK_SPLITTING
}

/// What an entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Nothing is mapped.
    Empty,
    /// An operation is about to write a leaf, or to flush one that it took away.
    Reserved,
    /// A block is being split.
    Splitting,
    /// The next level's table.
    Table(Pfn),
    /// A block or page.
    Leaf {
        /// First page of the target.
        base: Pfn,
        /// All but the address.
        bits: LeafBits,
    },
}

impl Entry {
    /// Decodes the descriptor `raw` of a table at `level`. Total: what hardware would treat as
    /// invalid and the engine never writes counts as `Reserved`, which nobody builds upon.
    pub const fn decode(raw: u64, level: u8) -> Self {
        let target = Pfn::from_raw((raw & ADDRESS) >> PAGE_SHIFT);
        if raw & VALID == 0 {
            return match raw & MARKS {
                0 if raw == 0 => Self::Empty,
                MARK_SPLITTING => Self::Splitting,
                _ => Self::Reserved,
            };
        }
        if let Some(table) = table_of(raw, level) {
            return Self::Table(table);
        }
        let bit1 = raw & TABLE_OR_PAGE != 0;
        match (level, bit1) {
            (LAST_LEVEL, true) | (1 | 2, false) => Self::Leaf {
                base: target,
                bits: LeafBits(raw & ATTRIBUTES),
            },
            _ => Self::Reserved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaf_round_trips_at_every_level() {
        for memory in [Memory::Normal, Memory::Device] {
            for (write, execute) in [(false, false), (false, true), (true, false), (true, true)] {
                for fwb in [false, true] {
                    let bits = LeafBits::new(memory, Access { write, execute }, fwb);
                    for level in 1..=3 {
                        let base = Pfn::from_raw(0x40_0000);
                        let entry = Entry::decode(bits.leaf(base, level), level);
                        assert_eq!(entry, Entry::Leaf { base, bits });
                        assert_eq!(bits.writable(), write);
                        assert_eq!(bits.executable(), execute);
                    }
                }
            }
        }
    }

    #[test]
    fn a_table_is_known_by_its_bits() {
        let table = Pfn::from_raw(0x4_1000);
        for level in 0..=3 {
            for raw in [0, 1, 2, 3, 4, RESERVED].map(|low| low | table.raw() << PAGE_SHIFT) {
                let wanted = (level < 3 && raw & 0b11 == 0b11).then_some(table);
                assert_eq!(table_of(raw, level), wanted, "{raw:#x} at {level}");
                let leaf = matches!(Entry::decode(raw, level), Entry::Leaf { .. });
                assert_eq!(is_leaf(raw, level), leaf, "{raw:#x} at {level}");
            }
        }
    }

    #[test]
    fn marks_are_invalid_to_hardware_and_distinct() {
        let splitting = splitting_descriptor(Pfn::from_raw(0x12345));
        for level in 0..=3 {
            assert_eq!(Entry::decode(0, level), Entry::Empty);
            assert_eq!(Entry::decode(RESERVED, level), Entry::Reserved);
            assert_eq!(Entry::decode(splitting, level), Entry::Splitting);
        }
        assert_eq!((RESERVED | splitting) & 1, 0);
    }

    #[test]
    fn an_invalid_descriptor_that_nobody_writes_is_reserved() {
        let both = RESERVED | splitting_descriptor(Pfn::from_raw(0x12345));
        for raw in [both, 1 << 12, 1 << 63, VALID << 3] {
            assert_eq!(Entry::decode(raw, 2), Entry::Reserved, "{raw:#x}");
        }
    }

    #[test]
    fn a_descriptor_keeps_its_address_and_nothing_above() {
        // Bits 51:48 of an output address are attributes in this format.
        let wide = Pfn::from_raw(0xf_1234_5678_9abc);
        let low = Pfn::from_raw(0x4_5678_9abc);
        assert_eq!(splitting_descriptor(wide), splitting_descriptor(low));
        assert_eq!(splitting_descriptor(low), low.raw() << 12 | 1 << 2);
        assert_eq!(table_descriptor(wide), table_descriptor(low));
        let bits = LeafBits::new(Memory::Normal, Access::DATA, true);
        assert_eq!(bits.leaf(wide, 3), bits.leaf(low, 3));
        assert_eq!(Entry::decode(table_descriptor(low), 1), Entry::Table(low));
    }

    #[test]
    fn memory_is_cacheable_as_the_features_say() {
        // MemAttr, bits 5:2: Arm ARM D8.6.5, with FEAT_S2FWB and without.
        let attr = |memory, fwb| {
            let bits = LeafBits::new(memory, Access::ALL, fwb);
            bits.leaf(Pfn::from_raw(0), 3) >> 2 & 0xf
        };
        assert_eq!(attr(Memory::Normal, true), 0b0110);
        assert_eq!(attr(Memory::Normal, false), 0b1111);
        assert_eq!([true, false].map(|fwb| attr(Memory::Device, fwb)), [1, 1]);
    }

    #[test]
    fn descriptors_have_the_architecture_s_bits() {
        // Arm ARM D8.3.2: a level-3 page, normal write-back, read-write, executable.
        let bits = LeafBits::new(Memory::Normal, Access::ALL, false);
        assert_eq!(bits.leaf(Pfn::from_raw(0x40000), 3), 0x4000_07ff);
        assert_eq!(bits.leaf(Pfn::from_raw(0x40000), 2), 0x4000_07fd);
        let bits = LeafBits::new(Memory::Device, Access::DATA, true);
        assert_eq!(bits.leaf(Pfn::from_raw(0x9000), 3), 0x0040_0000_0900_07c7);
        assert_eq!(table_descriptor(Pfn::from_raw(0x41000)), 0x4100_0003);
    }

    #[test]
    fn every_level_has_its_size() {
        assert_eq!(bytes_of(3), 4 << 10);
        assert_eq!(bytes_of(2), 2 << 20);
        assert_eq!(bytes_of(1), 1 << 30);
        assert_eq!(bytes_of(0), 512 << 30);
        assert_eq!([3, 2, 1].map(pages_of), [1, 512, 512 * 512]);
        for size in GranuleSize::DOWNWARD {
            assert_eq!(pages_of(level_of(size)), size.pages());
        }
    }
}

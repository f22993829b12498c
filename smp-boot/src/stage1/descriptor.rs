//! Bits of a stage-1 descriptor of the EL2 regime (Arm ARM D8.3).
//!
//! Pure functions; the only file that knows the layout.

use crate::range::PAGE;

const VALID: u64 = 1 << 0;
/// Table at levels 0 to 2, page at level 3.
const TABLE_OR_PAGE: u64 = 1 << 1;
const ATTR_INDEX_SHIFT: u32 = 2;
/// AP[1] is RES1 in a regime of one privilege level.
const AP1_RES1: u64 = 1 << 6;
const AP2_READ_ONLY: u64 = 1 << 7;
const SH_INNER: u64 = 0b11 << 8;
const ACCESSED: u64 = 1 << 10;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
const EXECUTE_NEVER: u64 = 1 << 54;
/// Bits 58:55 are software's. This one marks a page that was mapped at run time, so that nothing
/// else can be unmapped then.
const DONATED: u64 = 1 << 55;

/// Attribute 0: Device-nGnRE; attribute 1: normal, write-back, read- and write-allocate.
pub const MAIR: u64 = 0xff << (8 * NORMAL) | 0x04 << (8 * DEVICE);
const DEVICE: u64 = 0;
const NORMAL: u64 = 1;

/// What a page is for, which settles what may be done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attr {
    /// Read and execute.
    Code,
    /// Read.
    Constant,
    /// Read and write.
    Data,
    /// Registers: Device-nGnRE, read and write.
    Device,
}

impl Attr {
    const fn bits(self) -> u64 {
        let index = match self {
            Self::Code | Self::Constant | Self::Data => NORMAL,
            Self::Device => DEVICE,
        };
        let rights = match self {
            Self::Code => AP2_READ_ONLY,
            Self::Constant => AP2_READ_ONLY | EXECUTE_NEVER,
            Self::Data | Self::Device => EXECUTE_NEVER,
        };
        VALID | index << ATTR_INDEX_SHIFT | AP1_RES1 | SH_INNER | ACCESSED | rights
    }
}

/// A level-3 entry.
pub const fn page(pa: u64, attr: Attr) -> u64 {
    pa & ADDRESS | attr.bits() | TABLE_OR_PAGE
}

/// A level-3 entry made at run time.
pub const fn donated_page(pa: u64) -> u64 {
    page(pa, Attr::Data) | DONATED
}

/// A level-2 block.
pub const fn block(pa: u64, attr: Attr) -> u64 {
    pa & ADDRESS | attr.bits()
}

/// A level-0, -1 or -2 entry that leads to the table at `pa`.
pub const fn table(pa: u64) -> u64 {
    pa & ADDRESS | VALID | TABLE_OR_PAGE
}

/// What an entry of level 0, 1 or 2 holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Invalid,
    /// The address of the next table.
    Table(u64),
    /// A block.
    Block,
}

/// Reads an entry of level 0, 1 or 2.
pub const fn read(entry: u64) -> Entry {
    match entry & (VALID | TABLE_OR_PAGE) {
        0b11 => Entry::Table(entry & ADDRESS),
        0b01 => Entry::Block,
        _ => Entry::Invalid,
    }
}

/// The index into a table of `level` for `va`.
pub const fn index(va: u64, level: u32) -> usize {
    ((va / PAGE) >> (9 * (3 - level)) & 0x1ff) as usize
}

//! ACPI tables (ACPI specification 6.5, chapter 5): found from the root pointer, and checked.
//!
//! Only static tables are read; there is no interpreter of AML here. Each table's file turns the
//! bytes of a checked table into values; fields that an older revision lacks are absent, not zero.
//!
//! Invariants: memory is read only through [`PhysicalMemory`], which says where there is none. A table
//! is believed if its signature, length and checksum are right. At most [`MAX_TABLES`] are looked at,
//! of at most [`MAX_TABLE_BYTES`] each, and every walk through one goes forward at each step.

pub mod fadt;
pub mod gtdt;
pub mod madt;
pub mod mcfg;
pub mod spcr;

use core::fmt;

use crate::Refusal;

/// Most tables of one machine; real ones have two or three dozen.
pub const MAX_TABLES: usize = 256;
/// Most bytes of one table.
pub const MAX_TABLE_BYTES: u32 = 4 << 20;
/// Bytes of the header that all tables begin with (5.2.6).
pub const HEADER: usize = 36;

/// Bytes of the root pointer's revision 2 (5.2.5.3).
const ROOT_BYTES: usize = 36;

/// Four letters by which a table is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 4]);

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Interrupts (MADT).
pub const MADT: Signature = Signature(*b"APIC");
/// The fixed hardware (FADT).
pub const FADT: Signature = Signature(*b"FACP");
/// Timers.
pub const GTDT: Signature = Signature(*b"GTDT");
/// The console.
pub const SPCR: Signature = Signature(*b"SPCR");
/// PCI configuration space.
pub const MCFG: Signature = Signature(*b"MCFG");
/// The list of tables.
const XSDT: Signature = Signature(*b"XSDT");
/// The root pointer, of whose eight letters these are the first.
const ROOT: Signature = Signature(*b"RSD ");

/// The machine's memory as the firmware left it.
pub trait PhysicalMemory {
    /// The bytes from `address` on; nothing unless all of them are memory.
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]>;
}

/// The tables of a machine.
pub struct Tables<'m, M> {
    memory: &'m M,
    /// Addresses of tables, as the XSDT has them: eight bytes each.
    list: &'m [u8],
}

impl<'m, M: PhysicalMemory> Tables<'m, M> {
    /// Follows the root pointer at `address`.
    pub fn find(memory: &'m M, address: u64) -> Result<Self, Refusal> {
        let root = memory
            .bytes(address, ROOT_BYTES)
            .ok_or(Refusal::BadTable(ROOT, "it is not in memory"))?;
        if !root.starts_with(b"RSD PTR ") {
            return Err(Refusal::BadTable(ROOT, "no root pointer"));
        }
        // Revision 0 has no XSDT; UEFI hands out revision 2 under this GUID.
        if root[15] < 2 || sum(root) != 0 {
            return Err(Refusal::BadTable(ROOT, "revision or checksum"));
        }
        let xsdt = u64_at(root, 24).unwrap_or(0);
        let table = read(memory, xsdt)?;
        if signature(table) != XSDT {
            return Err(Refusal::BadTable(XSDT, "another signature"));
        }
        let list = table.get(HEADER..).unwrap_or(&[]);
        Ok(Self { memory, list })
    }

    /// The first table with this signature, checked. Tables that are damaged and are not asked for do
    /// not matter.
    pub fn get(&self, wanted: Signature) -> Result<Option<&'m [u8]>, Refusal> {
        for entry in self.list.chunks_exact(8).take(MAX_TABLES) {
            let address = u64_at(entry, 0).unwrap_or(0);
            let header = self.memory.bytes(address, HEADER);
            if header.is_some_and(|header| signature(header) == wanted) {
                return read(self.memory, address).map(Some);
            }
        }
        Ok(None)
    }

    /// A table that has to be there.
    pub fn require(&self, wanted: Signature) -> Result<&'m [u8], Refusal> {
        self.get(wanted)?.ok_or(Refusal::NoTable(wanted))
    }
}

/// The table at `address`, of the length that it claims, if its bytes sum up to zero.
fn read<M: PhysicalMemory>(memory: &M, address: u64) -> Result<&[u8], Refusal> {
    let header = memory
        .bytes(address, HEADER)
        .ok_or(Refusal::BadTable(XSDT, "a table is not in memory"))?;
    let name = signature(header);
    let length = u32_at(header, 4).unwrap_or(0);
    if length < HEADER as u32 || length > MAX_TABLE_BYTES {
        return Err(Refusal::BadTable(name, "length"));
    }
    let table = memory
        .bytes(address, length as usize)
        .ok_or(Refusal::BadTable(name, "it ends outside memory"))?;
    match sum(table) {
        0 => Ok(table),
        #[cfg(mutant = "acpi-no-checksum")]
        _ => Ok(table),
        #[cfg(not(mutant = "acpi-no-checksum"))]
        _ => Err(Refusal::BadTable(name, "checksum")),
    }
}

fn signature(table: &[u8]) -> Signature {
    Signature(table.first_chunk().copied().unwrap_or_default())
}

/// The eight-bit sum that is zero over a whole table.
fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// The little-endian numbers of tables; nothing past their end.
fn field<const N: usize>(table: &[u8], at: usize) -> Option<[u8; N]> {
    table.get(at..)?.first_chunk().copied()
}

fn u8_at(table: &[u8], at: usize) -> Option<u8> {
    table.get(at).copied()
}

fn u16_at(table: &[u8], at: usize) -> Option<u16> {
    field(table, at).map(u16::from_le_bytes)
}

fn u32_at(table: &[u8], at: usize) -> Option<u32> {
    field(table, at).map(u32::from_le_bytes)
}

fn u64_at(table: &[u8], at: usize) -> Option<u64> {
    field(table, at).map(u64::from_le_bytes)
}

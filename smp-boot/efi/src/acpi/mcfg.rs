//! The MCFG table (PCI Firmware Specification 4.1.2): where PCI's configuration space lies.

use super::{u8_at, u16_at, u64_at};

/// First entry.
const FIRST: usize = 44;
/// Bytes of an entry.
const ENTRY: usize = 16;

/// Configuration space of one segment's buses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecam {
    /// Where bus 0 would be.
    pub base: u64,
    /// The segment.
    pub segment: u16,
    /// First bus and last bus.
    pub buses: (u8, u8),
}

/// Reads the table.
pub fn read(table: &[u8]) -> impl Iterator<Item = Ecam> + '_ {
    let entries = table.get(FIRST..).unwrap_or(&[]).chunks_exact(ENTRY);
    entries.filter_map(|entry| {
        let ecam = Ecam {
            base: u64_at(entry, 0)?,
            segment: u16_at(entry, 8)?,
            buses: (u8_at(entry, 10)?, u8_at(entry, 11)?),
        };
        (ecam.buses.0 <= ecam.buses.1).then_some(ecam)
    })
}

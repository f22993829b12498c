//! The Multiple APIC Description Table (5.2.12): cores and the interrupt controller.

use super::{u8_at, u32_at, u64_at};

/// First structure.
const FIRST: usize = 44;

/// A core's interface to the GIC (5.2.12.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    /// MPIDR's affinity fields.
    pub mpidr: u64,
    /// It can be used.
    pub is_enabled: bool,
    /// Its own redistributor; 0 where regions name them.
    pub redistributor: u64,
    /// INTID of the interrupt by which the GIC tells a hypervisor of its virtual interface.
    pub maintenance: u32,
}

/// The distributor (5.2.12.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distributor {
    /// Its registers.
    pub base: u64,
    /// GIC version; 0 if it has to be found out otherwise.
    pub version: u8,
}

/// One structure of the table, of those that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A core.
    Core(Core),
    /// The distributor.
    Distributor(Distributor),
    /// A region of redistributors (5.2.12.17): base and bytes.
    Redistributors(u64, u64),
    /// The base of an interrupt translation service (5.2.12.18).
    Its(u64),
}

/// The table's structures; what is of another type, or too short for its type, is passed over.
pub fn entries(table: &[u8]) -> impl Iterator<Item = Entry> + '_ {
    Structures {
        rest: table.get(FIRST..).unwrap_or(&[]),
    }
    .filter_map(read)
}

/// Type, length, content; one after the other.
struct Structures<'t> {
    rest: &'t [u8],
}

impl<'t> Iterator for Structures<'t> {
    type Item = &'t [u8];

    fn next(&mut self) -> Option<&'t [u8]> {
        // A length that leads nowhere ends the walk.
        let length = usize::from(u8_at(self.rest, 1)?);
        if length < 2 {
            return None;
        }
        let (structure, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(structure)
    }
}

fn read(structure: &[u8]) -> Option<Entry> {
    match u8_at(structure, 0)? {
        0x0b => {
            let flags = u32_at(structure, 12)?;
            Some(Entry::Core(Core {
                is_enabled: flags & 1 != 0,
                maintenance: u32_at(structure, 56)?,
                redistributor: u64_at(structure, 60)?,
                mpidr: u64_at(structure, 68)?,
            }))
        }
        0x0c => Some(Entry::Distributor(Distributor {
            base: u64_at(structure, 8)?,
            version: u8_at(structure, 20)?,
        })),
        0x0e => Some(Entry::Redistributors(
            u64_at(structure, 4)?,
            u32_at(structure, 12)?.into(),
        )),
        0x0f => Some(Entry::Its(u64_at(structure, 8)?)),
        _ => None,
    }
}

//! Where the firmware describes the machine: a device tree if there is one, else ACPI.

use core::fmt;

use dtoolkit::model::DeviceTree;
use efi_boot::acpi::{PhysicalMemory, Tables};
use efi_boot::machine::Machine;
use efi_boot::memory::Memory;
use efi_boot::{Refusal, tree};
use smp_boot::{PaRange, fdt};
use uefi::table::cfg::ConfigTableEntry;
use uefi::{Guid, guid, system};

/// A flattened device tree (Embedded Base Boot Requirements 2.3.1).
const DEVICE_TREE: Guid = guid!("b1b621d5-f19c-41a5-830b-d9152c69aae0");

/// What described the machine.
#[derive(Clone, Copy)]
pub enum Source {
    /// The firmware's device tree.
    Tree,
    /// Its ACPI tables.
    Acpi {
        /// Cores that they name and that are not enabled.
        unusable_cores: usize,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tree => "device tree",
            Self::Acpi { .. } => "ACPI",
        })
    }
}

/// The memory that the firmware uses, which alone may hold tables.
struct InUse<'m>(&'m Memory);

impl PhysicalMemory for InUse<'_> {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let range = PaRange::new(address, length as u64)?;
        if address == 0 || !self.0.is_in_use(range) {
            return None;
        }
        // SAFETY: the memory map says that this is RAM that is in use, which the firmware maps where it
        // is and does not write while this application runs.
        Some(unsafe { core::slice::from_raw_parts(address as usize as *const u8, length) })
    }
}

/// Reads it.
pub fn read(memory: &Memory) -> Result<(DeviceTree, Source), Refusal> {
    let memory = InUse(memory);
    if let Some(address) = find(DEVICE_TREE) {
        return Ok((adopt(&memory, address)?, Source::Tree));
    }
    let address = find(ConfigTableEntry::ACPI2_GUID).ok_or(Refusal::NoDescription)?;
    let machine = Machine::read(&Tables::find(&memory, address)?)?;
    let source = Source::Acpi {
        unusable_cores: machine.unusable_cores,
    };
    Ok((tree::describe(&machine), source))
}

fn adopt(memory: &InUse<'_>, address: u64) -> Result<DeviceTree, Refusal> {
    const NOWHERE: Refusal = Refusal::BadTree("it is not in memory");
    let header = memory.bytes(address, 8).ok_or(NOWHERE)?;
    let word = |at: usize| {
        let bytes = header.get(at..)?.first_chunk().copied();
        bytes.map(u32::from_ne_bytes)
    };
    let header = [word(0).ok_or(NOWHERE)?, word(4).ok_or(NOWHERE)?];
    let size = fdt::blob_size(header).map_err(Refusal::BadTree)?;
    tree::adopt(memory.bytes(address, size as usize).ok_or(NOWHERE)?)
}

/// The address of one of the firmware's configuration tables.
fn find(guid: Guid) -> Option<u64> {
    system::with_config_table(|tables| {
        let found = tables.iter().find(|table| table.guid == guid);
        found.map(|table| table.address.addr() as u64)
    })
}

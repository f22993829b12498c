//! The ACPI tables of a machine that is not there, in memory that is not there either.
//!
//! Built by the specification's offsets and not by the crate's, so that the two check each other.

use efi_boot::acpi::{PhysicalMemory, Tables};
use efi_boot::machine::Machine;
use efi_boot::memory::{Descriptor, Memory};
use efi_boot::{Refusal, tree};
use smp_boot::{MachineInfo, PaRange};

/// Where the root pointer lies; tables follow, a page each or more.
pub const ROOT: u64 = 0x7c00_0000;
pub const GICD: u64 = 0x0800_0000;
pub const GICR: u64 = 0x080a_0000;
pub const UART: u64 = 0x0900_0000;

/// Memory with something in it here and there.
#[derive(Clone, Default)]
pub struct Fake(Vec<(u64, Vec<u8>)>);

impl PhysicalMemory for Fake {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        self.0.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(at..at.checked_add(length)?)
        })
    }
}

impl Fake {
    /// What is in it: addresses and bytes.
    pub fn regions(&self) -> &[(u64, Vec<u8>)] {
        &self.0
    }

    /// The same, to be damaged.
    pub fn regions_mut(&mut self) -> &mut [(u64, Vec<u8>)] {
        &mut self.0
    }
}

/// A table with its header.
pub fn table(signature: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut table = vec![0; 36];
    table[..4].copy_from_slice(signature);
    table[8] = 5;
    table[10..16].copy_from_slice(b"TESTER");
    table.extend(content);
    let length = table.len() as u32;
    table[4..8].copy_from_slice(&length.to_le_bytes());
    repair(&mut table);
    table
}

/// Makes a table's bytes sum up to zero.
pub fn repair(table: &mut [u8]) {
    table[9] = 0;
    let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    table[9] = sum.wrapping_neg();
}

/// Places `tables` behind a root pointer.
pub fn place(tables: &[Vec<u8>]) -> Fake {
    let mut memory = Fake::default();
    let mut list = Vec::new();
    let mut at = ROOT + 0x2000;
    for table in tables {
        list.extend(at.to_le_bytes());
        memory.0.push((at, table.clone()));
        at += (table.len() as u64).next_multiple_of(0x1000);
    }
    memory.0.push((ROOT + 0x1000, self::table(b"XSDT", &list)));
    let mut root = b"RSD PTR \0TESTER\x02".to_vec();
    root.resize(20, 0);
    root.extend(36u32.to_le_bytes());
    root.extend((ROOT + 0x1000).to_le_bytes());
    root.resize(36, 0);
    let sum = root.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    root[32] = sum.wrapping_neg();
    memory.0.push((ROOT, root));
    memory
}

/// FADT with these ARM boot flags.
pub fn fadt(flags: u16) -> Vec<u8> {
    let mut content = vec![0; 276 - 36];
    content[129 - 36..131 - 36].copy_from_slice(&flags.to_le_bytes());
    table(b"FACP", &content)
}

/// A GICC structure.
pub fn gicc(mpidr: u64, flags: u32, redistributor: u64) -> Vec<u8> {
    let mut gicc = vec![0; 80];
    gicc[0] = 0x0b;
    gicc[1] = 80;
    gicc[12..16].copy_from_slice(&flags.to_le_bytes());
    gicc[56..60].copy_from_slice(&25u32.to_le_bytes());
    gicc[60..68].copy_from_slice(&redistributor.to_le_bytes());
    gicc[68..76].copy_from_slice(&mpidr.to_le_bytes());
    gicc
}

/// A GICD structure.
pub fn gicd(version: u8) -> Vec<u8> {
    let mut gicd = vec![0; 24];
    gicd[0] = 0x0c;
    gicd[1] = 24;
    gicd[8..16].copy_from_slice(&GICD.to_le_bytes());
    gicd[20] = version;
    gicd
}

/// A GICR structure.
pub fn gicr(base: u64, bytes: u32) -> Vec<u8> {
    let mut gicr = vec![0x0e, 16, 0, 0];
    gicr.extend(base.to_le_bytes());
    gicr.extend(bytes.to_le_bytes());
    gicr
}

/// A GIC ITS structure.
pub fn its(base: u64) -> Vec<u8> {
    let mut its = vec![0x0f, 20, 0, 0, 0, 0, 0, 0];
    its.extend(base.to_le_bytes());
    its.resize(20, 0);
    its
}

/// MADT with these structures.
pub fn madt(structures: &[Vec<u8>]) -> Vec<u8> {
    let mut content = vec![0; 8];
    content.extend(structures.concat());
    table(b"APIC", &content)
}

/// GTDT with PPIs 29, 30, 27 and 26, by level.
pub fn gtdt() -> Vec<u8> {
    let mut content = vec![0; 104 - 36];
    for (at, intid) in [(48, 29u32), (56, 30), (64, 27), (72, 26)] {
        content[at - 36..at - 32].copy_from_slice(&intid.to_le_bytes());
    }
    // The last is by edge.
    content[76 - 36] = 1;
    table(b"GTDT", &content)
}

/// SPCR with this kind of UART, whose registers are `bits` wide and accessed by code `access`.
pub fn spcr(kind: u8, bits: u8, access: u8) -> Vec<u8> {
    let mut content = vec![0; 80 - 36];
    content[0] = kind;
    content[41 - 36] = bits;
    content[43 - 36] = access;
    content[44 - 36..52 - 36].copy_from_slice(&UART.to_le_bytes());
    content[52 - 36] = 8;
    content[54 - 36..58 - 36].copy_from_slice(&33u32.to_le_bytes());
    content[58 - 36] = 7;
    table(b"SPCR", &content)
}

/// MCFG with one segment.
pub fn mcfg() -> Vec<u8> {
    let mut content = vec![0; 8];
    content.extend(0x40_1000_0000u64.to_le_bytes());
    content.extend([0, 0, 0, 0xff, 0, 0, 0, 0]);
    table(b"MCFG", &content)
}

/// The tables of a machine with so many cores, sixteen to a cluster, and an ITS.
pub fn machine(cores: u64) -> Vec<Vec<u8>> {
    let mut structures = vec![gicd(3)];
    structures.extend((0..cores).map(|n| gicc(((n / 16) << 8) + n % 16, 1, 0)));
    let near = cores.min(123);
    structures.push(gicr(GICR, near as u32 * 0x2_0000));
    if cores > near {
        structures.push(gicr(0x40_0000_0000, (cores - near) as u32 * 0x2_0000));
    }
    structures.push(its(0x0808_0000));
    vec![fadt(1), madt(&structures), gtdt(), spcr(3, 32, 3), mcfg()]
}

/// What the tables in `memory` say.
pub fn read(memory: &Fake) -> Result<Machine, Refusal> {
    Machine::read(&Tables::find(memory, ROOT)?)
}

/// RAM from 1 GiB to 2 GiB, its last MiB the firmware's.
pub fn ram() -> Memory {
    let descriptor = |kind, start, end: u64| Descriptor {
        kind,
        start,
        pages: (end - start) / 4096,
        attributes: 0xf,
    };
    let map = [
        descriptor(7, 0x4000_0000, 0x7ff0_0000),
        descriptor(6, 0x7ff0_0000, 0x8000_0000),
    ];
    Memory::read(map.into_iter()).unwrap()
}

/// Where the boot archive lies.
pub fn archive() -> PaRange {
    PaRange::new(0x5000_0000, 0x1234).unwrap()
}

/// What the engine reads in the tree for `machine`, started on core 0.
pub fn engine_reads(machine: &Machine) -> Result<MachineInfo, Refusal> {
    let mut description = tree::describe(machine);
    tree::check(&tree::complete(&mut description, &ram(), archive())?, 0)
}

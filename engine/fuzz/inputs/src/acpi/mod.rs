//! Firmware's descriptions of a machine: ACPI tables, EFI memory maps, device trees of its own.
//!
//! An input is tables (first byte 0 of 4), a memory map and tables (1, 2), or a firmware's tree (3). What the
//! application reads must be what a second reader reads, and the engine must read in the tree that is made of it what
//! the tables said.

mod maker;
mod second;

use efi::acpi::{self, HEADER, Tables};
use efi::machine::Machine;
use efi::memory::{Descriptor, Memory};
use efi::{Refusal, tree};
use smp_boot::machine::{MAX_RAM, MAX_RESERVED};
use smp_boot::wellformed::open;
use smp_boot::{Mpidr, PaRange};

use crate::bytes::Bytes;
use crate::device_tree;
use maker::{Made, ROOT};

/// Plays an input.
///
/// # Panics
/// If something that must hold does not.
pub fn play(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    match bytes.byte() % 4 {
        0 => tables(&mut bytes, &usual_memory()),
        3 => firmware_tree(&mut bytes),
        _ => {
            if let Some(memory) = memory(&mut bytes) {
                tables(&mut bytes, &memory);
            }
        }
    }
}

fn range(start: u64, size: u64) -> PaRange {
    PaRange::new(start, size).expect("a range")
}

/// Where the boot archive lies.
fn archive() -> PaRange {
    range(0x5000_0000, 0x1234)
}

/// RAM from 1 GiB to 2 GiB, its last MiB the firmware's.
fn usual_memory() -> Memory {
    let last = range(0x7ff0_0000, 0x10_0000);
    Memory {
        ram: vec![range(0x4000_0000, 0x4000_0000)],
        reserved: vec![last],
        in_use: vec![last],
    }
}

/// A memory map of the input's, read; nothing if it has no RAM.
fn memory(bytes: &mut Bytes) -> Option<Memory> {
    let count = usize::from(bytes.byte());
    let map: Vec<Descriptor> = (0..count.min(200)).map(|_| descriptor(bytes)).collect();
    let memory = match Memory::read(map.iter().copied()) {
        Ok(memory) => memory,
        Err(error) => {
            assert_eq!(error, Refusal::NoRam);
            return None;
        }
    };
    for list in [&memory.ram, &memory.reserved, &memory.in_use] {
        let gaps = list.windows(2);
        assert!(gaps.into_iter().all(|two| two[0].end() < two[1].start()));
    }
    assert!((1..=MAX_RAM).contains(&memory.ram.len()));
    assert!(memory.reserved.len() < MAX_RESERVED);
    for descriptor in &map {
        let size = descriptor.pages.checked_mul(4096);
        let Some(all) = size.and_then(|size| PaRange::new(descriptor.start, size)) else {
            continue;
        };
        let is_cached = descriptor.attributes & 1 << 3 != 0;
        // UEFI 2.10, 7.2: code and data of loaders and boot services, and what is conventional.
        let is_free = matches!(descriptor.kind, 1..=4 | 7) && descriptor.attributes & 1 << 18 == 0;
        let is_ram = memory.ram.iter().any(|ram| ram.overlaps(all));
        let is_kept = memory.reserved.iter().any(|kept| kept.contains(all));
        if is_cached && !is_free && !all.is_empty() && matches!(descriptor.kind, 0..=10 | 14) {
            assert!(
                is_kept || !is_ram || descriptor.kind == 8,
                "{descriptor:?} is free RAM"
            );
        }
    }
    // No RAM that no descriptor has.
    let total: u128 = map.iter().map(|it| u128::from(it.pages) * 4096).sum();
    let found: u128 = memory.ram.iter().map(|ram| u128::from(ram.size())).sum();
    assert!(found <= total, "RAM from nowhere");
    Some(memory)
}

fn descriptor(bytes: &mut Bytes) -> Descriptor {
    let (kind, place) = (bytes.byte(), bytes.half());
    let odd = [u64::MAX, u64::MAX - 4095, 1 << 63, 1 << 52];
    Descriptor {
        kind: u32::from(kind & 15),
        start: match kind >> 4 {
            15 => bytes.pick(&odd),
            _ => u64::from(place) << 16,
        },
        pages: match bytes.byte() {
            255 => bytes.pick(&odd),
            pages => u64::from(pages) << ((kind >> 4 & 3) * 2),
        },
        attributes: match kind >> 6 {
            2 => 0xf | 1 << 18,
            3 => u64::from(bytes.byte()),
            _ => 0xf,
        },
    }
}

/// Tables, and the tree that is made of them.
fn tables(bytes: &mut Bytes, memory: &Memory) {
    let made = maker::memory(bytes);
    let tables = match Tables::find(&made.memory, ROOT) {
        Ok(tables) => tables,
        Err(_) => {
            assert!(!made.is_reachable, "the tables are there");
            return;
        }
    };
    assert!(made.is_reachable, "a way that is broken was gone");
    for wanted in [acpi::MADT, acpi::FADT, acpi::GTDT, acpi::SPCR, acpi::MCFG] {
        let found = tables.get(wanted);
        let second = second::table(&made, &wanted.0);
        assert_eq!(found.map_err(drop), second, "table {wanted}");
        if let Ok(Some(table)) = found {
            assert!(table.len() >= HEADER);
        }
    }
    if let Ok(machine) = Machine::read(&tables) {
        check(&made, &machine);
        describe(&machine, memory);
    }
}

/// A second reader reads the same.
fn check(made: &Made, machine: &Machine) {
    let need = |signature| {
        let table = second::table(made, signature);
        table
            .ok()
            .flatten()
            .expect("a machine without a table that it needs")
    };
    assert!(second::has_psci(need(b"FACP")), "PSCI from nowhere");
    need(b"GTDT");
    let said = second::madt(need(b"APIC"));
    assert_eq!(machine.cores, said.cores);
    assert_eq!(machine.unusable_cores, said.unusable);
    assert_eq!(machine.its, said.its);
    let (base, version) = said.distributor.expect("a distributor from nowhere");
    assert_eq!(machine.distributor, base);
    assert!(matches!(version, 0 | 3 | 4));
    assert!(!machine.redistributors.is_empty());
    let timers = machine.timers;
    for timer in [
        timers.secure,
        timers.physical,
        timers.virtual_,
        timers.hypervisor,
    ] {
        assert!(timer.is_none_or(|timer| (16..32).contains(&timer.intid)));
    }
    assert!(
        machine
            .maintenance
            .is_none_or(|intid| (16..32).contains(&intid))
    );
    for ecam in &machine.ecam {
        assert!(ecam.buses.0 <= ecam.buses.1);
    }
}

/// The engine reads in the machine's tree what is known of the machine.
fn describe(machine: &Machine, memory: &Memory) {
    let mut description = tree::describe(machine);
    let blob = tree::complete(&mut description, memory, archive()).expect("its own tree");
    assert!(open(&blob).is_some(), "its own tree is none");
    let boot = machine.cores.first().copied().unwrap_or(0);
    let Ok(read) = tree::check(&blob, boot) else {
        return;
    };
    let ram: Vec<PaRange> = memory.ram.clone();
    assert_eq!(read.ram.as_slice(), ram);
    for kept in &memory.reserved {
        assert!(read.reserved.contains(kept), "{kept} is not reserved");
    }
    assert_eq!(read.initrd, Some(archive()));
    let mut cores: Vec<Mpidr> = machine
        .cores
        .iter()
        .map(|it| Mpidr::from_bits(*it))
        .collect();
    let mut found = read.cpus.to_vec();
    cores.sort_unstable();
    // Of two with one name a tree keeps one.
    cores.dedup();
    found.sort_unstable();
    assert_eq!(found, cores);
    let base = machine.distributor / 4096 * 4096;
    assert_eq!(read.gic.distributor.start(), base);
    let regions = read.gic.redistributors.iter().map(|region| region.range);
    let wanted = machine
        .redistributors
        .iter()
        .map(|region| region.pages_around());
    assert!(regions.eq(wanted), "redistributors");
    let timers = machine.timers;
    let said = [timers.physical, timers.virtual_, timers.hypervisor];
    let said = said.map(|timer| timer.map(|timer| timer.intid));
    let timer = read.timer;
    assert_eq!([timer.physical, timer.virtual_, timer.hypervisor], said);
    if let (Some(uart), Some(found)) = (&machine.uart, read.uart) {
        assert_eq!(found.base, uart.base);
    }
}

/// A firmware's own tree, completed.
fn firmware_tree(bytes: &mut Bytes) {
    let blob = device_tree::tree(bytes);
    let Ok(mut adopted) = tree::adopt(&blob) else {
        return;
    };
    let memory = usual_memory();
    let Ok(blob) = tree::complete(&mut adopted, &memory, archive()) else {
        return;
    };
    if let Ok(read) = tree::check(&blob, 0) {
        assert_eq!(read.ram.as_slice(), memory.ram, "RAM that the map has not");
        assert_eq!(read.initrd, Some(archive()));
        let last = memory.reserved[0];
        assert!(read.reserved.contains(&last), "{last} is not reserved");
    }
}

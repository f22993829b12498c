//! A machine's tables, and what the engine reads in the tree that is made of them.

use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};
use efi_boot::{Refusal, acpi, tree};
use smp_boot::PaRange;
use smp_boot::machine::UartKind;

use crate::tables::{self, GICD, GICR, UART};

fn range(start: u64, bytes: u64) -> PaRange {
    PaRange::new(start, bytes).unwrap()
}

#[test]
fn the_engine_reads_what_acpi_says() {
    let machine = tables::read(&tables::place(&tables::machine(18))).unwrap();
    let read = tables::engine_reads(&machine).unwrap();
    let cores: Vec<u64> = read.cpus.iter().map(|core| core.bits()).collect();
    let expected: Vec<u64> = (0..16).chain([0x100, 0x101]).collect();
    assert_eq!(cores, expected);
    assert_eq!(read.gic.distributor, range(GICD, 0x1_0000));
    let frames: Vec<PaRange> = read.gic.redistributors.iter().map(|it| it.range).collect();
    assert_eq!(frames, [range(GICR, 18 * 0x2_0000)]);
    assert_eq!(read.gic.its.as_slice(), [range(0x0808_0000, 0x2_0000)]);
    assert_eq!(read.timer.physical, Some(30));
    assert_eq!(read.timer.virtual_, Some(27));
    assert_eq!(read.timer.hypervisor, Some(26));
    let uart = read.uart.unwrap();
    assert_eq!((uart.base, uart.kind), (UART, UartKind::Pl011));
    assert_eq!(read.ram.as_slice(), [range(0x4000_0000, 0x4000_0000)]);
    assert_eq!(read.reserved.as_slice(), [range(0x7ff0_0000, 0x10_0000)]);
    assert_eq!(read.initrd, Some(tables::archive()));
    assert_eq!(machine.ecam.len(), 1);
}

#[test]
fn many_cores_have_two_regions_of_redistributors() {
    let machine = tables::read(&tables::place(&tables::machine(512))).unwrap();
    let read = tables::engine_reads(&machine).unwrap();
    assert_eq!(read.cpus.len(), 512);
    let bytes = read.gic.redistributors.iter().map(|it| it.range.size());
    assert_eq!(bytes.sum::<u64>(), 512 * 0x2_0000);
    assert_eq!(read.gic.redistributors.len(), 2);
}

#[test]
fn cores_that_are_not_enabled_are_left_out() {
    let mut tables = tables::machine(2);
    let structures = [
        tables::gicd(3),
        tables::gicc(0, 1, 0),
        // Online-capable, and neither.
        tables::gicc(1, 8, 0),
        tables::gicc(2, 0, 0),
        tables::gicc(3, 1, 0),
        tables::gicr(GICR, 0x8_0000),
    ];
    tables[1] = tables::madt(&structures);
    let machine = tables::read(&tables::place(&tables)).unwrap();
    assert_eq!(machine.cores, [0, 3]);
    assert_eq!(machine.unusable_cores, 2);
}

#[test]
fn redistributors_may_be_named_core_by_core() {
    for (version, stride, cores, regions) in [(3, 0x2_0000, 4, 4), (4, 0x4_0000, 100, 1)] {
        let mut structures = vec![tables::gicd(version)];
        let place = |n: u64| GICR + (cores - 1 - n) * stride;
        structures.extend((0..cores).map(|n| tables::gicc(n, 1, place(n))));
        let mut tables = tables::machine(1);
        tables[1] = tables::madt(&structures);
        let machine = tables::read(&tables::place(&tables)).unwrap();
        assert_eq!(machine.redistributors.len(), regions);
        let read = tables::engine_reads(&machine).unwrap();
        let bytes = read.gic.redistributors.iter().map(|it| it.range.size());
        assert_eq!(bytes.sum::<u64>(), cores * stride);
    }
}

#[test]
fn the_host_finds_its_console_and_how_interrupts_are_triggered() {
    let text = |kind, bits, access| {
        let mut tables = tables::machine(1);
        tables[3] = tables::spcr(kind, bits, access);
        let machine = tables::read(&tables::place(&tables)).unwrap();
        let mut tree = tree::describe(&machine);
        let blob = tree::complete(&mut tree, &tables::ram(), tables::archive()).unwrap();
        let fdt = Fdt::new(&blob).unwrap();
        let serial = fdt.find_node("/serial@9000000").unwrap();
        let property = |name| serial.property(name).map(|it| it.value().to_vec());
        let timer = fdt.find_node("/timer").unwrap();
        let triggers = timer.property("interrupts").unwrap().value().to_vec();
        let triggers: Vec<u8> = triggers.chunks_exact(12).map(|cells| cells[11]).collect();
        assert_eq!(triggers, [4, 4, 4, 1]);
        (
            property("compatible").unwrap(),
            property("reg-shift"),
            property("reg-io-width"),
            property("interrupts").unwrap(),
        )
    };
    let (compatible, shift, _, interrupts) = text(0x0e, 32, 3);
    assert_eq!(compatible, b"arm,sbsa-uart\0arm,pl011\0");
    assert_eq!(shift, None);
    assert_eq!(interrupts, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4]);
    let (compatible, shift, width, _) = text(0x12, 32, 3);
    assert_eq!(compatible, b"ns16550a\0");
    assert_eq!(shift.unwrap(), [0, 0, 0, 2]);
    assert_eq!(width.unwrap(), [0, 0, 0, 4]);
}

#[test]
fn the_engine_writes_to_a_16550_as_spcr_has_it() {
    for (bits, access, shift, width) in [
        (8, 1, 0, 1),
        (32, 3, 2, 4),
        (32, 1, 2, 1),
        (16, 2, 1, 2),
        (8, 3, 2, 4),
    ] {
        let mut tables = tables::machine(1);
        tables[3] = tables::spcr(0x12, bits, access);
        let machine = tables::read(&tables::place(&tables)).unwrap();
        let uart = tables::engine_reads(&machine).unwrap().uart.unwrap();
        assert_eq!(uart.kind, UartKind::Ns16550 { shift, width });
    }
}

#[test]
fn a_machine_without_console_or_pci_still_runs() {
    let mut tables = tables::machine(2);
    tables.truncate(3);
    let machine = tables::read(&tables::place(&tables)).unwrap();
    assert!(machine.uart.is_none() && machine.ecam.is_empty());
    assert_eq!(tables::engine_reads(&machine).unwrap().uart, None);
    // Of a kind that nobody here can write to.
    tables.push(tables::spcr(0x10, 32, 3));
    assert!(
        tables::read(&tables::place(&tables))
            .unwrap()
            .uart
            .is_none()
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let refusal = |at: usize, table: Vec<u8>| {
        let mut tables = tables::machine(2);
        tables[at] = table;
        tables::read(&tables::place(&tables)).unwrap_err()
    };
    assert_eq!(refusal(0, tables::fadt(0)), Refusal::NoPsci);
    assert_eq!(refusal(0, tables::fadt(3)), Refusal::PsciByHvc);
    // Of before ACPI 5.1: it ends where the flags would be.
    assert_eq!(
        refusal(0, tables::table(b"FACP", &[0; 80])),
        Refusal::NoPsci
    );
    assert_eq!(
        refusal(0, tables::table(b"NONE", &[])),
        Refusal::NoTable(acpi::FADT)
    );
    assert_eq!(
        refusal(2, tables::table(b"NONE", &[])),
        Refusal::NoTable(acpi::GTDT)
    );
    for structures in [
        vec![tables::gicc(0, 1, 0), tables::gicr(GICR, 0x2_0000)],
        vec![
            tables::gicd(2),
            tables::gicc(0, 1, 0),
            tables::gicr(GICR, 0x2_0000),
        ],
    ] {
        assert_eq!(refusal(1, tables::madt(&structures)), Refusal::NoGicV3);
    }
    // Redistributors by core: one is missing, wraps, or is of a core that is not there.
    for (others, reason) in [
        (tables::gicc(1, 1, 0), Refusal::NoRedistributor),
        (
            tables::gicc(1, 1, u64::MAX - 0xffff),
            Refusal::NoRedistributor,
        ),
        (
            tables::gicc(1, 0, GICR + 0x2_0000),
            Refusal::UnusableRedistributor,
        ),
    ] {
        let structures = [tables::gicd(3), tables::gicc(0, 1, GICR), others];
        assert_eq!(refusal(1, tables::madt(&structures)), reason);
    }
    let mut broken = tables::madt(&[]);
    broken[20] ^= 1;
    assert_eq!(
        refusal(1, broken),
        Refusal::BadTable(acpi::MADT, "checksum")
    );
}

#[test]
fn a_core_that_acpi_does_not_know_is_refused() {
    let structures = [
        tables::gicd(3),
        tables::gicc(7, 1, 0),
        tables::gicr(GICR, 0x2_0000),
    ];
    let mut tables = tables::machine(1);
    tables[1] = tables::madt(&structures);
    let machine = tables::read(&tables::place(&tables)).unwrap();
    let refusal = tables::engine_reads(&machine).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "device tree: boot core 0x0 is not under /cpus"
    );
}

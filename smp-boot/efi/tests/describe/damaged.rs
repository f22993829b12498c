//! Tables with one byte of nonsense after the other: whatever comes of it, it ends.

use efi_boot::acpi::{PhysicalMemory, Tables};
use efi_boot::machine::Machine;
use efi_boot::{Refusal, acpi};

use crate::tables::{self, Fake, ROOT};

/// What is written over a byte.
const NONSENSE: [u8; 5] = [0, 1, 0x7f, 0x80, 0xff];

/// Reads the tables as far as the engine would; whether all went well.
fn survives(memory: &Fake) -> bool {
    let machine = Tables::find(memory, ROOT).and_then(|tables| Machine::read(&tables));
    machine.is_ok_and(|machine| tables::engine_reads(&machine).is_ok())
}

#[test]
fn each_byte_of_each_table_may_be_anything() {
    let whole = tables::machine(3);
    assert!(survives(&tables::place(&whole)));
    let (mut read, mut refused) = (0, 0);
    for table in 0..whole.len() {
        for at in 0..whole[table].len() {
            for byte in NONSENSE {
                let mut tables = whole.clone();
                tables[table][at] = byte;
                // Without and with a checksum that vouches for it.
                let unvouched = survives(&tables::place(&tables));
                tables::repair(&mut tables[table]);
                match survives(&tables::place(&tables)) {
                    true => read += 1,
                    false => refused += 1,
                }
                // A table that must be there is not read with a wrong checksum.
                let is_changed = whole[table][at] != byte;
                assert!(
                    !(is_changed && unvouched && table < 3),
                    "{table} {at} {byte:#x}"
                );
            }
        }
    }
    assert!(
        read > 1000 && refused > 50,
        "{read} read, {refused} refused"
    );
}

#[test]
fn the_way_to_the_tables_may_be_anything() {
    let whole = tables::place(&tables::machine(1));
    for region in 0..whole.regions().len() {
        for at in 0..whole.regions()[region].1.len() {
            for byte in NONSENSE {
                let mut memory = whole.clone();
                memory.regions_mut()[region].1[at] = byte;
                let result = Tables::find(&memory, ROOT).and_then(|it| it.get(acpi::MADT));
                // Found or refused, it came back; what is found is whole.
                if let Ok(Some(table)) = result {
                    assert!(table.len() >= acpi::HEADER);
                }
            }
        }
    }
}

#[test]
fn memory_may_end_anywhere() {
    let whole = tables::place(&tables::machine(2));
    for region in 0..whole.regions().len() {
        for length in 0..whole.regions()[region].1.len() {
            let mut memory = whole.clone();
            let is_optional = memory.regions()[region].1.starts_with(b"SPCR")
                || memory.regions()[region].1.starts_with(b"MCFG");
            memory.regions_mut()[region].1.truncate(length);
            assert_eq!(survives(&memory), is_optional, "{region} {length}");
        }
    }
}

#[test]
fn a_structure_without_length_ends_the_walk() {
    let mut structures = tables::gicd(3);
    structures.extend([0; 64]);
    structures.extend(tables::gicc(0, 1, 0));
    let table = tables::madt(&[structures]);
    let entries = acpi::madt::entries(&table);
    assert_eq!(entries.count(), 1);
    // One that is longer than what is left.
    let mut table = tables::madt(&[tables::gicd(3), tables::gicc(0, 1, 0)]);
    let at = table.len() - 79;
    table[at] = 81;
    assert_eq!(acpi::madt::entries(&table).count(), 1);
}

#[test]
fn lists_that_are_too_long_are_cut() {
    let mut tables = vec![tables::table(b"NONE", &[]); acpi::MAX_TABLES];
    tables.push(tables::fadt(1));
    let memory = tables::place(&tables);
    let tables = Tables::find(&memory, ROOT).unwrap();
    assert_eq!(tables.get(acpi::FADT), Ok(None));
    assert_eq!(
        tables.require(acpi::FADT),
        Err(Refusal::NoTable(acpi::FADT))
    );
    assert!(memory.bytes(u64::MAX, 2).is_none());
}

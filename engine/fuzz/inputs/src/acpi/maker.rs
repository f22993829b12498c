//! Memory with ACPI tables in it, made of an input.

use efi::acpi::PhysicalMemory;

use crate::bytes::Bytes;

/// Where the root pointer lies; tables follow.
pub const ROOT: u64 = 0x7c00_0000;

/// Signatures that an input names by number.
pub const SIGNATURES: [&[u8; 4]; 8] = [
    b"FACP", b"APIC", b"GTDT", b"SPCR", b"MCFG", b"XSDT", b"DSDT", b"RSD ",
];

/// Bits of a table's first byte: the lower three are its signature.
mod flag {
    /// The checksum is as the content has it.
    pub const NO_SUM: u8 = 1 << 3;
    /// So is the length.
    pub const OWN_LENGTH: u8 = 1 << 4;
    /// The table is not in the list.
    pub const UNLISTED: u8 = 1 << 5;
    /// It stands in the list twice.
    pub const TWICE: u8 = 1 << 6;
    /// Its content is a MADT's structures, of some bytes each.
    pub const STRUCTURES: u8 = 1 << 7;
}

/// Memory with something in it here and there.
#[derive(Default)]
pub struct Fake(Vec<(u64, Vec<u8>)>);

impl PhysicalMemory for Fake {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        self.0.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(at..at.checked_add(length)?)
        })
    }
}

/// A table in memory: its bytes, and whether a reader may believe them.
pub struct Placed {
    /// What it says it is.
    pub signature: [u8; 4],
    /// All of it.
    pub bytes: Vec<u8>,
    /// Length and checksum are right.
    pub is_sound: bool,
}

/// Memory, the tables in the order in which they are listed, and whether the way to them is whole.
pub struct Made {
    /// The memory.
    pub memory: Fake,
    /// The tables.
    pub listed: Vec<Placed>,
    /// Root pointer and list are as they should be.
    pub is_reachable: bool,
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Makes the byte at `at` such that all sum up to zero.
fn repair(table: &mut [u8], at: usize) {
    table[at] = 0;
    table[at] = sum(table).wrapping_neg();
}

fn table(signature: &[u8; 4], content: &[u8], flags: u8) -> Vec<u8> {
    let mut table = signature.to_vec();
    table.resize(36, 0);
    table[8] = 5;
    table.extend(content);
    let length = match flags & flag::OWN_LENGTH {
        0 => table.len() as u32,
        _ => u32::from_le_bytes([
            content.first().copied().unwrap_or(0),
            content.get(1).copied().unwrap_or(0),
            0,
            content.get(2).copied().unwrap_or(0),
        ]),
    };
    table[4..8].copy_from_slice(&length.to_le_bytes());
    if flags & flag::NO_SUM == 0 {
        let end = (length as usize).clamp(10, table.len());
        repair(&mut table[..end], 9);
    }
    table
}

/// One structure of a MADT: GICC, GICD, GICR or ITS with numbers that mean something, or any.
fn structure(bytes: &mut Bytes) -> Vec<u8> {
    const BASES: [u64; 8] = [
        0,
        0x800_0000,
        0x808_0000,
        0x80a_0000,
        0x40_0000_0000,
        0x80c_0000,
        u64::MAX - 0xffff,
        1 << 63,
    ];
    let kind = bytes.byte();
    let mut made = match kind % 8 {
        0 | 1 => vec![0; 80],
        2 => vec![0; 24],
        3 => vec![0; 16],
        4 => vec![0; 20],
        _ => return bytes.take(usize::from(kind >> 3)),
    };
    made[1] = made.len() as u8;
    let mut put = |at: usize, value: &[u8]| made[at..at + value.len()].copy_from_slice(value);
    match kind % 8 {
        0 | 1 => {
            let choice = bytes.byte();
            put(0, &[0x0b]);
            put(12, &u32::from(choice & 1).to_le_bytes());
            put(56, &(u32::from(choice >> 1 & 0x1f) + 8).to_le_bytes());
            let frames = match choice >> 6 {
                0 => 0,
                1 => bytes.pick(&BASES),
                _ => 0x80a_0000 + (u64::from(bytes.byte()) << 17),
            };
            put(60, &frames.to_le_bytes());
            let mpidr = u64::from(bytes.byte());
            put(68, &(mpidr & 0xf | (mpidr >> 4) << 8).to_le_bytes());
        }
        2 => {
            put(0, &[0x0c]);
            put(8, &bytes.pick(&BASES).to_le_bytes());
            put(20, &[bytes.byte() % 6]);
        }
        3 => {
            put(0, &[0x0e]);
            put(4, &bytes.pick(&BASES).to_le_bytes());
            put(12, &(u32::from(bytes.byte()) << 16).to_le_bytes());
        }
        _ => {
            put(0, &[0x0f]);
            put(8, &bytes.pick(&BASES).to_le_bytes());
        }
    }
    // Some are shorter than their kind.
    if kind >= 0xf0 {
        let length = made.len() - usize::from(kind >> 3 & 1) * 4 - 1;
        made.truncate(length);
        made[1] = length as u8;
    }
    made
}

/// The memory that the rest of an input describes.
pub fn memory(bytes: &mut Bytes) -> Made {
    let way = bytes.byte();
    let (mut memory, mut listed) = (Fake::default(), Vec::new());
    let mut list = Vec::new();
    let mut at = ROOT + 0x2000;
    while !bytes.is_empty() && listed.len() < 12 {
        let flags = bytes.byte();
        let signature = SIGNATURES[usize::from(flags & 7)];
        let content = if flags & flag::STRUCTURES != 0 {
            let count = bytes.byte() % 12;
            let mut content = vec![0; 8];
            content.extend((0..count).flat_map(|_| structure(bytes)));
            content
        } else {
            let length = usize::from(bytes.half()) % 0x400;
            bytes.take(length)
        };
        let table = table(signature, &content, flags);
        let times = match flags & (flag::UNLISTED | flag::TWICE) {
            flag::UNLISTED => 0,
            flag::TWICE => 2,
            _ => 1,
        };
        for _ in 0..times {
            list.extend(at.to_le_bytes());
            let length = u32::from_le_bytes(table[4..8].try_into().expect("four bytes")) as usize;
            let said = table.get(..length).filter(|_| length >= 36);
            listed.push(Placed {
                signature: *signature,
                is_sound: said.is_some_and(|said| sum(said) == 0),
                bytes: said.unwrap_or(&table).to_vec(),
            });
        }
        let pages = (table.len() as u64).next_multiple_of(0x1000);
        memory.0.push((at, table));
        at += pages;
    }
    let mut xsdt = self::table(b"XSDT", &list, 0);
    let mut root = b"RSD PTR \0FUZZER\x02".to_vec();
    root.resize(36, 0);
    root[20] = 36;
    root[24..32].copy_from_slice(&(ROOT + 0x1000).to_le_bytes());
    repair(&mut root, 32);
    // Ways in which the way to the tables is broken.
    match way {
        1 => root[usize::from(way)] ^= 1,
        2 => {
            root[15] = 1;
            repair(&mut root, 32);
        }
        3 => root[33] ^= 1,
        4 => root.truncate(35),
        5 => xsdt[9] ^= 1,
        6 => {
            xsdt[0] = b'R';
            repair(&mut xsdt, 9);
        }
        7 => {
            root[24..32].copy_from_slice(&(u64::MAX - 8).to_le_bytes());
            repair(&mut root, 32);
        }
        _ => {}
    }
    memory.0.push((ROOT + 0x1000, xsdt));
    memory.0.push((ROOT, root));
    Made {
        memory,
        listed,
        is_reachable: !(1..=7).contains(&way),
    }
}

//! RAM, and what of it is the firmware's for good, from the EFI memory map (UEFI specification 2.10, 7.2).
//!
//! What boot services and loaders use is free once they are left. Runtime services, ACPI tables, and
//! whatever else the firmware does not call free is RAM that is reserved. What cannot be cached is
//! not RAM.
//!
//! Invariants: what the firmware keeps is in [`Memory::reserved`] or outside [`Memory::ram`]; both
//! lists are ascending, with gaps between their ranges, and no longer than the engine has room for.

use alloc::vec::Vec;

use smp_boot::PaRange;
use smp_boot::machine::{MAX_RAM, MAX_RESERVED};

use crate::Refusal;
use crate::machine::join_touching;

/// Reserved ranges that the firmware's own tree may have beside those of the map.
const SPARE: usize = 32;

/// Attribute: the memory can be cached, write-back.
const WRITE_BACK: u64 = 1 << 3;
/// Attribute: the memory is set aside for a purpose of its own.
const SPECIAL: u64 = 1 << 18;

/// What a range is used for, by its number in the map.
mod kind {
    pub const RESERVED: u32 = 0;
    pub const LOADER_CODE: u32 = 1;
    pub const BOOT_SERVICES_DATA: u32 = 4;
    pub const CONVENTIONAL: u32 = 7;
    /// With memory errors.
    pub const UNUSABLE: u32 = 8;
    pub const ACPI_NVS: u32 = 10;
    pub const PERSISTENT: u32 = 14;
}

/// One range of the map.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// What it is used for.
    pub kind: u32,
    /// First byte.
    pub start: u64,
    /// Pages of 4 KiB.
    pub pages: u64,
    /// How it can be accessed.
    pub attributes: u64,
}

/// The machine's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All RAM.
    pub ram: Vec<PaRange>,
    /// What of it the firmware keeps.
    pub reserved: Vec<PaRange>,
    /// What of it holds something now, tables for instance.
    pub in_use: Vec<PaRange>,
}

impl Memory {
    /// Reads a memory map.
    pub fn read(map: impl Iterator<Item = Descriptor>) -> Result<Self, Refusal> {
        let mut memory = Self::default();
        for descriptor in map {
            let bytes = descriptor.pages.checked_mul(4096);
            let range = bytes.and_then(|bytes| PaRange::new(descriptor.start, bytes));
            let Some(range) = range.filter(|range| !range.is_empty() && is_ram(&descriptor)) else {
                continue;
            };
            memory.ram.push(range);
            if !is_free(&descriptor) {
                memory.reserved.push(range);
            }
            if descriptor.kind != kind::CONVENTIONAL {
                memory.in_use.push(range);
            }
        }
        for list in [&mut memory.ram, &mut memory.reserved, &mut memory.in_use] {
            list.sort_unstable();
            *list = join_touching(list);
        }
        while memory.ram.len() > MAX_RAM {
            remove_smallest(&mut memory.ram);
        }
        while memory.reserved.len() > MAX_RESERVED - SPARE {
            close_smallest_gap(&mut memory.reserved);
        }
        match memory.ram.is_empty() {
            true => Err(Refusal::NoRam),
            false => Ok(memory),
        }
    }

    /// Whether all of `range` holds something that may be read.
    pub fn is_in_use(&self, range: PaRange) -> bool {
        self.in_use.iter().any(|it| it.contains(range))
    }
}

fn is_ram(descriptor: &Descriptor) -> bool {
    let may_be = matches!(
        descriptor.kind,
        kind::RESERVED..=kind::ACPI_NVS | kind::PERSISTENT
    );
    may_be && descriptor.kind != kind::UNUSABLE && descriptor.attributes & WRITE_BACK != 0
}

fn is_free(descriptor: &Descriptor) -> bool {
    let is_free = matches!(
        descriptor.kind,
        kind::LOADER_CODE..=kind::BOOT_SERVICES_DATA | kind::CONVENTIONAL
    );
    is_free && descriptor.attributes & SPECIAL == 0
}

/// Goes without the smallest range.
fn remove_smallest(ranges: &mut Vec<PaRange>) {
    let smallest = (0..ranges.len()).min_by_key(|&at| ranges[at].size());
    if let Some(at) = smallest {
        ranges.remove(at);
    }
}

/// Takes the smallest gap between two ranges for theirs.
fn close_smallest_gap(ranges: &mut Vec<PaRange>) {
    let gap = |at: &usize| ranges[at + 1].start() - ranges[*at].end();
    let smallest = (0..ranges.len().saturating_sub(1)).min_by_key(gap);
    if let Some(at) = smallest {
        ranges[at] = ranges[at].hull(ranges[at + 1]);
        ranges.remove(at + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(kind: u32, start: u64, pages: u64) -> Descriptor {
        Descriptor {
            kind,
            start,
            pages,
            attributes: 0xf,
        }
    }

    fn read(map: &[Descriptor]) -> Memory {
        Memory::read(map.iter().copied()).unwrap()
    }

    fn pages(start: u64, count: u64) -> PaRange {
        PaRange::new(start, count * 4096).unwrap()
    }

    #[test]
    fn what_boot_used_is_free_and_what_runtime_uses_is_not() {
        // In no order, as the specification allows.
        let memory = read(&[
            descriptor(7, 0x8000, 2),
            descriptor(3, 0x1000, 1),
            descriptor(5, 0x2000, 1),
            descriptor(9, 0x3000, 1),
            descriptor(4, 0x4000, 4),
            descriptor(11, 0x10_0000, 16),
        ]);
        assert_eq!(memory.ram, [pages(0x1000, 9)]);
        assert_eq!(memory.reserved, [pages(0x2000, 2)]);
        assert!(memory.is_in_use(pages(0x3000, 3)));
        assert!(!memory.is_in_use(pages(0x7000, 2)));
    }

    #[test]
    fn what_cannot_be_cached_is_no_ram_and_what_is_special_is_reserved() {
        let mut device = descriptor(0, 0x1000, 1);
        device.attributes = 1;
        let mut special = descriptor(7, 0x8000, 1);
        special.attributes |= SPECIAL;
        let memory = read(&[device, special, descriptor(7, 0x9000, 1)]);
        assert_eq!(memory.ram, [pages(0x8000, 2)]);
        assert_eq!(memory.reserved, [pages(0x8000, 1)]);
    }

    #[test]
    fn ranges_that_wrap_are_passed_over() {
        let wrapping = [
            descriptor(7, u64::MAX - 4095, 2),
            descriptor(7, 0x1000, u64::MAX),
            descriptor(7, 0x1000, 0),
        ];
        assert_eq!(Memory::read(wrapping.into_iter()), Err(Refusal::NoRam));
    }

    #[test]
    fn long_lists_are_shortened_without_giving_anything_away() {
        // Every other page is the firmware's; one gap is larger than all others.
        let mut map = alloc::vec![descriptor(7, 0x10_0000, 1 << 20)];
        for n in 0..300 {
            let large_gap = if n < 150 { 0 } else { 0x100_0000 };
            map.push(descriptor(6, 0x20_0000 + n * 0x2000 + large_gap, 1));
        }
        let memory = read(&map);
        assert_eq!(memory.reserved.len(), MAX_RESERVED - SPARE);
        for kept in &map[1..] {
            let kept = pages(kept.start, 1);
            assert!(memory.reserved.iter().any(|range| range.contains(kept)));
        }
        let in_gap = pages(0x100_0000, 1);
        assert!(!memory.reserved.iter().any(|range| range.overlaps(in_gap)));

        let holes = (0..100).map(|n| descriptor(7, n * 0x100_0000, 1 + n));
        let memory = Memory::read(holes).unwrap();
        assert_eq!(memory.ram.len(), MAX_RAM);
        assert_eq!(memory.ram[0], pages(36 * 0x100_0000, 37));
    }
}

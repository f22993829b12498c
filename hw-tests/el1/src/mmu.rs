//! The identity map, built once with the MMU off, and walks through tables of the caller's choice.
//!
//! Invariants: the lower half maps RAM (reserved parts included, so that the engine's stage 2 and
//! not this map answers an attack) as Normal write-back read-write-execute, the GIC's and the
//! UART's registers as Device-nGnRE, and nothing else; it never changes after boot. The upper half
//! is empty except inside [`walk_through`]. Written by `build_map` alone.
//!
//! Descriptors: Arm ARM D8.3 (VMSAv8-64, 4 KiB granule, 48-bit input, first level 0).

use crate::{
    PAGE,
    machine::{self, Range},
    probe::{self, Fault},
};
use aarch64_cpu::{
    asm::barrier,
    registers::{TTBR1_EL1, Writeable},
};
use core::cell::UnsafeCell;
use dtoolkit::fdt::Fdt;

/// MAIR_EL1: attribute 0 = Normal write-back read/write-allocate, attribute 1 = Device-nGnRE.
pub(crate) const MAIR: u64 = 0x04ff;
/// TCR_EL1 without IPS: both halves 48 bits, 4 KiB granules, walks write-back inner shareable.
pub(crate) const TCR: u64 =
    16 | 1 << 8 | 1 << 10 | 3 << 12 | 16 << 16 | 1 << 24 | 1 << 26 | 3 << 28 | 2 << 30;
/// SCTLR_EL1: RES1 and legacy-behaviour bits, stack alignment check, caches and MMU on.
pub(crate) const SCTLR: u64 = 0x30d0_0800 | 1 << 12 | 1 << 3 | 1 << 2 | 1;

/// Lowest address of the upper half.
pub const UPPER_HALF: u64 = 0xffff_0000_0000_0000;

const BLOCK_2M: u64 = 2 << 20;
const BLOCK_1G: u64 = 1 << 30;
const TABLE: u64 = 0b11;
const BLOCK: u64 = 0b01;
const ACCESSED: u64 = 1 << 10;
const INNER_SHAREABLE: u64 = 3 << 8;
const DEVICE_INDEX: u64 = 1 << 2;
const NEVER_EL0: u64 = 1 << 54;
const NEVER_EL1: u64 = 1 << 53;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

const NORMAL: u64 = BLOCK | ACCESSED | INNER_SHAREABLE | NEVER_EL0;
const DEVICE: u64 = BLOCK | ACCESSED | DEVICE_INDEX | NEVER_EL0 | NEVER_EL1;

/// Tables of the map: one level-0, a level-1 per 512 GiB, a level-2 per partly covered GiB.
const TABLES: usize = 24;

/// One translation table.
#[repr(C, align(4096))]
pub(crate) struct Table(UnsafeCell<[u64; 512]>);

// SAFETY: written only by the boot core before any other runs; afterwards read by walkers alone.
unsafe impl Sync for Table {}

impl Table {
    const fn new() -> Self {
        Self(UnsafeCell::new([0; 512]))
    }
}

/// What the upper half's walk starts from: nothing is mapped there.
pub(crate) static EMPTY_TABLE: Table = Table::new();
static POOL: [Table; TABLES] = [const { Table::new() }; TABLES];

/// Hands out the tables of [`POOL`] in order.
struct Builder {
    used: usize,
}

impl Builder {
    fn take_table(&mut self) -> *mut u64 {
        let table = &POOL[self.used];
        self.used += 1;
        table.0.get().cast()
    }

    /// The table that entry `index` of `table` points to, made if there is none.
    ///
    /// # Safety
    /// `table` is a table of this builder; nothing walks it yet; the entry is no block.
    unsafe fn descend(&mut self, table: *mut u64, index: u64) -> *mut u64 {
        // SAFETY: `index` is below 512 by its callers' masks; the table is exclusively ours.
        unsafe {
            let entry = table.add(index as usize);
            if *entry == 0 {
                *entry = self.take_table() as u64 | TABLE;
            }
            (*entry & ADDRESS) as *mut u64
        }
    }

    /// Maps `range`, widened to 2 MiB borders, in the largest blocks that fit.
    ///
    /// # Safety
    /// As for [`Self::descend`], with `root` the level-0 table.
    unsafe fn map(&mut self, root: *mut u64, range: Range, attributes: u64) {
        let mut at = range.start & !(BLOCK_2M - 1);
        let end = range.end().next_multiple_of(BLOCK_2M);
        while at < end {
            // SAFETY: by this function's contract.
            unsafe {
                let level1 = self.descend(root, at >> 39 & 511);
                let entry = level1.add((at >> 30 & 511) as usize);
                if at.is_multiple_of(BLOCK_1G) && end - at >= BLOCK_1G && *entry == 0 {
                    *entry = at | attributes;
                    at += BLOCK_1G;
                } else {
                    let level2 = self.descend(level1, at >> 30 & 511);
                    *level2.add((at >> 21 & 511) as usize) = at | attributes;
                    at += BLOCK_2M;
                }
            }
        }
    }
}

/// Builds the identity map and returns its root.
///
/// # Safety
/// Once, on the boot core, MMU off.
pub(crate) unsafe fn build_map(tree: Fdt<'_>) -> u64 {
    let mut builder = Builder { used: 0 };
    let root = builder.take_table();
    // SAFETY: the pool is ours alone now; RAM and device ranges of a sane tree do not share a 2 MiB
    // block, and a block is only ever written over by an equal one.
    unsafe {
        machine::for_each_ram(tree, |ram| builder.map(root, ram, NORMAL));
        machine::for_each_gic_frame(tree, |_, frame| builder.map(root, frame, DEVICE));
        if let Some((uart, _)) = machine::find_uart(tree) {
            builder.map(
                root,
                Range {
                    start: uart,
                    size: PAGE,
                },
                DEVICE,
            );
        }
    }
    root as u64
}

/// Root of the map, for secondaries.
pub(crate) fn root() -> u64 {
    POOL[0].0.get() as u64
}

/// Makes this core's upper-half walk begin at the page `table` and loads from `address` through it.
///
/// The vectors and everything else lie in the lower half, so that a walk that aborts does no other
/// harm.
pub fn walk_through(table: u64, address: u64) -> Result<u64, Fault> {
    set_upper_root(table);
    let result = probe::load(UPPER_HALF | address);
    set_upper_root(EMPTY_TABLE.0.get() as u64);
    result
}

/// Where stage 1 alone takes a load from `address`, if it takes it anywhere (Arm ARM C5.5.2).
pub fn translate(address: u64) -> Option<u64> {
    let result: u64;
    // SAFETY: the address translation instruction changes PAR_EL1 only, which nobody else uses.
    unsafe {
        core::arch::asm!(
            "at s1e1r, {address}",
            "isb",
            "mrs {result}, par_el1",
            address = in(reg) address,
            result = out(reg) result,
            options(nostack, preserves_flags),
        );
    }
    (result & 1 == 0).then_some(result & ADDRESS | address & (PAGE - 1))
}

fn set_upper_root(table: u64) {
    TTBR1_EL1.set(table);
    barrier::isb(barrier::SY);
    // SAFETY: invalidating this core's translations only makes it walk again.
    unsafe {
        core::arch::asm!(
            "tlbi vmalle1",
            "dsb nsh",
            "isb",
            options(nostack, preserves_flags)
        );
    }
}

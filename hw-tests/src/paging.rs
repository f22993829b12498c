//! Stage-1 tables of test guests, so that TLBs hold combined entries and walks go through IPAs.
//!
//! The tables lie in lent pages, which the host fills and can take back. They map the guest's first GiBs one
//! to one, and from [`ALIAS`] on the pages of its choice, by 4 KiB through one level-3 table for each 2 MiB,
//! or by 2 MiB. Invariant: a table is written before a vCPU walks it, or by a test that means it.
//!
//! Descriptors: Arm ARM D8.3 (VMSAv8-64, 4 KiB granule, 39-bit input, first level 1).

use crate::{
    guest::{DATA, RAM, WINDOW},
    outcome::TestResult,
    vm::TestVm,
};
use el1::PAGE;

/// The level-1 table.
pub const ROOT: u64 = WINDOW + 0x80_000;
/// The level-2 table.
const MIDDLE: u64 = ROOT + PAGE;
/// The level-3 tables, one after the other.
pub const LEAVES: u64 = MIDDLE + PAGE;
/// How many there are.
pub const LEAF_TABLES: u64 = 3;
/// Where the level-3 tables translate: each 2 MiB.
pub const ALIAS: u64 = 0x8000_0000;
/// Where [`DATA`] is once more, by one entry of 2 MiB.
pub const ALIAS_OF_DATA: u64 = ALIAS + LEAF_TABLES * BLOCK;
/// What one level-3 table translates.
pub const BLOCK: u64 = 2 << 20;

const TABLE: u64 = 0b11;
const LEAF: u64 = 0b11;
const BLOCK_LEAF: u64 = 0b01;
/// AF, inner shareable, attribute 0 of MAIR_EL1: write-back as the puppet sets it.
const NORMAL: u64 = 1 << 10 | 3 << 8;

/// Writes an entry of the table in the host's page `table`.
///
/// # Safety
/// The page is lent for a table, and Rust has nothing in it.
unsafe fn put(table: u64, index: u64, entry: u64) {
    // SAFETY: by this function's contract; an index is below 512.
    unsafe { ((table + index % 512 * 8) as *mut u64).write_volatile(entry) };
}

/// Lends `vm` its tables: all of [`ALIAS`] leads to the pages from `target` on, which is 2 MiB-aligned or in the
/// window.
pub fn prepare(vm: &mut TestVm, target: u64) -> TestResult {
    let (root, middle) = (vm.lend(ROOT)?, vm.lend(MIDDLE)?);
    link(root, MIDDLE);
    for table in 0..LEAF_TABLES {
        aim(vm.lend(LEAVES + table * PAGE)?, target);
        point(middle, table, LEAVES + table * PAGE);
    }
    // SAFETY: just lent, for a table.
    unsafe { put(middle, LEAF_TABLES, DATA | NORMAL | BLOCK_LEAF) };
    Ok(())
}

/// Makes the lent page `root` a level-1 table that maps the guest's memory one to one, and [`ALIAS`] through the
/// level-2 table `middle`.
pub fn link(root: u64, middle: u64) {
    // SAFETY: lent for a table.
    unsafe {
        put(root, RAM >> 30, RAM | NORMAL | BLOCK_LEAF);
        put(root, ALIAS >> 30, middle | TABLE);
    }
}

/// Makes the entry `index` of the lent level-2 table `middle` lead to the level-3 table `leaves`.
pub fn point(middle: u64, index: u64, leaves: u64) {
    // SAFETY: lent for a table.
    unsafe { put(middle, index, leaves | TABLE) };
}

/// Makes the lent page `leaves` a level-3 table that leads to the 2 MiB from `target` on.
pub fn aim(leaves: u64, target: u64) {
    for index in 0..BLOCK / PAGE {
        // SAFETY: lent for a table.
        unsafe { put(leaves, index, (target + index * PAGE) | NORMAL | LEAF) };
    }
}

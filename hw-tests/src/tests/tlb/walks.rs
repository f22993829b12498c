//! Walks of stage-1 tables go through IPAs: when the page of such a table is taken away, nobody walks it on
//! through the stage-2 entry that he had for it.
//!
//! These entries are what IPAS2E1IS and RIPAS2E1IS are for; combined ones go by VMALLE1IS. Three tables in a
//! row: one goes by a page's invalidation, two by a range's, of three the last by the odd page's, where there are
//! ranges. (QEMU drops more than the range that it is told, so that the odd page waits for real hardware.) Scenario 12: valid to invalid without TLBI.

use super::hammer::{flushes, take_by, tell_flushes};
use crate::{
    crew::{Fleet, faulted, unlend},
    guest::{DATA, WINDOW},
    outcome::TestResult,
    paging::{ALIAS, BLOCK, LEAVES},
    random::Random,
    runner::register,
    vm::{ALL, TestVm, in_full, take_patterned},
};
use alloc::{format, sync::Arc};
use el1::{PAGE, call, mmu, pages};

register!(
    "tlb::walks": guests_last_table,
    guests_two_tables,
    guests_three_tables,
    hosts_table,
    hosts_two_tables,
    hosts_three_tables,
);

/// VM_UNLEND of the first `count` level-3 tables; all vCPUs are at work through the last of these.
fn unlend_tables(count: u64) -> TestResult {
    let fleet = Arc::new(Fleet::muster(|_, vm| {
        vm.lend(WINDOW)?;
        Ok(WINDOW)
    })?);
    let before = flushes();
    let last = LEAVES + (count - 1) * PAGE;
    fleet.sail(
        move |_, member| member.sweep(ALIAS + (count - 1) * BLOCK, 1),
        move |fleet| {
            for crew in &fleet.crews {
                unlend(&crew.vm, LEAVES, count)?;
            }
            fleet.wait_for_faults()
        },
        move |fleet, member, exit| faulted(fleet, member, exit, last, last + PAGE),
    )?;
    tell_flushes(&format!("{count} tables of a guest"), before)?;
    fleet.destroy(false)
}

fn guests_last_table(_: &mut Random) -> TestResult {
    unlend_tables(1)
}

fn guests_two_tables(_: &mut Random) -> TestResult {
    unlend_tables(2)
}

fn guests_three_tables(_: &mut Random) -> TestResult {
    unlend_tables(3)
}

/// Entries of the host's tables: to the next one, and a block of 1 GiB, accessed, inner shareable.
const TABLE: u64 = 0b11;
const GIB: u64 = 0b01 | 1 << 10 | 3 << 8;

/// VM_MAP of `count` pages of which the last is the level-0 table of every core's upper half.
fn donate_tables(count: u64) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let (pa, next) = (take_patterned(count, PAGE)?, take_patterned(1, PAGE)?);
    vm.own(pa, count);
    let table = pa + (count - 1) * PAGE;
    // The one GiB that is read is the one with the tables.
    let gib = pa & !((1 << 30) - 1);
    // SAFETY: both pages were just taken.
    unsafe {
        (table as *mut u64).write_volatile(next | TABLE);
        ((next + (gib >> 30) * 8) as *mut u64).write_volatile(gib | GIB);
    }
    let (handle, before) = (vm.handle, flushes());
    let walker = move |_| move |_| Ok(mmu::walk_through(table, next).is_ok());
    take_by(1, walker, move || {
        in_full("VM_MAP", count, |done, left| {
            call::vm_map(handle, pa + done * PAGE, DATA + done * PAGE, left, ALL)
        })
    })?;
    tell_flushes(&format!("{count} tables of the host"), before)?;
    // SAFETY: the table above it is gone from all cores.
    unsafe { pages::give(next, 1) };
    vm.destroy()
}

fn hosts_table(_: &mut Random) -> TestResult {
    donate_tables(1)
}

fn hosts_two_tables(_: &mut Random) -> TestResult {
    donate_tables(2)
}

fn hosts_three_tables(_: &mut Random) -> TestResult {
    donate_tables(3)
}

//! Pages that leave the host are gone for all its cores when the call returns.
//!
//! Scenario 12: valid to invalid without TLBI. Scenario 13: only some pages of a batch flushed.

use super::hammer::{flushes, take_under_all, tell_flushes};
use crate::{
    guest::DATA,
    outcome::{OrFail, TestResult, check},
    random::Random,
    runner::register,
    vm::{ALL, TestVm, fill, in_full, insist, take_patterned},
};
use abi::{Status, VmHandle, limit};
use alloc::vec::Vec;
use el1::{PAGE, call, pages, println};

register!("tlb::donate": run_of_pages, single_page, block, part_of_a_block, scattered_pages);

/// Pages of a batch: flushed one by one where there are no ranges.
const BATCH: u64 = 24;
/// Pages of a list: the whole VMID is flushed.
const SCATTERED: u64 = 40;
/// Of a block each so-many-th page is looked at.
const STRIDE: usize = 32;
/// Pages of a block.
const BLOCK: u64 = limit::RUN_PAGES as u64;

/// VM_MAP of a run of which every `stride`th page is in use on all cores.
fn donate(what: &str, count: u64, align: u64, stride: usize) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let pa = take_patterned(count, align)?;
    vm.own(pa, count);
    let (handle, before) = (vm.handle, flushes());
    let watched = (pa..pa + count * PAGE).step_by(PAGE as usize * stride);
    take_under_all(watched.collect(), move || {
        in_full("VM_MAP", count, |done, left| {
            call::vm_map(handle, pa + done * PAGE, DATA + done * PAGE, left, ALL)
        })
    })?;
    tell_flushes(what, before)?;
    vm.destroy()
}

fn run_of_pages(_: &mut Random) -> TestResult {
    donate("run_of_pages", BATCH, PAGE, 1)
}

fn single_page(_: &mut Random) -> TestResult {
    donate("single_page", 1, PAGE, 1)
}

fn block(_: &mut Random) -> TestResult {
    donate("block", BLOCK, BLOCK * PAGE, STRIDE)
}

fn part_of_a_block(_: &mut Random) -> TestResult {
    donate("part_of_a_block", 3, BLOCK * PAGE, 1)
}

/// Pages of a list for which the whole VMID is flushed.
const MANY: u64 = 32;

/// VM_MAP_LIST until all `n` pages are the VM's; were there many in one call? A block that has to be split by
/// break-before-make is in nobody's map for a moment, and a page of it that another core touches then is busy.
fn give_list(vm: VmHandle, list: u64, n: u64) -> TestResult<bool> {
    let (mut done, mut were_many) = (0, false);
    while done < n {
        let batch = insist(|| call::vm_map_list(vm, list, n - done)).or_fail("VM_MAP_LIST")?;
        were_many |= batch.done >= MANY;
        let left = n - done - batch.done;
        check!(
            matches!(batch.reason, Status::Success | Status::Busy),
            "VM_MAP_LIST: {batch:?} of {n} pages behind {done}"
        );
        let entries = list as *mut [u64; 2];
        // SAFETY: the list is the caller's, and has so many entries left.
        unsafe { entries.copy_from(entries.add(batch.done as usize), left as usize) };
        done += batch.done;
    }
    Ok(were_many)
}

/// Every second page of a run, by a list.
fn scattered_pages(_: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    // With tables on both sides by then, one call takes many.
    let first = take_patterned(1, PAGE)?;
    vm.donate(first, DATA + SCATTERED * PAGE, 1)?;
    let list = pages::take(1, PAGE).or_fail("a page for the list")?;
    let mut given = Vec::new();
    let mut between = Vec::new();
    for index in 0..SCATTERED {
        let (pa, next) = (
            take_patterned(1, PAGE)?,
            pages::take(1, PAGE).or_fail("a page")?,
        );
        vm.own(pa, 1);
        given.push(pa);
        between.push(next);
        let entry = [pa, (DATA + index * PAGE) | ALL.bits()];
        // SAFETY: the list page was just taken, 16 bytes an entry.
        unsafe {
            (list as *mut [u64; 2])
                .add(index as usize)
                .write_volatile(entry)
        };
    }
    let (handle, before) = (vm.handle, flushes());
    take_under_all(given, move || {
        if give_list(handle, list, SCATTERED)? {
            check!(flushes().1 > before.1, "the whole VMID was not flushed");
        } else {
            println!("note scattered_pages: a few in each call");
        }
        Ok(())
    })?;
    tell_flushes("scattered_pages", before)?;
    for page in between.into_iter().chain([list]) {
        fill(page, 1, 0);
        // SAFETY: taken above, and unused.
        unsafe { pages::give(page, 1) };
    }
    vm.destroy()
}

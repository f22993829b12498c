//! Pages go to a VM and come home: the host can't reach them meanwhile, and they are zero after.
//!
//! Scenario 8: ranges. Scenario 13: every page of a batch is scrubbed and flushed. Scenario 20: the
//! scrub reaches memory. Scenario 23: built content is scrubbed too.

use crate::{
    guest::DATA,
    outcome::{OrFail, TestResult, check, check_eq, complete, refused},
    puppet,
    random::Random,
    runner::register,
    vm::{ALL, PATTERN, TestVm, fill, find_other, in_full, insist, take_patterned},
};
use abi::{PageClass, Status, limit};
use alloc::vec::Vec;
use el1::{PAGE, call, pages, probe};

register!(
    "roundtrip": single_pages,
    block,
    batch_that_is_no_block,
    list,
    batch_stops_at_a_foreign_page,
    running_vm,
    pool,
);

/// Pages of a 2 MiB block.
const BLOCK: u64 = limit::RUN_PAGES as u64;

/// Requires that the host reaches none of these pages, whatever it had in its TLB.
fn check_unreachable(pa: u64, count: u64) -> TestResult {
    for page in (pa..pa + count * PAGE).step_by(PAGE as usize) {
        let fault = probe::load(page)
            .err()
            .or_fail("a load from a donated page faults")?;
        check!(
            fault.is_abort() && fault.far == page,
            "load {page:#x}: {fault}"
        );
        // SAFETY: a store that succeeds hits a page of the test's own VM; the test fails.
        let stored = unsafe { probe::store(page + 0x80, 1) };
        check!(stored.is_err(), "store to {page:#x} succeeded");
        let (class, _) = call::page_info(page).or_fail("PAGE_INFO")?;
        check_eq!(class, PageClass::NotYours.raw(), "class of {page:#x}");
    }
    Ok(())
}

/// Donates `count` pages in one call, checks, and brings them home.
fn round_trip(pa: u64, ipa: u64, count: u64) -> TestResult {
    let mut vm = TestVm::create(1)?;
    // The pages were just written: their translations are in this core's TLB.
    vm.donate(pa, ipa, count)?;
    check_unreachable(pa, count)?;
    vm.destroy()
}

fn single_pages(random: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    for index in 0..16 {
        let pa = take_patterned(1, PAGE)?;
        vm.donate(pa, DATA + (32 * index + random.below(32)) * PAGE, 1)?;
        check_unreachable(pa, 1)?;
    }
    vm.destroy()
}

fn block(_: &mut Random) -> TestResult {
    round_trip(take_patterned(BLOCK, BLOCK * PAGE)?, DATA, BLOCK)
}

fn batch_that_is_no_block(_: &mut Random) -> TestResult {
    // Aligned pages at an IPA that is not, and pages that cross a block's border.
    round_trip(take_patterned(BLOCK, BLOCK * PAGE)?, DATA + PAGE, BLOCK)?;
    let area = pages::take(2 * BLOCK, BLOCK * PAGE).or_fail("free pages")?;
    let (before, count) = (BLOCK - 3, 7);
    let start = area + before * PAGE;
    // SAFETY: taken above; what is not used goes back at once.
    unsafe {
        pages::give(area, before);
        pages::give(start + count * PAGE, 2 * BLOCK - before - count);
    }
    fill(start, count, PATTERN);
    round_trip(start, DATA, count)
}

fn list(random: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let list = pages::take(1, PAGE).or_fail("free page")?;
    let n = limit::MAP_LIST_PAGES as u64;
    let mut donated = Vec::new();
    for index in 0..n {
        let pa = take_patterned(1, PAGE)?;
        let ipa = DATA + (4 * index + random.below(4)) * PAGE;
        vm.own(pa, 1);
        donated.push((pa, ipa));
    }
    in_full("VM_MAP_LIST", n, |done, left| {
        for (index, (pa, ipa)) in donated.iter().skip(done as usize).enumerate() {
            let entry = (list + 16 * index as u64) as *mut u64;
            // SAFETY: the page is ours and holds this many entries of two words.
            unsafe {
                entry.write_volatile(*pa);
                entry.add(1).write_volatile(ipa | ALL.bits());
            }
        }
        call::vm_map_list(vm.handle, list, left)
    })?;
    for (pa, _) in donated {
        check_unreachable(pa, 1)?;
    }
    let first = probe::load(list);
    // SAFETY: the engine has read the list, and the page is ours.
    unsafe { pages::give(list, 1) };
    check!(first.is_ok(), "the list's page is the host's no more");
    vm.destroy()
}

fn batch_stops_at_a_foreign_page(_: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let pa = take_patterned(8, PAGE)?;
    vm.own(pa, 8);
    let fifth = pa + 4 * PAGE;
    complete(
        "VM_MAP",
        insist(|| call::vm_map(vm.handle, fifth, DATA, 1, ALL)),
        1,
    )?;
    let batch = insist(|| call::vm_map(vm.handle, pa, DATA + 16 * PAGE, 8, ALL));
    let batch = batch.or_fail("VM_MAP")?;
    check_eq!((batch.done, batch.reason), (4, Status::NotOwner), "batch");
    check_unreachable(pa, 5)?;
    check_eq!(
        find_other(fifth + PAGE, 3, PATTERN),
        None,
        "pages not reached"
    );
    let again = call::vm_map(vm.handle, pa, DATA + 32 * PAGE, 8, ALL);
    refused("VM_MAP of a VM's page", again, Status::NotOwner)?;
    // What the batch left out goes too, so that all eight are zero in the end.
    let rest = insist(|| call::vm_map(vm.handle, fifth + PAGE, DATA + 64 * PAGE, 3, ALL));
    complete("VM_MAP", rest, 3)?;
    vm.destroy()
}

/// A VM that runs takes pages too, and what it wrote is gone when they come home.
fn running_vm(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let pa = take_patterned(4, PAGE)?;
    vm.donate(pa, DATA, 4)?;
    check_unreachable(pa, 4)?;
    for page in 0..4 {
        let ipa = DATA + page * PAGE + 0x100;
        puppet::store_value(vm.vcpus[0], ipa, 0x5ec2_e700 + page)?;
        let seen = puppet::load_value(vm.vcpus[0], ipa)?;
        check_eq!(seen, 0x5ec2_e700 + page, "guest's own store");
    }
    vm.destroy()
}

/// The engine's pool gives back zeroed pages of the host's.
fn pool(_: &mut Random) -> TestResult {
    let pa = take_patterned(16, PAGE)?;
    in_full("ENGINE_DONATE", 16, |done, left| {
        call::engine_donate(pa + done * PAGE, left)
    })?;
    check_unreachable(pa, 16)?;
    let mut left = 16;
    while left > 0 {
        let (n, home) = insist(|| call::engine_reclaim(left)).or_fail("ENGINE_RECLAIM")?;
        check!((1..=left).contains(&n), "{n} of {left} pages back");
        for page in home.into_iter().take(n as usize) {
            check_eq!(find_other(page, 1, 0), None, "page back from the engine");
            // SAFETY: the engine's no more; it came from the allocator, if not in this test.
            unsafe { pages::give(page, 1) };
        }
        left -= n;
    }
    Ok(())
}

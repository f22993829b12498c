//! Pages on their way to a VM and home again.
//!
//! Invariant: the host has each page in its own map, and in its TLB, when it gives it away: the dear case.

use super::{ROUNDS, tell};
use crate::guest::DATA;
use crate::{
    measure::{self, Ticks},
    outcome::{OrFail, Stop, TestResult, check_eq},
    random::Random,
    runner::register,
    vm::{ALL, TestVm, destroyed, insist, take_patterned},
};
use abi::{Call, VmHandle, VmMapArgs, VmMapListArgs, VmReclaimArgs, limit};
use alloc::{format, vec::Vec};
use el1::{PAGE, pages};

register!(
    "bench": donate_4k,
    donate_4k_cold,
    donate_4k_random,
    donate_4k_alternating,
    donate_4k_list,
    donate_2m,
    reclaim_4k,
    reclaim_4k_batch,
);

/// Bytes and pages of a level-2 block.
const BLOCK: u64 = 2 << 20;
const BLOCK_PAGES: u64 = BLOCK / PAGE;

/// VM_MAP of a run; its ticks.
fn map(vm: VmHandle, pa: u64, ipa: u64, n: u64) -> TestResult<Ticks> {
    let attrs = ALL.bits();
    let arguments = VmMapArgs {
        vm,
        pa,
        ipa,
        n,
        attrs,
    }
    .to_registers();
    let (ticks, result) = measure::call(Call::VmMap, &arguments);
    let [done, reason] = result.or_fail("VM_MAP")?;
    check_eq!(done, n, "pages of VM_MAP, reason {reason}");
    Ok(ticks)
}

/// A VM with `count` single pages, neighbours, and the ticks of giving each.
fn with_pages(count: u64) -> TestResult<(TestVm, Vec<Ticks>)> {
    let mut vm = TestVm::create(1)?;
    let pa = take_patterned(count + 1, PAGE)?;
    // The first makes the tables on both sides.
    vm.donate(pa, DATA, 1)?;
    vm.own(pa + PAGE, count);
    let page = |index: u64| {
        map(
            vm.handle,
            pa + (index + 1) * PAGE,
            DATA + (index + 1) * PAGE,
            1,
        )
    };
    let ticks = (0..count).map(page).collect::<TestResult<_>>()?;
    Ok((vm, ticks))
}

fn donate_4k(_: &mut Random) -> TestResult {
    let (vm, ticks) = with_pages(ROUNDS)?;
    tell("donate_4k", 1, &ticks)?;
    vm.destroy()
}

/// The first page of a VM, out of 2 MiB of the host's that were never in parts: all tables are new.
fn donate_4k_cold(_: &mut Random) -> TestResult {
    let ticks = (0..ROUNDS / 8).map(|_| {
        let mut vm = TestVm::create(1)?;
        let pa = take_patterned(BLOCK_PAGES, BLOCK)?;
        vm.own(pa, 1);
        let ticks = map(vm.handle, pa, DATA, 1)?;
        vm.destroy()?;
        // SAFETY: taken above and never given away.
        unsafe { pages::give(pa + PAGE, BLOCK_PAGES - 1) };
        Ok(ticks)
    });
    tell("donate_4k_cold", 1, &ticks.collect::<TestResult<Vec<_>>>()?)
}

/// Areas of 2 MiB among which pages are drawn.
const AREAS: u64 = 8;

/// Pages drawn from several 2 MiB to places drawn from as many; tables are there.
fn donate_4k_random(random: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let pa = take_patterned(AREAS * BLOCK_PAGES, BLOCK)?;
    for area in 0..AREAS {
        vm.donate(pa + area * BLOCK, DATA + area * BLOCK, 1)?;
    }
    // The first page of each area is given; numbers below stand for the others.
    let others = AREAS * (BLOCK_PAGES - 1);
    let place = |number: u64| (number + number / (BLOCK_PAGES - 1) + 1) * PAGE;
    let all = || (0..others).collect::<Vec<u64>>();
    let (mut sources, mut targets) = (all(), all());
    let mut draw = |numbers: &mut Vec<u64>| {
        let at = random.below(numbers.len() as u64) as usize;
        place(numbers.swap_remove(at))
    };
    let mut ticks = Vec::new();
    for _ in 0..ROUNDS {
        let (from, to) = (draw(&mut sources), draw(&mut targets));
        vm.own(pa + from, 1);
        ticks.push(map(vm.handle, pa + from, DATA + to, 1)?);
    }
    tell("donate_4k_random", 1, &ticks)?;
    vm.destroy()?;
    for number in sources {
        // SAFETY: taken above and never given away.
        unsafe { pages::give(pa + place(number), 1) };
    }
    Ok(())
}

/// Single pages to two VMs in turn.
fn donate_4k_alternating(_: &mut Random) -> TestResult {
    let mut vms = [TestVm::create(1)?, TestVm::create(1)?];
    let pa = take_patterned(ROUNDS + 2, PAGE)?;
    for (index, vm) in (0..).zip(&mut vms) {
        vm.donate(pa + index * PAGE, DATA + index * PAGE, 1)?;
    }
    let mut ticks = Vec::new();
    for index in 2..ROUNDS + 2 {
        let vm = &mut vms[index as usize % 2];
        let offset = index * PAGE;
        vm.own(pa + offset, 1);
        ticks.push(map(vm.handle, pa + offset, DATA + offset, 1)?);
    }
    tell("donate_4k_alternating", 1, &ticks)?;
    vms.into_iter().try_for_each(TestVm::destroy)
}

/// 256 pages, every other one of the host's, to neighbouring places.
fn donate_4k_list(_: &mut Random) -> TestResult {
    let most = limit::MAP_LIST_PAGES as u64;
    let list = pages::take(1, PAGE).or_fail("a page for the list")?;
    let ticks: TestResult<Vec<Ticks>> = (0..ROUNDS / 8).map(|_| one_list(list, most)).collect();
    // SAFETY: taken above; every call that reads it is over.
    unsafe { pages::give(list, 1) };
    tell("donate_4k_list", most, &ticks?)
}

fn one_list(list: u64, n: u64) -> TestResult<Ticks> {
    let mut vm = TestVm::create(1)?;
    let pa = take_patterned(2 * n + 1, PAGE)?;
    // The last makes the guest's tables; the list's pages come out of a 2 MiB that is in pages already.
    vm.donate(pa + 2 * n * PAGE, DATA + n * PAGE, 1)?;
    for index in 0..n {
        let entry = list + index * 16;
        // SAFETY: the page is the caller's; a list entry is two words (abi: VM_MAP_LIST).
        unsafe {
            (entry as *mut u64).write_volatile(pa + 2 * index * PAGE);
            ((entry + 8) as *mut u64).write_volatile((DATA + index * PAGE) | ALL.bits());
        }
        vm.own(pa + 2 * index * PAGE, 1);
    }
    let (mut ticks, mut done) = (0, 0);
    while done < n {
        let arguments = VmMapListArgs {
            vm: vm.handle,
            list,
            n: n - done,
        }
        .to_registers();
        let (taken, result) = measure::call(Call::VmMapList, &arguments);
        let [more, reason] = result.or_fail("VM_MAP_LIST")?;
        check_eq!(reason, 0, "{more} pages of the list behind {done}");
        (ticks, done) = (ticks + taken, done + more);
        let entries = list as *mut [u64; 2];
        // SAFETY: the list is the caller's, and has so many entries left.
        unsafe { entries.copy_from(entries.add(more as usize), (n - done) as usize) };
    }
    vm.destroy()?;
    for index in 0..n {
        // SAFETY: taken above and never given away.
        unsafe { pages::give(pa + (2 * index + 1) * PAGE, 1) };
    }
    Ok(ticks)
}

/// Whole, aligned blocks.
fn donate_2m(_: &mut Random) -> TestResult {
    let count = 4;
    let mut all = Vec::new();
    for _ in 0..ROUNDS / count {
        let mut vm = TestVm::create(1)?;
        let pa = take_patterned((count + 1) * BLOCK_PAGES, BLOCK)?;
        vm.donate(pa, DATA, BLOCK_PAGES)?;
        vm.own(pa + BLOCK, count * BLOCK_PAGES);
        for index in 1..=count {
            let offset = index * BLOCK;
            all.push(map(vm.handle, pa + offset, DATA + offset, BLOCK_PAGES)?);
        }
        vm.destroy()?;
    }
    tell("donate_2m", 1, &all)
}

/// Single pages that come home by calls for `max` each; the rounds in which `max` of them came, in as many calls as
/// that took.
fn reclaim(operation: &str, max: u64, count: u64) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let pa = take_patterned(count, PAGE)?;
    for index in 0..count {
        // One by one, so that each has a word of its own.
        vm.donate(pa + index * PAGE, DATA + index * PAGE, 1)?;
    }
    destroyed(vm.handle)?;
    let arguments = VmReclaimArgs { vm: vm.handle, max }.to_registers();
    let (mut ticks, mut sum, mut home) = (Vec::new(), 0, 0);
    // Twice as many calls as pages: tables come home too.
    for _ in 0..2 * count + ROUNDS {
        let (round, [came, finished]) = insist(|| {
            let (ticks, result) = measure::call(Call::VmReclaim, &arguments);
            result.map(|results| (ticks, results))
        })
        .or_fail("VM_RECLAIM")?;
        if finished == 1 {
            vm.note_gone();
            tell(operation, max, &ticks)?;
            return vm.destroy();
        }
        // What brought none was about tables.
        if came > 0 {
            (sum, home) = (sum + round, home + came);
        }
        if home == max {
            ticks.push(sum);
            (sum, home) = (0, 0);
        }
    }
    Err(Stop::Fail(format!("{operation}: VM_RECLAIM never ends")))
}

fn reclaim_4k(_: &mut Random) -> TestResult {
    reclaim("reclaim_4k", 1, ROUNDS)
}

fn reclaim_4k_batch(_: &mut Random) -> TestResult {
    let max = limit::RECLAIM_PAGES as u64;
    reclaim("reclaim_4k_batch", max, 8 * max)
}

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
use alloc::vec::Vec;
use el1::{PAGE, pages};

register!(
    "bench": donate_4k,
    donate_4k_list,
    donate_2m,
    reclaim_4k,
    reclaim_4k_batch,
);

/// Bytes and pages of a level-2 block.
pub(super) const BLOCK: u64 = 2 << 20;
pub(super) const BLOCK_PAGES: u64 = BLOCK / PAGE;
/// Pages of a list, and of a batch that comes home.
pub(super) const LIST: u64 = limit::MAP_LIST_PAGES as u64;
pub(super) const BATCH: u64 = limit::RECLAIM_PAGES as u64;

/// VM_MAP of a run; its ticks.
pub(super) fn map(vm: VmHandle, pa: u64, ipa: u64, n: u64) -> TestResult<Ticks> {
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

/// 256 pages, every other one of the host's, to neighbouring places.
fn donate_4k_list(_: &mut Random) -> TestResult {
    let list = List::take()?;
    let ticks: TestResult<Vec<Ticks>> = (0..ROUNDS / 8)
        .map(|_| {
            let mut vm = TestVm::create(1)?;
            let pa = take_patterned(2 * LIST + 1, PAGE)?;
            // The last makes the guest's tables; the list's pages come out of a 2 MiB that is in pages already.
            vm.donate(pa + 2 * LIST * PAGE, DATA + LIST * PAGE, 1)?;
            let ticks = list.give(&mut vm, every_other(pa, DATA))?;
            vm.destroy()?;
            give_odd(pa);
            Ok(ticks)
        })
        .collect();
    tell("donate_4k_list", LIST, &ticks?)
}

/// A list's pages from `pa`, one between two, and their places from `ipa`, neighbours.
pub(super) fn every_other(pa: u64, ipa: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..LIST).map(move |index| (pa + 2 * index * PAGE, ipa + index * PAGE))
}

/// Returns the pages between those of [`every_other`].
pub(super) fn give_odd(pa: u64) {
    for index in 0..LIST {
        // SAFETY: the caller took them and gave them to nobody.
        unsafe { pages::give(pa + (2 * index + 1) * PAGE, 1) };
    }
}

/// A page of the host's with a list for VM_MAP_LIST.
pub(super) struct List(u64);

impl List {
    pub(super) fn take() -> TestResult<Self> {
        Ok(Self(pages::take(1, PAGE).or_fail("a page for the list")?))
    }

    /// Gives `vm` [`LIST`] pages, each to its place, in as many calls as the engine takes; their ticks.
    pub(super) fn give(
        &self,
        vm: &mut TestVm,
        pairs: impl Iterator<Item = (u64, u64)>,
    ) -> TestResult<Ticks> {
        let list = self.0;
        for (index, (pa, ipa)) in (0..LIST).zip(pairs) {
            let entry = list + index * 16;
            // SAFETY: the page is the caller's; a list entry is two words (abi: VM_MAP_LIST).
            unsafe {
                (entry as *mut u64).write_volatile(pa);
                ((entry + 8) as *mut u64).write_volatile(ipa | ALL.bits());
            }
            vm.own(pa, 1);
        }
        let (mut ticks, mut done) = (0, 0);
        while done < LIST {
            let arguments = VmMapListArgs {
                vm: vm.handle,
                list,
                n: LIST - done,
            }
            .to_registers();
            let (taken, result) = measure::call(Call::VmMapList, &arguments);
            let [more, reason] = result.or_fail("VM_MAP_LIST")?;
            check_eq!(reason, 0, "{more} pages of the list behind {done}");
            (ticks, done) = (ticks + taken, done + more);
            let entries = list as *mut [u64; 2];
            // SAFETY: the list is the caller's, and has so many entries left.
            unsafe { entries.copy_from(entries.add(more as usize), (LIST - done) as usize) };
        }
        Ok(ticks)
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: taken with it; every call that reads it is over.
        unsafe { pages::give(self.0, 1) };
    }
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

/// A destroyed VM whose pages come home by calls for `max` each.
pub(super) struct Dying {
    vm: TestVm,
    max: u64,
}

impl Dying {
    pub(super) fn new(vm: TestVm, max: u64) -> TestResult<Self> {
        destroyed(vm.handle)?;
        Ok(Self { vm, max })
    }

    /// The ticks of `max` pages' way home, in as many calls as that takes; none once all came.
    pub(super) fn round(&mut self) -> TestResult<Option<Ticks>> {
        let (vm, count) = (self.vm.handle, self.max);
        let (mut sum, mut home) = (0, 0);
        // Tables come home too, by calls that bring no page.
        for _ in 0..2 * count + ROUNDS {
            let max = count - home;
            let arguments = VmReclaimArgs { vm, max }.to_registers();
            let (ticks, [came, finished]) = insist(|| {
                let (ticks, result) = measure::call(Call::VmReclaim, &arguments);
                result.map(|results| (ticks, results))
            })
            .or_fail("VM_RECLAIM")?;
            if finished == 1 {
                self.vm.note_gone();
                return Ok(None);
            }
            if came > 0 {
                (sum, home) = (sum + ticks, home + came);
            }
            if home == count {
                return Ok(Some(sum));
            }
        }
        Err(Stop::Fail("VM_RECLAIM never ends".into()))
    }

    /// What is left comes home, zero.
    pub(super) fn end(self) -> TestResult {
        self.vm.destroy()
    }
}

/// Single pages, neighbours, that come home by calls for `max` each.
fn reclaim(operation: &str, max: u64, count: u64) -> TestResult {
    let mut dying = Dying::new(with_singles(count)?, max)?;
    let mut ticks = Vec::new();
    while let Some(round) = dying.round()? {
        ticks.push(round);
    }
    tell(operation, max, &ticks)?;
    dying.end()
}

/// A VM that was given so many neighbours one by one, so that each has a word of its own.
pub(super) fn with_singles(count: u64) -> TestResult<TestVm> {
    let mut vm = TestVm::create(1)?;
    let pa = take_patterned(count, PAGE)?;
    for index in 0..count {
        vm.donate(pa + index * PAGE, DATA + index * PAGE, 1)?;
    }
    Ok(vm)
}

fn reclaim_4k(_: &mut Random) -> TestResult {
    reclaim("reclaim_4k", 1, ROUNDS)
}

fn reclaim_4k_batch(_: &mut Random) -> TestResult {
    reclaim("reclaim_4k_batch", BATCH, 8 * BATCH)
}

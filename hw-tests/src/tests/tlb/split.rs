//! A block becomes a table under the hands of everybody who uses it: nobody faults, nobody reads anything wrong.
//!
//! Of a block of 2 MiB one page after the other goes, first out of the block, then out of the table that takes its
//! place; the cores at work are at other pages of it. On machines without FEAT_BBM level 2 the entry is invalid for
//! a moment (break-before-make): an access that meets that is tried again, and nobody is told. When all is home the
//! host's table becomes a block again, and the table's page another VM's table: nobody walks it on. Scenario 5: a
//! subtree is freed and then walked. Scenario 11: a split invalidates the wrong range. Scenario 12: size changed
//! without break-before-make.

use super::hammer::{Words, flushes, tell_flushes};
use crate::{
    crew::{Fleet, check_zero, clear_words, undisturbed},
    guest::{DATA, HOLE, RAM},
    outcome::{OrFail, TestResult, check, complete},
    paging::ALIAS_OF_DATA,
    random::Random,
    runner::register,
    team,
    vm::{ALL, TestVm, fill, insist, take_patterned},
};
use abi::{Counter, InfoIndex, limit, smccc};
use alloc::{sync::Arc, vec::Vec};
use core::{
    cell::RefCell,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};
use el1::{PAGE, call, cpu, pages, println, probe, timer};

register!("tlb::split": guests_block, hosts_block);

/// Pages of a block.
const BLOCK: u64 = limit::RUN_PAGES as u64;
/// Those that are at work all the time: the first ones.
const SWEPT: u64 = 16;
/// Those that go, one by one.
const GOING: [u64; 6] = [100, 17, 511, 255, 256, 18];
/// How often the host's block is split, and joined again where there is time for it.
const ROUNDS: u64 = 6;
/// Ticks until the engine looks at an area that a touch has mapped: twice the 2^20 that it rests.
const REST_TICKS: u64 = 2 << 20;
/// Calls after which the engine has looked at every area that may have been touched before.
const CALLS: u32 = 300;

/// VMs that take the tables which were given up, and what their pages hold.
const OTHERS: usize = 4;
const OTHER: u64 = 0x0bad_0bad_0bad_0bad;

/// MEM_RELINQUISH of pages of a block that all vCPUs use; then others of the table's.
fn guests_block(_: &mut Random) -> TestResult {
    let homes = RefCell::new(Vec::new());
    let fleet = Fleet::muster(|_, vm| {
        let pa = take_patterned(BLOCK, BLOCK * PAGE)?;
        clear_words(pa, SWEPT);
        vm.donate(pa, DATA, BLOCK)?;
        homes
            .borrow_mut()
            .extend(GOING.map(|page| (pa + page * PAGE, 1)));
        Ok(DATA)
    })?;
    let (fleet, homes, before) = (Arc::new(fleet), homes.into_inner(), flushes());
    fleet.sail(
        |_, member| member.sweep(ALIAS_OF_DATA, SWEPT),
        move |fleet| {
            for page in GOING {
                for crew in 0..fleet.crews.len() {
                    fleet.call(crew, smccc::KVM_MEM_RELINQUISH, DATA + page * PAGE)?;
                }
                fleet.wait_for_rounds(1)?;
            }
            check_zero(&homes)
        },
        undisturbed,
    )?;
    tell_flushes("guests_block", before)?;
    fleet.destroy(false)
}

/// Where all cores stand.
#[derive(Default)]
struct Stand {
    ready: AtomicUsize,
    is_over: AtomicBool,
}

/// A core that loads and stores in the block's first pages until it is told to stop.
fn work(stand: &Stand, core: usize, block: u64) -> TestResult {
    let used: Vec<u64> = (0..SWEPT).map(|page| block + page * PAGE).collect();
    let mut words = Words::new(core, used.into());
    let mut is_ready = false;
    // Acquire: pairs with the Release in `hosts_block`.
    while !stand.is_over.load(Ordering::Acquire) {
        for index in 0..SWEPT as usize {
            check!(words.access(index)?, "page {index} of the block faults");
        }
        if !is_ready {
            is_ready = true;
            // Release: pairs with the Acquire in `hosts_block`.
            stand.ready.fetch_add(1, Ordering::Release);
        }
    }
    Ok(())
}

/// A page of the block goes to a VM, and comes home; the host touches it, and the block is whole again.
fn split_and_join(block: u64, page: u64) -> TestResult {
    let pa = block + page * PAGE;
    let vm = TestVm::create(1)?;
    let mapped = insist(|| call::vm_map(vm.handle, pa, DATA, 1, ALL));
    complete("VM_MAP", mapped, 1)?;
    check!(probe::load(pa).is_err(), "the page is still the host's");
    vm.destroy()?;
    check_zero(&[(pa, 1)])?;
    let rested = timer::now() + REST_TICKS;
    while timer::now() < rested {
        team::nap(1);
    }
    // With each call that takes the long way the engine looks at one area that has rested.
    for _ in 0..CALLS {
        call::engine_info(InfoIndex::FreePages).or_fail("ENGINE_INFO")?;
    }
    reuse_tables()
}

/// The table that was given up becomes another VM's, and leads to pages that hold something else.
fn reuse_tables() -> TestResult {
    let mut vms = Vec::new();
    for _ in 0..OTHERS {
        let mut vm = TestVm::create(1)?;
        for ipa in [RAM, HOLE, DATA] {
            let pa = pages::take(1, PAGE).or_fail("a page")?;
            fill(pa, 1, OTHER);
            vm.donate(pa, ipa, 1)?;
        }
        vms.push(vm);
    }
    vms.into_iter().try_for_each(TestVm::destroy)
}

fn hosts_block(random: &mut Random) -> TestResult {
    let block = take_patterned(BLOCK, BLOCK * PAGE)?;
    let stand = Arc::new(Stand::default());
    let before = (
        team::total(Counter::HostSplits)?,
        team::total(Counter::HostJoins)?,
        flushes(),
    );
    let going: Vec<u64> = (0..ROUNDS)
        .map(|_| SWEPT + random.below(BLOCK - SWEPT))
        .collect();
    let others = cpu::all().len() - 1;
    team::everywhere(move |core| {
        let result = if core > 0 {
            work(&stand, core, block)
        } else {
            // Acquire: pairs with the Release in `work`.
            let all = || {
                stand.ready.load(Ordering::Acquire) == others
                    || stand.is_over.load(Ordering::Acquire)
            };
            let at_work = team::wait_for(all);
            check!(at_work, "the others do not work");
            going
                .iter()
                .try_for_each(|page| split_and_join(block, *page))
        };
        if core == 0 || result.is_err() {
            // Release: pairs with the Acquire in `work`.
            stand.is_over.store(true, Ordering::Release);
        }
        result
    })?;
    let splits = team::total(Counter::HostSplits)? - before.0;
    let joins = team::total(Counter::HostJoins)? - before.1;
    println!("note hosts_block: {splits} splits, {joins} joins");
    check!(splits > 0 && joins > 0, "{splits} splits, {joins} joins");
    tell_flushes("hosts_block", before.2)?;
    fill(block, BLOCK, 0);
    // SAFETY: taken above, the host's again, and nobody works on it any more.
    unsafe { pages::give(block, BLOCK) };
    Ok(())
}

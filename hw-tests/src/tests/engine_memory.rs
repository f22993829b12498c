//! The host can't reach the engine's memory, from any core and by no kind of access, and learns
//! nothing but that its own access failed.
//!
//! Scenario 30: engine memory given to the host. Scenario 25: PAR_EL1 left over.

use crate::{
    census,
    outcome::{OrFail, Stop, TestResult, check, check_eq, complete, refused},
    random::Random,
    runner::register,
    sysregs::Snapshot,
    team,
    vm::{insist, take_patterned},
};
use abi::{Counter, PageClass, Status};
use alloc::{string::String, vec::Vec};
use core::arch::asm;
use el1::{
    PAGE, call, machine, mmu, pages,
    probe::{self, Fault},
};

register!("engine_memory":
    accesses_abort,
    walks_abort,
    calls_refuse,
    abort_leaves_par_alone,
    grows_over_many_blocks,
);

/// Pages tried of each range, beside the first and the last.
const RANDOM_PAGES: usize = 6;
/// Blocks that the engine gets a page of: more than any fixed number of tables would do for.
const BLOCKS: usize = 160;
const BLOCK: u64 = 2 << 20;
/// DFSC and IFSC of a synchronous external abort, and of one on a walk without its level (Arm ARM
/// D24.2.37).
const EXTERNAL: u64 = 0b01_0000;
const EXTERNAL_ON_WALK: u64 = 0b01_0100;

/// Pages of every range that the engine says is its own: what else is reserved is firmware's, and stays the
/// host's to reach.
fn choose(random: &mut Random) -> TestResult<Vec<u64>> {
    let mut chosen = Vec::new();
    for range in &machine().engine {
        let count = range.size / PAGE;
        chosen.extend([range.start, range.end() - PAGE]);
        chosen.extend((0..RANDOM_PAGES).map(|_| range.start + random.below(count) * PAGE));
    }
    match chosen.is_empty() {
        true => Err(Stop::Fail(String::from(
            "the device tree names no memory of the engine",
        ))),
        false => Ok(chosen),
    }
}

/// Requires an external abort that names the address that was tried.
fn external(what: &str, result: Result<u64, Fault>, address: u64, status: u64) -> TestResult {
    match result {
        Ok(value) => check!(false, "{what} {address:#x} succeeded: {value:#x}"),
        Err(fault) => {
            check!(fault.is_abort(), "{what} {address:#x}: {fault}");
            check_eq!(
                fault.status() & !0b11,
                status & !0b11,
                "{what} {address:#x} status"
            );
            check_eq!(fault.far, address, "{what} FAR");
        }
    }
    Ok(())
}

fn accesses_abort(random: &mut Random) -> TestResult {
    let chosen = choose(random)?;
    team::everywhere(move |index| {
        let denied = || {
            let cpu = team::engine_cpu(index);
            call::stats_read(cpu, Counter::HostFaultDenied.raw()).or_fail("STATS_READ")
        };
        let before = denied()?;
        for &page in &chosen {
            // A fault of our own stage 1 would prove nothing.
            check_eq!(mmu::translate(page), Some(page), "own map");
            let at = page + 8 * index as u64 % PAGE;
            external("load", probe::load(at), at, EXTERNAL)?;
            // SAFETY: a store that succeeds hits memory that is not this image's; the test fails.
            external("store", unsafe { probe::store(at, 0) }, at, EXTERNAL)?;
            // SAFETY: the load was refused; should the fetch succeed the engine is broken anyway.
            external("fetch", unsafe { probe::fetch(page) }, page, EXTERNAL)?;
        }
        let tried = 3 * chosen.len() as u64;
        check_eq!(denied()? - before, tried, "accesses counted as denied");
        Ok(())
    })
}

fn walks_abort(random: &mut Random) -> TestResult {
    let chosen = choose(random)?;
    team::everywhere(move |_| {
        let table = pages::take(1, PAGE).or_fail("free page")?;
        for &page in &chosen {
            let far = mmu::UPPER_HALF;
            external(
                "walk from",
                mmu::walk_through(page, 0),
                far,
                EXTERNAL_ON_WALK,
            )?;
            // SAFETY: the page is ours; the walker reads its first entry only, for address 0.
            unsafe { (table as *mut u64).write_volatile(page | 0b11) };
            external(
                "walk through",
                mmu::walk_through(table, 0),
                far,
                EXTERNAL_ON_WALK,
            )?;
        }
        // SAFETY: `walk_through` has left the table and invalidated what came of it.
        unsafe { pages::give(table, 1) };
        Ok(())
    })
}

fn calls_refuse(random: &mut Random) -> TestResult {
    for page in choose(random)? {
        let (class, count) = call::page_info(page).or_fail("PAGE_INFO")?;
        check_eq!(class, PageClass::NotYours.raw(), "class of {page:#x}");
        check_eq!(count, 0, "count of {page:#x}");
        let donated = call::engine_donate(page, 1).map(drop);
        let poisoned = call::page_poison(page);
        for (what, result) in [("ENGINE_DONATE", donated), ("PAGE_POISON", poisoned)] {
            if result != Err(Status::NotRam) {
                refused(what, result, Status::NotOwner)?;
            }
        }
    }
    Ok(())
}

/// The engine uses address translation to answer an abort; PAR_EL1 is the host's all the same.
fn abort_leaves_par_alone(random: &mut Random) -> TestResult {
    const MARK: u64 = 0x1234_5678_9000;
    let chosen = choose(random)?;
    team::everywhere(move |_| {
        // SAFETY: nothing in this image uses PAR_EL1 across a call.
        unsafe { asm!("msr par_el1, {}", in(reg) MARK, options(nostack, nomem)) };
        let before = Snapshot::take();
        let faulted = probe::load(chosen[0]).is_err();
        let par: u64;
        // SAFETY: a read.
        unsafe { asm!("mrs {}, par_el1", out(reg) par, options(nostack, nomem)) };
        check!(faulted, "the load succeeded");
        check_eq!(par, MARK, "PAR_EL1");
        before.check_unchanged_but(&["esr_el1", "far_el1", "elr_el1", "spsr_el1"])
    })
}

/// The engine maps what it is given wherever that is, and gives as much back: each page here is in
/// another 2 MiB, for which EL2 needs a table.
fn grows_over_many_blocks(_: &mut Random) -> TestResult {
    let before = census::take()?;
    let mut given = Vec::new();
    for _ in 0..BLOCKS {
        let page = take_patterned(1, BLOCK)?;
        complete("ENGINE_DONATE", insist(|| call::engine_donate(page, 1)), 1)?;
        given.push(page);
    }
    for &page in &given {
        external("load", probe::load(page), page, EXTERNAL)?;
    }
    let mut left = given.len() as u64;
    while left > 0 {
        let most = left.min(abi::limit::ENGINE_RECLAIM_PAGES as u64);
        let (n, home) = insist(|| call::engine_reclaim(most)).or_fail("ENGINE_RECLAIM")?;
        check!(n > 0, "{left} pages are kept");
        for page in home.into_iter().take(n as usize) {
            check_eq!(probe::load(page).ok(), Some(0), "first word of {page:#x}");
            // SAFETY: the engine's no more; it came from the allocator, if not in this test.
            unsafe { pages::give(page, 1) };
        }
        left -= n;
    }
    census::check_same(&before)
}

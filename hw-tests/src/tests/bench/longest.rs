//! Each kind of call where it has the most to do: for `cargo xtask bench --cores`, whose plugin counts what the engine
//! executes from one return to the next.
//!
//! Every call is asked for as much as it may be, and is made again until all is done, so that this knows nothing of
//! how much the engine does at once. It keeps its GiB to the end of the machine.

use crate::{
    measure,
    outcome::{OrFail, Stop, TestResult},
    random::Random,
    runner::register,
    vm::{ALL, destroyed, fill, in_full, insist, shape},
};
use abi::{InfoIndex, Status, VmHandle, limit};
use el1::{
    PAGE,
    call::{self, Batch},
    machine, pages,
};

register!("bench_longest": each_kind);

const GIB: u64 = 1 << 30;
const BLOCK: u64 = 2 << 20;
const BLOCK_PAGES: u64 = BLOCK / PAGE;
/// RAM of the VM, and a range to lend into.
const VM_RAM: u64 = 0x4000_0000;
const VM_RAM_SIZE: u64 = 8 * GIB;
const VM_WINDOW: u64 = VM_RAM + VM_RAM_SIZE;
const VM_WINDOW_SIZE: u64 = GIB;
const VM_GICR: u64 = 0x0800_0000;
/// Blocks of a GiB that a scene has for itself.
const BLOCKS: u64 = 32;
/// Calls until something that does not end has failed.
const CALLS_LIMIT: u64 = 1 << 20;
/// Ticks after which an area of the host's map has rested, and areas that a core remembers.
const REST: u64 = 1 << 21;
const RESTING_AREAS: u64 = 600;

/// A VM.
fn create() -> TestResult<VmHandle> {
    let window = (VM_WINDOW, VM_WINDOW_SIZE);
    let made = call::vm_create(shape(1, 0b10)?, VM_GICR, (VM_RAM, VM_RAM_SIZE), window);
    made.or_fail("VM_CREATE")
}

fn map(vm: VmHandle, pa: u64, ipa: u64, n: u64) -> TestResult {
    in_full("VM_MAP", n, |done, left| {
        call::vm_map(vm, pa + done * PAGE, ipa + done * PAGE, left, ALL)
    })
}

/// The VM's end.
fn end(vm: VmHandle) -> TestResult {
    destroyed(vm)?;
    for _ in 0..CALLS_LIMIT {
        let home = insist(|| call::vm_reclaim(vm, limit::RECLAIM_PAGES as u64));
        if home.or_fail("VM_RECLAIM")?.1 {
            return Ok(());
        }
    }
    Err(Stop::Fail("VM_RECLAIM never ends".into()))
}

/// Gives memory to a VM and brings it home.
fn there_and_back(pa: u64, ipa: u64, n: u64) -> TestResult {
    let vm = create()?;
    map(vm, pa, ipa, n)?;
    end(vm)
}

fn touch(pa: u64, n: u64, step: u64) {
    for page in 0..n {
        measure::touch(pa + page * step);
    }
}

/// Lets areas rest until the engine has looked at all of them.
fn rest() -> TestResult {
    for _ in 0..2 {
        let until = measure::now() + REST;
        while measure::now() < until {
            core::hint::spin_loop();
        }
        for _ in 0..RESTING_AREAS {
            // Not of a constant: that is answered without such a look.
            call::engine_info(InfoIndex::TableBytes).or_fail("ENGINE_INFO")?;
        }
    }
    Ok(())
}

/// A whole GiB: by one entry, out of 2 MiB, out of pages.
fn giant(gib: u64) -> TestResult {
    let n = GIB / PAGE;
    there_and_back(gib, VM_RAM, n)?;
    // Not looked at: the host's map has empty entries.
    there_and_back(gib, VM_RAM, n)?;
    // To a place that is not aligned like it: 2 MiB at a time, and pages.
    there_and_back(gib, VM_RAM + BLOCK, n)?;
    touch(gib, GIB / BLOCK, BLOCK);
    there_and_back(gib + BLOCK, VM_RAM, n / 8)?;
    touch(gib, GIB / BLOCK, BLOCK);
    rest()?;
    there_and_back(gib, VM_RAM, n)?;
    touch(gib, 1, PAGE);
    rest()?;
    there_and_back(gib + PAGE, VM_RAM, BLOCK_PAGES)?;
    touch(gib, 2 * BLOCK_PAGES, PAGE);
    rest()
}

/// 2 MiB whose pages have a word and an entry each.
fn blocks(gib: u64) -> TestResult {
    for round in 0..3 {
        let vm = create()?;
        for page in 0..BLOCK_PAGES {
            map(vm, gib + page * PAGE, VM_RAM + page * PAGE, 1)?;
        }
        end(vm)?;
        if round < 2 {
            touch(gib, BLOCK_PAGES, PAGE);
        }
        if round == 1 {
            rest()?;
        }
        there_and_back(gib, VM_RAM, BLOCK_PAGES)?;
        touch(gib, 1, PAGE);
        fill(gib, BLOCK_PAGES, round);
        rest()?;
    }
    // Pages of the VM's, one in each table.
    let vm = create()?;
    for block in 0..BLOCKS {
        map(vm, gib + block * PAGE, VM_RAM + block * BLOCK, 1)?;
    }
    end(vm)
}

/// Lists of pages each out of another 2 MiB, to places each in another, and of neighbours.
fn lists(gib: u64) -> TestResult {
    let most = limit::MAP_LIST_PAGES as u64;
    let list = pages::take(1, PAGE).or_fail("a page for the list")?;
    for round in 0..3 {
        for (from, to, n) in [
            (BLOCK, BLOCK, BLOCKS),
            (BLOCK, PAGE, BLOCKS),
            (2 * PAGE, PAGE, most),
        ] {
            let vm = create()?;
            in_full("VM_MAP_LIST", n, |done, left| {
                for index in 0..left {
                    let entry = list + index * 16;
                    let number = done + index;
                    // SAFETY: the page was just taken; a list entry is two words (abi: VM_MAP_LIST).
                    unsafe {
                        (entry as *mut u64).write_volatile(gib + number * from);
                        let ipa = VM_RAM + number * to;
                        ((entry + 8) as *mut u64).write_volatile(ipa | ALL.bits());
                    }
                }
                call::vm_map_list(vm, list, left)
            })?;
            end(vm)?;
            if round > 0 {
                touch(gib, n, from);
            }
        }
        rest()?;
    }
    // SAFETY: the lists are read.
    unsafe { pages::give(list, 1) };
    Ok(())
}

/// Lent and taken back, twice each, so that tables are missing and there.
fn lending(gib: u64) -> TestResult {
    let (vm, n) = (create()?, limit::RUN_PAGES as u64);
    for _ in 0..2 {
        in_full("lending", n, |done, left| {
            let at = done * PAGE;
            call::vm_lend(
                vm,
                gib + BLOCK / 2 + at,
                VM_WINDOW + BLOCK / 2 + at,
                left,
                ALL,
            )
        })?;
        in_full("lending", n, |done, left| {
            call::vm_unlend(vm, VM_WINDOW + BLOCK / 2 + done * PAGE, left)
        })?;
    }
    // What is lent when it dies.
    in_full("lending", n, |done, left| {
        call::vm_lend(vm, gib + done * PAGE, VM_WINDOW + done * PAGE, left, ALL)
    })?;
    end(vm)
}

/// Pages for the engine, in one run and each out of another 2 MiB, and as many back: others, most likely.
fn engine(gib: u64) -> TestResult {
    let n = limit::RUN_PAGES as u64;
    in_full("ENGINE_DONATE", n, |done, left| {
        call::engine_donate(gib + done * PAGE, left)
    })?;
    for block in 1..BLOCKS {
        in_full("ENGINE_DONATE", 1, |_, _| {
            call::engine_donate(gib + block * BLOCK, 1)
        })?;
    }
    in_full("ENGINE_RECLAIM", n + BLOCKS - 1, |_, left| {
        let most = left.min(limit::ENGINE_RECLAIM_PAGES as u64);
        let (done, _) = call::engine_reclaim(most)?;
        let reason = Status::Success;
        Ok(Batch { done, reason })
    })
}

/// Counts all pages.
fn census() -> TestResult {
    let mut first = 0;
    for _ in 0..CALLS_LIMIT {
        let part = call::page_census(first, limit::CENSUS_PAGES as u64).or_fail("PAGE_CENSUS")?;
        if part.seen == 0 {
            return Ok(());
        }
        first += part.seen;
    }
    Err(Stop::Fail("PAGE_CENSUS never ends".into()))
}

/// 2 MiB of which each page's word says something else than the one before, counted.
fn mixed(gib: u64) -> TestResult {
    let vm = create()?;
    for page in (0..BLOCK_PAGES).map(|page| page * PAGE) {
        if page & PAGE == 0 {
            map(vm, gib + page, VM_RAM + page, 1)?;
        } else {
            in_full("lending", 1, |_, _| {
                call::vm_lend(vm, gib + page, VM_WINDOW + page, 1, ALL)
            })?;
        }
    }
    census()?;
    end(vm)
}

fn each_kind(_: &mut Random) -> TestResult {
    let ram: u64 = machine().ram.iter().map(|ram| ram.size).sum();
    if ram < 3 * GIB {
        return Err(Stop::Skip("needs a whole GiB".into()));
    }
    let gib = pages::take(GIB / PAGE, GIB).or_fail("a free GiB")?;
    giant(gib)?;
    blocks(gib)?;
    lists(gib)?;
    lending(gib)?;
    mixed(gib)?;
    census()?;
    // The last: some of the GiB is the engine's then.
    engine(gib)?;
    census()
}

//! What taking pages from the host costs by the way its TLBs are flushed, told in `@figure` lines.
//!
//! One core gives n pages, which the host had mapped one by one, to a VM; the engine drops them from
//! the host's TLBs in one of two ways, page by page or all of the host's. The other cores are at
//! work at EL1 with 64 MiB of translations warm; afterwards one of them goes through these again
//! while the rest sleep, and then once more. Builds of the engine that always choose one way are
//! compared by `cargo xtask figures --mutant`; docs/figures.md says how.
//!
//! Invariants: nothing else flushes between the call and the two walks through the 64 MiB; no time
//! is asserted.

use crate::{
    measure::{self, Cost, tell},
    outcome::{OrFail, TestResult, check, check_eq},
    random::Random,
    runner::register,
    team,
    vm::{ALL, destroy, insist, shape},
};
use abi::{Call, VmHandle, VmMapArgs};
use alloc::{format, sync::Arc, vec::Vec};
use core::{
    hint,
    sync::atomic::{AtomicU64, Ordering},
};
use el1::{PAGE, call, cpu, pages, timer};
use spin::mutex::SpinMutex;

register!("flushing": of_a_run);

const MIB: u64 = 1 << 20;
/// Runs of pages that are given.
const RUNS: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
/// How often each.
const ROUNDS: u64 = 15;
/// What the other cores keep warm.
const WARM_PAGES: u64 = 64 * MIB / PAGE;
/// RAM of the VM, and its redistributor frames.
const VM_RAM: u64 = 0x4000_0000;
const VM_GICR: u64 = 0x0800_0000;
/// The core that goes through the warm memory again.
const WALKER: usize = 1;

/// Where all cores stand.
#[derive(Default)]
struct Stand {
    /// Arrivals of the other cores, with their translations warm, of all rounds.
    ready: AtomicU64,
    /// Calls made.
    called: AtomicU64,
    /// Rounds that the walker has finished.
    walked: AtomicU64,
    /// The walker's ticks of the last round: the first walk, the second.
    ticks: SpinMutex<(u64, u64)>,
}

/// Loads from every page; how long that took.
fn walk_through(start: u64) -> u64 {
    let begin = timer::now();
    for page in 0..WARM_PAGES {
        // SAFETY: the pages are this test's, mapped one to one.
        unsafe { ((start + page * PAGE) as *const u64).read_volatile() };
    }
    timer::now() - begin
}

/// The other cores' part.
fn work(stand: &Stand, index: usize, start: u64) {
    for round in 0..ROUNDS * RUNS.len() as u64 {
        walk_through(start);
        // Release: pairs with the Acquire in `give`; translations are warm.
        stand.ready.fetch_add(1, Ordering::Release);
        // Acquire: pairs with the Release in `give`; the call is over. This core works meanwhile.
        while stand.called.load(Ordering::Acquire) <= round {
            hint::spin_loop();
        }
        if index == WALKER {
            *stand.ticks.lock() = (walk_through(start), walk_through(start));
            // Release: pairs with the Acquire in `give`.
            stand.walked.store(round + 1, Ordering::Release);
        }
        // Relaxed: only a time to sleep until; the ticks are not looked at here.
        while stand.walked.load(Ordering::Relaxed) <= round {
            team::nap(5);
        }
    }
}

fn create() -> TestResult<VmHandle> {
    let shape = shape(1, 0)?;
    let vm = insist(|| call::vm_create(shape, VM_GICR, (VM_RAM, 16 * MIB), (0, 0)));
    vm.or_fail("VM_CREATE")
}

/// One round: `n` pages from `pa` on go to a new VM, are measured and come home, mapped.
fn give(stand: &Stand, round: u64, pa: u64, n: u64) -> TestResult<[Cost; 3]> {
    let others = cpu::all().len() as u64 - 1;
    let vm = create()?;
    // Acquire: pairs with the Release in `work`.
    let ready = || stand.ready.load(Ordering::Acquire) == others * (round + 1);
    check!(team::wait_for(ready), "the others do not come");
    let arguments = VmMapArgs {
        vm,
        pa,
        ipa: VM_RAM + PAGE,
        n,
        attrs: ALL.bits(),
    };
    let (ticks, result) = measure::call(Call::VmMap, &arguments.to_registers());
    // Release: pairs with the Acquire in `work`.
    stand.called.store(round + 1, Ordering::Release);
    let [pages, _] = result.or_fail("VM_MAP")?;
    // Acquire: pairs with the Release in `work`.
    let walked = || others == 0 || stand.walked.load(Ordering::Acquire) > round;
    check!(team::wait_for(walked), "the walker does not come");
    let (cold, warm) = *stand.ticks.lock();
    check_eq!(pages, n, "pages given");
    destroy(vm)?;
    for page in 0..n {
        measure::touch(pa + page * PAGE);
    }
    Ok([ticks, cold, warm].map(|ticks| Cost {
        ticks,
        calls: 1,
        pages: n,
    }))
}

fn measure_all(stand: &Stand, pa: u64) -> TestResult {
    for (number, n) in (0..).zip(RUNS) {
        let mut rounds: [Vec<Cost>; 3] = Default::default();
        for round in 0..ROUNDS {
            let costs = give(stand, number * ROUNDS + round, pa, n)?;
            for (list, cost) in rounds.iter_mut().zip(costs) {
                list.push(cost);
            }
        }
        tell(
            &format!("VM_MAP of {n} pages, the others at work"),
            &rounds[0],
        )?;
        if cpu::all().len() > 1 {
            tell(
                &format!("64 MiB of another core, after {n} pages"),
                &rounds[1],
            )?;
            tell(&format!("the same once more, after {n} pages"), &rounds[2])?;
        }
    }
    Ok(())
}

fn of_a_run(_: &mut Random) -> TestResult {
    let warm = pages::take(WARM_PAGES, 2 * MIB).or_fail("64 MiB")?;
    // Between the first page and the last of two blocks. Both stay away, so that neither block is
    // ever given whole, nor made whole in the host's map.
    let most = RUNS[RUNS.len() - 1];
    let blocks = pages::take(2 * most, 2 * MIB).or_fail("pages to give")?;
    let pa = blocks + PAGE;
    let keeper = create()?;
    for (page, ipa) in [(0, VM_RAM), (2 * most - 1, VM_RAM + PAGE)] {
        let batch = insist(|| call::vm_map(keeper, blocks + page * PAGE, ipa, 1, ALL));
        check_eq!(batch.or_fail("VM_MAP")?.done, 1, "pages kept away");
    }
    for page in 0..most {
        measure::touch(pa + page * PAGE);
    }
    let shared = Arc::new(Stand::default());
    let result = team::everywhere(move |index| {
        if index > 0 {
            work(&shared, index, warm);
            return Ok(());
        }
        let result = measure_all(&shared, pa);
        // The others are to end, whatever happened. Release: as in `give`.
        shared.called.store(u64::MAX, Ordering::Release);
        shared.walked.fetch_max(u64::MAX, Ordering::Release);
        result
    });
    destroy(keeper)?;
    // SAFETY: all cores are done with them, the VMs are gone.
    unsafe {
        pages::give(warm, WARM_PAGES);
        pages::give(blocks, 2 * most);
    }
    result
}

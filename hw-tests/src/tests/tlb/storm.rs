//! All cores take pages away at once, and each call asks all cores to forget: every call succeeds at last, and none
//! is the longer for it.
//!
//! Each core gives pages to a VM of its own, one and many, lends others and takes them back, and ends the VM.
//! `cargo xtask storm` counts what the engine executes in each call; this file marks the windows and says which
//! call each was of. Scenario 32: storms of broadcast TLBIs.

use crate::{
    guest::{DATA, GICR, RAM, RAM_SIZE, WINDOW, WINDOW_SIZE},
    measure,
    outcome::{OrFail, TestResult, check, check_eq},
    random::Random,
    runner::register,
    team,
    vm::{ALL, PATTERN, fill, find_other, insist, shape},
};
use abi::{Counter, Status, limit};
use alloc::{string::String, sync::Arc, vec::Vec};
use el1::{
    PAGE,
    call::{self, Batch},
    cpu, pages, println, probe,
};
use spin::mutex::SpinMutex;

register!("tlb::storm": on_all_cores);

/// VMs that each core makes.
const ROUNDS: u64 = 4;
/// Pages that are given or lent at once.
const BATCH: u64 = 24;
/// Pages of a core: one and a batch to give, and a batch to lend.
const OWN: u64 = 1 + 2 * BATCH;

/// The calls that one core made, a letter each, in the order of its windows.
#[derive(Default)]
struct Calls(String);

impl Calls {
    /// Makes a call until it is not BUSY, each time in a window of its own.
    fn make<T>(
        &mut self,
        letter: char,
        mut call: impl FnMut() -> Result<T, Status>,
    ) -> Result<T, Status> {
        insist(|| {
            measure::begin_window();
            let result = call();
            measure::end_window();
            self.0.push(letter);
            result
        })
    }
}

impl Calls {
    /// Makes a call for what is left of `n` pages until all are done: a batch may end early where another core
    /// is at work beside it.
    fn make_all(
        &mut self,
        letter: char,
        n: u64,
        call: impl Fn(u64, u64) -> Result<Batch, Status>,
    ) -> TestResult {
        let mut done = 0;
        while done < n {
            let batch = self.make(letter, || call(done * PAGE, n - done));
            let batch = batch.or_fail("a batch")?;
            check!(
                matches!(batch.reason, Status::Success | Status::Busy),
                "call {letter}: {done} of {n} pages, {}",
                batch.reason.name()
            );
            done += batch.done;
        }
        Ok(())
    }
}

/// One VM's life; `pa` is where the core's pages begin.
fn live(calls: &mut Calls, pa: u64) -> TestResult {
    // In the host's map, all of them.
    fill(pa, OWN, PATTERN);
    let (one, many, lent) = (pa, pa + PAGE, pa + (1 + BATCH) * PAGE);
    let shape = shape(1, 0b10)?;
    let create = || call::vm_create(shape, GICR, (RAM, RAM_SIZE), (WINDOW, WINDOW_SIZE));
    let vm = calls.make('c', create).or_fail("VM_CREATE")?;
    calls.make_all('p', 1, |_, n| call::vm_map(vm, one, RAM, n, ALL))?;
    calls.make_all('q', BATCH, |at, n| {
        call::vm_map(vm, many + at, DATA + at, n, ALL)
    })?;
    calls.make_all('l', BATCH, |at, n| {
        call::vm_lend(vm, lent + at, WINDOW + at, n, ALL)
    })?;
    calls.make_all('u', BATCH, |at, n| call::vm_unlend(vm, WINDOW + at, n))?;
    check!(probe::load(many).is_err(), "the host reads what it gave");
    calls
        .make('d', || call::vm_destroy(vm))
        .or_fail("VM_DESTROY")?;
    let most = limit::RECLAIM_PAGES as u64;
    let reclaim = || call::vm_reclaim(vm, most);
    while !calls.make('r', reclaim).or_fail("VM_RECLAIM")?.1 {}
    check_eq!(find_other(one, 1 + BATCH, 0), None, "what came home");
    check_eq!(find_other(lent, BATCH, PATTERN), None, "what was lent");
    Ok(())
}

fn on_all_cores(_: &mut Random) -> TestResult {
    let cores = cpu::all().len();
    let flushes = || {
        Ok((
            team::total(Counter::FlushPage)?,
            team::total(Counter::FlushVm)?,
        ))
    };
    let before = flushes()?;
    let all: Arc<SpinMutex<Vec<(usize, String)>>> = Arc::default();
    let job = all.clone();
    team::everywhere(move |core| {
        let mut calls = Calls::default();
        let pa = pages::take(OWN, PAGE).or_fail("free pages")?;
        let result = (0..ROUNDS).try_for_each(|_| live(&mut calls, pa));
        job.lock().push((core, calls.0));
        result?;
        // SAFETY: taken above, home again, and unused.
        unsafe { pages::give(pa, OWN) };
        Ok(())
    })?;
    for (core, calls) in all.lock().iter() {
        println!("@storm {{\"core\":{core},\"calls\":\"{calls}\"}}");
    }
    let after = flushes()?;
    let (single, whole) = (after.0 - before.0, after.1 - before.1);
    println!("note storm: {single} flushes by page or range, {whole} of a whole VMID");
    // Of each VM: two gifts, a loan that ends, and the end.
    check!(
        single + whole >= 4 * ROUNDS * cores as u64,
        "{single} and {whole} flushes"
    );
    Ok(())
}

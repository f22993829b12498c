//! All cores at work on one job, and their results.
//!
//! Invariants: a job starts only when every core has finished the one before; between jobs a
//! secondary sleeps with interrupts masked until WFI, so that no wake-up is lost. A seat is written
//! by its own core alone, the job by the boot core.

use crate::outcome::{OrFail, Stop, TestResult, check};
use abi::{Counter, InfoIndex};
use alloc::{format, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use el1::{call, cpu, gic, irq, println, timer};
use spin::{Once, mutex::SpinMutex};

/// SGI that wakes a core for a job.
const WAKE: u32 = 1;
/// Seconds that all cores have for a job, and to start.
const PATIENCE_S: u64 = 240;

/// What a core does; it is told its index.
type Job = Arc<dyn Fn(usize) -> TestResult + Send + Sync>;

struct Seat {
    /// The turn whose job this core has finished; turn 0 is its start.
    finished: AtomicU64,
    /// The engine does not start it.
    is_missing: AtomicBool,
    /// Its number in the engine.
    engine_cpu: AtomicU64,
    result: SpinMutex<TestResult>,
}

struct Team {
    seats: Vec<Seat>,
    turn: AtomicU64,
    job: SpinMutex<Option<Job>>,
}

/// [`Seat::finished`] of a core that has not started.
const ABSENT: u64 = u64::MAX;

static TEAM: Once<Team> = Once::new();
/// Timer interrupts taken by all cores.
static TIMER_TAKEN: AtomicU64 = AtomicU64::new(0);

fn team() -> &'static Team {
    TEAM.call_once(|| {
        let seat = |_: &&cpu::Cpu| Seat {
            finished: AtomicU64::new(ABSENT),
            is_missing: AtomicBool::new(false),
            engine_cpu: AtomicU64::new(ABSENT),
            result: SpinMutex::new(Ok(())),
        };
        Team {
            seats: cpu::all().iter().map(seat).collect(),
            turn: AtomicU64::new(0),
            job: SpinMutex::new(None),
        }
    })
}

/// Starts every secondary; how many cores are there is [`count_online`]'s to say.
pub fn start(with_engine: bool) {
    irq::install(|intid| {
        if intid == timer::INTID {
            // Relaxed: a count, compared by the core that takes the interrupt.
            TIMER_TAKEN.fetch_add(1, Ordering::Relaxed);
        }
    });
    gic::init_distributor();
    gic::init_core();
    let team = team();
    team.take_seat(0, with_engine);
    let main: fn() -> ! = match with_engine {
        true => work_under_engine,
        false => work_alone,
    };
    for index in 1..team.seats.len() {
        if let Err(error) = cpu::start(index, main) {
            println!("core {index} does not start: {error}");
            // Relaxed: only this core looks.
            team.seats[index].is_missing.store(true, Ordering::Relaxed);
        }
    }
    wait_for(|| count_online() == team.present().count());
}

/// Cores that have started.
pub fn count_online() -> usize {
    // Acquire: pairs with the Release in `take_seat`.
    let is_there = |seat: &&Seat| seat.finished.load(Ordering::Acquire) != ABSENT;
    team().seats.iter().filter(is_there).count()
}

/// The engine's number of a core.
pub fn engine_cpu(index: usize) -> u64 {
    // Relaxed: published by the Release in `take_seat` before any test runs.
    team().seats[index].engine_cpu.load(Ordering::Relaxed)
}

/// Sum of a counter of the engine's over all cores.
pub fn total(counter: Counter) -> TestResult<u64> {
    (0..cpu::all().len()).try_fold(0, |sum, index| {
        let value = call::stats_read(engine_cpu(index), counter.raw());
        Ok(sum + value.or_fail("STATS_READ")?)
    })
}

/// Timer interrupts taken so far.
pub fn timer_interrupts() -> u64 {
    // Relaxed: see the handler.
    TIMER_TAKEN.load(Ordering::Relaxed)
}

/// Sleeps for `millis` milliseconds or until an interrupt.
pub fn nap(millis: u64) {
    timer::arm(timer::now() + timer::ticks(millis));
    irq::wait(|| false);
}

/// When whoever waits from now on has waited long enough.
pub fn deadline() -> u64 {
    timer::now() + timer::ticks(PATIENCE_S * 1000)
}

/// Interrupts every other core: one that sleeps or runs a guest looks at what it waits for.
pub fn rouse() {
    let here = cpu::this().index;
    for core in cpu::all().iter().filter(|core| core.index != here) {
        gic::send_sgi(WAKE, core.mpidr);
    }
}

/// Waits until `condition` holds; false if it never does.
pub fn wait_for(condition: impl Fn() -> bool) -> bool {
    let patience = deadline();
    while !condition() {
        if timer::now() > patience {
            return false;
        }
        nap(5);
    }
    true
}

/// Does `step` again and again, without rest, until it says that this is all; false if it never does.
pub fn repeat(mut step: impl FnMut() -> TestResult<bool>) -> TestResult<bool> {
    let patience = timer::now() + timer::ticks(PATIENCE_S * 1000);
    while !step()? {
        if timer::now() > patience {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Runs `job` on every core that there is at once; fails with the first core's failure.
pub fn everywhere(job: impl Fn(usize) -> TestResult + Send + Sync + 'static) -> TestResult {
    let team = team();
    // Relaxed: only this core changes the turn.
    let turn = team.turn.load(Ordering::Relaxed);
    // Acquire: pairs with the Release at the end of `work`; results are seen.
    let is_done = |seat: &Seat, turn| seat.finished.load(Ordering::Acquire) == turn;
    check!(
        team.present().skip(1).all(|(_, seat)| is_done(seat, turn)),
        "a core is missing or still at an earlier job"
    );
    let job: Job = Arc::new(job);
    *team.job.lock() = Some(job.clone());
    let turn = turn + 1;
    // Release: pairs with the Acquire in `work`; the job is seen.
    team.turn.store(turn, Ordering::Release);
    for core in cpu::all().iter().skip(1) {
        gic::send_sgi(WAKE, core.mpidr);
    }
    *team.seats[0].result.lock() = job(0);
    // Release: as at the end of `work`.
    team.seats[0].finished.store(turn, Ordering::Release);
    wait_for(|| team.present().all(|(_, seat)| is_done(seat, turn)));
    // What the job holds is the caller's alone again.
    *team.job.lock() = None;
    for (index, seat) in team.present() {
        check!(is_done(seat, turn), "core {index} does not finish");
        let result = seat.result.lock().clone();
        result.map_err(|stop| match stop {
            Stop::Fail(reason) => Stop::Fail(format!("core {index}: {reason}")),
            skip => skip,
        })?;
    }
    Ok(())
}

impl Team {
    /// The cores that were started, the boot core first.
    fn present(&self) -> impl Iterator<Item = (usize, &Seat)> {
        let seats = self.seats.iter().enumerate();
        // Relaxed: only the boot core writes and looks.
        seats.filter(|(_, seat)| !seat.is_missing.load(Ordering::Relaxed))
    }

    /// Tells that this core is there.
    fn take_seat(&self, index: usize, with_engine: bool) {
        if with_engine && let Ok(number) = call::engine_info(InfoIndex::ThisCpu) {
            // Relaxed: published by the Release below.
            self.seats[index]
                .engine_cpu
                .store(number, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire in `count_online`.
        self.seats[index].finished.store(0, Ordering::Release);
    }
}

fn work_under_engine() -> ! {
    work(true)
}

fn work_alone() -> ! {
    work(false)
}

/// A secondary's life.
fn work(with_engine: bool) -> ! {
    gic::init_core();
    let index = cpu::this().index;
    let team = team();
    team.take_seat(index, with_engine);
    let mut seen = 0;
    loop {
        // Acquire: pairs with the Release in `everywhere`.
        let turn = team.turn.load(Ordering::Acquire);
        if turn == seen {
            irq::wait(|| team.turn.load(Ordering::Acquire) != seen);
            continue;
        }
        seen = turn;
        let job = team.job.lock().clone();
        let result = job.map_or(Ok(()), |job| job(index));
        *team.seats[index].result.lock() = result;
        // Release: pairs with the Acquire in `everywhere`.
        team.seats[index].finished.store(turn, Ordering::Release);
    }
}

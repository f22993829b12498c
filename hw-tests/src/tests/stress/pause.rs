//! Times at which no core is in a call: all come to rest, one looks at everything, all go on.
//!
//! Invariants: only the leader opens and closes pauses; a core rests between two steps, never within a call; a core
//! that rests sleeps, with interrupts masked between its last look and its sleep.

use super::world::World;
use crate::{
    outcome::{TestResult, check},
    team,
};
use core::sync::atomic::{AtomicU64, Ordering};
use el1::{cpu, gic, irq, println};

/// SGI that ends a rest.
const GO_ON: u32 = 1;
/// [`Pause::over`] of a stress that goes on.
const NOT_OVER: u64 = 0;

/// Where the cores stand.
pub struct Pause {
    /// Pauses asked for so far.
    wanted: AtomicU64,
    /// Pauses over so far.
    ended: AtomicU64,
    /// For each core the latest pause that it came to.
    came: [AtomicU64; CORES],
    /// Not 0 once there is nothing more to do.
    over: AtomicU64,
}

/// Cores that can be.
const CORES: usize = 512;

impl Pause {
    /// No pause yet.
    pub fn new() -> Self {
        Self {
            wanted: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            came: [const { AtomicU64::new(0) }; CORES],
            over: AtomicU64::new(NOT_OVER),
        }
    }

    /// On every core but the leader's, between two steps: rests if there is a pause. False once all is over.
    pub fn rest(&self, core: usize) -> bool {
        // Relaxed: nothing is read by it.
        let wanted = self.wanted.load(Ordering::Relaxed);
        // Acquire: pairs with the Release in `end`; what the leader did is seen.
        let has_ended = || self.ended.load(Ordering::Acquire) >= wanted;
        if !has_ended() {
            // Release: pairs with the Acquire in `begin`; what this core did is seen.
            self.came[core].store(wanted, Ordering::Release);
            while !has_ended() {
                irq::wait(has_ended);
            }
        }
        // Relaxed: stored before the pause ended.
        self.over.load(Ordering::Relaxed) == NOT_OVER
    }

    /// On the leader: stops all others. Fails, with what they do, if some do not come.
    pub fn begin(&self, world: &World) -> TestResult {
        // Relaxed: a wish, which publishes nothing.
        let turn = self.wanted.fetch_add(1, Ordering::Relaxed) + 1;
        let count = cpu::all().len();
        // Acquire: pairs with the Release in `rest`.
        let has_come = |core: &usize| self.came[*core].load(Ordering::Acquire) == turn;
        team::wait_for(|| (1..count).all(|core| has_come(&core)));
        let mut missing = (1..count).filter(|core| !has_come(core));
        for core in missing.clone().take(8) {
            println!("core {core} is {}", world.records[core].describe_now());
        }
        let first = missing.next();
        check!(
            first.is_none(),
            "{} cores do not come to a pause, core {} among them",
            1 + missing.count(),
            first.unwrap_or(0)
        );
        Ok(())
    }

    /// On the leader: lets all others go on, or end.
    pub fn end(&self, is_over: bool) {
        // Relaxed: published by the store after it.
        self.over.store(u64::from(is_over), Ordering::Relaxed);
        let turn = self.wanted.load(Ordering::Relaxed);
        // Release: pairs with the Acquire in `rest`.
        self.ended.store(turn, Ordering::Release);
        for core in cpu::all().iter().skip(1) {
            gic::send_sgi(GO_ON, core.mpidr);
        }
    }
}

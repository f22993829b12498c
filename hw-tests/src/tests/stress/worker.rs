//! One core at work: a call at a time, noted, and what follows from it for the others.
//!
//! Invariant: every call of a worker goes through `make`; what it says is passed on before the next.

use super::{
    arena,
    record::Ending,
    shot::Shot,
    world::{Phase, World, add},
};
use crate::{guest::STEP, random::Random};
use abi::{Call, Status, limit};
use alloc::{format, sync::Arc};
use core::sync::atomic::Ordering;
use el1::{PAGE, call, pages};

/// Steps of which one touches memory in place of a call.
const TOUCH: u64 = 8;
/// Calls of which one is spoilt.
const SPOIL: u64 = 8;

/// VMs that could be ended for one that is.
const SPARE: u64 = 8;
/// Pages that a core poisons: none of them comes back.
const POISON: u32 = 3;

/// A core.
pub struct Worker {
    /// What it knows with the others.
    pub world: Arc<World>,
    /// Its number.
    pub core: usize,
    /// Its number in the engine.
    pub cpu: u64,
    /// What it draws.
    pub random: Random,
    /// A page of its own, for lists.
    pub list: u64,
    /// Pages that it may still poison.
    pub poison_left: u32,
}

impl Worker {
    /// The worker of this core; none if there is no page for it.
    pub fn new(world: Arc<World>, core: usize, cpu: u64, seed: u64) -> Option<Self> {
        Some(Self {
            world,
            core,
            cpu,
            random: Random::new(seed, 1 + core as u64),
            list: pages::take(1, PAGE)?,
            poison_left: POISON,
        })
    }

    /// Gives the page back.
    pub fn finish(self) {
        // SAFETY: it came from the allocator, and no call about it is left.
        unsafe { pages::give(self.list, 1) };
    }

    /// One step: a call of any kind, or a look at memory.
    pub fn step(&mut self) {
        if self.random.below(TOUCH) == 0 {
            return self.touch();
        }
        let call = self.choose();
        match call {
            Call::VmCreate => self.raise(),
            Call::CpuRun => self.run_guests(),
            // So seldom that guests get somewhere.
            Call::VmDestroy if !self.lacks(call) && self.random.below(SPARE) > 0 => {
                self.run_guests();
            }
            _ => match self.draw(call) {
                Some(mut shot) => {
                    if self.random.below(SPOIL) == 0 {
                        shot.spoil(&mut self.random);
                    }
                    // What it says was learned; a refusal is noted and no more.
                    let _ = self.fire(&shot);
                }
                None => self.make_way_for(call),
            },
        }
    }

    /// Makes a call; what the engine lacks it gets.
    pub fn fire(&mut self, shot: &Shot) -> Result<[u64; 17], Status> {
        let result = self.make(shot);
        if result == Err(Status::NoMemory) {
            self.feed();
        }
        result
    }

    fn make(&mut self, shot: &Shot) -> Result<[u64; 17], Status> {
        let record = &self.world.records[self.core];
        record.begin(shot);
        let result = call::invoke(shot.call, &shot.arguments);
        record.end(shot.call, Ending::of(&result));
        match &result {
            Ok(results) => self.learn(shot, results),
            Err(status) => self.learn_refusal(shot, *status),
        }
        result
    }

    /// Reads or writes a word of a page, whoever has it.
    fn touch(&mut self) {
        let page = self.world.arena.any(&mut self.random);
        let at = page + self.random.below(PAGE / STEP) * STEP;
        if self.random.below(2) == 0 {
            arena::mark(at);
        } else {
            self.look_at(page, STEP);
        }
    }

    /// Looks at a page, whoever has it.
    pub fn look_at(&self, page: u64, stride: u64) {
        if let Err(wrong) = arena::look_at(page, stride) {
            let arena::Wrong { at, word } = wrong;
            self.world
                .fail(format!("core {} reads {word:#x} at {at:#x}", self.core));
        }
    }

    fn learn(&mut self, shot: &Shot, results: &[u64; 17]) {
        let world = self.world.clone();
        let totals = &world.totals;
        let n = results[0] as i64;
        match (shot.call, shot.about) {
            (Call::EngineDonate, _) => add(&totals.engine, n),
            (Call::EngineReclaim, _) => {
                add(&totals.engine, -n);
                for page in &results[1..1 + n as usize] {
                    self.look_at(*page, 8);
                    if !world.arena.holds(*page) {
                        world.keep_stray(*page);
                    }
                }
            }
            (Call::VmMap | Call::VmMapList, _) => add(&totals.given, n),
            (Call::PagePoison, _) => {
                self.poison_left -= 1;
                add(&totals.poisoned, 1);
            }
            (Call::VmLend, Some(mark)) => {
                let lent = &world.places[mark.place].lent;
                // Relaxed: a guess.
                lent.store(shot.arguments[2], Ordering::Relaxed);
            }
            (Call::VmStart, Some(mark)) => world.advance(mark, Phase::Running),
            (Call::VmDestroy, Some(mark)) => world.advance(mark, Phase::Dying),
            (Call::VmReclaim, Some(mark)) => {
                add(&totals.home, n);
                if results[1] == 1 {
                    add(&totals.live, -1);
                    // Relaxed: a statistic.
                    totals.ended.fetch_add(1, Ordering::Relaxed);
                    world.advance(mark, Phase::Free);
                }
            }
            (Call::VcpuCreate, Some(mark)) => {
                let vcpu = abi::VcpuHandle::from_raw(results[0]);
                world.learn_vcpu(vcpu, mark);
                let cells = &world.places[mark.place].vcpus;
                if let Some(cell) = cells.get(shot.arguments[1] as usize) {
                    // Relaxed: a guess.
                    cell.store(vcpu.raw(), Ordering::Relaxed);
                }
            }
            _ => {}
        }
    }

    fn learn_refusal(&mut self, shot: &Shot, status: Status) {
        let is_answer = shot.call == Call::VcpuRespond && shot.about.is_none();
        if is_answer && status == Status::Busy {
            // Somebody is at the vCPU: it still asks.
            let vcpu = abi::VcpuHandle::from_raw(shot.arguments[0]);
            if let Some(known) = self.world.vcpu(vcpu) {
                // Relaxed: a guess.
                known.asks.store(1, Ordering::Relaxed);
            }
        }
        if let Some(stray) = shot.stray {
            self.world.keep_stray(stray);
        }
    }

    /// Donates a few pages of one block to the engine.
    pub fn feed(&mut self) {
        let (pa, _) = self.world.arena.any_run(&mut self.random, 1);
        let first = pa & !(8 * PAGE - 1);
        // As good as any other donation.
        let _ = self.make(&Shot::new(Call::EngineDonate, &[first, 8]));
    }

    /// Donates one page to the engine.
    pub fn feed_one(&mut self) {
        let stray = self.world.take_stray();
        let pa = stray.unwrap_or_else(|| self.world.arena.any(&mut self.random));
        let mut shot = Shot::new(Call::EngineDonate, &[pa, 1]);
        shot.stray = stray;
        // Another page follows if it is refused.
        let _ = self.make(&shot);
    }

    /// Takes at most so many pages back from the engine.
    pub fn take_back(&mut self, n: u64) {
        let most = n.min(limit::ENGINE_RECLAIM_PAGES as u64);
        // As in `feed_one`.
        let _ = self.make(&Shot::new(Call::EngineReclaim, &[most]));
    }
}

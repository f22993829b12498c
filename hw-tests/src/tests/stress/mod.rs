//! Random calls of every kind on all cores at once, on VMs that come and go and pages that many want, with guests
//! that look after their memory; and all VMs that can be.
//!
//! `stress::random_calls` goes on for `seconds=N`, and then until each core has done each kind. Now and then all
//! cores stop between calls, and every page is compared with what the calls said and with what may be in it
//! (`audit`). At the end everything is brought home. What happened is told in lines for `cargo xtask stress`.
//!
//! Invariants: what a core draws depends on the seed and on what the engine told the cores so far, on nothing else:
//! where time is counted in instructions a seed repeats a run.

mod arena;
mod audit;
mod draw;
mod guests;
mod pause;
mod record;
mod shot;
mod worker;
mod world;

use crate::{
    args::Args,
    census,
    outcome::{OrFail, Stop, TestResult, check_eq},
    random::Random,
    runner::{Needs, Test},
    team,
};
use abi::{Call, Counter};
use alloc::{format, sync::Arc};
use core::sync::atomic::Ordering;
use el1::{
    call::{self, Census},
    cpu, machine, println, timer,
};
use pause::Pause;
use record::{Ending, Record};
use worker::Worker;
use world::World;

/// The tests of this file.
pub const TESTS: &[Test] = &[Test {
    name: "stress::random_calls",
    needs: Needs::Poison,
    run: random_calls,
}];

/// Blocks of 2 MiB to play with, and cores for one more.
const BLOCKS: u64 = 16;
const CORES_PER_BLOCK: u64 = 8;
/// VMs in times of few: at least, and cores for one more.
const FEW: i64 = 6;
const CORES_PER_VM: i64 = 4;
/// Censuses that a run is meant to have, and milliseconds between two at least and at most.
const CENSUSES: u64 = 10;
const APART_MS: (u64, u64) = (500, 30_000);
/// A run goes on past its time until each core has done each kind of call, but not for longer than so many times that.
const PATIENCE: u64 = 4;

/// All that the cores share.
struct Stress {
    world: Arc<World>,
    pause: Pause,
    before: Census,
    seed: u64,
    seconds: u64,
    violations: u64,
}

fn random_calls(_: &mut Random) -> TestResult {
    let args = Args::parse(machine().bootargs);
    let before = census::take()?;
    let blocks = BLOCKS + cpu::all().len() as u64 / CORES_PER_BLOCK;
    let stress = Arc::new(Stress {
        world: Arc::new(World::new(blocks)?),
        pause: Pause::new(),
        before,
        seed: args.seed,
        seconds: args.seconds,
        violations: audit::count(Counter::ScrubViolations)?,
    });
    println!(
        "stress: {} cores, {} s, {} pages, seed {}",
        cpu::all().len(),
        args.seconds,
        audit::arena_pages(&stress.world),
        args.seed
    );
    let shared = stress.clone();
    team::everywhere(move |core| shared.work(core))?;
    audit::give_pages_back(&stress.world);
    Ok(())
}

impl Stress {
    fn work(&self, core: usize) -> TestResult {
        let cpu = team::engine_cpu(core);
        let worker = Worker::new(self.world.clone(), core, cpu, self.seed);
        let mut worker = worker.or_fail("a page for a list")?;
        if core == 0 {
            let result = self.lead(&mut worker);
            if result.is_err() {
                self.pause.end(true);
            }
            result?;
        } else {
            while self.pause.rest(core) {
                worker.step();
            }
        }
        worker.finish();
        Ok(())
    }

    /// The leader's part: it works as the others do, and calls the pauses.
    fn lead(&self, worker: &mut Worker) -> TestResult {
        let (least, most) = APART_MS;
        let apart = timer::ticks((self.seconds * 1000 / CENSUSES).clamp(least, most));
        let length = timer::ticks(self.seconds * 1000);
        let end = timer::now() + length;
        let last = end + PATIENCE * length;
        let (mut next, mut number) = (timer::now() + apart, 0);
        let all = self.world.places.len() as i64;
        let cores = self.world.records.len() as i64;
        loop {
            // Few VMs that everyone wants, or as many as can be, in turns.
            let few = FEW.max(cores / CORES_PER_VM);
            let wanted = if number % 2 == 0 { few } else { all };
            // Relaxed: a wish.
            self.world.wanted.store(wanted, Ordering::Relaxed);
            while timer::now() < next && !self.world.has_failed() {
                worker.step();
            }
            self.pause.begin(&self.world)?;
            self.check_no_failure()?;
            let is_settled = number % 2 == 1;
            if is_settled {
                audit::bring_dying_home(worker)?;
            }
            let census = audit::check(&self.world, &self.before, is_settled)?;
            self.check_no_failure()?;
            number += 1;
            println!(
                "census {number}: {} calls, {} of them busy; {} VMs ended, {} alive; {} pages of VMs, {} shared",
                Ending::ALL
                    .map(|ending| audit::calls(&self.world, ending))
                    .iter()
                    .sum::<u64>(),
                audit::calls(&self.world, Ending::Busy),
                // Relaxed: no core is at work.
                self.world.totals.ended.load(Ordering::Relaxed),
                self.world.totals.live.load(Ordering::Relaxed),
                census.vm,
                census.shared,
            );
            let now = timer::now();
            if now >= last || (now >= end && self.each_did_all()) {
                break;
            }
            self.pause.end(false);
            next = timer::now() + apart;
        }
        audit::end(worker)?;
        let census = audit::check(&self.world, &self.before, true)?;
        self.check_no_failure()?;
        check_eq!(
            (census.vm, census.shared),
            (0, 0),
            "pages of VMs at the end"
        );
        call::engine_doorbell(0).or_fail("ENGINE_DOORBELL")?;
        self.pause.end(true);
        self.tell(&census, number + 1)
    }

    /// Has each core done each kind of call, and seen a guest's pages in order?
    fn each_did_all(&self) -> bool {
        self.world.records.iter().all(|record| {
            let done = |call: &Call| record.count(*call, Ending::Success) > 0;
            record.kept() > 0 && Call::ALL.iter().all(done)
        })
    }

    fn check_no_failure(&self) -> TestResult {
        match self.world.failure() {
            Some(what) => Err(Stop::Fail(format!("seed {}: {what}", self.seed))),
            None => Ok(()),
        }
    }

    /// Prints the lines for the tool.
    fn tell(&self, census: &Census, censuses: u64) -> TestResult {
        for (core, record) in self.world.records.iter().enumerate() {
            record.tell(core);
        }
        let violations = audit::count(Counter::ScrubViolations)? - self.violations;
        let totals = &self.world.totals;
        let Census {
            seen,
            reserved,
            host,
            host_fixed,
            engine,
            vm,
            shared,
            claimed,
            poisoned,
        } = census;
        // Relaxed: no core is at work.
        println!(
            "@stress {{\"seed\":{},\"seconds\":{},\"censuses\":{censuses},\"vms_ended\":{},\
             \"pages_kept\":{},\"scrub_violations\":{violations},\"pages\":{{\"total\":{seen},\
             \"reserved\":{reserved},\"host\":{host},\"host_fixed\":{host_fixed},\"engine\":{engine},\
             \"vm\":{vm},\"shared\":{shared},\"claimed\":{claimed},\"poisoned\":{poisoned}}}}}",
            self.seed,
            self.seconds,
            totals.ended.load(Ordering::Relaxed),
            self.world.records.iter().map(Record::kept).sum::<u64>(),
        );
        check_eq!(violations, 0, "pages not zero after their scrub");
        Ok(())
    }
}

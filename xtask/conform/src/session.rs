//! Random sessions: a machine per seed, its deeds, and of one that differs the least that still does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;

use crate::Options;
use crate::deed::Deed;
use crate::oracle::Oracle;
use crate::random::{World, config_of};
use crate::rig::Rig;
use crate::shrink::{count, message, shrink};
use crate::tally::Tally;

/// With so many deeds every call succeeds at least once.
const MEETS_ALL: u64 = 50_000;
/// With so many every call is refused with all that the interface lists for it.
const MEETS_REFUSALS: u64 = 5_000_000;

/// What came of a machine.
struct Outcome {
    fault: Option<String>,
    deeds: Vec<Deed>,
    compared: u64,
    /// The oracle, for the next machine.
    oracle: Option<Oracle>,
}

/// Plays the machine of `seed`.
fn play(oracle: Oracle, tally: &Arc<Tally>, seed: u64, count: u64) -> Result<Outcome> {
    let rig = Rig::new(config_of(seed), oracle, tally);
    let mut deeds = Vec::new();
    let mut world = World::new(seed, &rig.machine);
    let played = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..count {
            let deed = world.next();
            deeds.push(deed.clone());
            let came = rig.deed(&deed);
            world.learn(&deed, &came);
        }
    }));
    let fault = match played {
        Ok(()) => rig.verdict()?,
        Err(panic) => Some(format!("the engine panics: {}", message(&*panic))),
    };
    let compared = rig.tape().deeds;
    Ok(Outcome {
        fault,
        deeds,
        compared,
        oracle: rig.into_oracle(),
    })
}

/// What came of all machines.
pub struct Session {
    /// Deeds that were compared.
    pub compared: u64,
    /// Machines.
    pub machines: u64,
    /// Everything conformed.
    pub conforms: bool,
}

/// Plays machines until there are so many deeds, some at a time.
pub fn random(options: &Options) -> Result<Session> {
    let started = Instant::now();
    let (next, done, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let tally = Arc::new(Tally::default());
    let machines = options.calls.div_ceil(options.each);
    let shard = || -> Result<()> {
        let mut oracle = None;
        loop {
            // Relaxed, here and below: numbers that publish nothing.
            let machine = next.fetch_add(1, Ordering::Relaxed);
            if done.load(Ordering::Relaxed) >= options.calls || failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let seed = options.seed.wrapping_add(machine);
            let ready = match oracle.take() {
                Some(oracle) => oracle,
                None => Oracle::start(&options.oracle)?,
            };
            let outcome = play(ready, &tally, seed, options.each)?;
            oracle = outcome.oracle;
            let before = done.fetch_add(outcome.compared, Ordering::Relaxed);
            if let Some(fault) = outcome.fault {
                // One is enough.
                if failed.swap(true, Ordering::Relaxed) {
                    return Ok(());
                }
                tell(&options.oracle, seed, options.each, &fault, &outcome.deeds)?;
            } else if (before + outcome.compared) / options.progress > before / options.progress {
                let (done, of) = (before + outcome.compared, options.calls);
                let seconds = started.elapsed().as_secs_f64();
                println!(
                    "    {done} of {of} compared, machine {machine} of about {machines}, {seconds:.0} s"
                );
            }
        }
    };
    let ended: Vec<Result<()>> = std::thread::scope(|scope| {
        let shards: Vec<_> = (0..options.shards).map(|_| scope.spawn(shard)).collect();
        let join = |shard: std::thread::ScopedJoinHandle<'_, Result<()>>| {
            shard
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a shard panicked")))
        };
        shards.into_iter().map(join).collect()
    });
    ended.into_iter().collect::<Result<Vec<()>>>()?;
    for line in tally.lines() {
        println!("    {line}");
    }
    // A short run need not meet everything.
    let mut unmet = Vec::new();
    if options.calls >= MEETS_ALL {
        unmet.extend(tally.unmet());
    }
    if options.calls >= MEETS_REFUSALS {
        unmet.extend(tally.unmet_refusals());
    }
    for unmet in &unmet {
        println!("    never: {unmet}");
    }
    Ok(Session {
        compared: done.into_inner(),
        machines: next.into_inner() - options.shards,
        conforms: !failed.into_inner() && unmet.is_empty(),
    })
}

/// Tells of a difference, in the fewest deeds.
fn tell(program: &Path, seed: u64, each: u64, fault: &str, deeds: &[Deed]) -> Result<()> {
    println!("machine of seed {seed} differs from the specification:\n{fault}");
    println!("again: cargo xtask conform --seed {seed} --calls 1 --each {each}");
    let (least, difference) = shrink(program, config_of(seed), deeds)?;
    println!("in {} steps, {:?}:", count(&least), config_of(seed));
    for deed in &least {
        println!("    {deed}");
    }
    println!("{}", difference.what);
    Ok(())
}

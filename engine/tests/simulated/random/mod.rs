//! Random calls as register values, random accesses of the host and of guests, on several cores in
//! turns, some of them while a guest runs; every invariant is checked after each.
//!
//! `BULKHEAD_SEED=n` repeats one run, `BULKHEAD_STEPS=n` changes its length.

mod steps;
mod world;

use std::sync::{Arc, Mutex};
use steps::{finish, one_step};
use world::World;

fn run_seed(seed: u64, steps: u64) {
    let shared = Arc::new(Mutex::new(World::new(seed)));
    for _ in 0..steps {
        one_step(&shared);
    }
    finish(&shared);
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Says how to repeat the run that failed.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat with BULKHEAD_SEED={}", self.0);
        }
    }
}

fn run_seeds(seeds: std::ops::Range<u64>) {
    let steps = setting("BULKHEAD_STEPS").unwrap_or(250);
    let seeds = setting("BULKHEAD_SEED").map_or(seeds, |seed| seed..seed + 1);
    for seed in seeds {
        let announce = Announce(seed);
        run_seed(seed, steps);
        drop(announce);
    }
}

#[test]
fn random_calls_keep_every_invariant() {
    run_seeds(1..7);
}

#[test]
fn more_random_calls_keep_every_invariant() {
    run_seeds(100..106);
}

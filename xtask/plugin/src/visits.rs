//! How many instructions a core executes in the engine from one ERET to the next. One that returns to EL2 itself, after
//! a memory error in the window, ends a visit too.
//!
//! Invariant: a core's record is written by that core alone; whoever writes the result does so when all have stopped.

use std::ffi::c_uint;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// More than QEMU's `virt` machine has.
const CORES: usize = 1024;

/// One core's.
#[derive(Default)]
struct Visit {
    /// What had been executed at the last ERET.
    before: AtomicU64,
    /// How many there were.
    count: AtomicU64,
    /// Up to the first: the core's start.
    first: AtomicU64,
    /// The longest after that.
    longest: AtomicU64,
}

/// All cores'.
pub struct Visits(Box<[Visit]>);

impl Default for Visits {
    fn default() -> Self {
        Self((0..CORES).map(|_| Visit::default()).collect())
    }
}

impl Visits {
    /// A core leaves the engine, in which it has executed so much by now.
    pub fn end(&self, core: c_uint, executed: u64) {
        let Some(own) = self.0.get(core as usize) else {
            return;
        };
        // Relaxed, all of them: the core's own.
        let visit = executed - own.before.swap(executed, Relaxed);
        if own.count.fetch_add(1, Relaxed) == 0 {
            own.first.store(visit, Relaxed);
        } else {
            own.longest.fetch_max(visit, Relaxed);
        }
    }

    /// A core's as JSON.
    pub fn object(&self, core: c_uint) -> String {
        let Some(own) = self.0.get(core as usize) else {
            return "null".into();
        };
        // Relaxed: all cores have stopped.
        let [count, first, longest] =
            [&own.count, &own.first, &own.longest].map(|field| field.load(Relaxed));
        format!("{{\"count\":{count},\"first\":{first},\"longest\":{longest}}}")
    }
}

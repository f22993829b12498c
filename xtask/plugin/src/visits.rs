//! How many instructions a core executes in the engine from one ERET to the next, and the longest of these by what
//! brought the core there. One that returns to EL2 itself, after a memory error in the window, ends a visit too.
//!
//! What brought it there is a call if an `HVC` outside the engine was the last thing before: one of the engine's own by
//! its number, or another. Else it is a trap, an interrupt or an `SMC`. A guest that makes a call of the host's is
//! counted with that call.
//!
//! Invariant: a core's record is written by that core alone; whoever writes the result does so when all have stopped.

use std::ffi::c_uint;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// More than QEMU's `virt` machine has.
const CORES: usize = 1024;

/// More than the engine has calls.
const CALLS: usize = 32;
/// Another call.
const OTHER_CALL: usize = CALLS;
/// No call.
const NO_CALL: usize = CALLS + 1;

/// Visits of one kind.
#[derive(Default)]
struct Kind {
    count: AtomicU64,
    longest: AtomicU64,
}

/// Visits of all kinds.
struct Kinds([Kind; CALLS + 2]);

impl Default for Kinds {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Kind::default()))
    }
}

/// One core's.
#[derive(Default)]
struct Visit {
    /// What had been executed at the last ERET.
    before: AtomicU64,
    /// The call that is being made, + 1.
    call: AtomicU64,
    /// How many there were.
    count: AtomicU64,
    /// Up to the first: the core's start.
    first: AtomicU64,
    /// Those after that, by kind.
    kinds: Kinds,
}

/// All cores'.
pub struct Visits(Box<[Visit]>);

impl Default for Visits {
    fn default() -> Self {
        Self((0..CORES).map(|_| Visit::default()).collect())
    }
}

impl Visits {
    /// A core makes a call, the engine's own of this number if that is below `CALLS`.
    pub fn call(&self, core: c_uint, number: u64) {
        let Some(own) = self.0.get(core as usize) else {
            return;
        };
        // Relaxed here and in `end`: the core's own.
        own.call.store(number.min(OTHER_CALL as u64) + 1, Relaxed);
    }

    /// A core leaves the engine, in which it has executed so much by now.
    pub fn end(&self, core: c_uint, executed: u64) {
        let Some(own) = self.0.get(core as usize) else {
            return;
        };
        let visit = executed - own.before.swap(executed, Relaxed);
        let call = own.call.swap(0, Relaxed) as usize;
        if own.count.fetch_add(1, Relaxed) == 0 {
            own.first.store(visit, Relaxed);
            return;
        }
        let kind = &own.kinds.0[call.checked_sub(1).unwrap_or(NO_CALL)];
        kind.count.fetch_add(1, Relaxed);
        kind.longest.fetch_max(visit, Relaxed);
    }

    /// A core's as JSON.
    pub fn object(&self, core: c_uint) -> String {
        let Some(own) = self.0.get(core as usize) else {
            return "null".into();
        };
        // Relaxed: all cores have stopped.
        let first = own.first.load(Relaxed);
        let kinds = own.kinds.0.iter().map(|kind| {
            let [count, longest] = [&kind.count, &kind.longest].map(|field| field.load(Relaxed));
            format!("{{\"count\":{count},\"longest\":{longest}}}")
        });
        let kinds: Vec<String> = kinds.collect();
        let kinds = kinds.join(",");
        format!("{{\"first\":{first},\"kinds\":[{kinds}]}}")
    }
}

//! Counters of a core: what STATS_READ tells.
//!
//! Invariants: a core adds to its own counters only, so that no hot path shares a line; any core
//! may read. They count events, never contents.

use abi::{Call, Counter, ExitReason};
use sync::{AtomicU64, Ordering};

/// Named counters.
const NAMED: usize = Counter::ALL.len();
/// Calls counted, by number.
const CALLS: usize = 0x20;
/// Exits counted, by reason.
const EXITS: usize = 0x20;

/// One core's counters.
pub struct Counters {
    named: [AtomicU64; NAMED],
    calls: [AtomicU64; CALLS],
    errors: [AtomicU64; CALLS],
    exits: [AtomicU64; EXITS],
}

const _: () = assert!(abi::stats::CALLS_AT == 0x100 && abi::stats::EXITS_AT == 0x400);

impl Default for Counters {
    fn default() -> Self {
        Self {
            named: ::core::array::from_fn(|_| AtomicU64::new(0)),
            calls: ::core::array::from_fn(|_| AtomicU64::new(0)),
            errors: ::core::array::from_fn(|_| AtomicU64::new(0)),
            exits: ::core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// Adds to a counter that only the calling core writes.
fn bump(counter: &AtomicU64, by: u64) {
    // Relaxed, and no read-modify-write: one writer; readers want a statistic.
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(by),
        Ordering::Relaxed,
    );
}

impl Counters {
    /// Adds to a named counter.
    pub(crate) fn add(&self, counter: Counter, by: u64) {
        if let Some(cell) = self.named.get(counter.raw() as usize) {
            bump(cell, by);
        }
    }

    /// Counts a call and whether it was refused.
    pub(crate) fn add_call(&self, call: Call, refused: bool) {
        let index = call.number() as usize;
        if let (Some(calls), Some(errors)) = (self.calls.get(index), self.errors.get(index)) {
            bump(calls, 1);
            if refused {
                bump(errors, 1);
            }
        }
    }

    /// Counts an exit to the host.
    pub(crate) fn add_exit(&self, reason: ExitReason) {
        if let Some(cell) = self.exits.get(reason.raw() as usize) {
            bump(cell, 1);
        }
    }

    /// The counter with STATS_READ's number `index`.
    pub fn read(&self, index: u64) -> Option<u64> {
        let index = usize::try_from(index).ok()?;
        let calls_at = abi::stats::CALLS_AT as usize;
        let exits_at = abi::stats::EXITS_AT as usize;
        let cell = if index < calls_at {
            self.named.get(index)?
        } else if index < exits_at {
            let call = index - calls_at;
            let half = if call.is_multiple_of(2) {
                &self.calls
            } else {
                &self.errors
            };
            half.get(call / 2)?
        } else {
            self.exits.get(index - exits_at)?
        };
        // Relaxed: a statistic.
        Some(cell.load(Ordering::Relaxed))
    }
}

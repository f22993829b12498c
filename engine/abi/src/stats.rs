//! Indices of `STATS_READ` that follow from call numbers and exit reasons.
//!
//! Invariant: the three runs of indices below and those of [`crate::Counter`] don't overlap.

use crate::{Call, ExitReason};

/// First index of the calls' counters.
pub const CALLS_AT: u64 = 0x100;
/// First index of the exits' counters.
pub const EXITS_AT: u64 = 0x400;

/// Index of the number of times a call was made.
pub const fn calls(call: Call) -> u64 {
    CALLS_AT + 2 * call.number()
}

/// Index of the number of times a call returned an error.
pub const fn errors(call: Call) -> u64 {
    calls(call) + 1
}

/// Index of the number of times `CPU_RUN` returned with a reason.
pub const fn exits(reason: ExitReason) -> u64 {
    EXITS_AT + reason.raw()
}

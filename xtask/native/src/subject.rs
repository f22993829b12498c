//! What is measured: cores that operate on something shared.
//!
//! Invariant: an operation ends as it began (what was given is taken back, what was woken is parked), so that it can
//! be repeated for ever, or is refused and changed nothing.

use crate::random::Random;

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// There and back.
    Done,
    /// Somebody else had what it was to be done to: nothing changed.
    Refused,
}

/// Something that many cores operate on.
pub trait Subject: Sync {
    /// What one core has to itself.
    type Core;
    /// What an operation is done to.
    type Target: Copy;

    /// The state of the core of this number, below [`crate::MAX_CORES`]; one at a time of each.
    fn core(&self, number: u16) -> Self::Core;

    /// One operation.
    fn operate(&self, core: &mut Self::Core, on: Self::Target) -> Outcome;
}

/// Which target each operation has.
pub trait Workload: Copy + Sync {
    /// What it is done to.
    type Target: Copy;

    /// Its name, in tables and charts.
    fn name(self) -> &'static str;

    /// What core `core` of `cores` does its next operation on.
    fn next(self, core: u16, cores: u16, random: &mut Random) -> Self::Target;
}

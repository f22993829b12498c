//! What a core did, with when it began and ended, and how that is told to the tool.
//!
//! Invariant: between the two times lies all of it, and nothing else: a time is read behind a barrier that ended what came
//! before it, and what is timed begins behind the read. So a word that several cores load and store at the same
//! time has an order that respects the times: each access is single-copy atomic, a load has its value and a
//! store is seen by every core before the second time is read.

use super::LIST;
use crate::outcome::{TestResult, check};
use aarch64_cpu::asm::barrier;
use abi::Call;
use alloc::boxed::Box;
use core::fmt;
use el1::{
    probe::{self, Fault},
    timer,
};

/// The round, the times, and what it was.
pub struct Note {
    pub round: usize,
    pub begun: u64,
    pub ended: u64,
    pub what: What,
}

pub enum What {
    /// A call; for itself, as accesses take less room.
    Call(Box<Invocation>),
    /// A load from there, and what it found; nothing where the engine answered with an abort.
    Load { at: u64, found: Option<u64> },
    /// A store, and whether it was done.
    Store { at: u64, value: u64, is_done: bool },
}

/// A call: x0 to x6, its status and results, and the list page's words.
pub struct Invocation {
    pub x: [u64; 7],
    pub told: Box<[u64]>,
    pub list: Option<[u64; 2 * LIST as usize]>,
}

/// How many results of a call are told: of those that are made here, one has more than three.
pub fn results_of(call: Call) -> usize {
    match call {
        Call::CpuRun => 9,
        _ => 3,
    }
}

/// Does it, and tells when it began and ended.
pub fn time<T>(act: impl FnOnce() -> T) -> (u64, u64, T) {
    let begun = timer::now();
    // What is timed is not begun before the counter was read.
    barrier::isb(barrier::SY);
    let result = act();
    // Its load has a value, its store is seen by all cores; the read of the counter stays behind by its own barrier.
    barrier::dsb(barrier::SY);
    (begun, timer::now(), result)
}

/// Loads a word that may be out of reach.
pub fn load(round: usize, at: u64) -> TestResult<Note> {
    let (begun, ended, result) = time(|| probe::load(at));
    let found = unless_denied("load", at, result)?;
    let what = What::Load { at, found };
    Ok(Note {
        round,
        begun,
        ended,
        what,
    })
}

/// Stores a word that may be out of reach.
///
/// # Safety
/// The memory there is used by nobody but such accesses, and VMs.
pub unsafe fn store(round: usize, at: u64, value: u64) -> TestResult<Note> {
    // SAFETY: the caller answers for it.
    let (begun, ended, result) = time(|| unsafe { probe::store(at, value) });
    let is_done = unless_denied("store", at, result)?.is_some();
    let what = What::Store { at, value, is_done };
    Ok(Note {
        round,
        begun,
        ended,
        what,
    })
}

/// What came of an access, nothing if it is the engine's abort; every other exception is a fault of the test.
fn unless_denied(what: &str, at: u64, result: Result<u64, Fault>) -> TestResult<Option<u64>> {
    if let Err(fault) = result {
        let is_denied = fault.is_external() && fault.far == at;
        check!(is_denied, "{what} {at:#x}: {fault}");
    }
    Ok(result.ok())
}

/// The words, each behind a blank.
pub struct Words<'a>(pub &'a [u64]);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|word| write!(f, " {word:x}"))
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => {
                let Invocation { x, told, list } = &**call;
                let list = list.as_ref().map_or(&[][..], |list| list);
                write!(f, "call|{} |{} |{}", Words(x), Words(told), Words(list))
            }
            Self::Load { at, found } => {
                let found = found.as_ref().map_or(&[][..], core::slice::from_ref);
                write!(f, "load| {at:x} |{}", Words(found))
            }
            Self::Store { at, value, is_done } => {
                write!(f, "store| {at:x} {value:x} | {:x}", u64::from(*is_done))
            }
        }
    }
}

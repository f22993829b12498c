//! What each core did: calls by kind and outcome, and the one that it is in.
//!
//! Invariant: a core writes its own record only; anyone reads.

use super::shot::Shot;
use abi::{Call, Status};
use alloc::{format, string::String};
use core::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};
use el1::println;

/// Call numbers are below this.
const NUMBERS: usize = 0x20;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Done.
    Success,
    /// Another operation was in the way.
    Busy,
    /// Refused for another reason.
    Refused,
}

impl Ending {
    /// All, in the order of the lines.
    pub const ALL: [Self; 3] = [Self::Success, Self::Busy, Self::Refused];

    /// That of a call with this result.
    pub fn of<T>(result: &Result<T, Status>) -> Self {
        match result {
            Ok(_) => Self::Success,
            Err(Status::Busy) => Self::Busy,
            Err(_) => Self::Refused,
        }
    }
}

/// A core's.
#[derive(Default)]
pub struct Record {
    endings: [[AtomicU64; 3]; NUMBERS],
    /// Pages that guests looked at on this core and found in order.
    kept: AtomicU64,
    /// Function identifier of the call that it is in, 0 between calls; its arguments.
    now: AtomicU64,
    arguments: [AtomicU64; 6],
}

impl Record {
    /// A call begins.
    pub fn begin(&self, shot: &Shot) {
        // Relaxed, here and below: read for people, of a core that does not go on.
        for (cell, argument) in self.arguments.iter().zip(shot.arguments) {
            cell.store(argument, Ordering::Relaxed);
        }
        self.now.store(shot.call.function_id(), Ordering::Relaxed);
    }

    /// It ended.
    pub fn end(&self, call: Call, ending: Ending) {
        // Relaxed: one writer; others read it when this core has stopped.
        self.endings[call.number() as usize][ending as usize].fetch_add(1, Ordering::Relaxed);
        self.now.store(0, Ordering::Relaxed);
    }

    /// How often `call` ended so.
    pub fn count(&self, call: Call, ending: Ending) -> u64 {
        // Relaxed: as above.
        self.endings[call.number() as usize][ending as usize].load(Ordering::Relaxed)
    }

    /// A guest that ran here found so many pages in order.
    pub fn keep(&self, pages: u64) {
        // Relaxed: as in `end`.
        self.kept.fetch_add(pages, Ordering::Relaxed);
    }

    /// Pages that guests found in order here.
    pub fn kept(&self) -> u64 {
        // Relaxed: as above.
        self.kept.load(Ordering::Relaxed)
    }

    /// The call that it is in, for people.
    pub fn describe_now(&self) -> String {
        // Relaxed: as in `begin`.
        let Some(call) = Call::from_function_id(self.now.load(Ordering::Relaxed)) else {
            return String::from("between calls");
        };
        let arguments: [u64; 6] =
            core::array::from_fn(|index| self.arguments[index].load(Ordering::Relaxed));
        format!("in {} {arguments:#x?}", call.name())
    }

    /// Prints a line for the tool: the pages kept; success, busy, refused of each call in the order of
    /// [`Call::ALL`].
    pub fn tell(&self, core: usize) {
        let mut list = String::new();
        for (index, call) in Call::ALL.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let [success, busy, refused] = Ending::ALL.map(|ending| self.count(call, ending));
            // Writing to a string does not fail.
            let _ = write!(list, "{comma}[{success},{busy},{refused}]");
        }
        let kept = self.kept();
        println!("@stress-core {{\"core\":{core},\"pages_kept\":{kept},\"calls\":[{list}]}}");
    }
}

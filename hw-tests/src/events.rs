//! What each core did last, as the engine tells it, shown behind a test that failed.
//!
//! Invariant: bounded, though each question is an event by itself.

use alloc::{format, string::String, vec::Vec};
use el1::{call, println};

/// Events shown of each core.
const SHOWN: usize = 8;
/// More questions than a core keeps events.
const QUESTIONS: usize = 128;

/// Prints the latest events of every core, as lines of the same form as in the engine's crash record.
pub fn show(cores: usize) {
    for core in 0..cores {
        for line in latest(core) {
            println!("{line}");
        }
    }
}

fn latest(core: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut next = 0;
    // What this core adds by asking comes after what it is asked for.
    let mut end = None;
    for _ in 0..QUESTIONS {
        let Ok([sequence, event, time]) = call::trace_read(core as u64, next) else {
            break;
        };
        let end = *end.get_or_insert_with(|| sequence + QUESTIONS as u64 / 2);
        if sequence >= end {
            break;
        }
        lines.push(format!("@trace {core:x} {sequence:x} {event:x} {time:x}"));
        next = sequence + 1;
    }
    lines.split_off(lines.len().saturating_sub(SHOWN))
}

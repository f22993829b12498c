//! The engine's own events in words: `@trace CORE NUMBER EVENT TIME`, all hexadecimal, as the engine's crash
//! record and the test image tell them, and as they are found in the memory of a machine that hangs.
//!
//! The kinds are those of `engine/src/trace.rs`.

use std::fmt;

use abi::{Call, ExitReason, Status};

/// How the line of an event begins.
pub const MARK: &str = "@trace ";
/// Words of an event in memory: number, event, time.
const WORDS: usize = 3;

/// An event of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub core: usize,
    /// Its number, from 1.
    pub number: u64,
    word: u64,
    time: u64,
}

impl Event {
    /// Reads a line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(MARK)?.split_whitespace();
        let mut next = || u64::from_str_radix(words.next()?, 16).ok();
        Some(Self {
            core: usize::try_from(next()?).ok()?,
            number: next()?,
            word: next()?,
            time: next()?,
        })
    }

    /// The events that a ring holds, oldest first; its first word is the number of the next.
    pub fn in_ring(core: usize, ring: &[u64]) -> Vec<Self> {
        let mut events: Vec<Self> = ring
            .get(1..)
            .unwrap_or_default()
            .chunks_exact(WORDS)
            // Number 0: nothing there, or being written.
            .filter(|entry| entry[0] != 0)
            .map(|entry| Self {
                core,
                number: entry[0],
                word: entry[1],
                time: entry[2],
            })
            .collect();
        events.sort_by_key(|event| event.number);
        events
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            core, number, time, ..
        } = self;
        write!(f, "core {core}, event {number} at {time}: ")?;
        let argument = self.word & 0x00ff_ffff_ffff_ffff;
        let (high, low) = (argument >> 32, argument & 0xffff_ffff);
        match self.word >> 56 {
            1 => {
                let status = i64::from(low as u16 as i16);
                match Call::ALL.iter().find(|call| call.number() == high) {
                    Some(call) => f.write_str(call.name())?,
                    None => write!(f, "call {high:#x}")?,
                }
                match Status::from_raw(status) {
                    Some(status) => write!(f, " = {}", status.name()),
                    None => write!(f, " = {status}"),
                }
            }
            3 => match ExitReason::from_raw(low) {
                Some(reason) => write!(f, "vCPU slot {high} left: {}", reason.name()),
                None => write!(f, "vCPU slot {high} left: {low}"),
            },
            4 => write!(f, "host denied page {argument:#x}"),
            5 => write!(f, "VM slot {high} in phase {low}"),
            6 => write!(f, "page {argument:#x} poisoned"),
            kind => write!(f, "event of kind {kind}: {argument:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_words() {
        let told = |line| Event::parse(line).unwrap().to_string();
        let number = Call::VmMap.number();
        let busy = Status::Busy.raw() as u64 & 0xffff;
        let line = format!("@trace c 64 {:x} 3e8", 1 << 56 | number << 32 | busy);
        assert_eq!(
            Event::parse(&line).unwrap().to_string(),
            "core 12, event 100 at 1000: VM_MAP = BUSY"
        );
        assert_eq!(
            told("@trace 0 1 0500000200000005 2"),
            "core 0, event 1 at 2: VM slot 2 in phase 5"
        );
        assert_eq!(
            told("@trace 0 1 0900000000000005 2"),
            "core 0, event 1 at 2: event of kind 9: 0x5"
        );
        assert_eq!(Event::parse("@trace 0 1 zz 2"), None);
        assert_eq!(Event::parse("@crash"), None);
    }

    #[test]
    fn a_ring_is_read_in_its_order() {
        let ring = [67, 64, 5, 50, 65, 6, 60, 0, 7, 70, 63, 4, 40];
        let numbers: Vec<u64> = Event::in_ring(3, &ring)
            .iter()
            .map(|it| it.number)
            .collect();
        assert_eq!(numbers, [63, 64, 65]);
        assert_eq!(Event::in_ring(3, &[]), []);
    }
}

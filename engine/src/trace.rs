//! A ring of the latest events of each core: what TRACE_READ tells, for people who debug.
//!
//! Invariants: only its core writes a ring; a reader on another core checks the sequence number
//! before and after, so it never takes half of one event for an event. Events carry call numbers,
//! slots and states, never guest data.

use ::core::fmt;
use sync::{AtomicU64, Ordering};

/// Events kept per core; so few in models that a reader meets one that is overwritten.
pub const EVENTS: usize = if cfg!(loom) { 2 } else { 64 };

/// What happened; the small number that leads an event's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Event {
    /// A hypercall ended, but for those that the vectors answer: argument = call number << 32 | status.
    Call = 1,
    /// A vCPU left: argument = slot << 32 | exit reason, 0 if handled inside.
    Exit = 3,
    /// The host was refused an access: argument = page.
    HostDenied = 4,
    /// A VM changed its phase: argument = slot << 32 | phase.
    Phase = 5,
    /// A page with a memory error is out of circulation: argument = page.
    Poisoned = 6,
}

#[repr(C)]
struct Entry {
    sequence: AtomicU64,
    event: AtomicU64,
    time: AtomicU64,
}

/// One core's ring. A debugger finds it by the address in the banner, so its layout is fixed.
#[repr(C)]
pub struct Ring {
    next: AtomicU64,
    entries: [Entry; EVENTS],
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(1),
            entries: ::core::array::from_fn(|_| Entry {
                sequence: AtomicU64::new(0),
                event: AtomicU64::new(0),
                time: AtomicU64::new(0),
            }),
        }
    }
}

/// An event as read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its number, from 1.
    pub sequence: u64,
    /// Kind in bits 63:56, argument below.
    pub event: u64,
    /// Counter.
    pub time: u64,
}

impl Record {
    /// The event of `core` as a line for people and tools, in hexadecimal.
    pub fn line(self, core: usize) -> impl fmt::Display {
        let Self {
            sequence,
            event,
            time,
        } = self;
        fmt::from_fn(move |f| write!(f, "@trace {core:x} {sequence:x} {event:x} {time:x}"))
    }
}

impl Ring {
    /// The latest events, at most `n` and fewer than are kept, oldest first. Those that the core overwrites
    /// meanwhile are left out.
    pub fn latest(&self, n: u64) -> impl Iterator<Item = Record> {
        // Acquire: pairs with the Release of `next` in `add`.
        let next = self.next.load(Ordering::Acquire);
        let first = next.saturating_sub(n.min(EVENTS as u64 - 1)).max(1);
        (first..next)
            .filter_map(|sequence| self.read(sequence).filter(|it| it.sequence == sequence))
    }

    /// Adds an event of this core's.
    pub fn add(&self, event: Event, argument: u64, time: u64) {
        // Relaxed: only this core writes.
        let sequence = self.next.load(Ordering::Relaxed);
        let entry = &self.entries[sequence as usize % EVENTS];
        // Relaxed: made invalid first; the fence orders it before the fields.
        #[cfg(not(mutant = "trace-keep-valid"))]
        entry.sequence.store(0, Ordering::Relaxed);
        #[cfg(not(mutant = "trace-no-fence"))]
        sync::fence(Ordering::Release);
        let word = (event as u64) << 56 | argument & 0x00ff_ffff_ffff_ffff;
        // Relaxed: published by `sequence` below.
        entry.event.store(word, Ordering::Relaxed);
        // Relaxed: published by `sequence` below.
        entry.time.store(time, Ordering::Relaxed);
        // Release: pairs with the Acquire in `read`; publishes the two fields.
        entry.sequence.store(sequence, Ordering::Release);
        // Release: pairs with the Acquire in `read`.
        self.next.store(sequence.wrapping_add(1), Ordering::Release);
    }

    /// The oldest event kept that is not older than `sequence`.
    pub fn read(&self, sequence: u64) -> Option<Record> {
        // Acquire: pairs with the Release of `next` in `add`.
        let next = self.next.load(Ordering::Acquire);
        let wanted = sequence.max(next.saturating_sub(EVENTS as u64 - 1)).max(1);
        if wanted >= next {
            return None;
        }
        let entry = &self.entries[wanted as usize % EVENTS];
        // Acquire: pairs with the Release of `sequence` in `add`.
        if entry.sequence.load(Ordering::Acquire) != wanted {
            return None;
        }
        // Relaxed: ordered by the Acquire above and the fence below.
        let (event, time) = (
            entry.event.load(Ordering::Relaxed),
            entry.time.load(Ordering::Relaxed),
        );
        sync::fence(Ordering::Acquire);
        // Relaxed: ordered by the fence; unequal if the writer came round meanwhile.
        (entry.sequence.load(Ordering::Relaxed) == wanted).then_some(Record {
            sequence: wanted,
            event,
            time,
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn keeps_the_latest() {
        let ring = Ring::default();
        assert_eq!(ring.read(0), None);
        for n in 1..=100 {
            ring.add(Event::Call, n, n * 10);
        }
        let first = ring.read(0).unwrap();
        assert_eq!(first.sequence, 100 - EVENTS as u64 + 2);
        assert_eq!(first.event & 0xffff, first.sequence);
        assert_eq!(ring.read(100).unwrap().time, 1000);
        assert_eq!(ring.read(101), None);
        let latest: Vec<u64> = ring.latest(3).map(|record| record.sequence).collect();
        assert_eq!(latest, [98, 99, 100]);
        assert_eq!(ring.latest(1000).count(), EVENTS - 1);
        let line = ring.latest(1).next().unwrap().line(12).to_string();
        assert_eq!(line, "@trace c 64 100000000000064 3e8");
    }
}

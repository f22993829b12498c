//! A core's ring of events under loom, which another core reads meanwhile: whole events, or none.

#![cfg(loom)]

use engine::trace::{EVENTS, Event, Ring};
use loom_tests::{Arc, explore, spawn};

/// Adds the event with this number, which says so in both of its words.
fn add(ring: &Ring, number: u64) {
    ring.add(Event::Call, number, number);
}

/// The ring goes round while another core reads: what it gets is the event that it says it is.
#[test]
fn an_event_is_read_whole_or_not() {
    explore(2, || {
        let ring = Arc::new(Ring::default());
        add(&ring, 1);
        let writer = spawn({
            let ring = ring.clone();
            move || {
                for number in 2..=2 + EVENTS as u64 {
                    add(&ring, number);
                }
            }
        });
        if let Some(read) = ring.read(1) {
            let event = (Event::Call as u64) << 56 | read.sequence;
            assert_eq!((read.event, read.time), (event, read.sequence));
        }
        writer.join().unwrap();
        let last = 2 + EVENTS as u64;
        assert_eq!(ring.read(1).map(|read| read.sequence), Some(last));
    });
}

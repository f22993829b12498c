//! A vCPU's interrupts under loom: whoever finds one pending finds what its sender wrote before.

#![cfg(loom)]

use engine::gic::lr::ListRegister;
use engine::gic::{PrivateId, Runner, Shared, Spi};
use loom_tests::explore;
use loom_tests::handing::{Handing, beside};
use sync::{AtomicU64, Ordering};

/// Four list registers, five priority bits.
const VTR: u64 = 4 << 29 | 4 << 26 | 3;
const SGI: u64 = 5;
/// An SPI that has nothing to do with the content, and one that comes after it; in one word.
const FIRST: u64 = 40;
const SECOND: u64 = 41;

type Inbox = Shared<1>;

fn spi(intid: u64) -> Spi {
    Spi::new(intid).expect("an SPI")
}

fn sgi() -> PrivateId {
    PrivateId::new(SGI).expect("an SGI")
}

/// The guest runs once; was this interrupt delivered?
fn has_got(inbox: &Inbox, intid: u64) -> bool {
    let mut runner = Runner::new(VTR);
    let _ = runner.fill(inbox);
    let mut lists = runner.ich.lr.iter();
    lists.any(|list| *list != 0 && ListRegister::from_raw(*list).intid() == intid)
}

/// An edge that is collected by an earlier one's mark.
#[test]
fn an_edge_comes_after_what_its_sender_wrote() {
    explore(2, || {
        let send = |at: &Handing<Inbox>| {
            at.word.spis.edge(spi(FIRST), 0x80);
            at.content.touch();
            at.word.spis.edge(spi(SECOND), 0x80);
        };
        let take = |at: &Handing<Inbox>| {
            if has_got(&at.word, SECOND) {
                at.content.touch();
            }
        };
        beside(Inbox::new(), send, take);
    });
}

/// A line that is seen high by an earlier one's mark.
#[test]
fn a_line_is_high_after_what_its_device_wrote() {
    explore(2, || {
        let send = |at: &Handing<Inbox>| {
            at.word.spis.assert(spi(FIRST), 0x80);
            at.content.touch();
            at.word.spis.assert(spi(SECOND), 0x80);
            at.word.spis.deassert(spi(FIRST), 0x80);
        };
        let take = |at: &Handing<Inbox>| {
            if has_got(&at.word, SECOND) {
                at.content.touch();
            }
        };
        beside(Inbox::new(), send, take);
    });
}

/// An SGI that is delivered, or that a guest finds when it looks for it.
#[test]
fn an_sgi_comes_after_what_its_sender_wrote() {
    for looks in [false, true] {
        explore(2, move || {
            let inbox = Inbox::new();
            inbox.private.enable(sgi().bit());
            let send = |at: &Handing<Inbox>| {
                at.content.touch();
                at.word.private.set_pending(sgi().bit());
            };
            let take = |at: &Handing<Inbox>| {
                let found = match looks {
                    true => at.word.private.pending() & sgi().bit() != 0,
                    false => has_got(&at.word, SGI),
                };
                if found {
                    at.content.touch();
                }
                found
            };
            let (at, (), found) = beside(inbox, send, take);
            assert!(looks || found || has_got(&at.word, SGI), "it is lost");
        });
    }
}

/// An SGI is withdrawn and sent again: whoever takes the second finds what was written for that one.
#[test]
fn an_sgi_sent_again_comes_after_what_was_written_then() {
    explore(2, || {
        let inbox = Inbox::new();
        inbox.private.enable(sgi().bit());
        let word = (inbox, AtomicU64::new(0));
        let send = |at: &Handing<(Inbox, AtomicU64)>| {
            let (inbox, written) = &at.word;
            inbox.private.set_pending(sgi().bit());
            inbox.private.clear_pending(sgi().bit());
            // Relaxed: the interrupt publishes it.
            written.store(2, Ordering::Relaxed);
            inbox.private.set_pending(sgi().bit());
        };
        let take = |at: &Handing<(Inbox, AtomicU64)>| {
            let (inbox, written) = &at.word;
            // Relaxed: as above.
            has_got(inbox, SGI).then(|| written.load(Ordering::Relaxed))
        };
        let (at, (), taken) = beside(word, send, take);
        let is_left = at.word.0.private.pending() != 0;
        assert!(is_left || taken == Some(2), "{taken:?}");
    });
}

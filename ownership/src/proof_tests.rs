//! What a flush and a scrub stand for, and what they do not.

use crate::for_tests::{A, B, HOST, OF_A, page};
use crate::proof::cover_all;
use crate::*;

fn flushed(coverage: Coverage) -> Flushed {
    // SAFETY: no hardware here: nothing is reachable through anything.
    unsafe { Flushed::mint(coverage) }
}

fn scrubbed(index: u64, flushed: &Flushed) -> Scrubbed {
    // SAFETY: no hardware here: the page has no content.
    unsafe { Scrubbed::mint(page(index), flushed) }
}

const OF_HOST: Coverage = Coverage::Vmid(HOST_VMID);

fn of(vm: VmSlot) -> Coverage {
    Coverage::Vmid(vm.vmid())
}

#[test]
fn a_flush_covers_the_party_whose_translations_it_was_of() {
    let parties = [Owner::Engine, Owner::Host, Owner::Vm(A), Owner::Vm(B)];
    for (coverage, covered) in [
        (Coverage::All, [true, true, true, true]),
        (Coverage::El2, [true, false, false, false]),
        (OF_HOST, [false, true, false, false]),
        (of(A), [false, false, true, false]),
        (of(B), [false, false, false, true]),
    ] {
        let flushed = flushed(coverage);
        assert_eq!(parties.map(|party| flushed.covers(party)), covered);
        assert_eq!(flushed.coverage(), coverage);
    }
}

/// Whoever reaches a page that is lost has to be covered, be it by one flush or by several.
#[test]
fn all_who_reach_a_page_are_covered() {
    let shared = State::Shared {
        owner: Owner::Vm(A),
        borrower: Owner::Host,
        count: 1,
    };
    let scrubbing = State::Scrubbing { vm: A, done: 1 };
    let (host, a, b, all) = (
        &flushed(OF_HOST),
        &flushed(of(A)),
        &flushed(of(B)),
        &flushed(Coverage::All),
    );
    for (state, enough, short) in [
        (HOST, &[host][..], &[a][..]),
        (OF_A, &[b, a], &[host, b]),
        (shared, &[host, a], &[a, b]),
        (shared, &[all], &[host, b]),
        (scrubbing, &[a], &[host, b]),
        (State::HostFixed, &[host], &[a, b]),
    ] {
        assert!(cover_all(enough, state), "{state:?}");
        assert!(!cover_all(short, state), "{state:?}");
        assert!(!cover_all(&[], state), "{state:?}");
    }
    assert!(cover_all(&[], State::Poisoned), "nobody reaches it");
}

#[test]
fn scrubs_of_neighbours_under_one_flush_are_one() {
    let host = flushed(OF_HOST);
    let joined = scrubbed(3, &host).join(scrubbed(4, &host)).unwrap();
    assert_eq!(joined.pages(), 2);
    assert!(joined.stands_for(page(3), 2, Owner::Host));
    assert!(!joined.stands_for(page(4), 2, Owner::Host));
    assert!(!joined.stands_for(page(3), 1, Owner::Host));
    assert!(!joined.stands_for(page(3), 2, Owner::Vm(A)));
}

#[test]
fn scrubs_that_are_no_neighbours_or_of_other_flushes_stay_two() {
    let host = flushed(OF_HOST);
    for (first, next) in [
        (scrubbed(3, &host), scrubbed(5, &host)),
        (scrubbed(4, &host), scrubbed(3, &host)),
        (scrubbed(3, &host), scrubbed(4, &flushed(of(A)))),
    ] {
        let (first, next) = first.join(next).unwrap_err();
        assert_eq!((first.pages(), next.pages()), (1, 1));
    }
}

//! The pool's bits come to life under loom: does anyone look at bits that are not there yet?

#![cfg(loom)]

use engine::memory::page_set::PageSet;
use loom_tests::{Arc, explore, spawn};
use ownership::Pfn;
use sync::AtomicU64;

const BASE: u64 = 0x40000;
/// Two words of bits: one that the model's pages are in, one beside it.
const PAGES: usize = 128;

type Set = PageSet<Box<[AtomicU64]>>;

fn page(index: u64) -> Pfn {
    Pfn::from_raw(BASE + index)
}

/// An empty set whose bits, not touched yet, would say that every page is free.
fn untouched() -> Arc<Set> {
    let words = |count, word| (0..count).map(|_| AtomicU64::new(word)).collect();
    let (bits, summary) = Set::words_for(PAGES);
    let states = words(Set::states_for(PAGES), 0);
    let bits = words(bits, u64::MAX);
    Arc::new(Set::untouched(page(0), bits, words(summary, 0), states))
}

/// Prepares and puts a page, unless another core zeroes.
fn put(set: &Set, index: u64) -> bool {
    let prepared = set.prepare(page(index));
    assert!(!prepared || set.put(page(index)));
    prepared
}

/// Two cores put a page each, the first that the set has: none is lost, and no other is found.
#[test]
fn bits_that_come_to_life_are_none_but_ours() {
    explore(2, || {
        let set = untouched();
        let other = set.clone();
        let second = spawn(move || put(&other, 1));
        let first = put(&set, 0);
        assert!(set.free_up_to(u64::MAX) <= 2, "more than were put");
        let second = second.join().unwrap();
        assert!(first || second, "one of the two did not wait for the other");
        assert_eq!(
            set.free_up_to(u64::MAX),
            u64::from(first) + u64::from(second)
        );
        assert_eq!(set.take_exact(page(0)), first);
        assert_eq!(set.take_exact(page(1)), second);
        assert_eq!(set.take(0), None);
    });
}

/// One core puts the first page, another takes what there is.
#[test]
fn what_is_taken_was_put() {
    explore(2, || {
        let set = untouched();
        let other = set.clone();
        let giver = spawn(move || put(&other, 3));
        let taken = set.take(0);
        assert!(taken.is_none_or(|taken| taken == page(3)), "{taken:?}");
        assert!(giver.join().unwrap());
        assert_eq!(set.take(0).is_none(), taken.is_some());
    });
}

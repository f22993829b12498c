//! The tool itself: that the search sees what the other models rely on.

#![cfg(loom)]

use loom_tests::suites::{granules, ownership, percpu};
use loom_tests::{Arc, explore, spawn};
use sync::{AtomicU64, Ordering, fence};

/// A load against a load that is followed by an exchange: plain loom never tries the exchange
/// first (see `sync`'s `readers.rs`).
#[test]
#[should_panic(expected = "the exchange came first")]
fn a_load_may_come_after_another_s_load_and_exchange() {
    explore(2, || {
        let word = Arc::new(AtomicU64::new(0));
        let other = word.clone();
        let exchanger = spawn(move || {
            let seen = other.load(Ordering::Relaxed);
            let _ = other.compare_exchange(seen, 1, Ordering::Relaxed, Ordering::Relaxed);
        });
        assert_eq!(word.load(Ordering::Relaxed), 0, "the exchange came first");
        exchanger.join().unwrap();
    });
}

/// A thread that was started past the count thinks itself alone, and so does the one that started it:
/// loom finds their accesses out.
#[test]
#[should_panic(expected = "Causality violation")]
fn two_are_not_alone() {
    explore(2, || {
        let word = Arc::new(AtomicU64::new(0));
        let other = word.clone();
        let uncounted = loom::thread::spawn(move || other.store(1, Ordering::Relaxed));
        word.store(2, Ordering::Relaxed);
        uncounted.join().unwrap();
    });
}

/// Whoever is alone again finds either of two stores that nothing ordered: each pair of final values
/// is found, also the one that no order of the four stores leaves.
#[test]
fn stores_without_order_may_both_be_the_last() {
    let found = std::sync::Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
    let seen = found.clone();
    explore(2, move || {
        let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let other = words.clone();
        let second = spawn(move || {
            other[1].store(1, Ordering::Relaxed);
            other[0].store(2, Ordering::Relaxed);
        });
        words[0].store(1, Ordering::Relaxed);
        words[1].store(2, Ordering::Relaxed);
        second.join().unwrap();
        let last = [0, 1].map(|index: usize| words[index].load(Ordering::Relaxed));
        seen.lock().unwrap().insert(last);
    });
    let all = [[1, 1], [1, 2], [2, 1], [2, 2]];
    assert_eq!(*found.lock().unwrap(), all.into());
}

fn store_buffering(fenced: bool) {
    explore(2, move || {
        let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let side = move |words: &[AtomicU64; 2], mine: usize| {
            words[mine].store(1, Ordering::Relaxed);
            if fenced {
                fence(Ordering::SeqCst);
            }
            words[1 - mine].load(Ordering::Relaxed)
        };
        let other = words.clone();
        let second = spawn(move || side(&other, 1));
        let first = side(&words, 0);
        assert!(
            first + second.join().unwrap() > 0,
            "both read the old value"
        );
    });
}

/// Two SeqCst fences forbid that both sides of store-buffering read the old value.
#[test]
fn fences_forbid_store_buffering() {
    store_buffering(true);
}

/// The twin: without them both may.
#[test]
#[should_panic(expected = "both read the old value")]
fn store_buffering_happens_without_fences() {
    store_buffering(false);
}

/// One fence comes between the other side's store and its fence: what it reads then may be old, though
/// the later store was seen.
#[test]
#[should_panic(expected = "the other's fence was still to come")]
fn a_fence_may_come_between_a_store_and_its_fence() {
    explore(2, || {
        let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let other = words.clone();
        let writer = spawn(move || {
            other[0].store(1, Ordering::Relaxed);
            other[1].store(1, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        });
        if words[1].load(Ordering::Relaxed) == 1 {
            fence(Ordering::SeqCst);
            let seen = words[0].load(Ordering::Relaxed);
            assert_eq!(seen, 1, "the other's fence was still to come");
        }
        writer.join().unwrap();
    });
}

/// Data published by a Relaxed store may be seen late.
#[test]
#[should_panic(expected = "the flag came before the data")]
fn relaxed_stores_are_seen_out_of_order() {
    explore(2, || {
        let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let other = words.clone();
        let writer = spawn(move || {
            other[0].store(1, Ordering::Relaxed);
            other[1].store(1, Ordering::Relaxed);
        });
        if words[1].load(Ordering::Relaxed) == 1 {
            assert_eq!(
                words[0].load(Ordering::Relaxed),
                1,
                "the flag came before the data"
            );
        }
        writer.join().unwrap();
    });
}

/// A model that its suite does not list would never run.
#[test]
fn suites_list_all_their_models() {
    let suites = [
        (
            include_str!("../src/suites/ownership.rs"),
            ownership::MODELS,
        ),
        (include_str!("../src/suites/granules.rs"), granules::MODELS),
        (include_str!("../src/suites/percpu.rs"), percpu::MODELS),
    ];
    for (text, listed) in suites {
        let lines = text.lines().filter_map(|line| line.strip_prefix("pub fn "));
        let defined: Vec<_> = lines
            .filter_map(|line| line.split_once("()"))
            .map(|(name, _)| name)
            .collect();
        assert!(!defined.is_empty());
        assert_eq!(defined, listed);
    }
}

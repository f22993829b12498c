//! Bulkhead's models of the parts in use, and one of this engine's own.
//! `RUSTFLAGS="--cfg loom" cargo test --release -p bulkhead-example-own-engine`

#![cfg(loom)]

use bulkhead_example_own_engine::lend;
use loom_tests::pages::{A, B, BASE, words};
use loom_tests::{Arc, explore, spawn, token};
use ownership::is_lent;

loom_tests::ownership_suite!();
loom_tests::granules_suite!();
loom_tests::percpu_suite!();

/// Two cores lend one page to two VMs: one of them has it.
#[test]
fn a_page_is_lent_to_one_vm() {
    explore(2, || {
        let pages = Arc::new(words(1));
        let other = pages.clone();
        let second = spawn(move || lend(&other, &token(1), BASE, B));
        let first = lend(&pages, &token(0), BASE, A);
        assert!(first != second.join().unwrap());
        assert!(pages.state(BASE).is_some_and(is_lent));
    });
}

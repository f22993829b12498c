//! What the models share. Run them with
//! `RUSTFLAGS="--cfg loom" cargo test -p bulkhead-loom-tests --release`; without `--cfg loom` there
//! is nothing here.
//!
//! Invariants: a test asks one question with two or three threads; [`explore`] tries every
//! interleaving with up to three preemptions and every value that the memory model lets a load
//! return, to the end: no limit cuts it short silently. `mutants.txt` names for each test a
//! protection which, built away by `--cfg mutant="NAME"`, makes it fail.

#![cfg(loom)]

use percpu::{CpuId, CpuToken};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub use loom::sync::Arc;
pub use loom::thread::spawn;

/// Runs `model` in every way there is.
pub fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    // Reaching either would end the search early, and successfully; neither may come from the
    // environment. Too many branches in one execution panic by themselves.
    builder.max_duration = None;
    builder.max_permutations = None;
    let executions = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = executions.clone();
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    println!("completed after {} executions", executions.load(Relaxed));
}

/// A CPU's number.
pub fn cpu(raw: u16) -> CpuId {
    CpuId::new(raw).expect("a small number")
}

/// The token of a CPU: each model's thread plays one CPU, and makes its token once.
pub fn token(raw: u16) -> CpuToken {
    // SAFETY: the thread that asks plays this CPU, alone, until the token is dropped.
    unsafe { CpuToken::new(cpu(raw)) }
}

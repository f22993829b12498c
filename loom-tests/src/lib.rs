//! What the models share. Run them with
//! `RUSTFLAGS="--cfg loom" cargo test -p bulkhead-loom-tests --release`; without `--cfg loom` there
//! is nothing here.
//!
//! Invariants: a test asks one question with two or three threads; [`explore`] tries every
//! interleaving with up to three preemptions ([`explore_engine`]: with as many as it says) and every
//! value that the memory model lets a load return, to the end: no limit cuts it short silently.
//! `xtask/mutants.toml` names the protections which, built away, make a test here fail.
//!
//! | file | what |
//! | --- | --- |
//! | `pages` | pages and their content, for models of ownership alone |
//! | `hardware` | tables as walkers see them, TLBs, contents: plain data |
//! | `platform` | the engine's platform over it |
//! | `guest` | what guests do |
//! | `world` | an engine on that |
//! | `host` | a core of its host: calls by register values, accesses |
//! | `oracle` | the invariants, after each execution |

#![cfg(loom)]

pub mod guest;
pub mod hardware;
pub mod host;
pub mod oracle;
pub mod pages;
pub mod platform;
pub mod world;

use percpu::{CpuId, CpuToken};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub use loom::sync::Arc;
pub use loom::thread::spawn;

/// Steps that one execution may take: an engine's boot and the calls before the question count too.
const STEPS: usize = 40_000;
/// Stack of a core that runs the engine, in words.
const STACK: usize = 1 << 17;

/// Runs `model` in every way there is with up to three preemptions.
pub fn explore(model: impl Fn() + Sync + Send + 'static) {
    search(3, model);
}

/// Runs `story`, which boots an engine, in every way there is with up to `preemptions`.
pub fn explore_engine(preemptions: usize, story: impl Fn() + Sync + Send + 'static) {
    let story = std::sync::Arc::new(story);
    search(preemptions, move || {
        let story = story.clone();
        core(move || story()).join().unwrap();
    });
}

/// Starts a core of an engine: a thread with room for the engine's frames.
pub fn core<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> loom::thread::JoinHandle<T> {
    loom::thread::Builder::new()
        .stack_size(STACK)
        .spawn(run)
        .expect("a thread")
}

fn search(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = STEPS;
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

//! How a model is explored: every interleaving up to a bound, and every value that a load may return.
//!
//! Invariant: a search that ends without a panic was complete within its bound; it says so.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Steps that one execution may take: an engine's boot and the calls before the question count too.
const STEPS: usize = 40_000;
/// Stack of a core that runs the engine, in words.
const STACK: usize = 1 << 17;
/// Preemptions that are tried.
const PREEMPTIONS: usize = 3;

/// Runs `model`, in which so many threads act at once, in every way there is.
pub fn explore(threads: usize, model: impl Fn() + Sync + Send + 'static) {
    assert!((2..=3).contains(&threads), "a question is for two or three");
    search(PREEMPTIONS, model);
}

/// Runs `story`, which boots an engine of which so many cores act at once, in every way there is.
pub fn explore_engine(cores: usize, story: impl Fn() + Sync + Send + 'static) {
    let story = std::sync::Arc::new(story);
    explore(cores, move || {
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

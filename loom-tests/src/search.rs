//! How a model is explored: every order of its steps up to a bound of preemptions, and every value
//! that loom lets a load return. Those are values stored before, of each atomic the last seven; no load
//! returns what is stored later (load buffering).
//!
//! Invariant: a search that ends without a panic was complete within its bound; it says so.
//!
//! The environment may change the bound, and nothing else ends a search:
//! `BULKHEAD_LOOM_PREEMPTIONS=N` is the bound; `BULKHEAD_LOOM_DEEP=1` has none for two threads, and
//! more preemptions for three. `cargo xtask loom` also has a search keep a [`Record`].
//!
//! Loom's own bound is one more for three threads: when its preemptions are used up and a thread ends
//! or waits, it goes on with one of the two others only, and is complete for one preemption fewer
//! (`tests/orders.rs` demands that it is).

use crate::record::Record;
use crate::story;
use loom::thread::JoinHandle;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use sync::alone;

/// Steps that one execution may take: an engine's boot and the calls before the question count too.
const STEPS: usize = 40_000;
/// Stack of a core that runs the engine, in words.
const STACK: usize = 1 << 17;
/// The bound in the environment.
const BOUND: &str = "BULKHEAD_LOOM_PREEMPTIONS";
/// Preemptions that are tried.
const PREEMPTIONS: usize = 3;
/// Preemptions of three threads that are tried where hours are no matter.
const DEEP_PREEMPTIONS: usize = 4;

/// Runs `model`, in which so many threads act at once, in every way there is.
pub fn explore(threads: usize, model: impl Fn() + Sync + Send + 'static) {
    search(threads, preemptions(threads), model);
}

/// Preemptions of so many threads up to which [`explore`] tries every order; `None`: any number.
pub fn preemptions(threads: usize) -> Option<usize> {
    assert!((2..=3).contains(&threads), "a question is for two or three");
    let preemptions = env::var(BOUND).ok();
    let is_deep = env::var("BULKHEAD_LOOM_DEEP").is_ok_and(|value| value == "1");
    bound(threads, preemptions.as_deref(), is_deep)
}

/// Runs `story`, which boots an engine of which so many cores act at once, in every way there is.
pub fn explore_engine(cores: usize, story: impl Fn() + Sync + Send + 'static) {
    explore(cores, on_a_core(story));
}

/// The same for three cores whose story with three preemptions takes longer than all others together:
/// with two, which is loom's own bound of three, unless the environment says how many.
pub fn explore_large_engine(story: impl Fn() + Sync + Send + 'static) {
    let is_usual = env::var(BOUND).is_err() && preemptions(3) == Some(PREEMPTIONS);
    let bound = match is_usual {
        true => Some(PREEMPTIONS - 1),
        false => preemptions(3),
    };
    search(3, bound, on_a_core(story));
}

/// The story on a core of its own.
fn on_a_core(story: impl Fn() + Sync + Send + 'static) -> impl Fn() + Sync + Send + 'static {
    let story = Arc::new(story);
    move || {
        let story = story.clone();
        // Not one more that acts: the model's first thread only waits for it.
        start(STACK, move || story()).join().unwrap();
    }
}

/// A thread that acts beside the one that started it.
pub struct Beside<T>(JoinHandle<T>);

impl<T> Beside<T> {
    /// Waits until it is done.
    pub fn join(self) -> std::thread::Result<T> {
        let result = self.0.join();
        alone::joined();
        result
    }
}

/// Starts a thread that acts beside those there are.
pub fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Beside<T> {
    story::another();
    alone::another();
    Beside(loom::thread::spawn(run))
}

/// Starts a core of an engine beside those there are: a thread with room for the engine's frames.
pub fn core<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Beside<T> {
    story::another();
    alone::another();
    Beside(start(STACK, run))
}

fn start<T: Send + 'static>(
    stack: usize,
    run: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let builder = loom::thread::Builder::new().stack_size(stack);
    builder.spawn(run).expect("a thread")
}

/// Preemptions that are tried with so many threads; `None`: any number.
fn bound(threads: usize, preemptions: Option<&str>, is_deep: bool) -> Option<usize> {
    match preemptions {
        Some(number) => Some(number.parse().expect("a number of preemptions")),
        None if !is_deep => Some(PREEMPTIONS),
        None if threads == 2 => None,
        None => Some(DEEP_PREEMPTIONS),
    }
}

fn search(threads: usize, preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // See the header.
    builder.preemption_bound = preemptions.map(|preemptions| preemptions + threads - 2);
    builder.max_branches = STEPS;
    // Reaching either would end the search early, and successfully; neither may come from the
    // environment. Too many branches in one execution panic by themselves.
    builder.max_duration = None;
    builder.max_permutations = None;
    // A search that begins in the middle of another is not complete: only the record knows which.
    builder.checkpoint_file = None;
    let record = Record::open().map(Arc::new);
    let before = record.as_ref().map_or(0, |record| record.before());
    let executions = Arc::new(AtomicUsize::new(before));
    if let Some(record) = &record {
        record.keep(&mut builder, &executions);
    }
    let counted = executions.clone();
    builder.check(move || {
        // Relaxed, all: a number, which publishes nothing.
        let number = counted.fetch_add(1, Relaxed) + 1;
        if let Some(record) = &record {
            record.begin(number);
        }
        alone::begin();
        model();
    });
    let executions = executions.load(Relaxed);
    match preemptions {
        Some(bound) => println!("completed after {executions} executions ({bound} preemptions)"),
        None => println!("completed after {executions} executions (any preemptions)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_sets_the_bound() {
        assert_eq!(bound(2, None, false), Some(3));
        assert_eq!(bound(3, None, false), Some(3));
        assert_eq!(bound(2, None, true), None);
        assert_eq!(bound(3, None, true), Some(4));
        for (threads, is_deep) in [(2, false), (3, true)] {
            assert_eq!(bound(threads, Some("5"), is_deep), Some(5));
        }
    }

    #[test]
    #[should_panic(expected = "a number of preemptions")]
    fn a_bound_that_is_no_number_is_refused() {
        bound(2, Some("three"), false);
    }
}

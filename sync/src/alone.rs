//! Whether one thread of a model is alone: it built everything and has started nobody, or all whom it
//! started are joined.
//!
//! What a lone thread does has one order only, so its accesses are no steps of the search: booting an
//! engine in each execution costs next to nothing then.
//!
//! Invariant: a thread is alone only while nobody else can take a step; whoever starts and joins
//! threads counts them here. Loom itself fails an execution in which two threads make such accesses
//! without an order between them.

extern crate std;

use crate::fences;
use core::cell::Cell;

std::thread_local! {
    /// Threads that act beside the first. Loom's threads all run on the thread that explores.
    static OTHERS: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// An execution begins: the thread that calls is alone.
pub fn begin() {
    OTHERS.set(0);
    fences::begin();
}

/// Another thread is about to be started.
pub fn another() {
    OTHERS.set(OTHERS.get().saturating_add(1));
}

/// A thread that was counted by [`another`] has been joined.
pub fn joined() {
    OTHERS.set(OTHERS.get() - 1);
}

/// Is the calling thread alone? Never in a model that does not count.
pub fn is_alone() -> bool {
    OTHERS.get() == 0
}

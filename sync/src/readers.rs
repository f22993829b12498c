//! Who has read a word under loom, so that a later write is known to conflict with each of them.
//!
//! Loom tries two orders only of accesses that it believes to conflict, and remembers for each object
//! just the last access (loom 0.7.2, `rt/atomic.rs`, `last_dependent_access`). A load hides all loads
//! before it from a later store, and the order "store, then that earlier load" is never tried.
//!
//! So each thread that loads has a mark of its own here, which it touches after its loads and all
//! others touch after their writes. Loads of different threads touch different marks: they commute,
//! and their order is not tried.
//!
//! Invariant: touching a mark is no place where another thread goes on; a conflict found there counts
//! for the step just before, which is the access itself. A mark is a condition variable on which
//! nobody waits: to touch it orders nothing in the model.

extern crate std;

use crate::alone::is_alone;
use loom::sync::Condvar;
use loom::thread::{ThreadId, current};
use std::sync::{Mutex, PoisonError};
use std::vec::Vec;

#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<Vec<(ThreadId, Condvar)>>);

impl Readers {
    /// The calling thread has just read.
    pub(crate) fn has_read(&self) {
        self.touch(|readers, me| {
            let known = readers.iter().position(|(reader, _)| *reader == me);
            let index = known.unwrap_or_else(|| {
                readers.push((me, Condvar::new()));
                readers.len() - 1
            });
            readers[index].1.notify_all();
        });
    }

    /// The calling thread has just written, or tried to.
    pub(crate) fn has_written(&self) {
        self.touch(|readers, me| {
            for (_, mark) in readers.iter().filter(|(reader, _)| *reader != me) {
                mark.notify_all();
            }
        });
    }

    fn touch(&self, marks: impl FnOnce(&mut Vec<(ThreadId, Condvar)>, ThreadId)) {
        // Nobody is there to conflict with.
        if is_alone() {
            return;
        }
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loom::stop_exploring();
        marks(&mut readers, current().id());
        loom::explore();
    }
}

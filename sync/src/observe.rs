//! Who watches a model: one observer is told of each access, after it was made. Loom's accesses are
//! watched, and `core`'s with the feature `observed`.
//!
//! Invariant: an observer takes no step of the model's and changes nothing in it, so that a watched
//! execution goes the way it would go by itself. Loom changes threads before an access; so accesses
//! are told in the order in which they were made. (`core`'s are, on each thread.)

extern crate std;

use crate::Ordering;
use core::panic::Location;
use std::sync::OnceLock;

/// One access of an atomic, or a fence.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The line of the protocol's.
    pub at: &'static Location<'static>,
    /// Which atomic, by its address; 0 for a fence.
    pub word: usize,
    /// What it is called there.
    pub what: &'static str,
    /// What it read.
    pub read: Option<u64>,
    /// What it wrote.
    pub written: Option<u64>,
    /// Its order: of an exchange that was made or refused, the one that was in force.
    pub order: Ordering,
}

/// What watches.
pub type Observer = fn(&Access);

static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// From now on `observer` is told; the first that asks stays.
pub fn tell(observer: Observer) {
    // A second observer is refused; there is one in a process.
    let _ = OBSERVER.set(observer);
}

/// An access was made by the calling function's caller.
#[track_caller]
pub(crate) fn access<T>(
    word: &T,
    what: &'static str,
    read: Option<u64>,
    written: Option<u64>,
    order: Ordering,
) {
    if let Some(observer) = OBSERVER.get() {
        observer(&Access {
            at: Location::caller(),
            word: core::ptr::from_ref(word).addr(),
            what,
            read,
            written,
            order,
        });
    }
}

/// Loom's fence, explored and told; or `core`'s, told.
#[track_caller]
pub fn fence(order: Ordering) {
    #[cfg(loom)]
    {
        crate::fences::has_come(order);
        loom::sync::atomic::fence(order);
    }
    #[cfg(not(loom))]
    core::sync::atomic::fence(order);
    if let Some(observer) = OBSERVER.get() {
        observer(&Access {
            at: Location::caller(),
            word: 0,
            what: "fence",
            read: None,
            written: None,
            order,
        });
    }
}

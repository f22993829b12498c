//! The order of sequentially consistent fences under loom.
//!
//! Which of two such fences comes first decides what may be read after the second. But a fence is no
//! step for loom (0.7.2, `rt/atomic.rs`, `fence`): it would always happen in one go with the access
//! before it, and no other thread could act between the two. So a fence touches a mark of the
//! execution's first, on which any two of them conflict. All weaker fences change only what the thread
//! itself knows or will publish: they commute with whatever others do.
//!
//! Invariant: a mark is of one execution. It is a condition variable on which nobody waits: to touch it
//! orders nothing in the model.

extern crate std;

use crate::alone::is_alone;
use core::cell::RefCell;
use loom::sync::Condvar;
use loom::sync::atomic::Ordering;
use std::rc::Rc;

std::thread_local! {
    /// This execution's. Loom's threads all run on the thread that explores.
    static MARK: RefCell<Option<Rc<Condvar>>> = const { RefCell::new(None) };
}

/// An execution begins.
pub(crate) fn begin() {
    MARK.set(Some(Rc::new(Condvar::new())));
}

/// The calling thread is about to execute a fence.
pub(crate) fn has_come(order: Ordering) {
    // Nobody is there to conflict with.
    if order != Ordering::SeqCst || is_alone() {
        return;
    }
    // Another thread may go on while the mark is touched, and come here: nothing is borrowed then.
    let mark = MARK.with_borrow(Clone::clone);
    mark.expect("an execution that has begun").notify_all();
}

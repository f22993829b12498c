//! A word that hands something over between two cores, and what stands for that, for models of one word.
//!
//! Invariant: what was handed over is a [`Content`], which loom lets nobody touch without an order after
//! whoever touched it before.

use crate::{Arc, spawn};
use loom::cell::UnsafeCell;

/// What a core does before it hands something over, and another after it.
#[derive(Default)]
pub struct Content(UnsafeCell<u64>);

// SAFETY: who may touch it, and when, is what the models are about; loom checks every access.
unsafe impl Sync for Content {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Content {}

impl Content {
    /// Does something with it, alone.
    pub fn touch(&self) {
        // SAFETY: as above.
        self.0.with_mut(|content| unsafe { *content += 1 });
    }
}

/// A word of some kind, and what it hands over.
#[derive(Default)]
pub struct Handing<T> {
    /// The word.
    pub word: T,
    /// What it hands over.
    pub content: Content,
    /// What it hands over beside that.
    pub other: Content,
}

/// `first` beside `second` on one word: the word, and what they said.
pub fn beside<T: Send + Sync + 'static, A: Send + 'static, B>(
    word: T,
    first: impl FnOnce(&Handing<T>) -> A + Send + 'static,
    second: impl FnOnce(&Handing<T>) -> B,
) -> (Arc<Handing<T>>, A, B) {
    let handing = Arc::new(Handing {
        word,
        content: Content::default(),
        other: Content::default(),
    });
    let side = spawn({
        let handing = handing.clone();
        move || first(&handing)
    });
    let second = second(&handing);
    let first = side.join().unwrap();
    (handing, first, second)
}

//! Free pages of the engine: translation tables come from here.
//!
//! Two sets: pages that were the engine's from boot, which stay its own, and pages that the host has
//! donated, which it can have back. Tables are taken from the first while there are any.
//!
//! Invariant: a page in either set is `Owned(Engine)` by its word, mapped at EL2, and in no table.
//! Any core may take and put.

use super::page_set::PageSet;
use core::ops::Deref;
use ownership::Pfn;
use sync::AtomicU64;

/// The pool.
pub struct PagePool<S> {
    own: PageSet<S>,
    donated: PageSet<S>,
}

impl<S: Deref<Target = [AtomicU64]>> PagePool<S> {
    /// A pool of two empty sets: `own` over the engine's region, `donated` over all RAM.
    pub fn new(own: PageSet<S>, donated: PageSet<S>) -> Self {
        Self { own, donated }
    }

    /// Adds a page; `false`, and nothing happens, if it is nowhere in RAM or was free already.
    pub fn put(&self, page: Pfn) -> bool {
        if self.own.contains(page) {
            self.own.put(page)
        } else {
            self.donated.put(page)
        }
    }

    /// Takes a free page; `hint` differs by core.
    pub fn take(&self, hint: usize) -> Option<Pfn> {
        self.own.take(hint).or_else(|| self.donated.take(hint))
    }

    /// Takes a free page that the host had donated.
    pub fn take_donated(&self, hint: usize) -> Option<Pfn> {
        self.donated.take(hint)
    }

    /// Takes this very page if it is free.
    pub fn take_exact(&self, page: Pfn) -> bool {
        if self.own.contains(page) {
            self.own.take_exact(page)
        } else {
            self.donated.take_exact(page)
        }
    }

    /// Pages free now, counted up to `most`.
    pub fn free_up_to(&self, most: u64) -> u64 {
        let own = self.own.free_up_to(most);
        own.saturating_add(self.donated.free_up_to(most - own))
    }
}

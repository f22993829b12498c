//! Free pages of the engine: translation tables come from here.
//!
//! Two sets: pages that were the engine's from boot, which stay its own, and pages that the host has
//! donated, which it can have back. Tables are taken from the first while there are any. Beside them
//! a [`Reserve`] of a few pages, so that an empty pool can be filled again: to donate a page out of
//! a block the host's block must be split and EL2 must map the page, and the tables for that can't
//! come from the donation.
//!
//! Invariants: a page in either set or the reserve is `Owned(Engine)` by its word, mapped at EL2, and
//! in no table, and it is in one of the three only. The reserve is drawn only through [`WithReserve`]
//! and [`Kit`](super::kit::Kit), when both sets are empty. Any core may take and put.

use super::kit::DONATION_TABLES;
use super::page_set::PageSet;
use super::reserve::{RESERVE_PAGES, Reserve};
use core::cell::Cell;
use core::ops::Deref;
use ownership::Pfn;
use sync::AtomicU64;

/// Where pages for tables come from, and go back to if they are not used after all.
pub trait TablePages {
    /// Takes a free page; `hint` differs by core.
    fn take_table(&self, hint: usize) -> Option<Pfn>;
    /// Gives back a page that was taken and stands in no table.
    fn put_table(&self, page: Pfn);
}

/// The pool.
pub struct PagePool<S> {
    own: PageSet<S>,
    donated: PageSet<S>,
    pub(super) reserve: Reserve,
}

impl<S: Deref<Target = [AtomicU64]>> PagePool<S> {
    /// A pool of two sets, the second empty: `own` over the engine's region, `donated` over all RAM.
    pub fn new(own: PageSet<S>, donated: PageSet<S>) -> Self {
        Self {
            own,
            donated,
            reserve: Reserve::default(),
        }
    }

    /// Makes sure that the page can be added, for good. `false`: another core is about to.
    pub fn prepare(&self, page: Pfn) -> bool {
        self.own.contains(page) || self.donated.prepare(page)
    }

    /// Adds a page; `false`, and nothing happens, if it is nowhere in RAM, not prepared, or free
    /// already.
    pub fn put(&self, page: Pfn) -> bool {
        if self.own.contains(page) {
            self.own.put(page)
        } else {
            self.donated.put(page)
        }
    }

    /// Adds a page, to the reserve if that lacks one.
    pub fn refill(&self, page: Pfn) {
        #[cfg(not(mutant = "reserve-no-refill"))]
        if self.reserve.put(page) {
            return;
        }
        self.put(page);
    }

    /// Fills the reserve from the pool, as far as that goes; at boot.
    pub fn fill_reserve(&self) {
        for _ in 0..RESERVE_PAGES {
            let Some(page) = self.take(0) else { return };
            self.refill(page);
        }
    }

    /// Takes a free page; `hint` differs by core.
    pub fn take(&self, hint: usize) -> Option<Pfn> {
        self.own.take(hint).or_else(|| self.donated.take(hint))
    }

    /// Takes a free page that the host had donated. One in the reserve counts as free while a page
    /// of the engine's own can take its place.
    pub fn take_donated(&self, hint: usize) -> Option<Pfn> {
        if let Some(page) = self.donated.take(hint) {
            return Some(page);
        }
        let own = self.own.take(hint)?;
        let swapped = self.reserve.swap(own, |page| !self.own.contains(page));
        if swapped.is_none() {
            self.own.put(own);
        }
        swapped
    }

    /// Takes this very page if it is free.
    pub fn take_exact(&self, page: Pfn) -> bool {
        if self.own.contains(page) {
            self.own.take_exact(page)
        } else {
            self.donated.take_exact(page)
        }
    }

    /// Pages free now, without the reserve, counted up to `most`.
    pub fn free_up_to(&self, most: u64) -> u64 {
        let own = self.own.free_up_to(most);
        own.saturating_add(self.donated.free_up_to(most - own))
    }

    /// Pages in the reserve now.
    pub fn reserved(&self) -> u64 {
        self.reserve.len()
    }

    /// The pool, for who wants to know how many tables were taken.
    pub(crate) fn counted(&self) -> Counted<'_, S> {
        let taken = Cell::new(0);
        Counted { pool: self, taken }
    }

    /// The pool as a fault of the host on its own memory draws on it: what one donation may need is
    /// left.
    pub(crate) fn for_host_fault(&self) -> WithReserve<'_, S> {
        WithReserve {
            pool: self,
            leaves: DONATION_TABLES,
        }
    }
}

impl<S: Deref<Target = [AtomicU64]>> TablePages for PagePool<S> {
    fn take_table(&self, hint: usize) -> Option<Pfn> {
        self.take(hint)
    }

    fn put_table(&self, page: Pfn) {
        self.put(page);
    }
}

/// The pool, and how many tables were taken from it.
pub(crate) struct Counted<'p, S> {
    pool: &'p PagePool<S>,
    taken: Cell<u32>,
}

impl<S> Counted<'_, S> {
    /// Tables taken since this was last asked.
    pub fn taken(&self) -> u32 {
        self.taken.replace(0)
    }
}

impl<S: Deref<Target = [AtomicU64]>> TablePages for Counted<'_, S> {
    fn take_table(&self, hint: usize) -> Option<Pfn> {
        self.taken.set(self.taken.get().wrapping_add(1));
        self.pool.take(hint)
    }

    fn put_table(&self, page: Pfn) {
        self.pool.put(page);
    }
}

/// The pool and, when that is empty, its reserve but for the last `leaves` pages.
pub(crate) struct WithReserve<'p, S> {
    pool: &'p PagePool<S>,
    leaves: usize,
}

impl<S: Deref<Target = [AtomicU64]>> TablePages for WithReserve<'_, S> {
    fn take_table(&self, hint: usize) -> Option<Pfn> {
        let free = self.pool.take(hint);
        free.or_else(|| self.pool.reserve.take(self.leaves))
    }

    fn put_table(&self, page: Pfn) {
        self.pool.refill(page);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::vec::Vec;

    const OWN: u64 = 0x40100;
    const RAM: u64 = 0x40000;

    fn pool() -> PagePool<Vec<AtomicU64>> {
        let set = |first: u64, pages: usize| {
            let (bits, summary) = PageSet::<Vec<AtomicU64>>::words_for(pages);
            let zeroes = |n| (0..n).map(|_| AtomicU64::new(0)).collect();
            PageSet::new(Pfn::from_raw(first), zeroes(bits), zeroes(summary))
        };
        PagePool::new(set(OWN, 64), set(RAM, 4096))
    }

    #[test]
    fn only_who_may_draws_on_the_reserve() {
        let pool = pool();
        for page in 0..10 {
            assert!(pool.put(Pfn::from_raw(OWN + page)));
        }
        pool.fill_reserve();
        assert_eq!((pool.free_up_to(99), pool.reserved()), (2, 8));
        assert!(pool.take(0).is_some() && pool.take_table(0).is_some());
        assert_eq!(pool.take_table(0), None);
        let fault = pool.for_host_fault();
        for _ in DONATION_TABLES..8 {
            assert!(fault.take_table(0).is_some());
        }
        assert_eq!(fault.take_table(0), None);
        assert_eq!(pool.reserved(), DONATION_TABLES as u64);
    }

    #[test]
    fn a_donated_page_in_the_reserve_comes_back_for_an_own_one() {
        let pool = pool();
        let donated = Pfn::from_raw(RAM);
        pool.refill(donated);
        assert_eq!((pool.take_donated(0), pool.reserved()), (None, 1));
        assert!(pool.put(Pfn::from_raw(OWN)));
        assert_eq!(pool.take_donated(0), Some(donated));
        assert_eq!((pool.take_donated(0), pool.reserved()), (None, 1));
        assert_eq!((pool.take(0), pool.reserved()), (None, 1));
    }
}

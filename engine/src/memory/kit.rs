//! The tables of one donation: all that it can need, or none.
//!
//! Invariants: a kit's pages are in no set and in no table; what is left over goes back when the kit is
//! dropped, to the reserve first; the reserve is drawn by one kit at a time, and only for as many
//! pages as the donation brings, so that it is never fuller before a donation than after.

use super::pool::{PagePool, TablePages};
use abi::Status;
use core::cell::Cell;
use core::ops::Deref;
use ownership::Pfn;
use sync::AtomicU64;

/// Tables that taking pages of one 2 MiB in can need: two where a 1 GiB block of the host's is split
/// down to pages, two for EL2 to map them.
pub(crate) const DONATION_TABLES: usize = 4;

/// Tables in hand.
pub(crate) struct Kit<'p, S: Deref<Target = [AtomicU64]>> {
    pool: &'p PagePool<S>,
    pages: Cell<[Option<Pfn>; DONATION_TABLES]>,
    holds_reserve: bool,
}

impl<S: Deref<Target = [AtomicU64]>> PagePool<S> {
    /// A kit of `tables` pages, from the reserve where the pool has too few, for a donation of
    /// `brings` pages. Refused, nothing has changed.
    pub(crate) fn kit(
        &self,
        hint: usize,
        tables: usize,
        brings: u64,
    ) -> Result<Kit<'_, S>, Status> {
        let mut kit = Kit {
            pool: self,
            pages: Cell::new([None; DONATION_TABLES]),
            holds_reserve: false,
        };
        let mut missing = tables;
        while missing > 0 {
            let Some(page) = self.take(hint) else { break };
            kit.put_table(page);
            missing -= 1;
        }
        if missing == 0 {
            return Ok(kit);
        }
        #[cfg(not(mutant = "donate-any-deficit"))]
        if missing as u64 > brings {
            return Err(Status::NoMemory);
        }
        #[cfg(mutant = "donate-any-deficit")]
        let _ = brings;
        if !self.reserve.hold() {
            return Err(Status::Busy);
        }
        kit.holds_reserve = true;
        for _ in 0..missing {
            #[cfg(not(mutant = "donate-no-reserve"))]
            let page = self.reserve.take(0);
            #[cfg(mutant = "donate-no-reserve")]
            let page = None;
            kit.put_table(page.ok_or(Status::NoMemory)?);
        }
        Ok(kit)
    }
}

impl<S: Deref<Target = [AtomicU64]>> TablePages for Kit<'_, S> {
    fn take_table(&self, _hint: usize) -> Option<Pfn> {
        let mut pages = self.pages.get();
        let page = pages.iter_mut().find_map(Option::take);
        self.pages.set(pages);
        page
    }

    fn put_table(&self, page: Pfn) {
        let mut pages = self.pages.get();
        match pages.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(page),
            // Only what was taken comes back, so there is room; a page is not lost in any case.
            None => self.pool.refill(page),
        }
        self.pages.set(pages);
    }
}

impl<S: Deref<Target = [AtomicU64]>> Drop for Kit<'_, S> {
    fn drop(&mut self) {
        #[cfg(not(mutant = "donate-lose-kit"))]
        for page in self.pages.take().into_iter().flatten() {
            self.pool.refill(page);
        }
        // Last: whoever takes the reserve next finds in it what was left over.
        if self.holds_reserve {
            self.pool.reserve.let_go();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::memory::page_set::PageSet;
    use std::vec::Vec;

    const OWN: u64 = 0x40100;

    /// A pool whose reserve has `reserved` pages, with `free` more.
    fn pool(reserved: u64, free: u64) -> PagePool<Vec<AtomicU64>> {
        let set = |first: u64, pages: usize| {
            let (bits, summary) = PageSet::<Vec<AtomicU64>>::words_for(pages);
            let zeroes = |n| (0..n).map(|_| AtomicU64::new(0)).collect();
            PageSet::new(Pfn::from_raw(first), zeroes(bits), zeroes(summary))
        };
        let pool = PagePool::new(set(OWN, 64), set(0x40000, 4096));
        for page in 0..reserved {
            pool.refill(Pfn::from_raw(OWN + page));
        }
        for page in reserved..reserved + free {
            assert!(pool.put(Pfn::from_raw(OWN + page)));
        }
        pool
    }

    fn has(pool: &PagePool<Vec<AtomicU64>>) -> (u64, u64) {
        (pool.reserved(), pool.free_up_to(u64::MAX))
    }

    #[test]
    fn a_kit_is_whole_or_nothing_changes() {
        let pool = pool(8, 2);
        drop(pool.kit(0, 4, 8).unwrap());
        assert_eq!(has(&pool), (8, 2));
        assert_eq!(pool.kit(0, 4, 1).err(), Some(Status::NoMemory));
        assert_eq!(has(&pool), (8, 2));
        // Two of the pool, two of the reserve for the two that come.
        let kit = pool.kit(0, 4, 2).unwrap();
        assert_eq!(has(&pool), (6, 0));
        let table = kit.take_table(0).unwrap();
        assert!((0..3).all(|_| kit.take_table(0).is_some()));
        assert_eq!(kit.take_table(0), None);
        kit.put_table(table);
        drop(kit);
        assert_eq!(has(&pool), (7, 0));
    }

    #[test]
    fn only_one_kit_draws_on_the_reserve() {
        let pool = pool(8, 0);
        let kit = pool.kit(0, 1, 1).unwrap();
        assert_eq!(pool.kit(1, 1, 1).err(), Some(Status::Busy));
        // One that needs nothing is not held up.
        drop(pool.kit(1, 0, 1).unwrap());
        drop(kit);
        drop(pool.kit(1, 4, 4).unwrap());
        assert_eq!(has(&pool), (8, 0));
    }

    #[test]
    fn a_short_reserve_is_no_matter_of_time() {
        let pool = pool(3, 0);
        assert_eq!(pool.kit(0, 4, 8).err(), Some(Status::NoMemory));
        assert_eq!(has(&pool), (3, 0));
        drop(pool.kit(0, 3, 8).unwrap());
    }
}

//! A set of pages that any core puts into and takes from: the free pages of the engine's pool.
//!
//! One bit per page of RAM, set while the page is free. A set bit is taken by the core whose
//! `fetch_and` cleared it, and given back by one `fetch_or`: giving back never fails, never waits,
//! and no page's own memory is used as a list node, so a page can leave for the host at any time
//! without another core reading a stale link. A summary bit per 64 words keeps the search short.
//!
//! Invariants: a set bit means the page's word is `Owned(Engine)` and the page is mapped at EL2 and
//! in no table. Summary bits are hints: a set bit is always under a set summary bit, or under one
//! that its setter is about to set; a clear summary bit over a set bit heals on the next `put`.
//! Any core may write.

use core::ops::Deref;
use ownership::Pfn;
use sync::{AtomicU64, Ordering};

/// Pages under one summary bit.
const PAGES_PER_SUMMARY_BIT: usize = 64 * 64;

/// Empty groups that one [`PageSet::take`] looks through before it says that there is no page.
const GROUPS_TRIED: usize = 64;

/// The set.
pub struct PageSet<S> {
    base: Pfn,
    bits: S,
    summary: S,
}

impl<S: Deref<Target = [AtomicU64]>> PageSet<S> {
    /// Words that [`PageSet::new`] needs for `pages` pages: bits, then summary.
    pub const fn words_for(pages: usize) -> (usize, usize) {
        let bits = pages.div_ceil(64);
        (bits, pages.div_ceil(PAGES_PER_SUMMARY_BIT).div_ceil(64))
    }

    /// An empty set over the pages from `base` on; all words zero.
    pub fn new(base: Pfn, bits: S, summary: S) -> Self {
        Self {
            base,
            bits,
            summary,
        }
    }

    /// Is the page in the set's range?
    pub fn contains(&self, page: Pfn) -> bool {
        let index = page.raw().checked_sub(self.base.raw());
        index.is_some_and(|index| index / 64 < self.bits.len() as u64)
    }

    /// Adds a page. `false`, and nothing happens, if the page is outside the set's range or was
    /// free already.
    pub fn put(&self, page: Pfn) -> bool {
        let Some(index) = page.raw().checked_sub(self.base.raw()) else {
            return false;
        };
        let Ok(index) = usize::try_from(index) else {
            return false;
        };
        let (word, bit) = (index / 64, 1u64 << (index % 64));
        let Some(slot) = self.bits.get(word) else {
            return false;
        };
        // Release: pairs with the Acquire of `take`; the page's last use happened before.
        let before = slot.fetch_or(bit, Ordering::Release);
        self.mark(word);
        before & bit == 0
    }

    /// Takes a free page, looking from a place that differs by core (`hint`) so that cores don't
    /// fight over one word. `None` if nothing was found. Bounded: one pass over the summary, and
    /// no more than [`GROUPS_TRIED`] groups that turn out empty (each is then marked so).
    pub fn take(&self, hint: usize) -> Option<Pfn> {
        let summaries = self.summary.len();
        let mut tries = GROUPS_TRIED;
        for step in 0..summaries {
            let at = (hint + step) % summaries;
            // Relaxed: only a hint where to look; `take_from` acquires.
            let mut candidates = self.summary[at].load(Ordering::Relaxed);
            while candidates != 0 {
                let rotated = candidates.rotate_right((hint % 64) as u32);
                let bit = (rotated.trailing_zeros() as usize + hint % 64) % 64;
                candidates &= !(1 << bit);
                tries = tries.checked_sub(1)?;
                if let Some(page) = self.take_group(at * 64 + bit) {
                    return Some(page);
                }
            }
        }
        None
    }

    /// Takes a page from the 64 words under one summary bit, clearing that bit if all are empty.
    fn take_group(&self, group: usize) -> Option<Pfn> {
        let words = group * 64..((group + 1) * 64).min(self.bits.len());
        if let Some(page) = words.clone().find_map(|word| self.take_from(word)) {
            return Some(page);
        }
        let (at, bit) = (group / 64, 1u64 << (group % 64));
        // Relaxed: a hint. The look after it catches a page whose `mark` came before the clearing.
        self.summary[at].fetch_and(!bit, Ordering::Relaxed);
        sync::fence(Ordering::SeqCst);
        // Relaxed: emptiness only; ordered against `put` by the fence above and the one in `mark`.
        if words
            .clone()
            .any(|word| self.bits[word].load(Ordering::Relaxed) != 0)
        {
            // Relaxed: a hint again.
            self.summary[at].fetch_or(bit, Ordering::Relaxed);
        }
        None
    }

    fn take_from(&self, word: usize) -> Option<Pfn> {
        // Relaxed: `fetch_and` decides and acquires.
        let mut seen = self.bits[word].load(Ordering::Relaxed);
        while seen != 0 {
            let bit = seen & seen.wrapping_neg();
            // Acquire: pairs with the Release of `put`.
            let before = self.bits[word].fetch_and(!bit, Ordering::Acquire);
            if before & bit != 0 {
                let index = word * 64 + bit.trailing_zeros() as usize;
                return Some(Pfn::from_raw(self.base.raw() + index as u64));
            }
            seen &= !bit;
        }
        None
    }

    /// Takes this very page if it is free.
    pub fn take_exact(&self, page: Pfn) -> bool {
        let Some(index) = page.raw().checked_sub(self.base.raw()) else {
            return false;
        };
        let Ok(index) = usize::try_from(index) else {
            return false;
        };
        let Some(slot) = self.bits.get(index / 64) else {
            return false;
        };
        let bit = 1u64 << (index % 64);
        // Acquire: pairs with the Release of `put`.
        slot.fetch_and(!bit, Ordering::Acquire) & bit != 0
    }

    /// Pages free now, counted up to `most`: only a moment's truth while others take and give.
    pub fn free_up_to(&self, most: u64) -> u64 {
        let mut free = 0;
        for (at, summary) in self.summary.iter().enumerate() {
            // Relaxed: a statistic.
            let mut groups = summary.load(Ordering::Relaxed);
            while groups != 0 && free < most {
                let group = at * 64 + groups.trailing_zeros() as usize;
                groups &= groups - 1;
                let words = group * 64..((group + 1) * 64).min(self.bits.len());
                // Relaxed: a statistic.
                free += words
                    .map(|word| u64::from(self.bits[word].load(Ordering::Relaxed).count_ones()))
                    .sum::<u64>();
            }
        }
        free.min(most)
    }

    fn mark(&self, word: usize) {
        let group = word / 64;
        // The setting of the page's bit comes before the look at the summary; pairs with the fence
        // in `take_group`: one of the two sees the other.
        sync::fence(Ordering::SeqCst);
        let (at, bit) = (group / 64, 1u64 << (group % 64));
        // Relaxed: a hint.
        if self.summary[at].load(Ordering::Relaxed) & bit == 0 {
            // Relaxed: a hint.
            self.summary[at].fetch_or(bit, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    fn pool(pages: usize) -> PageSet<Vec<AtomicU64>> {
        let (bits, summary) = PageSet::<Vec<AtomicU64>>::words_for(pages);
        let zeroes = |n| (0..n).map(|_| AtomicU64::new(0)).collect();
        PageSet::new(Pfn::from_raw(0x40000), zeroes(bits), zeroes(summary))
    }

    #[test]
    fn gives_each_page_once() {
        let pool = pool(10_000);
        for page in 0..10_000u64 {
            assert!(pool.put(Pfn::from_raw(0x40000 + page)));
        }
        let mut seen = BTreeSet::new();
        while let Some(page) = pool.take(seen.len() * 37) {
            assert!(seen.insert(page.raw()));
        }
        assert_eq!(seen.len(), 10_000);
    }

    #[test]
    fn refuses_what_is_not_its_own() {
        let pool = pool(64);
        assert!(!pool.put(Pfn::from_raw(0x3ffff)));
        assert!(!pool.put(Pfn::from_raw(0x40040)));
        assert!(pool.put(Pfn::from_raw(0x4003f)));
        assert!(!pool.put(Pfn::from_raw(0x4003f)));
        assert!(pool.take_exact(Pfn::from_raw(0x4003f)));
        assert!(!pool.take_exact(Pfn::from_raw(0x4003f)));
        assert_eq!(pool.take(0), None);
    }

    #[test]
    fn heals_the_summary() {
        let pool = pool(5_000);
        assert_eq!(pool.take(3), None);
        assert!(pool.put(Pfn::from_raw(0x40000 + 4_999)));
        assert_eq!(pool.take(1), Some(Pfn::from_raw(0x40000 + 4_999)));
        assert_eq!(pool.take(1), None);
    }
}

//! A set of pages that any core puts into and takes from: the free pages of the engine's pool.
//!
//! One bit per page of RAM, set while the page is free. A set bit is taken by the core whose
//! `fetch_and` cleared it, and given back by one `fetch_or`: giving back never fails, never waits,
//! and no page's own memory is used as a list node, so a page can leave for the host at any time
//! without another core reading a stale link. A summary bit per 64 words keeps the search short.
//!
//! The bits of a set over all RAM come to life page by page, so that boot touches none of them: of
//! each 4 KiB of bits a state word says whether they are there. [`PageSet::prepare`] zeroes them before
//! the first page of theirs is put.
//!
//! Invariants: a set bit means the page's word is `Owned(Engine)` and the page is mapped at EL2 and
//! in no table. Summary bits are hints: a set bit is always under a set summary bit, or under one
//! that its setter is about to set; a clear summary bit over a set bit heals on the next `put`.
//! A word of bits is looked at only after its state said ready, which it says for ever. Any core may
//! write; nobody waits for the core that zeroes.

use core::ops::Deref;
use ownership::Pfn;
use sync::{AtomicU64, Ordering, unless};

/// Pages under one summary bit.
const PAGES_PER_SUMMARY_BIT: usize = 64 * 64;

/// Empty groups that one [`PageSet::take`] looks through before it says that there is no page.
const GROUPS_TRIED: usize = 16;

/// Words of bits under one state word: a page of them, so that no page is half touched.
const WORDS_PER_STATE: usize = 512;

/// Groups that one [`PageSet::free_up_to`] counts.
const GROUPS_COUNTED: usize = 8;

/// What a state word says of its words of bits: they hold anything.
const UNTOUCHED: u64 = 0;
/// A core zeroes them.
const ZEROING: u64 = 1;
/// They are bits.
const READY: u64 = 2;

/// The set.
pub struct PageSet<S> {
    base: Pfn,
    bits: S,
    summary: S,
    /// A state for each [`WORDS_PER_STATE`] of `bits`; none if they were zero from the start.
    states: Option<S>,
}

impl<S: Deref<Target = [AtomicU64]>> PageSet<S> {
    /// Words that [`PageSet::new`] needs for `pages` pages: bits, then summary.
    pub const fn words_for(pages: usize) -> (usize, usize) {
        let bits = pages.div_ceil(64);
        (bits, pages.div_ceil(PAGES_PER_SUMMARY_BIT).div_ceil(64))
    }

    /// State words that [`PageSet::untouched`] needs for `pages` pages.
    pub const fn states_for(pages: usize) -> usize {
        Self::words_for(pages).0.div_ceil(WORDS_PER_STATE)
    }

    /// Word `index` of the summary of a set over `pages` pages that has all of them.
    pub const fn full_summary(pages: usize, index: usize) -> u64 {
        let groups = pages.div_ceil(PAGES_PER_SUMMARY_BIT);
        match groups.saturating_sub(64 * index) {
            left @ 0..64 => (1 << left) - 1,
            _ => u64::MAX,
        }
    }

    /// A set over the pages from `base` on, of those that the words say: none if all are zero.
    pub fn new(base: Pfn, bits: S, summary: S) -> Self {
        Self {
            base,
            bits,
            summary,
            states: None,
        }
    }

    /// The same with bits that hold anything; `summary` and `states` are zero.
    pub fn untouched(base: Pfn, bits: S, summary: S, states: S) -> Self {
        Self {
            states: Some(states),
            ..Self::new(base, bits, summary)
        }
    }

    /// Makes sure that the page can be put. `false`: another core is about to, try again.
    pub fn prepare(&self, page: Pfn) -> bool {
        let Some(word) = self.word_of(page) else {
            return true;
        };
        let at = word / WORDS_PER_STATE;
        let Some(state) = self.states.as_ref().and_then(|states| states.get(at)) else {
            return true;
        };
        // Relaxed, both ways: nobody has published anything by then, or [`PageSet::is_ready`] is asked.
        let won = state.compare_exchange(UNTOUCHED, ZEROING, Ordering::Relaxed, Ordering::Relaxed);
        match won {
            Ok(_) => {
                let first = at.saturating_mul(WORDS_PER_STATE);
                let all = first..self.bits.len().min(first.saturating_add(WORDS_PER_STATE));
                let words = self.bits.get(all).unwrap_or_default();
                #[cfg(mutant = "set-no-zeroes")]
                let words = &words[..0];
                let (eights, rest) = words.as_chunks::<8>();
                // Relaxed, all of them: the winner's alone until the Release below.
                for eight in eights {
                    for bits in eight {
                        bits.store(0, Ordering::Relaxed);
                    }
                }
                for bits in rest {
                    bits.store(0, Ordering::Relaxed);
                }
                // Release: pairs with the Acquire of `is_ready`; publishes the zeroes.
                #[cfg(not(mutant = "set-ready-relaxed"))]
                state.store(READY, Ordering::Release);
                #[cfg(mutant = "set-ready-relaxed")]
                state.store(READY, Ordering::Relaxed);
                true
            }
            Err(_) => self.is_ready(word),
        }
    }

    /// Are the bits of this word there?
    fn is_ready(&self, word: usize) -> bool {
        #[cfg(mutant = "set-trust-untouched")]
        return word < self.bits.len();
        #[cfg(not(mutant = "set-trust-untouched"))]
        match &self.states {
            None => true,
            // Acquire: pairs with the Release of `prepare`.
            Some(states) => states.get(word / WORDS_PER_STATE).is_some_and(|state| {
                let look = unless(cfg!(mutant = "set-look-relaxed"), Ordering::Acquire);
                state.load(look) == READY
            }),
        }
    }

    /// The number of the word that holds the page's bit.
    fn word_of(&self, page: Pfn) -> Option<usize> {
        let index = page.raw().checked_sub(self.base.raw())?;
        let word = usize::try_from(index / 64).ok()?;
        (word < self.bits.len()).then_some(word)
    }

    /// The word that holds the page's bit, if it is ready; its number; the bit.
    fn slot(&self, page: Pfn) -> Option<(&AtomicU64, usize, u64)> {
        let word = self.word_of(page).filter(|word| self.is_ready(*word))?;
        let bit = 1u64 << (page.checked_since(self.base)? % 64);
        Some((self.bits.get(word)?, word, bit))
    }

    /// The numbers of the words under one summary bit; none while they are not ready.
    fn words_of(&self, group: usize) -> core::ops::Range<usize> {
        let first = group.saturating_mul(64).min(self.bits.len());
        if !self.is_ready(first) {
            return first..first;
        }
        first..first.saturating_add(64).min(self.bits.len())
    }

    /// Is the page in the set's range?
    pub fn contains(&self, page: Pfn) -> bool {
        self.word_of(page).is_some()
    }

    /// Adds a page. `false`, and nothing happens, if the page is outside the set's range, not
    /// prepared, or free already.
    pub fn put(&self, page: Pfn) -> bool {
        let Some((slot, word, bit)) = self.slot(page) else {
            return false;
        };
        // Release: pairs with the Acquire of `take`; the page's last use happened before.
        let given = unless(cfg!(mutant = "set-put-relaxed"), Ordering::Release);
        let before = slot.fetch_or(bit, given);
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
            let at = hint.wrapping_add(step) % summaries;
            // Relaxed: only a hint where to look; `take_from` acquires.
            let mut candidates = self.summary.get(at)?.load(Ordering::Relaxed);
            while candidates != 0 {
                let rotated = candidates.rotate_right((hint % 64) as u32);
                let bit = (rotated.trailing_zeros() as usize).wrapping_add(hint % 64) % 64;
                candidates &= !(1 << bit);
                tries = tries.checked_sub(1)?;
                if let Some(page) = self.take_group(group_of(at, bit)) {
                    return Some(page);
                }
            }
        }
        None
    }

    /// Takes a page from the 64 words under one summary bit, clearing that bit if all are empty.
    fn take_group(&self, group: usize) -> Option<Pfn> {
        if let Some(page) = self.words_of(group).find_map(|word| self.take_from(word)) {
            return Some(page);
        }
        let (summary, bit) = (self.summary.get(group / 64)?, 1u64 << (group % 64));
        // Relaxed: a hint. The look after it catches a page whose `mark` came before the clearing.
        summary.fetch_and(!bit, Ordering::Relaxed);
        #[cfg(not(mutant = "set-empty-no-fence"))]
        sync::fence(Ordering::SeqCst);
        // Relaxed: emptiness only; ordered against `put` by the fence above and the one in `mark`. That
        // the words are ready is asked again for the same reason.
        let words = self.bits.get(self.words_of(group)).unwrap_or_default();
        if words.iter().any(|word| word.load(Ordering::Relaxed) != 0) {
            // Relaxed: a hint again.
            summary.fetch_or(bit, Ordering::Relaxed);
        }
        None
    }

    fn take_from(&self, word: usize) -> Option<Pfn> {
        // Relaxed: `fetch_and` decides and acquires.
        let bits = self.bits.get(word)?;
        let mut seen = bits.load(Ordering::Relaxed);
        while seen != 0 {
            let bit = seen & seen.wrapping_neg();
            // Acquire: pairs with the Release of `put`.
            let look = unless(cfg!(mutant = "set-take-relaxed"), Ordering::Acquire);
            let before = bits.fetch_and(!bit, look);
            if before & bit != 0 || cfg!(mutant = "set-take-unchecked") {
                let index = group_of(word, bit.trailing_zeros() as usize);
                return Some(self.base.after(index as u64));
            }
            seen &= !bit;
        }
        None
    }

    /// Takes this very page if it is free.
    pub fn take_exact(&self, page: Pfn) -> bool {
        let Some((slot, _, bit)) = self.slot(page) else {
            return false;
        };
        // Acquire: pairs with the Release of `put`.
        let look = unless(cfg!(mutant = "set-take-exact-relaxed"), Ordering::Acquire);
        slot.fetch_and(!bit, look) & bit != 0
    }

    /// Pages free now, counted up to `most` and in so many groups that have some: only a moment's truth while others
    /// take and give.
    pub fn free_up_to(&self, most: u64) -> u64 {
        let (mut free, mut tries) = (0u64, GROUPS_COUNTED);
        for (at, summary) in (0..self.summary.len()).zip(self.summary.iter()) {
            // Relaxed: a statistic.
            let mut groups = summary.load(Ordering::Relaxed);
            while groups != 0 && free < most && tries > 0 {
                tries -= 1;
                let group = group_of(at, groups.trailing_zeros() as usize);
                groups &= groups - 1;
                // Relaxed: a statistic.
                for word in self.bits.get(self.words_of(group)).unwrap_or_default() {
                    let bits = word.load(Ordering::Relaxed);
                    // Most are empty, and counting takes long.
                    if bits != 0 {
                        free = free.wrapping_add(u64::from(bits.count_ones()));
                    }
                }
            }
        }
        free.min(most)
    }

    fn mark(&self, word: usize) {
        let group = word / 64;
        // The setting of the page's bit comes before the look at the summary; pairs with the fence
        // in `take_group`: one of the two sees the other.
        #[cfg(not(mutant = "set-mark-no-fence"))]
        sync::fence(Ordering::SeqCst);
        let (summary, bit) = (self.summary.get(group / 64), 1u64 << (group % 64));
        // Relaxed: a hint.
        if let Some(summary) = summary
            && summary.load(Ordering::Relaxed) & bit == 0
        {
            // Relaxed: a hint.
            summary.fetch_or(bit, Ordering::Relaxed);
        }
    }
}

/// The number of what bit `bit` of word `word` stands for.
const fn group_of(word: usize, bit: usize) -> usize {
    word.wrapping_mul(64).wrapping_add(bit)
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
    fn gives_all_pages_if_it_is_full_from_the_start() {
        type Set = PageSet<Vec<AtomicU64>>;
        for pages in [64, 4096, 4160, 300_032] {
            let (bits, summary) = Set::words_for(pages);
            let bits = (0..bits).map(|_| AtomicU64::new(u64::MAX)).collect();
            let words = (0..summary).map(|index| AtomicU64::new(Set::full_summary(pages, index)));
            let full = PageSet::new(Pfn::from_raw(0x40000), bits, words.collect());
            let stepwise = pool(pages);
            for page in 0..pages as u64 {
                stepwise.put(Pfn::from_raw(0x40000 + page));
            }
            let words = |set: &Set| -> Vec<u64> {
                let all = set.bits.iter().chain(&set.summary);
                all.map(|word| word.load(Ordering::Relaxed)).collect()
            };
            assert_eq!(words(&full), words(&stepwise), "{pages}");
        }
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

    /// A set whose bits hold anything.
    fn untouched(pages: usize) -> PageSet<Vec<AtomicU64>> {
        type Set = PageSet<Vec<AtomicU64>>;
        let (bits, summary) = Set::words_for(pages);
        let all = |n, word| (0..n).map(|_| AtomicU64::new(word)).collect();
        let states = all(Set::states_for(pages), 0);
        PageSet::untouched(
            Pfn::from_raw(0x40000),
            all(bits, u64::MAX),
            all(summary, 0),
            states,
        )
    }

    #[test]
    fn bits_count_only_once_they_are_there() {
        const PER_STATE: u64 = WORDS_PER_STATE as u64 * 64;
        let page = |index: u64| Pfn::from_raw(0x40000 + index);
        let pool = untouched(3 * PER_STATE as usize);
        let never = |index| !pool.take_exact(page(index)) && !pool.put(page(index));
        assert!(never(0) && never(PER_STATE) && never(2 * PER_STATE));
        assert_eq!((pool.take(0), pool.free_up_to(u64::MAX)), (None, 0));
        for _ in 0..2 {
            assert!(pool.prepare(page(PER_STATE + 7)) && pool.prepare(page(u64::MAX >> 12)));
        }
        assert!(never(PER_STATE - 1) && never(2 * PER_STATE));
        assert!(pool.put(page(PER_STATE)) && pool.put(page(2 * PER_STATE - 1)));
        assert_eq!(pool.free_up_to(u64::MAX), 2);
        let taken = [pool.take(5), pool.take(6)].map(Option::unwrap);
        assert!(taken.contains(&page(PER_STATE)) && taken.contains(&page(2 * PER_STATE - 1)));
        assert_eq!((pool.take(0), pool.free_up_to(u64::MAX)), (None, 0));
        // The rest was not touched.
        let touched = pool
            .bits
            .iter()
            .filter(|word| word.load(Ordering::Relaxed) == 0);
        assert_eq!(touched.count(), WORDS_PER_STATE);
    }

    #[test]
    fn nobody_waits_for_the_core_that_zeroes() {
        let pool = untouched(64);
        let state = &pool.states.as_ref().unwrap()[0];
        state.store(ZEROING, Ordering::Relaxed);
        assert!(!pool.prepare(Pfn::from_raw(0x40000)));
        assert!(!pool.put(Pfn::from_raw(0x40000)));
        state.store(READY, Ordering::Relaxed);
        assert!(pool.prepare(Pfn::from_raw(0x40000)));
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

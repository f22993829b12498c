//! How a claim holds its pages, and the two changes of a word: claiming and settling.
//!
//! Invariants: the words of a hold say `Claimed` until it settles them; a page that is claimed alone is held by
//! its own word. Nobody folds that: it takes the claims of all parts. An unfold of its block writes it while the block has
//! one word, and so before it could be claimed; a slow core that claims it from the unfolder's words, before these are
//! published, has a word that is not written again (`tree`). So is a granule whose one word was claimed held by
//! that: only the claim's holder could unfold it.

use crate::addr::{Granule, GranuleSize, Pfn};
use crate::tree::{Run, Tree, end_of};
use crate::word::Word;
use sync::{AtomicU64, Ordering, unless};

/// The words that stand for what was claimed: a page's own, or those of a run.
pub trait Hold {
    /// The pages.
    fn run(&self) -> Run;

    /// Ends the claim of all of them, which say `claimed`.
    fn settle(&self, claimed: Word, to: Word);
}

/// One page's own word.
#[derive(Clone, Copy, Debug)]
pub struct OneWord<'t> {
    pub(crate) word: &'t AtomicU64,
    pub(crate) page: Pfn,
}

impl Hold for OneWord<'_> {
    fn run(&self) -> Run {
        Run {
            first: self.page,
            pages: 1,
        }
    }

    #[inline]
    fn settle(&self, _claimed: Word, to: Word) {
        settle_word(self.word, to);
    }
}

/// One word of a larger granule.
#[derive(Clone, Copy, Debug)]
pub struct WholeWord<'t> {
    pub(crate) word: &'t AtomicU64,
    pub(crate) granule: Granule,
}

impl Hold for WholeWord<'_> {
    fn run(&self) -> Run {
        Run {
            first: self.granule.base(),
            pages: self.granule.size().pages(),
        }
    }

    fn settle(&self, _claimed: Word, to: Word) {
        settle_word(self.word, to);
    }
}

/// The words of a run, to be looked for: they may have been folded or unfolded since.
#[derive(Clone, Copy, Debug)]
pub struct Words<'t> {
    pub(super) tree: Tree<'t>,
    pub(super) run: Run,
}

impl Hold for Words<'_> {
    fn run(&self) -> Run {
        self.run
    }

    fn settle(&self, claimed: Word, to: Word) {
        self.for_each(claimed, |word| settle_word(word, to));
    }
}

impl Words<'_> {
    /// Visits the words in order. The visitor may settle them: a word
    /// that is still claimed keeps its place.
    fn for_each(&self, claimed: Word, mut visit: impl FnMut(&AtomicU64)) {
        let mut at = self.run.first;
        while at.raw() < self.run.end() {
            let Some(place) = self.tree.find_own(at, claimed) else {
                return;
            };
            let next = if place.granule.size() == GranuleSize::Page && self.run.pages > 1 {
                // So are the others up to the end of their block: none of these is found again.
                let block = Granule::around(GranuleSize::Block2M, at);
                let stop = end_of(block).min(self.run.end());
                let pages = stop.saturating_sub(at.raw());
                let words = self.tree.pages(Run { first: at, pages });
                words.iter().for_each(&mut visit);
                stop
            } else {
                visit(place.word);
                end_of(place.granule)
            };
            at = Pfn::from_raw(next);
        }
    }
}

/// Ends the claim of one word, which only its holder writes.
#[inline]
pub(super) fn settle_word(word: &AtomicU64, to: Word) {
    // Release: pairs with the Acquire of `claim_word`; publishes all that the holder did with the page.
    let done = unless(cfg!(mutant = "settle-relaxed"), Ordering::Release);
    word.store(to.raw(), done);
}

/// Claims one word that was seen as `seen`; `false` if it isn't that any more.
pub(crate) fn claim_word(word: &AtomicU64, seen: Word, claimed: Word) -> bool {
    let claimed = claimed.raw();
    // Acquire: pairs with the Release of `settle_word` which produced `seen`, or of `unfold` (or with
    // the CPU's bring-up for a word that only boot wrote): what the last holder did with the page is
    // done. Relaxed on failure: nothing is read through a page that wasn't claimed.
    let won = unless(cfg!(mutant = "claim-relaxed"), Ordering::Acquire);
    #[cfg(not(mutant = "claim-no-compare"))]
    return word
        .compare_exchange(seen.raw(), claimed, won, Ordering::Relaxed)
        .is_ok();
    #[cfg(mutant = "claim-no-compare")]
    {
        word.swap(claimed, won);
        true
    }
}

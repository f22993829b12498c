//! Claims of runs: how they grow, and by which words they are held.
//!
//! Invariants: a run grows at its end only, by pages that were claimed on the same terms; folding and
//! cutting keep all of it claimed.

use super::{RunClaim, Words};
use crate::addr::{Granule, GranuleSize, Pfn};
use crate::tree::{Run, Tree, all_say, end_of};
use crate::word::{State, Word};

impl<'t> RunClaim<'t> {
    /// A claim of no page yet, from `first` on.
    pub(crate) fn empty(tree: Tree<'t>, first: Pfn, from: Word, claimed: Word) -> Self {
        let none = Run { first, pages: 0 };
        Self::of(Words { tree, run: none }, from, claimed)
    }

    /// The page behind its last.
    #[inline]
    pub(crate) fn behind(&self) -> u64 {
        self.hold.run.end()
    }

    /// The pages just behind it have been claimed too, on the same terms.
    pub(crate) fn extend(&mut self, pages: u64) {
        self.hold.run.pages = self.hold.run.pages.saturating_add(pages);
    }

    /// Has it exactly the pages of this granule, and one word for all of them?
    pub fn is_whole(&self, granule: Granule) -> bool {
        let place = self.hold.tree.find_own(granule.base(), self.claimed);
        self.hold.run.first == granule.base()
            && self.hold.run.end() == end_of(granule)
            && place.is_some_and(|at| at.granule == granule)
    }

    /// Makes one word of the words of each whole granule in it, where that is to be had. It changes
    /// how the pages are held, not which.
    pub fn fold(&mut self) {
        for size in [GranuleSize::Block2M, GranuleSize::Block1G] {
            let end = self.hold.run.end();
            let mut next = self
                .hold
                .run
                .first
                .raw()
                .checked_next_multiple_of(size.pages());
            while let Some(at) = next.filter(|at| at.saturating_add(size.pages()) <= end) {
                let granule = Granule::around(size, Pfn::from_raw(at));
                let place = self.hold.tree.find_own(granule.base(), self.claimed);
                let mut held = place.map_or(size, |place| place.granule.size());
                if held < size {
                    self.hold.tree.fold(granule, self.claimed);
                } else if held == size && self.holds_parts_beside(granule) {
                    held = GranuleSize::Block1G;
                }
                // Past all that is as it should be.
                next = at
                    .wrapping_add(1)
                    .checked_next_multiple_of(held.max(size).pages());
            }
        }
    }

    /// Is this granule, which has one word, the first part of one of which each part has one?
    fn holds_parts_beside(&self, first: Granule) -> bool {
        let whole = first
            .size()
            .whole()
            .map(|size| Granule::around(size, first.base()));
        whole.is_some_and(|whole| {
            whole.base() == first.base()
                && end_of(whole) <= self.hold.run.end()
                && all_say(self.hold.tree.parts_of(whole), self.claimed)
        })
    }

    /// Cuts the claim in two: the first `pages` stay here, the others are returned. `None`, and
    /// nothing changes, if there are fewer or if it is of a granule that is zeroed in part.
    pub fn split_off(&mut self, pages: usize) -> Option<Self> {
        if matches!(self.from(), State::Scrubbing { .. }) {
            return None;
        }
        let pages = pages as u64;
        let rest = self.hold.run.pages.checked_sub(pages)?;
        let first = self.hold.run.first.checked_add(pages)?;
        let head = Run {
            first: self.hold.run.first,
            pages,
        };
        if pages != 0 && rest != 0 {
            // Both sides stay claimed.
            self.hold.tree.cut(head, self.claimed, self.claimed);
        }
        self.hold.run = head;
        let rest = Words {
            run: Run { first, pages: rest },
            ..self.hold
        };
        Some(Self::of(rest, self.from, self.claimed))
    }
}

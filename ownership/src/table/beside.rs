//! A page beside one that is claimed: claimed without the way down the tree.
//!
//! Invariant: the claim of one page by its own word keeps the 2 MiB around it in parts, since whoever makes a whole of
//! them has claimed all of them; so each of these pages has a word of its own as long as that claim is held.

use super::{PageTable, why_not};
use crate::addr::{Granule, GranuleSize, Pfn};
use crate::claim::{OneWord, PageClaim, claim_word};
use crate::state::is_claimable;
use crate::table::Refused;
use crate::tree::Run;
use crate::word::{Op, State, Word};
use core::ops::Deref;
use sync::{AtomicU64, Ordering};

impl<S: Deref<Target = [AtomicU64]>> PageTable<S> {
    /// Claims a page for `op` as [`PageTable::claim_page_in`] does, if it is in the same 2 MiB as one that is `held`.
    #[inline(always)]
    pub fn claim_page_beside(
        &self,
        held: &PageClaim<'_>,
        page: Pfn,
        op: Op,
        cpu: u16,
        expect: State,
    ) -> Option<Result<PageClaim<'_>, Refused>> {
        let around = |page| Granule::around(GranuleSize::Block2M, page);
        if around(held.pfn()) != around(page) && cfg!(not(mutant = "beside-anywhere")) {
            return None;
        }
        let run = Run {
            first: page,
            pages: 1,
        };
        // The 2 MiB may begin before the table, or end behind it.
        self.run(page, 1)?;
        let word = self.tree().pages(run).first()?;
        // Relaxed: the compare-exchange decides, and acquires.
        let seen = Word::from_raw(word.load(Ordering::Relaxed));
        if seen != Word::pack(expect) || !is_claimable(expect, op) {
            return Some(Err(why_not(seen, op, expect)));
        }
        let claimed = Word::claimed(seen, op, cpu);
        if !claim_word(word, seen, claimed) {
            return Some(Err(Refused::Busy));
        }
        Some(Ok(PageClaim::of(OneWord { word, page }, seen, claimed)))
    }
}

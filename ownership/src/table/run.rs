//! Runs of pages, claimed from the front: by one word where one stands for many, word by word else.
//!
//! Invariant: a claim is of the pages from its first to its last, without a gap; where it stops, the caller is told why,
//! unless it was enough.

use super::{PageTable, Refused, why_not};
use crate::addr::{Granule, GranuleSize, Pfn};
use crate::claim::{RunClaim, claim_word};
use crate::state::is_claimable;
use crate::tree::{Run, end_of, in_eights};
use crate::word::{Op, State, Word};
use core::ops::Deref;
use sync::{AtomicU64, Ordering};

impl<S: Deref<Target = [AtomicU64]>> PageTable<S> {
    /// Claims the longest prefix of `pages` pages that all are in exactly the state `expect`; tells
    /// why it stopped there. An empty claim is one of no page.
    pub fn claim_run(
        &self,
        first: Pfn,
        pages: usize,
        op: Op,
        cpu: u16,
        expect: State,
    ) -> (RunClaim<'_>, Option<Refused>) {
        self.claim_run_of(first, pages, usize::MAX, op, cpu, expect)
    }

    /// The same, with at most `words` page words: nobody refuses what is behind these. What was counted on as one word may
    /// be in parts by now.
    pub fn claim_run_of(
        &self,
        first: Pfn,
        pages: usize,
        words: usize,
        op: Op,
        cpu: u16,
        expect: State,
    ) -> (RunClaim<'_>, Option<Refused>) {
        let claimed = Word::claimed(expect.into(), op, cpu);
        let mut claim = RunClaim::empty(self.tree(), first, expect.into(), claimed);
        let Some(since) = first.checked_since(self.base) else {
            return (claim, Some(Refused::OutOfRange));
        };
        let there = self.pages.saturating_sub(since as usize).min(pages);
        let run = Run {
            first,
            pages: there as u64,
        };
        let refused = self.claim_on(&mut claim, run, words, (op, claimed));
        (
            claim,
            refused.or((there < pages).then_some(Refused::OutOfRange)),
        )
    }

    /// Extends a claim up to the end of `run`, or to the first page that is not to be had, by at most `words` words.
    pub(super) fn claim_on(
        &self,
        claim: &mut RunClaim<'_>,
        run: Run,
        words: usize,
        (op, claimed): (Op, Word),
    ) -> Option<Refused> {
        let mut left = words;
        let expect = claim.from();
        let may_claim = is_claimable(expect, op);
        let wanted = Word::pack(expect);
        loop {
            let at = claim.behind();
            if at >= run.end() || left == 0 {
                return None;
            }
            let rest = Run {
                first: Pfn::from_raw(at),
                pages: run.end().saturating_sub(at),
            };
            let place = match self.find(rest.first) {
                Ok(place) => place,
                Err(refused) => return Some(refused),
            };
            if place.seen != wanted || !may_claim {
                return Some(why_not(place.seen, op, expect));
            }
            match self.take(&place, rest, claimed) {
                Ok(pages) => claim.extend(pages),
                Err(refused) => return Some(refused),
            }
            left = left.saturating_sub(1);
            if let Some(whole) = place.granule.size().whole()
                && let Some(refused) =
                    self.claim_parts_on(claim, run, &mut left, (op, claimed), whole)
            {
                return Some(refused);
            }
        }
    }

    /// Extends a claim whose last page or block has a word of its own by those beside it, up to the end of what they
    /// are parts of, whose size is `whole`, or of `run`, or to one that is in parts itself. That claim keeps the whole in
    /// parts: nothing above has to be looked at again.
    fn claim_parts_on(
        &self,
        claim: &mut RunClaim<'_>,
        run: Run,
        left: &mut usize,
        (op, claimed): (Op, Word),
        whole: GranuleSize,
    ) -> Option<Refused> {
        let at = claim.behind();
        let size = whole.part()?;
        let around = Granule::around(whole, Pfn::from_raw(at.saturating_sub(1)));
        let rest = Run {
            first: Pfn::from_raw(at),
            pages: end_of(around).min(run.end()).saturating_sub(at),
        };
        if rest.pages < size.pages() {
            return None;
        }
        let expect = claim.from();
        let wanted = Word::pack(expect);
        // The claim has a part that said `wanted`, so the operation may claim others.
        let words = self.tree().granules(size, rest);
        let words = words.get(..*left).unwrap_or(words);
        let stop = in_eights(words, |word| !claim_word(word, wanted, claimed));
        let taken = stop.unwrap_or(words.len());
        *left = left.saturating_sub(taken);
        claim.extend((taken as u64) << size.shift());
        // A block in parts is gone on with by its pages.
        let word = words.get(stop?).filter(|_| size == GranuleSize::Page)?;
        // Relaxed: it only says why.
        let seen = Word::from_raw(word.load(Ordering::Relaxed));
        Some(why_not(seen, op, expect))
    }
}

//! The table of ownership: claims of pages, runs and granules over the tree of words.
//!
//! Invariants: words are changed by `claim` (claims and their settling), by `tree` on behalf of a
//! claim's holder, and at boot; every method makes a bounded number of attempts
//! at each word and then says `Busy`, so it never waits for another CPU; of claims that conflict at
//! least one succeeds (whoever loses a compare-exchange lost it to somebody who succeeded).
//!
//! A claim of a part of what has one word claims that word, unfolds it, and keeps the part: what is
//! around it is settled again before anyone else could want it for longer than that.

mod beside;
mod run;

use crate::addr::{Granule, GranuleSize, Pfn};
use crate::claim::{OneWord, PageClaim, RunClaim, WholeClaim, WholeWord, claim_word};
use crate::state::{is_claimable, transition};
use crate::tree::{Place, Run, Span, Tree, end_of};
use crate::word::{Op, State, Word};
use core::ops::Deref;
use sync::{AtomicU64, Ordering};

/// Why pages could not be claimed or set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The table has no such page: the caller's mistake.
    OutOfRange,
    /// Another operation has it, or was faster: nobody's fault, try again.
    Busy,
    /// The state it is in, which this word says, does not allow the operation. Packed: a claim or a refusal is moved in
    /// registers.
    Was(Word),
}

/// The words of a run of physical pages.
#[derive(Debug)]
pub struct PageTable<S> {
    base: Pfn,
    pages: usize,
    span: Span,
    words: S,
}

impl<S: Deref<Target = [AtomicU64]>> PageTable<S> {
    /// How many words a table for `pages` pages from `base` on takes.
    pub fn words_for(base: Pfn, pages: usize) -> usize {
        Span::around(base, pages).words()
    }

    /// How many of these, from the first on, have to be zero. The others are written before they
    /// are read.
    pub fn words_to_clear(base: Pfn, pages: usize) -> usize {
        Span::around(base, pages).words_to_clear()
    }

    /// A table for `pages` pages from `base` on, all `Reserved`.
    ///
    /// # Panics
    /// If there are fewer words than [`PageTable::words_for`] says: a boot that is wrong.
    pub fn new(base: Pfn, pages: usize, words: S) -> Self {
        assert!(
            words.len() >= Self::words_for(base, pages),
            "page words are missing"
        );
        Self {
            base,
            pages,
            span: Span::around(base, pages),
            words,
        }
    }

    /// First page.
    pub fn base(&self) -> Pfn {
        self.base
    }

    /// Number of pages.
    pub fn len(&self) -> usize {
        self.pages
    }

    /// Has it no page at all?
    pub fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// Has it this page?
    pub fn contains(&self, page: Pfn) -> bool {
        self.run(page, 1).is_some()
    }

    /// Claims one page for `op` if its state allows that and `accept` agrees.
    #[inline]
    pub fn claim_page(
        &self,
        page: Pfn,
        op: Op,
        cpu: u16,
        accept: impl FnOnce(State) -> bool,
    ) -> Result<PageClaim<'_>, Refused> {
        let place = self.find(page)?;
        let from = look(place.seen, op)?;
        if !accept(from) {
            #[cfg(not(mutant = "claim-not-accepted"))]
            return Err(Refused::Was(place.seen));
        }
        self.take_page(&place, page, Word::claimed(place.seen, op, cpu))
    }

    /// Claims one page for `op` if it is in exactly the state `expect`. Inlined: that is a number for most callers.
    #[inline(always)]
    pub fn claim_page_in(
        &self,
        page: Pfn,
        op: Op,
        cpu: u16,
        expect: State,
    ) -> Result<PageClaim<'_>, Refused> {
        let place = self.find(page)?;
        if place.seen != Word::pack(expect) || !is_claimable(expect, op) {
            return Err(why_not(place.seen, op, expect));
        }
        self.take_page(&place, page, Word::claimed(place.seen, op, cpu))
    }

    /// Claims a granule for `op` if it is in exactly the state `expect` and has one word for all of it. `Busy` if it is in
    /// parts, or a part itself: [`PageTable::claim_run`] has it then.
    #[inline]
    pub fn claim_whole_in(
        &self,
        granule: Granule,
        op: Op,
        cpu: u16,
        expect: State,
    ) -> Result<WholeClaim<'_>, Refused> {
        self.run(granule.base(), granule.size().pages() as usize)
            .ok_or(Refused::OutOfRange)?;
        let place = self.find(granule.base())?;
        if place.seen != Word::pack(expect) || !is_claimable(expect, op) {
            return Err(why_not(place.seen, op, expect));
        }
        let claimed = Word::claimed(place.seen, op, cpu);
        if place.granule != granule || !claim_word(place.word, place.seen, claimed) {
            return Err(Refused::Busy);
        }
        let word = place.word;
        Ok(WholeClaim::of(
            WholeWord { word, granule },
            place.seen,
            claimed,
        ))
    }

    /// Claims one page, found at `place`: one attempt. If its word changed since, that is nobody's fault.
    #[inline]
    fn take_page<'t>(
        &'t self,
        place: &Place<'t>,
        page: Pfn,
        claimed: Word,
    ) -> Result<PageClaim<'t>, Refused> {
        let word = if place.granule.size() != GranuleSize::Page {
            self.take_out(place, page, claimed)?
        } else if claim_word(place.word, place.seen, claimed) {
            place.word
        } else {
            return Err(Refused::Busy);
        };
        Ok(PageClaim::of(OneWord { word, page }, place.seen, claimed))
    }

    /// Claims one page of a larger granule, and gives it a word of its own.
    #[inline(never)]
    fn take_out(&self, place: &Place<'_>, page: Pfn, claimed: Word) -> Result<&AtomicU64, Refused> {
        let run = Run {
            first: page,
            pages: 1,
        };
        // First, so that nothing is claimed that could not be settled.
        let word = self.tree().pages(run).first().ok_or(Refused::OutOfRange)?;
        self.take(place, run, claimed)?;
        Ok(word)
    }

    /// Claims a granule for `op` if its state allows that and `accept` agrees. If it is in parts,
    /// all must be in the same state, and they become one.
    pub fn claim(
        &self,
        granule: Granule,
        op: Op,
        cpu: u16,
        accept: impl FnOnce(State) -> bool,
    ) -> Result<RunClaim<'_>, Refused> {
        let pages = granule.size().pages();
        let run = self
            .run(granule.base(), pages as usize)
            .ok_or(Refused::OutOfRange)?;
        let place = self.find(granule.base())?;
        let from = look(place.seen, op)?;
        if !accept(from) {
            #[cfg(not(mutant = "claim-not-accepted"))]
            return Err(Refused::Was(place.seen));
        }
        let claimed = Word::claimed(place.seen, op, cpu);
        // One attempt at the word that was accepted: if it changed since, that is nobody's fault.
        let mut claim = RunClaim::empty(self.tree(), run.first, place.seen, claimed);
        claim.extend(self.take(&place, run, claimed)?);
        if claim.len() as u64 == pages {
            return Ok(claim);
        }
        // A granule is claimed whole or not at all: dropping a part rolls it back.
        match self.claim_on(&mut claim, run, usize::MAX, (op, claimed)) {
            Some(refused) => Err(refused),
            None => {
                claim.fold();
                Ok(claim)
            }
        }
    }

    /// Claims the pages of `want` that the word at `place` stands for, and no others; how many.
    fn take(&self, place: &Place<'_>, want: Run, claimed: Word) -> Result<u64, Refused> {
        let from = place.seen;
        // How far it is zeroed is said of the granule, and nothing is said of its parts.
        #[cfg(not(mutant = "take-half-scrubbed"))]
        if let State::Scrubbing { .. } = from.state()
            && (want.first, want.pages) != (place.granule.base(), place.granule.size().pages())
        {
            return Err(Refused::Was(from));
        }
        if !claim_word(place.word, from, claimed) {
            return Err(Refused::Busy);
        }
        let keep = Run {
            first: want.first,
            pages: want
                .end()
                .min(end_of(place.granule))
                .saturating_sub(want.first.raw()),
        };
        if keep.pages != place.granule.size().pages() {
            self.tree().cut(keep, claimed, from);
        }
        Ok(keep.pages)
    }

    /// Sets pages at boot, before a second CPU is up: from `Reserved` to whose they are, by the
    /// largest granules. Stops at the first page that has been set already; the pages before it stay
    /// set.
    pub fn boot_set(&mut self, first: Pfn, pages: usize, to: State) -> Result<(), Refused> {
        let run = self.run(first, pages).ok_or(Refused::OutOfRange)?;
        let mut at = run.first;
        while at.raw() < run.end() {
            let Place {
                word,
                seen,
                granule,
            } = self.find(at)?;
            transition(seen.state(), Op::Boot, to).ok_or(Refused::Was(seen))?;
            if at == granule.base() && end_of(granule) <= run.end() {
                // Relaxed: `&mut` says that nobody else has the table; other CPUs see it through
                // the barriers of their bring-up.
                word.store(Word::pack(to).raw(), Ordering::Relaxed);
                at = Pfn::from_raw(end_of(granule));
                // Those beside it that say the same need not be looked for.
                let whole = run.end().saturating_sub(at.raw()) >> granule.size().shift();
                for word in self.tree().behind(granule).iter().take(whole as usize) {
                    // Relaxed: as above.
                    if word.load(Ordering::Relaxed) != seen.raw() {
                        break;
                    }
                    // Relaxed: as above.
                    word.store(Word::pack(to).raw(), Ordering::Relaxed);
                    at = Pfn::from_raw(at.raw() + granule.size().pages());
                }
            } else {
                let all = Run {
                    first: granule.base(),
                    pages: granule.size().pages(),
                };
                self.tree().unfold(granule, all, seen, seen);
            }
        }
        Ok(())
    }

    /// The words.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        &self.words
    }

    pub(crate) fn tree(&self) -> Tree<'_> {
        Tree::new(&self.words, &self.span)
    }

    pub(crate) fn find(&self, page: Pfn) -> Result<Place<'_>, Refused> {
        self.run(page, 1).ok_or(Refused::OutOfRange)?;
        self.tree().find(page).ok_or(Refused::OutOfRange)
    }

    /// The run, if the table has all of it.
    pub(crate) fn run(&self, first: Pfn, pages: usize) -> Option<Run> {
        let start = usize::try_from(first.checked_since(self.base)?).ok()?;
        (start.checked_add(pages)? <= self.pages).then_some(Run {
            first,
            pages: pages as u64,
        })
    }
}

/// The settled state of a word that `op` may claim.
fn look(seen: Word, op: Op) -> Result<State, Refused> {
    match seen.state() {
        State::Claimed { .. } => Err(Refused::Busy),
        state if is_claimable(state, op) => Ok(state),
        _ => Err(Refused::Was(seen)),
    }
}

/// Why `op`, which wants pages in the state `expect`, does not get this word.
#[cold]
fn why_not(seen: Word, op: Op, expect: State) -> Refused {
    match look(seen, op) {
        Err(refused) => refused,
        // It was the expected one: nobody's fault.
        Ok(state) if state == expect => Refused::Busy,
        Ok(_) => Refused::Was(seen),
    }
}

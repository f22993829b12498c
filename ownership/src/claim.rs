//! Claims: the only way to change a settled page.
//!
//! A [`Claim`] is a linear token for a run of pages that were all in the same settled state and are
//! now `Claimed`, by one word each or, for whole granules, by one word for all. It ends in one of three
//! ways: a commit consumes it and settles the pages in the new state; [`Claim::release`], or dropping it
//! on any error path, settles them as they were.
//!
//! Invariants:
//! - a claimed word is written by its claim's holder alone, but for the poison mark, which anyone
//!   may set (`PageTable::mark_poison_pending`); therefore settling is a compare-exchange that can
//!   only fail because of the mark, and then the page is settled as `Poisoned`; the word of a larger
//!   granule takes no mark;
//! - by which words a claim holds its pages may change, while it holds them ([`Claim::fold`],
//!   [`Claim::split_off`]); which pages it holds does not;
//! - a granule that is zeroed in part (`Scrubbing`) is never cut, but by [`Claim::lose_page`];
//! - a commit that `state::transition` doesn't list, or whose proofs don't cover the page, changes
//!   nothing and gives the claim back;
//! - what the holder did to the page happens before whatever the next claim's holder does.
//!
//! A page that was poisoned under a claim may still have the leaf that the claim's operation wrote:
//! [`Committed::poisoned`] tells the caller, who clears it. Nobody else writes that leaf, since a
//! poisoned page is never claimed again.

mod slices;

use crate::addr::{Granule, GranuleSize, Pfn};
use crate::proof::{Flushed, Scrubbed, cover_all};
use crate::state::{self, transition};
use crate::tree::{Run, Tree, end_of};
use crate::word::{Op, Owner, State, VmSlot, Word};
use sync::{AtomicU64, Ordering, unless};

/// The right, and the duty, to settle pages that were claimed.
#[must_use = "dropping a claim rolls it back"]
#[derive(Debug)]
pub struct Claim<'t> {
    tree: Tree<'t>,
    run: Run,
    /// The state it came from, packed: lists of claims stand on small stacks.
    from: Word,
    op: Op,
    cpu: u16,
}

/// A [`Claim`] of more than one page: one token, committed or rolled back as a whole.
pub type RunClaim<'t> = Claim<'t>;

/// What came of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// Pages that are settled in the state the operation led to.
    pub pages: usize,
    /// Pages that are `Poisoned` instead, since a memory error was reported meanwhile.
    pub poisoned: usize,
}

impl<'t> Claim<'t> {
    /// A claim of no page yet, from `first` on.
    pub(crate) fn empty(tree: Tree<'t>, first: Pfn, from: State, op: Op, cpu: u16) -> Self {
        Self {
            tree,
            run: Run { first, pages: 0 },
            from: from.into(),
            op,
            cpu,
        }
    }

    /// The pages just behind it have been claimed too, on the same terms.
    pub(crate) fn extend(&mut self, pages: u64) {
        self.run.pages += pages;
    }

    /// What the words say by which it holds its pages.
    fn claimed(&self) -> Word {
        claimed_word(self.from, self.op, self.cpu)
    }

    /// The settled state that all pages of the claim were in.
    pub fn from(&self) -> State {
        self.from.state()
    }

    /// The operation it was made for.
    pub fn op(&self) -> Op {
        self.op
    }

    /// The CPU that made it.
    pub fn cpu(&self) -> u16 {
        self.cpu
    }

    /// The first page, or the only one.
    pub fn pfn(&self) -> Pfn {
        self.run.first
    }

    /// Number of pages.
    pub fn len(&self) -> usize {
        self.run.pages as usize
    }

    /// Is there no page in it?
    pub fn is_empty(&self) -> bool {
        self.run.pages == 0
    }

    /// Has it exactly the pages of this granule, and one word for all of them?
    pub fn is_whole(&self, granule: Granule) -> bool {
        let place = self.tree.find_own(granule.base(), self.cpu);
        self.run.first == granule.base()
            && self.run.end() == end_of(granule)
            && place.is_some_and(|at| at.granule == granule)
    }

    /// Makes one word of the words of each whole granule in it, where that is to be had. It changes
    /// how the pages are held, not which.
    pub fn fold(&mut self) {
        for size in [GranuleSize::Block2M, GranuleSize::Block1G] {
            let mut at = self.run.first.raw().next_multiple_of(size.pages());
            while at + size.pages() <= self.run.end() {
                let granule = Granule::around(size, Pfn::from_raw(at));
                if self
                    .tree
                    .find_own(granule.base(), self.cpu)
                    .is_some_and(|place| place.granule.size() < size)
                {
                    self.tree.fold(granule, self.claimed());
                }
                at += size.pages();
            }
        }
    }

    /// Cuts the claim in two: the first `pages` stay here, the others are returned. `None`, and
    /// nothing changes, if there are fewer or if it is of a granule that is zeroed in part.
    pub fn split_off(&mut self, pages: usize) -> Option<Claim<'t>> {
        if matches!(self.from(), State::Scrubbing { .. }) {
            return None;
        }
        let pages = pages as u64;
        let rest = self.run.pages.checked_sub(pages)?;
        let first = self.run.first.checked_add(pages)?;
        let head = Run {
            first: self.run.first,
            pages,
        };
        if pages != 0 && rest != 0 {
            // Both sides stay claimed.
            self.tree
                .cut(head, self.cpu, self.claimed(), self.claimed());
        }
        self.run = head;
        Some(Claim {
            run: Run { first, pages: rest },
            ..*self
        })
    }

    /// VM_MAP: the host's pages become the VM's alone. The host's regime was flushed.
    pub fn donate_to_vm(self, vm: VmSlot, flushed: &Flushed) -> Result<Committed, Self> {
        self.commit(
            Op::VmMap,
            Some(State::Owned(Owner::Vm(vm))),
            flushed.covers(Owner::Host),
        )
    }

    /// ENGINE_DONATE: the host's pages become the engine's. The host's regime was flushed.
    pub fn donate_to_engine(self, flushed: &Flushed) -> Result<Committed, Self> {
        let to = State::Owned(Owner::Engine);
        self.commit(Op::EngineDonate, Some(to), flushed.covers(Owner::Host))
    }

    /// ENGINE_RECLAIM: the engine's pages become the host's. The engine's own stage-1 was flushed.
    pub fn engine_to_host(self, flushed: &Flushed, scrubbed: Scrubbed) -> Result<Committed, Self> {
        let shown = flushed.covers(Owner::Engine)
            && scrubbed.stands_for(self.run.first, self.run.pages, Owner::Engine);
        self.commit(Op::EngineReclaim, Some(State::Owned(Owner::Host)), shown)
    }

    /// VM_LEND: one more leaf of the VM names the host's pages.
    pub fn lend_to(self, vm: VmSlot) -> Result<Committed, Self> {
        let to = state::lend_once_more(self.from(), vm);
        self.commit(Op::Lend, to, true)
    }

    /// VM_UNLEND: one leaf less of the borrower names the host's pages. Its regime was flushed.
    pub fn unlend(self, flushed: &Flushed) -> Result<Committed, Self> {
        let to = state::lend_once_less(self.from());
        let shown = self.borrower().is_some_and(|party| flushed.covers(party));
        self.commit(Op::Unlend, to, shown)
    }

    /// MEM_SHARE: the host may use the VM's pages too.
    pub fn share_with_host(self) -> Result<Committed, Self> {
        let to = state::share(self.from());
        self.commit(Op::Share, to, true)
    }

    /// MEM_UNSHARE: the pages are the VM's alone again. The host's regime was flushed.
    pub fn unshare(self, flushed: &Flushed) -> Result<Committed, Self> {
        let to = state::unshare(self.from());
        self.commit(Op::Unshare, to, flushed.covers(Owner::Host))
    }

    /// MEM_RELINQUISH, and VM_RECLAIM of pages that were the VM's: they become the host's. The
    /// proof stands for all pages of the claim and for a flush of the VM's regime.
    pub fn return_to_host(self, scrubbed: Scrubbed) -> Result<Committed, Self> {
        let shown = match self.from() {
            State::Owned(owner) | State::Shared { owner, .. } => {
                matches!(owner, Owner::Vm(_))
                    && scrubbed.stands_for(self.run.first, self.run.pages, owner)
            }
            _ => false,
        };
        let op = if self.op == Op::Relinquish {
            Op::Relinquish
        } else {
            Op::Reclaim
        };
        self.commit(op, Some(State::Owned(Owner::Host)), shown)
    }

    /// VM_RECLAIM of a leaf that names the host's lent pages: one leaf less. The VM's regime was
    /// flushed; the content was the host's all along, so nothing is scrubbed.
    pub fn return_lent(self, flushed: &Flushed) -> Result<Committed, Self> {
        let to = state::lend_once_less(self.from());
        let shown = self.borrower().is_some_and(|party| flushed.covers(party));
        self.commit(Op::Reclaim, to, shown)
    }

    /// PAGE_POISON, and an error found while zeroing: nobody reaches the pages ever again. Everyone
    /// who could is covered by one of the flushes.
    pub fn poison(self, flushes: &[&Flushed]) -> Result<Committed, Self> {
        let (op, shown) = (self.op, cover_all(flushes, self.from()));
        self.commit(op, Some(State::Poisoned), shown)
    }

    /// Ends the claim with the pages as they were.
    pub fn release(self) -> Committed {
        let from = self.from();
        self.end(from)
    }

    /// Who borrows the pages, if somebody does.
    fn borrower(&self) -> Option<Owner> {
        match self.from() {
            State::Shared { borrower, .. } => Some(borrower),
            _ => None,
        }
    }

    /// Settles the pages in `to` if the transition is legal and its proofs were shown.
    fn commit(self, op: Op, to: Option<State>, shown: bool) -> Result<Committed, Self> {
        let Some(to) = to.filter(|_| self.op == op) else {
            return Err(self);
        };
        #[cfg(mutant = "commit-unproven")]
        let shown = {
            _ = shown;
            true
        };
        match transition(self.from(), op, to) {
            Some(needs) if shown || !(needs.flushed || needs.scrubbed) => Ok(self.end(to)),
            _ => Err(self),
        }
    }

    fn end(self, to: State) -> Committed {
        let committed = self.settle(to);
        core::mem::forget(self);
        committed
    }

    fn settle(&self, to: State) -> Committed {
        let claimed = self.claimed();
        let mut poisoned = 0;
        self.for_words(|word| {
            if settle_word(word, claimed, to.into()) == Settled::Poisoned {
                poisoned += 1;
            }
        });
        Committed {
            pages: self.len() - poisoned,
            poisoned,
        }
    }

    /// Visits the words by which it holds its pages, in order. The visitor may settle them: a word
    /// that is still claimed keeps its place.
    fn for_words(&self, mut visit: impl FnMut(&AtomicU64)) {
        let mut at = self.run.first;
        while at.raw() < self.run.end() {
            let Some(place) = self.tree.find_own(at, self.cpu) else {
                return;
            };
            let next = if place.granule.size() == GranuleSize::Page && self.run.pages > 1 {
                // So are the others up to the end of their block: none of these is found again.
                let block = Granule::around(GranuleSize::Block2M, at);
                let stop = end_of(block).min(self.run.end());
                let pages = stop - at.raw();
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

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // What was poisoned meanwhile stays out of circulation by its word alone: an operation that
        // rolls back has written no leaf.
        #[cfg(not(mutant = "claim-no-roll-back"))]
        self.settle(self.from());
    }
}

#[derive(PartialEq, Eq)]
enum Settled {
    AsAsked,
    Poisoned,
}

/// Ends the claim of one word.
fn settle_word(word: &AtomicU64, claimed: Word, to: Word) -> Settled {
    // Release: pairs with the Acquire of `claim_word`; publishes all that the holder did with the
    // page. Relaxed on failure: only the poison mark can have changed the word, and it comes alone.
    let done = unless(cfg!(mutant = "settle-relaxed"), Ordering::Release);
    #[cfg(not(mutant = "settle-ignores-poison"))]
    let settled = word.compare_exchange(claimed.raw(), to.raw(), done, Ordering::Relaxed);
    #[cfg(mutant = "settle-ignores-poison")]
    let settled = {
        word.store(to.raw(), done);
        Ok::<u64, u64>(claimed.raw())
    };
    match settled {
        Ok(_) => Settled::AsAsked,
        Err(seen) => {
            debug_assert!(seen == claimed.marked().raw(), "a claim was lost");
            // Relaxed: nobody claims a poisoned page, or reads what was done to it. A compare-exchange:
            // what is not ours is not touched, whatever happened to our claim.
            let _ = word.compare_exchange(
                claimed.marked().raw(),
                Word::pack(State::Poisoned).raw(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            Settled::Poisoned
        }
    }
}

/// What a word says while it is claimed.
pub(crate) fn claimed_word(from: Word, op: Op, cpu: u16) -> Word {
    Word::pack(State::Claimed {
        from,
        op,
        cpu,
        poison_pending: false,
    })
}

/// Claims one word that was seen as `seen`; `false` if it isn't that any more.
pub(crate) fn claim_word(word: &AtomicU64, seen: Word, op: Op, cpu: u16) -> bool {
    let claimed = claimed_word(seen, op, cpu).raw();
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

//! Claims: the only way to change a settled page.
//!
//! A [`Claim`] is a linear token for pages that were all in the same settled state and are now `Claimed`: a
//! [`PageClaim`] for one page, by its own word, or a [`RunClaim`] for a run of them, by one word each or, for
//! whole granules, by one word for all, or a [`WholeClaim`] for one granule by its one word (`hold`). It ends in one
//! of three ways: a commit consumes it and settles the pages in the new state; [`Claim::release`], or dropping it
//! on any error path, settles them as they were.
//!
//! Invariants:
//! - a claimed word is written by its claim's holder alone; therefore settling is a plain store;
//! - by which words a run is held may change, while it is held (`RunClaim::fold`, `RunClaim::split_off`); which
//!   pages it is does not;
//! - a granule that is zeroed in part (`Scrubbing`) is never cut, but by [`Claim::lose_page`];
//! - a commit that `state::transition` doesn't list, or whose proofs don't cover the page, changes
//!   nothing and gives the claim back;
//! - what the holder did to the page happens before whatever the next claim's holder does.

mod hold;
mod run;
mod slices;

use crate::addr::Pfn;
use crate::proof::{Flushed, Scrubbed, cover_all};
use crate::state::{self, transition};
use crate::tree::Run;
use crate::word::{Op, Owner, State, VmSlot, Word};
pub use hold::Hold;
pub(crate) use hold::{OneWord, WholeWord, Words, claim_word};

/// The right, and the duty, to settle pages that were claimed.
#[must_use = "dropping a claim rolls it back"]
#[derive(Debug)]
pub struct Claim<H: Hold> {
    hold: H,
    /// The state it came from, packed: lists of claims stand on small stacks.
    from: Word,
    /// What the words say by which it holds its pages.
    claimed: Word,
}

/// A [`Claim`] of one page, by its own word.
pub type PageClaim<'t> = Claim<OneWord<'t>>;

/// A [`Claim`] of a whole 2 MiB or 1 GiB, by one word, which stays one.
pub type WholeClaim<'t> = Claim<WholeWord<'t>>;

/// A [`Claim`] of any number of pages: one token, committed or rolled back as a whole.
pub type RunClaim<'t> = Claim<Words<'t>>;

impl<H: Hold> Claim<H> {
    /// The claim of what `hold` holds, which said `from` and says `claimed`.
    pub(crate) fn of(hold: H, from: Word, claimed: Word) -> Self {
        Self {
            hold,
            from,
            claimed,
        }
    }

    /// The settled state that all pages of the claim were in.
    pub fn from(&self) -> State {
        self.from.state()
    }

    /// Was that this state? Of a state that is known it compares a word.
    #[inline(always)]
    pub fn was(&self, state: State) -> bool {
        self.from == Word::pack(state)
    }

    /// The CPU that made it.
    pub fn cpu(&self) -> u16 {
        self.claimed.claimant().map_or(0, |(_, cpu)| cpu)
    }

    /// The first page, or the only one.
    pub fn pfn(&self) -> Pfn {
        self.hold.run().first
    }

    /// Number of pages.
    pub fn len(&self) -> usize {
        self.hold.run().pages as usize
    }

    /// Is there no page in it?
    pub fn is_empty(&self) -> bool {
        self.hold.run().pages == 0
    }

    /// VM_MAP: the host's pages become the VM's alone. The host's regime was flushed.
    #[inline]
    pub fn donate_to_vm(self, vm: VmSlot, flushed: &Flushed) -> Result<(), Self> {
        let is_hosts = self.was(State::Owned(Owner::Host));
        let to = is_hosts.then_some(State::Owned(Owner::Vm(vm)));
        self.commit_next(Op::VmMap, to, flushed.covers(Owner::Host))
    }

    /// ENGINE_DONATE: the host's pages become the engine's. The host's regime was flushed.
    pub fn donate_to_engine(self, flushed: &Flushed) -> Result<(), Self> {
        let to = State::Owned(Owner::Engine);
        self.commit(Op::EngineDonate, Some(to), flushed.covers(Owner::Host))
    }

    /// ENGINE_RECLAIM: the engine's pages become the host's. The engine's own stage-1 was flushed.
    pub fn engine_to_host(self, flushed: &Flushed, scrubbed: Scrubbed) -> Result<(), Self> {
        let shown = flushed.covers(Owner::Engine) && self.shows(&scrubbed, Owner::Engine);
        self.commit(Op::EngineReclaim, Some(State::Owned(Owner::Host)), shown)
    }

    /// VM_LEND: one more leaf of the VM names the host's pages.
    pub fn lend_to(self, vm: VmSlot) -> Result<(), Self> {
        let to = state::lend_once_more(self.from(), vm);
        self.commit(Op::Lend, to, true)
    }

    /// VM_UNLEND: one leaf less of the borrower names the host's pages. Its regime was flushed.
    pub fn unlend(self, flushed: &Flushed) -> Result<(), Self> {
        let to = state::lend_once_less(self.from());
        let shown = self.borrower().is_some_and(|party| flushed.covers(party));
        self.commit(Op::Unlend, to, shown)
    }

    /// MEM_SHARE: the host may use the VM's pages too.
    #[inline]
    pub fn share_with_host(self) -> Result<(), Self> {
        let to = state::share(self.from());
        self.commit_next(Op::Share, to, true)
    }

    /// MEM_UNSHARE: the pages are the VM's alone again. The host's regime was flushed.
    #[inline]
    pub fn unshare(self, flushed: &Flushed) -> Result<(), Self> {
        let to = state::unshare(self.from());
        self.commit_next(Op::Unshare, to, flushed.covers(Owner::Host))
    }

    /// MEM_RELINQUISH, and VM_RECLAIM of pages that were the VM's: they become the host's. The
    /// proof stands for all pages of the claim and for a flush of the VM's regime.
    pub fn return_to_host(self, scrubbed: Scrubbed) -> Result<(), Self> {
        let from = self.from();
        let shown = match from {
            State::Owned(owner) | State::Shared { owner, .. } => {
                matches!(owner, Owner::Vm(_)) && self.shows(&scrubbed, owner)
            }
            _ => false,
        };
        let op = if self.claimed.is_claimed_for(Op::Relinquish) {
            Op::Relinquish
        } else {
            Op::Reclaim
        };
        self.commit_from(from, op, Some(State::Owned(Owner::Host)), shown)
    }

    /// VM_RECLAIM of a leaf that names the host's lent pages: one leaf less. The VM's regime was
    /// flushed; the content was the host's all along, so nothing is scrubbed.
    pub fn return_lent(self, flushed: &Flushed) -> Result<(), Self> {
        let to = state::lend_once_less(self.from());
        let shown = self.borrower().is_some_and(|party| flushed.covers(party));
        self.commit(Op::Reclaim, to, shown)
    }

    /// PAGE_POISON, and an error found while zeroing: nobody reaches the pages ever again. Everyone
    /// who could is covered by one of the flushes.
    pub fn poison(self, flushes: &[&Flushed]) -> Result<(), Self> {
        let shown = cover_all(flushes, self.from());
        match self.claimed.claimant() {
            Some((op, _)) => self.commit(op, Some(State::Poisoned), shown),
            None => Err(self),
        }
    }

    /// Ends the claim with the pages as they were: what becomes of one that is dropped.
    pub fn release(self) {}

    /// Who borrows the pages, if somebody does.
    fn borrower(&self) -> Option<Owner> {
        match self.from() {
            State::Shared { borrower, .. } => Some(borrower),
            _ => None,
        }
    }

    /// Settles the pages in `to` if the transition is legal and its proofs were shown.
    fn commit(self, op: Op, to: Option<State>, shown: bool) -> Result<(), Self> {
        let from = self.from();
        self.commit_from(from, op, to, shown)
    }

    #[inline(always)]
    fn commit_from(self, from: State, op: Op, to: Option<State>, shown: bool) -> Result<(), Self> {
        let Some(to) = to.filter(|_| self.claimed.is_claimed_for(op)) else {
            return Err(self);
        };
        #[cfg(mutant = "commit-unproven")]
        let shown = {
            _ = shown;
            true
        };
        match transition(from, op, to) {
            Some(needs) if shown || !(needs.flushed || needs.scrubbed) => {
                self.end(to.into());
                Ok(())
            }
            _ => Err(self),
        }
    }

    /// The same where `state` says what `op` leads to from here, which `transition` lists with no more to show than
    /// `shown` (`state_tests::what_follows_is_listed`).
    #[inline(always)]
    fn commit_next(self, op: Op, to: Option<State>, shown: bool) -> Result<(), Self> {
        #[cfg(mutant = "commit-unproven")]
        let shown = {
            _ = shown;
            true
        };
        match to {
            Some(to) if shown && self.claimed.is_claimed_for(op) => {
                self.end(to.into());
                Ok(())
            }
            _ => Err(self),
        }
    }

    /// Packed: where the state is known, that is a number, and it is known in the callers.
    #[inline]
    fn end(self, to: Word) {
        self.settle(to);
        core::mem::forget(self);
    }

    #[inline]
    fn settle(&self, to: Word) {
        self.hold.settle(self.claimed, to);
    }

    /// Does the proof stand for all pages of the claim, out of reach of this party?
    fn shows(&self, scrubbed: &Scrubbed, party: Owner) -> bool {
        let Run { first, pages } = self.hold.run();
        scrubbed.stands_for(first, pages, party)
    }
}

impl<H: Hold> Drop for Claim<H> {
    fn drop(&mut self) {
        #[cfg(not(mutant = "claim-no-roll-back"))]
        self.settle(self.from);
    }
}

//! The page table of ownership: one word per page, claimed one page or one run at a time.
//!
//! Invariants: words are changed by `claim` (claims and their settling), by the poison mark, and at
//! boot; every method makes a bounded number of attempts at each word and then says `Busy`, so it
//! never waits for another CPU; of claims that conflict at least one succeeds (whoever loses a
//! compare-exchange lost it to somebody who succeeded).
//!
//! A granule above a page is claimed by claiming each of its pages in order. Once such a granule
//! has one word for all of it, [`PageTable::claim`] will claim that word, or its parts after a
//! split, behind the same signature; [`State::Split`] and [`State::Merged`] are refused already.

use crate::addr::{Granule, Pfn};
use crate::claim::{Claim, RunClaim, claim_word};
use crate::state::{is_claimable, transition};
use crate::word::{Op, Owner, State, Word};
use core::ops::Deref;
use sync::{AtomicU64, Ordering};

/// Why pages could not be claimed or set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The table has no such page: the caller's mistake.
    OutOfRange,
    /// Another operation has it, or was faster: nobody's fault, try again.
    Busy,
    /// The state it is in does not allow the operation.
    Was(State),
}

/// The words of a run of physical pages.
#[derive(Debug)]
pub struct PageTable<S> {
    base: Pfn,
    words: S,
}

impl<S: Deref<Target = [AtomicU64]>> PageTable<S> {
    /// A table whose first word is `base`'s. The words are all zero, or were set by boot.
    pub fn new(base: Pfn, words: S) -> Self {
        Self { base, words }
    }

    /// First page.
    pub fn base(&self) -> Pfn {
        self.base
    }

    /// Number of pages.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Has it no page at all?
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Has it a word for this page?
    pub fn contains(&self, page: Pfn) -> bool {
        self.run(page, 1).is_some()
    }

    /// What the page's word says now. A snapshot: what is decided on it must be decided again under
    /// a claim.
    pub fn state(&self, page: Pfn) -> Option<State> {
        // Acquire: pairs with the Release of `settle_word`, so that what is looked up next is no
        // older than the state.
        let raw = self.run(page, 1)?.first()?.load(Ordering::Acquire);
        Some(Word::from_raw(raw).state())
    }

    /// Claims a granule for `op` if its state allows that and `accept` agrees.
    pub fn claim(
        &self,
        granule: Granule,
        op: Op,
        cpu: u16,
        accept: impl FnOnce(State) -> bool,
    ) -> Result<Claim<'_>, Refused> {
        let first = granule.base();
        let pages = granule.size().pages() as usize;
        let words = self.run(first, pages).ok_or(Refused::OutOfRange)?;
        let from = look(words.first().ok_or(Refused::OutOfRange)?, op)?;
        if !accept(from) {
            #[cfg(not(mutant = "claim-not-accepted"))]
            return Err(Refused::Was(from));
        }
        // One attempt at the word that was accepted: if it changed since, that is nobody's fault.
        if !words
            .first()
            .is_some_and(|word| claim_word(word, from.into(), op, cpu))
        {
            return Err(Refused::Busy);
        }
        // A granule is claimed whole or not at all: dropping a part rolls it back.
        match claim_prefix(words, 1, first, op, cpu, from) {
            (_, Some(refused)) => Err(refused),
            (claim, None) => Ok(claim),
        }
    }

    /// Claims the longest prefix of `pages` pages whose words all say exactly `expect`; tells why it
    /// stopped there. An empty claim is one of no page.
    pub fn claim_run(
        &self,
        first: Pfn,
        pages: usize,
        op: Op,
        cpu: u16,
        expect: State,
    ) -> (RunClaim<'_>, Option<Refused>) {
        let Some(words) = self.run(first, pages) else {
            return (
                Claim::new(&[], first, expect, op, cpu),
                Some(Refused::OutOfRange),
            );
        };
        claim_prefix(words, 0, first, op, cpu, expect)
    }

    /// Notes a memory error on a page that is claimed: whoever holds the claim settles it as
    /// `Poisoned`. On a settled page it refuses with the state: claim it for [`Op::Poison`].
    pub fn mark_poison_pending(&self, page: Pfn) -> Result<(), Refused> {
        let word = self
            .run(page, 1)
            .and_then(<[_]>::first)
            .ok_or(Refused::OutOfRange)?;
        // Relaxed: the mark carries no data; the compare-exchange below finds the truth.
        let seen = Word::from_raw(word.load(Ordering::Relaxed));
        let State::Claimed { from, op, cpu, .. } = seen.state() else {
            return Err(Refused::Was(seen.state()));
        };
        let marked = Word::pack(State::Claimed {
            from,
            op,
            cpu,
            poison_pending: true,
        });
        // Relaxed: publishes nothing; it only must not overwrite what the holder settles.
        word.compare_exchange(
            seen.raw(),
            marked.raw(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        )
        .map(drop)
        .map_err(|_| Refused::Busy)
    }

    /// Sets pages at boot, before a second CPU is up: from `Reserved` to whose they are. Stops at
    /// the first page that has been set already; the pages before it stay set.
    pub fn boot_set(&mut self, first: Pfn, pages: usize, to: State) -> Result<(), Refused> {
        let words = self.run(first, pages).ok_or(Refused::OutOfRange)?;
        for word in words {
            // Relaxed, here and below: `&mut` says that nobody else has the table; other CPUs see
            // it through the barriers of their bring-up.
            let from = Word::from_raw(word.load(Ordering::Relaxed)).state();
            transition(from, Op::Boot, to).ok_or(Refused::Was(from))?;
            word.store(Word::pack(to).raw(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Counts pages by what their words say, each word looked at once.
    pub fn count(&self, first: Pfn, pages: usize) -> Result<Census, Refused> {
        let words = self.run(first, pages).ok_or(Refused::OutOfRange)?;
        let mut census = Census::default();
        for word in words {
            // Relaxed: a statistic; nothing is read through it.
            census.add(Word::from_raw(word.load(Ordering::Relaxed)).state());
        }
        Ok(census)
    }

    /// The words of a run, if the table has all of them.
    fn run(&self, first: Pfn, pages: usize) -> Option<&[AtomicU64]> {
        let start = usize::try_from(first.checked_since(self.base)?).ok()?;
        self.words.get(start..start.checked_add(pages)?)
    }
}

/// The settled state of a word that `op` may claim.
fn look(word: &AtomicU64, op: Op) -> Result<State, Refused> {
    // Relaxed: the compare-exchange of `claim_word` succeeds only on this very value, and acquires.
    match Word::from_raw(word.load(Ordering::Relaxed)).state() {
        State::Claimed { .. } => Err(Refused::Busy),
        state if is_claimable(state, op) => Ok(state),
        state => Err(Refused::Was(state)),
    }
}

/// Claims words in order while they say `expect`; the first `claimed` of them are claimed already.
fn claim_prefix<'t>(
    words: &'t [AtomicU64],
    mut claimed: usize,
    first: Pfn,
    op: Op,
    cpu: u16,
    expect: State,
) -> (Claim<'t>, Option<Refused>) {
    let mut refused = None;
    for word in words.iter().skip(claimed) {
        refused = match look(word, op) {
            Ok(state) if state != expect => Some(Refused::Was(state)),
            Ok(_) if claim_word(word, expect.into(), op, cpu) => None,
            Ok(_) => Some(Refused::Busy),
            Err(why) => Some(why),
        };
        if refused.is_some() {
            break;
        }
        claimed += 1;
    }
    let words = words.get(..claimed).unwrap_or(&[]);
    (Claim::new(words, first, expect, op, cpu), refused)
}

/// Pages by state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// `Reserved`.
    pub reserved: usize,
    /// `HostFixed`.
    pub host_fixed: usize,
    /// The host's alone.
    pub host: usize,
    /// The engine's.
    pub engine: usize,
    /// A VM's alone.
    pub vm: usize,
    /// Lent by the host to a VM, or shared by a VM with the host.
    pub shared: usize,
    /// Claimed at that moment.
    pub claimed: usize,
    /// `Poisoned`.
    pub poisoned: usize,
}

impl Census {
    fn add(&mut self, state: State) {
        let class = match state {
            State::Reserved | State::Split | State::Merged => &mut self.reserved,
            State::HostFixed => &mut self.host_fixed,
            State::Owned(Owner::Host) => &mut self.host,
            State::Owned(Owner::Engine) => &mut self.engine,
            State::Owned(Owner::Vm(_)) => &mut self.vm,
            State::Shared { .. } => &mut self.shared,
            State::Claimed { .. } => &mut self.claimed,
            State::Poisoned => &mut self.poisoned,
        };
        *class += 1;
    }
}

//! Proofs that something was done to the hardware: values that only the code which did it can make.
//!
//! Invariants: neither is `Clone`; a [`Flushed`] is minted after the last DSB of its invalidation, a
//! [`Scrubbed`] after the last DSB of its zeroing, and zeroing needs the flush first; a `Scrubbed`
//! is used up by the commit that shows it. One `Flushed` may serve a whole batch, so commits borrow
//! it; it must not outlive the batch, which is why whoever mints it keeps it on the stack.

use crate::addr::Pfn;
use crate::word::{Owner, State};

/// The VMID under which the host runs.
pub const HOST_VMID: u16 = 0;

/// What a flush covered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coverage {
    /// Everything that the batch unmapped from one VM's stage-2, by VMID; 0 is the host's.
    Vmid(u16),
    /// Everything that the batch unmapped from the engine's own stage-1.
    El2,
    /// All of these.
    All,
}

/// The batch's pages can't be reached any more through the translations that it covers.
#[must_use = "a flush is shown to the commits that needed it"]
#[derive(Debug)]
pub struct Flushed {
    coverage: Coverage,
}

impl Flushed {
    /// States that a flush is complete.
    ///
    /// # Safety
    ///
    /// Every entry that named a page to be committed with it is gone from the translations that
    /// `coverage` names, was invalidated there on all CPUs after that, and the DSB which completes
    /// the invalidation has been executed on this CPU; or no valid entry named such a page since the
    /// last completed flush. No such entry is written again before the commit.
    pub unsafe fn mint(coverage: Coverage) -> Self {
        Self { coverage }
    }

    /// What it covered.
    pub fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// Does it cover the translations of this party?
    pub fn covers(&self, party: Owner) -> bool {
        covers(self.coverage, party)
    }
}

fn covers(coverage: Coverage, party: Owner) -> bool {
    match (coverage, party) {
        (Coverage::All, _) | (Coverage::El2, Owner::Engine) => true,
        (Coverage::Vmid(vmid), Owner::Host) => vmid == HOST_VMID,
        (Coverage::Vmid(vmid), Owner::Vm(slot)) => vmid == slot.vmid(),
        _ => false,
    }
}

/// Do these flushes together cover everyone who reaches a page in this settled state?
pub(crate) fn cover_all(flushes: &[&Flushed], state: State) -> bool {
    let covered = |party| flushes.iter().any(|flushed| flushed.covers(party));
    match state {
        State::Owned(owner) => covered(owner),
        State::Shared {
            owner, borrower, ..
        } => covered(owner) && covered(borrower),
        State::Scrubbing { vm, .. } => covered(Owner::Vm(vm)),
        State::HostFixed => covered(Owner::Host),
        _ => true,
    }
}

/// A run of pages was zeroed after it was flushed.
#[must_use = "a scrub is used up by the commit that needed it"]
#[derive(Debug)]
pub struct Scrubbed {
    first: Pfn,
    pages: u64,
    coverage: Coverage,
}

impl Scrubbed {
    /// States that one page was zeroed.
    ///
    /// # Safety
    ///
    /// The caller holds the page's claim, and zeroed all of the page after the flush that `flushed`
    /// stands for; the zeroes are visible to every observer the page can have, non-coherent ones
    /// included, and the DSB which completes that has been executed on this CPU.
    pub unsafe fn mint(page: Pfn, flushed: &Flushed) -> Self {
        Self {
            first: page,
            pages: 1,
            coverage: flushed.coverage,
        }
    }

    /// Joins the proofs of two adjacent runs under one flush; gives both back if they aren't.
    pub fn join(self, next: Self) -> Result<Self, (Self, Self)> {
        if self.first.checked_add(self.pages) == Some(next.first) && self.coverage == next.coverage
        {
            Ok(Self {
                pages: self.pages.saturating_add(next.pages),
                ..self
            })
        } else {
            Err((self, next))
        }
    }

    /// How many pages it stands for.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Where it begins.
    #[cfg(mutant = "slice-anywhere")]
    pub(crate) fn first(&self) -> Pfn {
        self.first
    }

    /// Does it stand for exactly this run, out of reach of this party?
    pub(crate) fn stands_for(&self, first: Pfn, pages: u64, party: Owner) -> bool {
        self.first == first && self.pages == pages && covers(self.coverage, party)
    }
}

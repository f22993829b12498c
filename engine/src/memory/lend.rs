//! VM_LEND and VM_UNLEND: the host's pages that a VM may use too.
//!
//! A lent page stays the host's and stays mapped for it; its word counts how often it is mapped in
//! the borrower. Invariants: the count equals the number of the borrower's leaves that name the
//! page, because each leaf appears and vanishes under the page's claim, together with the count; the
//! page can't be donated while lent, and after VM_UNLEND no TLB of any core has it.

use super::settled;
use super::{Batch, status_of, status_of_refusal};
use crate::bite::{self, Bite, FAR_PAGE, LENT_PAGE, PAGE_BACK, TABLE};
use crate::engine::Engine;
use crate::memory::pool::TablePages;
use crate::memory::runs::Runs;
use crate::platform::Platform;
use crate::stage2::descriptor::{Access, Entry, LAST_LEVEL, RESERVED};
use crate::stage2::{Found, Stage2, ipa_after};
use crate::vm::PinnedVm;
use abi::Status;
use heapless::Vec;
use ownership::{Ipa, Op, Owner, PageClaim, Pfn, Refused, State, VmSlot};
use percpu::CpuToken;

/// Most pages that one call takes back.
const MOST_BACK: usize = bite::in_one(PAGE_BACK);

impl<P: Platform> Engine<P> {
    /// Lends `n` host pages from `first` on to the VM, at `ipa` on, or as many as a bite pays for.
    pub(crate) fn lend_run(
        &self,
        cpu: &CpuToken,
        target: &PinnedVm<'_>,
        first: Pfn,
        ipa: Ipa,
        n: u64,
        access: Access,
    ) -> Batch {
        let stage2 = target.vm.stage2(target.slot, self.parts.host.geometry());
        let (mut bite, tables) = (Bite::default(), self.parts.pool.counted());
        // What comes apart for the first.
        bite.spend(FAR_PAGE);
        for done in 0..n {
            if done != 0 && !bite.affords(LENT_PAGE) {
                return Batch {
                    done,
                    reason: Status::Success,
                };
            }
            let page = first.raw().checked_add(done).map(Pfn::from_raw);
            let at = ipa_after(ipa, done);
            let (Some(page), Some(at)) = (page, at) else {
                return Batch {
                    done,
                    reason: Status::OutOfRange,
                };
            };
            let lent = self.lend_page(cpu, stage2, target.slot, (page, at), access, &tables);
            if let Err(reason) = lent {
                return Batch { done, reason };
            }
            bite.spend(LENT_PAGE);
            bite.spend(tables.taken().saturating_mul(TABLE));
        }
        Batch {
            done: n,
            reason: Status::Success,
        }
    }

    fn lend_page(
        &self,
        cpu: &CpuToken,
        stage2: Stage2,
        slot: VmSlot,
        (page, ipa): (Pfn, Ipa),
        access: Access,
        tables: &impl TablePages,
    ) -> Result<(), Status> {
        let platform = &self.parts.platform;
        let claim = self
            .parts
            .pages
            .claim_page(page, Op::Lend, cpu.id().raw(), |state| match state {
                State::Owned(Owner::Host) => true,
                State::Shared {
                    owner,
                    borrower,
                    count,
                } => owner == Owner::Host && borrower == Owner::Vm(slot) && count < u16::MAX,
                _ => false,
            })
            .map_err(status_of_refusal)?;
        #[cfg(not(mutant = "lend-no-host-tables"))]
        self.make_host_tables_of(cpu, page, tables)
            .map_err(status_of)?;
        let at = stage2.take_entry(platform, cpu.id(), tables, ipa, LAST_LEVEL);
        #[cfg(mutant = "lend-refused-counts")]
        if at.is_err() {
            settled(claim.lend_to(slot));
            return Err(Status::AlreadyMapped);
        }
        let at = at.map_err(status_of)?;
        self.write_back(cpu, page, 1);
        platform.store_entry(cpu.id(), at, self.ram_bits(access).leaf(page, LAST_LEVEL));
        self.publish_leaves(cpu);
        settled(claim.lend_to(slot));
        Ok(())
    }

    /// Takes `n` lent pages from `ipa` on back from the VM, or as many as a bite pays for; and the last page that came.
    pub(crate) fn unlend_run(
        &self,
        cpu: &CpuToken,
        target: &PinnedVm<'_>,
        ipa: Ipa,
        n: u64,
    ) -> (Batch, Option<Pfn>) {
        let platform = &self.parts.platform;
        let stage2 = target.vm.stage2(target.slot, self.parts.host.geometry());
        let mut held: Vec<PageClaim<'_>, MOST_BACK> = Vec::new();
        let mut runs = Runs::default();
        let mut reason = Status::Success;
        for index in 0..n.min(MOST_BACK as u64) {
            let Some(ipa) = ipa_after(ipa, index) else {
                break;
            };
            let lent_here = |state| {
                matches!(state, State::Shared { owner: Owner::Host, borrower, .. }
                    if borrower == Owner::Vm(target.slot))
            };
            match self.claim_leaf(cpu, stage2, ipa, Op::Unlend, lent_here) {
                Ok((claim, found)) => {
                    // The mark stays until the flush: nothing else is mapped here before.
                    #[cfg(not(any(mutant = "unlend-keep-leaf", mutant = "unlend-no-mark")))]
                    platform.store_entry(cpu.id(), found.at, RESERVED);
                    #[cfg(mutant = "unlend-no-mark")]
                    Stage2::give_entry_back(platform, cpu.id(), found.at);
                    #[cfg(mutant = "unlend-keep-leaf")]
                    let _ = found;
                    runs.add(ipa.page(), 1);
                    if held.push(claim).is_err() {
                        break;
                    }
                }
                Err(refusal) => {
                    reason = refusal.status_for_unlend();
                    break;
                }
            }
        }
        #[cfg(not(any(mutant = "unlend-no-flush", mutant = "unlend-unrun-no-flush")))]
        let (flushed, kind) = runs.flush(platform, cpu.id(), stage2.regime());
        #[cfg(mutant = "unlend-no-flush")]
        let (flushed, kind) = (super::tlb::nothing_to_flush(stage2.regime()), None);
        #[cfg(mutant = "unlend-unrun-no-flush")]
        let (flushed, kind) = if target.phase == crate::vm::life::Phase::Building {
            (super::tlb::nothing_to_flush(stage2.regime()), None)
        } else {
            runs.flush(platform, cpu.id(), stage2.regime())
        };
        if let Some(kind) = kind {
            self.count_flush(cpu, kind);
        }
        let done = held.len() as u64;
        let last = held.last().map(PageClaim::pfn);
        #[cfg(not(any(mutant = "unlend-keep-leaf", mutant = "unlend-no-mark")))]
        stage2.give_run_back(platform, cpu.id(), ipa, done);
        while let Some(claim) = held.pop() {
            settled(claim.unlend(&flushed));
        }
        (Batch { done, reason }, last)
    }

    /// The way of every call that starts from an IPA: read the leaf, claim the page it names,
    /// re-read the leaf; if it changed, the claim rolls back.
    pub(crate) fn claim_leaf<'t>(
        &'t self,
        cpu: &CpuToken,
        stage2: Stage2,
        ipa: Ipa,
        op: Op,
        accept: impl FnOnce(State) -> bool,
    ) -> Result<(PageClaim<'t>, Found), LeafRefusal> {
        let found = stage2
            .walk(&self.parts.platform, cpu.id(), ipa, LAST_LEVEL)
            .map_err(|_| LeafRefusal::NotMapped)?;
        let claim = self.claim_found(cpu, &found, ipa, op, accept)?;
        Ok((claim, found))
    }

    /// The same of a page in exactly the state `expect`. The leaf that was found goes to `found`: a result with both
    /// would be moved about.
    #[inline(always)]
    pub(super) fn claim_leaf_in<'t>(
        &'t self,
        cpu: &CpuToken,
        (stage2, ipa): (Stage2, Ipa),
        op: Op,
        expect: State,
        found: &mut Option<Found>,
    ) -> Result<PageClaim<'t>, LeafRefusal> {
        let Ok(leaf) = stage2.walk(&self.parts.platform, cpu.id(), ipa, LAST_LEVEL) else {
            return Err(LeafRefusal::NotMapped);
        };
        let claim = self.claim_found_in(cpu, &leaf, ipa, op, expect)?;
        *found = Some(leaf);
        Ok(claim)
    }

    /// [`Engine::claim_found`] of a page in exactly the state `expect`.
    #[inline(always)]
    pub(super) fn claim_found_in<'t>(
        &'t self,
        cpu: &CpuToken,
        found: &Found,
        ipa: Ipa,
        op: Op,
        expect: State,
    ) -> Result<PageClaim<'t>, LeafRefusal> {
        let page = page_of_leaf(found, ipa)?;
        let pages = &self.parts.pages;
        let claim = pages.claim_page_in(page, op, cpu.id().raw(), expect);
        let claim = claim.map_err(|refused| self.judge_refusal(cpu, found, refused))?;
        if !self.is_unchanged(cpu, found) {
            return Err(LeafRefusal::Busy);
        }
        Ok(claim)
    }

    /// The same of a leaf that was found in the tables of a VM, which stay while it is pinned or this core counted
    /// among those that reclaim it.
    #[inline]
    pub(crate) fn claim_found<'t>(
        &'t self,
        cpu: &CpuToken,
        found: &Found,
        ipa: Ipa,
        op: Op,
        accept: impl FnOnce(State) -> bool,
    ) -> Result<PageClaim<'t>, LeafRefusal> {
        let page = page_of_leaf(found, ipa)?;
        let pages = &self.parts.pages;
        let claim = pages.claim_page(page, op, cpu.id().raw(), accept);
        let claim = claim.map_err(|refused| self.judge_refusal(cpu, found, refused))?;
        if !self.is_unchanged(cpu, found) {
            return Err(LeafRefusal::Busy);
        }
        Ok(claim)
    }

    /// Why the page is not to be had to which the leaf led: if the leaf is another by now, the state of the page says
    /// nothing about this address.
    #[cold]
    fn judge_refusal(&self, cpu: &CpuToken, found: &Found, refused: Refused) -> LeafRefusal {
        match LeafRefusal::from(refused) {
            #[cfg(not(mutant = "leaf-refused-no-recheck"))]
            LeafRefusal::WrongState if !self.is_unchanged(cpu, found) => LeafRefusal::Busy,
            refusal => refusal,
        }
    }

    /// Is the leaf as it was found? Where it is, is known: whoever puts a table there changes the entry too.
    #[inline(always)]
    fn is_unchanged(&self, cpu: &CpuToken, found: &Found) -> bool {
        self.parts.platform.entry(cpu.id(), found.at) == found.raw
            || cfg!(mutant = "leaf-no-recheck")
    }
}

/// The page that the leaf names.
#[inline(always)]
fn page_of_leaf(found: &Found, ipa: Ipa) -> Result<Pfn, LeafRefusal> {
    match (found.page(ipa), found.entry()) {
        (Some(page), _) => Ok(page),
        (None, Entry::Reserved | Entry::Splitting) => Err(LeafRefusal::Busy),
        (None, _) => Err(LeafRefusal::NotMapped),
    }
}

/// Why [`Engine::claim_leaf`] gave nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum LeafRefusal {
    /// No page at this IPA.
    NotMapped,
    /// Its page is in another state than asked for.
    WrongState,
    /// In transition.
    Busy,
}

impl From<Refused> for LeafRefusal {
    #[inline(always)]
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy => Self::Busy,
            Refused::Was(_) | Refused::OutOfRange => Self::WrongState,
        }
    }
}

impl LeafRefusal {
    const fn status_for_unlend(self) -> Status {
        match self {
            Self::NotMapped => Status::NotMapped,
            Self::WrongState => Status::NotShared,
            Self::Busy => Status::Busy,
        }
    }
}

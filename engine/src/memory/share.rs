//! The guest's own calls about its memory: MEM_SHARE, MEM_UNSHARE, MEM_RELINQUISH.
//!
//! Invariants: only the owner starts them, for pages that its own stage-2 names; the guest's leaf is
//! read, the page claimed, the leaf read again. Sharing writes no leaf: the host maps the page
//! when it touches it. Unsharing takes it out of the host's stage-2 and flushes before the word says
//! that it is the guest's alone. Relinquishing unmaps, flushes, scrubs, and only then commits.

use super::lend::LeafRefusal;
use super::runs::Runs;
use super::settled;
use crate::engine::Engine;
use crate::platform::Platform;
use crate::stage2::descriptor::{LAST_LEVEL, RESERVED};
use crate::stage2::{Fill, MapError, Stage2};
use crate::vm::PinnedVm;
use abi::Counter;
use ownership::{Ipa, Op, Owner, Pfn, State};
use percpu::CpuToken;

/// How a guest's call about one page ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GuestPageCall {
    /// Done, or it was before it began: a guest may give up a page that is not there. The host is not told.
    Done,
    /// Done, and this page is the host's again.
    Home(Pfn),
    /// Done, but the page that the guest gave up has a memory error: it is nobody's.
    Lost(Pfn),
    /// Refused: the guest asked for what can't be.
    Refused,
    /// Something is in transition: the guest repeats its call without knowing.
    Again,
    /// There is no page yet where the guest was promised memory: the host puts one there, and the
    /// guest repeats its call without knowing.
    Absent,
    /// The engine's pool is empty: the host must donate before the guest can go on.
    NoMemory,
}

impl From<LeafRefusal> for GuestPageCall {
    fn from(refusal: LeafRefusal) -> Self {
        match refusal {
            LeafRefusal::Busy => Self::Again,
            LeafRefusal::NotMapped | LeafRefusal::WrongState => Self::Refused,
        }
    }
}

/// A table that could not be had.
impl From<MapError> for GuestPageCall {
    fn from(error: MapError) -> Self {
        match error {
            MapError::NoMemory => Self::NoMemory,
            MapError::Busy | MapError::Occupied => Self::Again,
            MapError::OutOfRange => Self::Refused,
        }
    }
}

impl<P: Platform> Engine<P> {
    /// MEM_SHARE: the host may use the page at `ipa` too.
    pub(crate) fn guest_share(
        &self,
        cpu: &CpuToken,
        caller: &PinnedVm<'_>,
        ipa: Ipa,
    ) -> GuestPageCall {
        let stage2 = caller.vm.stage2(caller.slot, self.parts.host.geometry());
        let mine = State::Owned(Owner::Vm(caller.slot));
        let leaf = (stage2, ipa);
        let claim = match self.claim_leaf_in(cpu, leaf, Op::Share, mine, &mut None) {
            Ok(claim) => claim,
            #[cfg(not(mutant = "share-no-fault"))]
            Err(LeafRefusal::NotMapped) if caller.vm.ram_holds(ipa.page(), 1) => {
                return GuestPageCall::Absent;
            }
            Err(refusal) => return refusal.into(),
        };
        #[cfg(not(mutant = "share-no-host-tables"))]
        if let Err(error) = self.make_host_tables(cpu, claim.pfn()) {
            return error.into();
        }
        settled(claim.share_with_host());
        GuestPageCall::Done
    }

    /// MEM_UNSHARE: the page at `ipa` is the guest's alone again.
    pub(crate) fn guest_unshare(
        &self,
        cpu: &CpuToken,
        caller: &PinnedVm<'_>,
        ipa: Ipa,
    ) -> GuestPageCall {
        let stage2 = caller.vm.stage2(caller.slot, self.parts.host.geometry());
        let shared = State::Shared {
            owner: Owner::Vm(caller.slot),
            borrower: Owner::Host,
            count: 1,
        };
        let leaf = (stage2, ipa);
        let claim = match self.claim_leaf_in(cpu, leaf, Op::Unshare, shared, &mut None) {
            Ok(claim) => claim,
            Err(refusal) => return refusal.into(),
        };
        let mut runs = Runs::default();
        self.collect_unmapped(cpu, claim.pfn(), 1, &mut runs);
        #[cfg(not(mutant = "unshare-no-flush"))]
        let flushed = self.flush_host(cpu, &runs);
        #[cfg(mutant = "unshare-no-flush")]
        let flushed = super::tlb::nothing_to_flush(self.parts.host.regime());
        settled(claim.unshare(&flushed));
        GuestPageCall::Done
    }

    /// MEM_RELINQUISH: the page at `ipa` goes home, scrubbed.
    pub(crate) fn guest_relinquish(
        &self,
        cpu: &CpuToken,
        caller: &PinnedVm<'_>,
        ipa: Ipa,
    ) -> GuestPageCall {
        let platform = &self.parts.platform;
        let stage2 = caller.vm.stage2(caller.slot, self.parts.host.geometry());
        if let Err(error) = self.split_guest_to_pages(cpu, caller, ipa) {
            return error.into();
        }
        let mine = State::Owned(Owner::Vm(caller.slot));
        let (leaf, mut found) = ((stage2, ipa), None);
        let claimed = self.claim_leaf_in(cpu, leaf, Op::Relinquish, mine, &mut found);
        match (claimed, found) {
            (Ok(claim), Some(found)) if found.level == LAST_LEVEL => {
                let page = claim.pfn();
                #[cfg(not(mutant = "relinquish-no-host-tables"))]
                if let Err(error) = self.make_host_tables(cpu, page) {
                    return error.into();
                }
                // The mark stays until the flush: nothing else is mapped here before.
                #[cfg(not(any(mutant = "relinquish-keep-leaf", mutant = "relinquish-no-mark")))]
                platform.store_entry(cpu.id(), found.at, RESERVED);
                #[cfg(mutant = "relinquish-no-mark")]
                Stage2::give_entry_back(platform, cpu.id(), found.at);
                let mut runs = Runs::default();
                runs.add(ipa.page(), 1);
                #[cfg(not(mutant = "relinquish-no-flush"))]
                let (flushed, kind) = runs.flush(platform, cpu.id(), stage2.regime());
                #[cfg(mutant = "relinquish-no-flush")]
                let (flushed, kind) = (super::tlb::nothing_to_flush(stage2.regime()), None);
                if let Some(kind) = kind {
                    self.count_flush(cpu, kind);
                }
                #[cfg(not(any(mutant = "relinquish-keep-leaf", mutant = "relinquish-no-mark")))]
                Stage2::give_entry_back(platform, cpu.id(), found.at);
                self.forget_code(cpu);
                let Ok(scrubbed) = self.scrub_page(cpu, page, &flushed) else {
                    self.lose_broken(cpu, claim, &[&flushed]);
                    return GuestPageCall::Lost(page);
                };
                settled(claim.return_to_host(scrubbed));
                self.count(cpu, Counter::PagesReclaimed, 1);
                GuestPageCall::Home(page)
            }
            (Ok(_), _) => GuestPageCall::Again,
            // A guest gives up memory that it never used, and can't know whether the host put any
            // there: Linux's driver takes a refusal for a bug and stops.
            (Err(LeafRefusal::NotMapped), _) if caller.vm.ram_holds(ipa.page(), 1) => {
                GuestPageCall::Done
            }
            (Err(refusal), _) => refusal.into(),
        }
    }

    /// Splits the guest's blocks around `ipa` until a page entry stands there. The host's table for pages of their own is made
    /// before: from here on they can come home one by one, by VM_RECLAIM too, and are mapped without memory then.
    fn split_guest_to_pages(
        &self,
        cpu: &CpuToken,
        caller: &PinnedVm<'_>,
        ipa: Ipa,
    ) -> Result<(), MapError> {
        let platform = &self.parts.platform;
        let stage2 = caller.vm.stage2(caller.slot, self.parts.host.geometry());
        for _ in 0..LAST_LEVEL {
            let found = stage2.walk(platform, cpu.id(), ipa, LAST_LEVEL)?;
            if found.level == LAST_LEVEL || found.page(ipa).is_none() {
                return Ok(());
            }
            let pool = &self.parts.pool;
            if found.level == LAST_LEVEL - 1 && cfg!(not(mutant = "relinquish-split-first")) {
                let mine = State::Owned(Owner::Vm(caller.slot));
                match self.claim_found_in(cpu, &found, ipa, Op::Relinquish, mine) {
                    Ok(claim) => self.make_host_tables(cpu, claim.pfn())?,
                    // Nor does the call itself get it, and says why.
                    Err(_) => return Ok(()),
                }
            }
            let kind = stage2.split_block(platform, cpu.id(), pool, ipa, &found, Fill::Children)?;
            self.count_flush(cpu, kind);
        }
        Ok(())
    }
}

//! One page's way from the host to a VM, in the steps of `donate`: what VM_MAP of a page and VM_MAP_LIST share.
//!
//! Each table is walked to once. Invariants, while a [`Leaving`] lives: its page is claimed, so the host's entry of it
//! stays where it was found, and is written by nobody else; the guest's entry holds the mark of its taker.

use super::settled;
use super::{Batch, status_of, status_of_refusal};
use crate::engine::Engine;
use crate::memory::pool::TablePages;
use crate::memory::runs::Runs;
use crate::platform::{EntryAt, Platform};
use crate::stage2::descriptor::{Access, ENTRIES, Entry, LAST_LEVEL, RESERVED};
use crate::stage2::{MapError, Stage2};
use crate::vm::PinnedVm;
use abi::Status;
use ownership::{Flushed, Ipa, Op, Owner, PageClaim, Pfn, State, VmSlot};
use percpu::CpuToken;

const OF_HOST: State = State::Owned(Owner::Host);

/// A page on its way: claimed, with the guest's entry for it taken and the host's known.
pub(super) struct Leaving<'t> {
    claim: PageClaim<'t>,
    /// Where the VM is to see it.
    ipa: Ipa,
    guest: EntryAt,
    host: EntryAt,
    access: Access,
    /// Whether the host has it mapped.
    is_mapped: bool,
}

impl<P: Platform> Engine<P> {
    /// Gives one host page to the VM.
    pub(super) fn map_one(
        &self,
        cpu: &CpuToken,
        target: &PinnedVm<'_>,
        (page, ipa): (Pfn, Ipa),
        access: Access,
    ) -> Batch {
        let stage2 = target.vm.stage2(target.slot, self.parts.host.geometry());
        let pool = &self.parts.pool;
        let leaving = match self.take_page(cpu, stage2, (page, ipa), access, pool, None) {
            Ok(leaving) => leaving,
            Err(reason) => return Batch::refused(reason),
        };
        let mut runs = Runs::default();
        self.leave_host(cpu, &leaving, &mut runs);
        let flushed = self.flush_host(cpu, &runs);
        self.write_back(cpu, page, 1);
        self.forget_code(cpu);
        self.enter_guest(cpu, &leaving);
        self.publish_leaves(cpu);
        leaving.settle(target.slot, &flushed);
        self.count_donated(cpu, 1, &runs);
        Batch {
            done: 1,
            reason: Status::Success,
        }
    }

    /// Claims the page, takes the guest's entry for it and makes the host's map ready. Refused, nothing has
    /// changed. What is in the tables of `last`, which lives on, is not walked to.
    #[inline]
    pub(super) fn take_page(
        &self,
        cpu: &CpuToken,
        stage2: Stage2,
        (page, ipa): (Pfn, Ipa),
        access: Access,
        tables: &impl TablePages,
        last: Option<&Leaving<'_>>,
    ) -> Result<Leaving<'_>, Status> {
        let (pages, claimant) = (&self.parts.pages, cpu.id().raw());
        let claim = last
            .and_then(|last| {
                pages.claim_page_beside(&last.claim, page, Op::VmMap, claimant, OF_HOST)
            })
            .unwrap_or_else(|| pages.claim_page_in(page, Op::VmMap, claimant, OF_HOST))
            .map_err(status_of_refusal)?;
        let guest = self
            .guest_entry(cpu, stage2, ipa, tables, last)
            .map_err(status_of)?;
        match self.host_entry(cpu, page, tables, last) {
            Ok((host, is_mapped)) => Ok(Leaving {
                claim,
                ipa,
                guest,
                host,
                access,
                is_mapped,
            }),
            Err(error) => {
                Stage2::give_entry_back(&self.parts.platform, cpu.id(), guest);
                Err(status_of(error))
            }
        }
    }

    /// Takes the guest's entry for the page at `ipa`.
    #[inline]
    fn guest_entry(
        &self,
        cpu: &CpuToken,
        stage2: Stage2,
        ipa: Ipa,
        tables: &impl TablePages,
        last: Option<&Leaving<'_>>,
    ) -> Result<EntryAt, MapError> {
        let platform = &self.parts.platform;
        // A VM's tables stay for its life.
        let near = last.and_then(|last| Stage2::near(last.guest, last.ipa, ipa));
        match near {
            #[cfg(mutant = "near-no-compare")]
            Some(at) => {
                platform.store_entry(cpu.id(), at, RESERVED);
                Ok(at)
            }
            #[cfg(not(mutant = "near-no-compare"))]
            Some(at) if platform.swap_entry(cpu.id(), at, 0, RESERVED).is_ok() => Ok(at),
            _ => stage2.take_entry(platform, cpu.id(), tables, ipa, LAST_LEVEL),
        }
    }

    /// The host's entry for a claimed page, in a table of pages, and whether it has it mapped.
    #[inline]
    fn host_entry(
        &self,
        cpu: &CpuToken,
        page: Pfn,
        tables: &impl TablePages,
        last: Option<&Leaving<'_>>,
    ) -> Result<(EntryAt, bool), MapError> {
        let ipa_of = |page: Pfn| Ipa::from_raw(page.pa().raw());
        // A table of the host's stays while one of its pages is claimed: the last one is.
        let near = last.and_then(|last| Stage2::near(last.host, ipa_of(last.page()), ipa_of(page)));
        if let Some(at) = near {
            let raw = self.parts.platform.entry(cpu.id(), at);
            match Entry::decode(raw, LAST_LEVEL) {
                Entry::Leaf { .. } => return Ok((at, true)),
                Entry::Empty => return Ok((at, false)),
                _ => {}
            }
        }
        let mut found = self.find_host(cpu, page, LAST_LEVEL)?;
        if found.level != LAST_LEVEL {
            if let (_, Some(error)) = self.prepare_host(cpu, page, 1, tables) {
                return Err(error);
            }
            found = self.find_host(cpu, page, LAST_LEVEL)?;
        }
        match found.entry() {
            _ if found.level != LAST_LEVEL => Err(MapError::Busy),
            Entry::Leaf { .. } => Ok((found.at, true)),
            Entry::Empty => Ok((found.at, false)),
            _ => Err(MapError::Busy),
        }
    }

    /// Takes the page from the host; the caller flushes.
    #[inline]
    pub(super) fn leave_host(&self, cpu: &CpuToken, leaving: &Leaving<'_>, runs: &mut Runs) {
        if leaving.is_mapped {
            self.unmap_entry(cpu, leaving.host, leaving.claim.pfn(), 1, runs);
        }
    }

    /// Writes the guest's leaf; the flush is done.
    #[inline]
    pub(super) fn enter_guest(&self, cpu: &CpuToken, leaving: &Leaving<'_>) {
        let bits = self.ram_bits(leaving.access);
        let leaf = bits.leaf(leaving.claim.pfn(), LAST_LEVEL);
        self.parts
            .platform
            .store_entry(cpu.id(), leaving.guest, leaf);
    }
}

impl Leaving<'_> {
    /// The page.
    pub(super) fn page(&self) -> Pfn {
        self.claim.pfn()
    }

    /// Is one of the entries of this other page in another table than here?
    pub(super) fn is_far(&self, page: Pfn, ipa: Ipa) -> bool {
        let apart = (self.page().raw() ^ page.raw()) | (self.ipa.page() ^ ipa.page());
        apart >= ENTRIES
    }

    /// It is the VM's.
    #[inline]
    pub(super) fn settle(self, vm: VmSlot, flushed: &Flushed) {
        settled(self.claim.donate_to_vm(vm, flushed));
    }
}

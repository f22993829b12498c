//! VM_MAP_LIST: up to 256 pages from all over memory to a VM, with one flush beside those of the host's
//! blocks that have to be split.
//!
//! The order is that of `donate`: everything that can fail first. Invariant: of each page that is
//! held the guest's entry is marked, and what is held is committed: nothing fails any more then.

use super::settled;
use super::{Batch, status_of, status_of_refusal};
use crate::engine::Engine;
use crate::memory::runs::Runs;
use crate::platform::{EntryAt, Platform};
use crate::stage2::Stage2;
use crate::stage2::descriptor::{Access, LAST_LEVEL};
use crate::vm::PinnedVm;
use abi::Status;
use heapless::Vec;
use ownership::{Claim, Granule, Ipa, Op, Owner, Pfn, State};
use percpu::CpuToken;

/// A page of a VM_MAP_LIST.
#[derive(Clone, Copy, Debug)]
pub struct ListEntry {
    /// Host page.
    pub page: Pfn,
    /// Where the VM sees it.
    pub ipa: Ipa,
    /// Rights.
    pub access: Access,
}

/// A listed page, claimed, and the guest's entry that is taken for it.
struct Held<'t> {
    claim: Claim<'t>,
    /// Of the [`EntryAt`], in parts: there are many of these on the stack.
    table: Pfn,
    index: u16,
    access: Access,
}

impl Held<'_> {
    fn at(&self) -> EntryAt {
        EntryAt {
            table: self.table,
            index: self.index,
        }
    }
}

impl<P: Platform> Engine<P> {
    /// Gives scattered host pages to the VM.
    pub(crate) fn map_list(
        &self,
        cpu: &CpuToken,
        target: &PinnedVm<'_>,
        entries: impl Iterator<Item = Result<ListEntry, Status>>,
    ) -> Batch {
        let platform = &self.parts.platform;
        let stage2 = target.vm.stage2(target.slot, self.parts.host.geometry());
        let mut held: Vec<Held<'_>, { abi::limit::MAP_LIST_PAGES }> = Vec::new();
        let mut reason = Status::Success;
        for entry in entries {
            let step = entry.and_then(|entry| self.take_listed(cpu, stage2, entry));
            match step {
                Ok(item) => {
                    if held.push(item).is_err() {
                        break;
                    }
                }
                Err(status) => {
                    reason = status;
                    break;
                }
            }
        }
        if held.is_empty() {
            return Batch::refused(reason);
        }
        let mut runs = Runs::default();
        for item in &held {
            self.collect_unmapped(cpu, item.claim.pfn(), 1, &mut runs);
        }
        let flushed = self.flush_host(cpu, &runs);
        for item in &held {
            self.write_back(cpu, item.claim.pfn(), 1);
        }
        self.forget_code(cpu);
        for item in &held {
            let leaf = self
                .ram_bits(item.access)
                .leaf(item.claim.pfn(), LAST_LEVEL);
            platform.store_entry(cpu.id(), item.at(), leaf);
        }
        #[cfg(not(mutant = "list-no-dsb"))]
        self.publish_leaves(cpu);
        let done = held.len() as u64;
        // By `pop`: a consuming iterator would put a second copy of the list on the stack.
        while let Some(item) = held.pop() {
            settled(item.claim.donate_to_vm(target.slot, &flushed));
        }
        self.count_donated(cpu, done, &runs);
        Batch { done, reason }
    }

    /// Claims one listed page, takes the guest's entry for it and makes the host's map ready.
    fn take_listed<'t>(
        &'t self,
        cpu: &CpuToken,
        stage2: Stage2,
        entry: ListEntry,
    ) -> Result<Held<'t>, Status> {
        let ListEntry { page, ipa, access } = entry;
        let (platform, pool) = (&self.parts.platform, &self.parts.pool);
        let is_host = |state| state == State::Owned(Owner::Host);
        let claim = self
            .parts
            .pages
            .claim(Granule::page(page), Op::VmMap, cpu.id().raw(), is_host)
            .map_err(status_of_refusal)?;
        let at = stage2
            .take_entry(platform, cpu.id(), pool, ipa, LAST_LEVEL)
            .map_err(status_of)?;
        if let (_, Some(error)) = self.prepare_host(cpu, page, 1, pool) {
            Stage2::give_entry_back(platform, cpu.id(), at);
            return Err(status_of(error));
        }
        let EntryAt { table, index } = at;
        Ok(Held {
            claim,
            table,
            index,
            access,
        })
    }
}

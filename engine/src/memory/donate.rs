//! Host to VM: VM_MAP and VM_MAP_LIST.
//!
//! The order, for each batch: split the host's blocks around the pages; claim the pages; take the
//! guest's entries; unmap from the host and flush; write the guest's leaves; commit. Everything that
//! can fail comes before the first store that anyone could observe; what fails shortens the batch.
//! Invariant: at no moment can both sides reach a page through a TLB: the flush is complete before
//! the first guest leaf is written.

use super::settled;
use super::{Batch, status_of, status_of_refusal};
use crate::engine::Engine;
use crate::memory::runs::Runs;
use crate::platform::Platform;
use crate::stage2::Stage2;
use crate::stage2::descriptor::{Access, LAST_LEVEL, pages_of};
use crate::vm::PinnedVm;
use abi::{Counter, Status};
use heapless::Vec;
use ownership::{Claim, Granule, Ipa, Op, Owner, Pfn, RunClaim, State};
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

impl<P: Platform> Engine<P> {
    /// Gives `n` host pages from `first` on to the VM, at `ipa` on.
    pub(crate) fn map_run(
        &self,
        cpu: &CpuToken,
        target: &PinnedVm<'_>,
        first: Pfn,
        ipa: Ipa,
        n: u64,
        access: Access,
    ) -> Batch {
        let (ready, stopped) = self.prepare_host(cpu, first, n, &self.parts.pool);
        let mut reason = stopped.map_or(Status::Success, status_of);
        if ready == 0 {
            return Batch::refused(reason);
        }
        let (claim, refused) = self.parts.pages.claim_run(
            first,
            ready as usize,
            Op::VmMap,
            cpu.id().raw(),
            State::Owned(Owner::Host),
        );
        reason = refused.map_or(reason, status_of_refusal);
        if claim.is_empty() {
            return Batch::refused(reason);
        }
        let stage2 = target.vm.stage2(target.slot, self.parts.host.geometry());
        let as_block = self.map_as_block(cpu, target, stage2, claim, ipa, access);
        match as_block {
            BlockOutcome::Done(done) => Batch { done, reason },
            BlockOutcome::Failed(status) => Batch::refused(status),
            BlockOutcome::NotPossible(claim) => {
                self.map_as_pages(cpu, target, stage2, claim, ipa, access, reason)
            }
        }
    }

    /// One 2 MiB block entry, where pages and IPA are aligned and the guest has no table there.
    fn map_as_block<'t>(
        &'t self,
        cpu: &CpuToken,
        target: &PinnedVm<'_>,
        stage2: Stage2,
        claim: RunClaim<'t>,
        ipa: Ipa,
        access: Access,
    ) -> BlockOutcome<'t> {
        const BLOCK_LEVEL: u8 = 2;
        let pages = pages_of(BLOCK_LEVEL);
        let (first, n) = (claim.pfn(), claim.len() as u64);
        let aligned = (first.raw() | ipa.raw() >> 12) & (pages - 1) == 0;
        if n != pages || !aligned {
            return BlockOutcome::NotPossible(claim);
        }
        let platform = &self.parts.platform;
        let taken = stage2.take_entry(platform, cpu.id(), &self.parts.pool, ipa, BLOCK_LEVEL);
        let at = match taken {
            Ok(at) => at,
            Err(crate::stage2::MapError::Occupied) => return BlockOutcome::NotPossible(claim),
            Err(error) => return BlockOutcome::Failed(status_of(error)),
        };
        let flushed = match self.unmap_from_host(cpu, first, n) {
            Ok(flushed) => flushed,
            Err(error) => {
                Stage2::give_entry_back(platform, cpu.id(), at);
                return BlockOutcome::Failed(status_of(error));
            }
        };
        for page in first.raw()..first.raw() + n {
            self.write_back(cpu, Pfn::from_raw(page));
        }
        self.forget_code(cpu);
        platform.store_entry(cpu.id(), at, self.ram_bits(access).leaf(first, BLOCK_LEVEL));
        self.publish_leaves(cpu);
        settled(claim.donate_to_vm(target.slot, &flushed));
        self.count(cpu, Counter::PagesDonated, n);
        BlockOutcome::Done(n)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one step of a protocol, all its parts named"
    )]
    fn map_as_pages<'t>(
        &'t self,
        cpu: &CpuToken,
        target: &PinnedVm<'_>,
        stage2: Stage2,
        mut claim: RunClaim<'t>,
        ipa: Ipa,
        access: Access,
        mut reason: Status,
    ) -> Batch {
        let platform = &self.parts.platform;
        let n = claim.len() as u64;
        let (taken, stopped) = stage2.take_pages(platform, cpu.id(), &self.parts.pool, ipa, n);
        reason = stopped.map_or(reason, status_of);
        if taken == 0 {
            return Batch::refused(reason);
        }
        // Pages past the ones that have an entry go back unchanged.
        drop(claim.split_off(taken as usize));
        let first = claim.pfn();
        // A block that was wanted whole may have lost some of its pages since.
        let ready = match self.prepare_host(cpu, first, taken, &self.parts.pool) {
            (_, Some(error)) => Err(error),
            _ => self.unmap_from_host(cpu, first, taken),
        };
        let flushed = match ready {
            Ok(flushed) => flushed,
            Err(error) => {
                stage2.for_pages(platform, cpu.id(), ipa, taken, |at, _| {
                    Stage2::give_entry_back(platform, cpu.id(), at);
                });
                return Batch::refused(status_of(error));
            }
        };
        let bits = self.ram_bits(access);
        for page in first.raw()..first.raw() + taken {
            self.write_back(cpu, Pfn::from_raw(page));
        }
        self.forget_code(cpu);
        stage2.for_pages(platform, cpu.id(), ipa, taken, |at, index| {
            let page = Pfn::from_raw(first.raw() + index);
            platform.store_entry(cpu.id(), at, bits.leaf(page, LAST_LEVEL));
        });
        self.publish_leaves(cpu);
        settled(claim.donate_to_vm(target.slot, &flushed));
        self.count(cpu, Counter::PagesDonated, taken);
        Batch {
            done: taken,
            reason,
        }
    }

    /// Gives scattered host pages to the VM: one flush for all of them.
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
            self.write_back(cpu, item.claim.pfn());
        }
        self.forget_code(cpu);
        for item in &held {
            stage2.for_pages(platform, cpu.id(), item.ipa, 1, |at, _| {
                let leaf = self
                    .ram_bits(item.access)
                    .leaf(item.claim.pfn(), LAST_LEVEL);
                platform.store_entry(cpu.id(), at, leaf);
            });
        }
        self.publish_leaves(cpu);
        let done = held.len() as u64;
        // By `pop`: a consuming iterator would put a second copy of the list on the stack.
        while let Some(item) = held.pop() {
            settled(item.claim.donate_to_vm(target.slot, &flushed));
        }
        self.count(cpu, Counter::PagesDonated, done);
        Batch { done, reason }
    }

    /// Claims one listed page and takes the guest's entry for it.
    fn take_listed<'t>(
        &'t self,
        cpu: &CpuToken,
        stage2: Stage2,
        entry: ListEntry,
    ) -> Result<Held<'t>, Status> {
        if let (_, Some(error)) = self.prepare_host(cpu, entry.page, 1, &self.parts.pool) {
            return Err(status_of(error));
        }
        let claim = self
            .parts
            .pages
            .claim(
                Granule::page(entry.page),
                Op::VmMap,
                cpu.id().raw(),
                |state| state == State::Owned(Owner::Host),
            )
            .map_err(status_of_refusal)?;
        stage2
            .take_entry(
                &self.parts.platform,
                cpu.id(),
                &self.parts.pool,
                entry.ipa,
                LAST_LEVEL,
            )
            .map_err(status_of)?;
        Ok(Held {
            claim,
            ipa: entry.ipa,
            access: entry.access,
        })
    }
}

/// A listed page, claimed, and the guest's entry that is taken for it.
struct Held<'t> {
    claim: Claim<'t>,
    ipa: Ipa,
    access: Access,
}

/// How the attempt at a block ended.
enum BlockOutcome<'t> {
    /// Committed.
    Done(u64),
    /// Nothing changed; the claims are gone.
    Failed(Status),
    /// Page by page, then.
    NotPossible(RunClaim<'t>),
}

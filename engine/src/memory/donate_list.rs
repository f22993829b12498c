//! VM_MAP_LIST: up to 256 pages from all over memory to a VM, with one flush beside those of the host's
//! blocks that have to be split.
//!
//! The order is that of `donate`: everything that can fail first. Invariant: of each page that is
//! held the guest's entry is marked, and what is held is committed: nothing fails any more then.

use super::Batch;
use super::donate_page::Leaving;
use crate::engine::Engine;
use crate::memory::runs::Runs;
use crate::platform::Platform;
use crate::stage2::descriptor::Access;
use crate::vm::PinnedVm;
use abi::Status;
use heapless::Vec;
use ownership::{Ipa, Pfn};
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
    /// Gives scattered host pages to the VM.
    pub(crate) fn map_list(
        &self,
        cpu: &CpuToken,
        target: &PinnedVm<'_>,
        entries: impl Iterator<Item = Result<ListEntry, Status>>,
    ) -> Batch {
        let stage2 = target.vm.stage2(target.slot, self.parts.host.geometry());
        let mut held: Vec<Leaving<'_>, { abi::limit::MAP_LIST_PAGES }> = Vec::new();
        let mut reason = Status::Success;
        for entry in entries {
            let step = entry.and_then(|ListEntry { page, ipa, access }| {
                self.take_page(cpu, stage2, (page, ipa), access, held.last())
            });
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
            self.leave_host(cpu, item, &mut runs);
        }
        let flushed = self.flush_host(cpu, &runs);
        // Asked once: with it `write_back` has nothing to do.
        if !self.parts.platform.features().force_write_back {
            for item in &held {
                self.write_back(cpu, item.page(), 1);
            }
        }
        self.forget_code(cpu);
        for item in &held {
            self.enter_guest(cpu, item);
        }
        #[cfg(not(mutant = "list-no-dsb"))]
        self.publish_leaves(cpu);
        let done = held.len() as u64;
        // By `pop`: a consuming iterator would put a second copy of the list on the stack.
        while let Some(item) = held.pop() {
            item.settle(target.slot, &flushed);
        }
        self.count_donated(cpu, done, &runs);
        Batch { done, reason }
    }
}

//! VM_MAP_LIST: pages from all over memory to a VM, as many as one bite pays for, with one flush beside those of
//! the host's blocks that have to be split.
//!
//! The order is that of `donate`: everything that can fail first. Invariant: of each page that is
//! held the guest's entry is marked, and what is held is committed: nothing fails any more then.

use super::Batch;
use super::donate_page::Leaving;
use crate::bite::{self, Bite, FAR_PAGE, LISTED_PAGE, TABLE};
use crate::engine::Engine;
use crate::memory::runs::Runs;
use crate::platform::Platform;
use crate::stage2::descriptor::Access;
use crate::vm::PinnedVm;
use abi::Status;
use heapless::Vec;
use ownership::{Ipa, Pfn};
use percpu::CpuToken;

/// Most pages of a list that one call takes.
pub(crate) const MOST: usize = bite::in_one(LISTED_PAGE);
/// What a bite must pay for before a page in other tables is begun: most need no more.
const FAR_AT_MOST: u32 = LISTED_PAGE + FAR_PAGE + 3 * TABLE;

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
        bite: &mut Bite,
    ) -> Batch {
        let stage2 = target.vm.stage2(target.slot, self.parts.host.geometry());
        let tables = self.parts.pool.counted();
        let mut held: Vec<Leaving<'_>, MOST> = Vec::new();
        let mut reason = Status::Success;
        for entry in entries {
            let ListEntry { page, ipa, access } = match entry {
                Ok(entry) => entry,
                Err(status) => {
                    reason = status;
                    break;
                }
            };
            let last = held.last();
            let is_far = last.is_none_or(|last| last.is_far(page, ipa));
            let (cost, at_most) = match is_far {
                true => (LISTED_PAGE + FAR_PAGE, FAR_AT_MOST),
                false => (LISTED_PAGE, LISTED_PAGE),
            };
            if last.is_some() && !bite.affords(at_most) {
                break;
            }
            match self.take_page(cpu, stage2, (page, ipa), access, &tables, last) {
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
            match tables.taken() {
                0 => bite.spend(cost),
                taken => bite.spend(taken.saturating_mul(TABLE).saturating_add(cost)),
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

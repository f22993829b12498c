//! Memory changing hands: the protocol of `docs/memory-model.md`, one file per direction.
//!
//! | file | calls |
//! | --- | --- |
//! | `donate`, `donate_block`, `donate_list`, `donate_page` | VM_MAP, VM_MAP_LIST: host to VM |
//! | `lend` | VM_LEND, VM_UNLEND: host's pages that a VM may use too |
//! | `share` | the guest's MEM_SHARE, MEM_UNSHARE, MEM_RELINQUISH |
//! | `reclaim` | VM_RECLAIM: a dying VM's pages come home |
//! | `broken` | pages with a memory error |
//! | `engine_pages` | ENGINE_DONATE, ENGINE_RECLAIM, PAGE_POISON |
//! | `host_map`, `host_fault`, `rejoin` | the host's own stage-2: unmapping what leaves, mapping what it touches, blocks again |
//! | `tlb`, `scrub`, `pool` over `page_set` and `reserve`, `kit` out of it | the tools all of these use |

pub(crate) mod broken;
pub mod donate;
mod donate_block;
pub mod donate_list;
mod donate_page;
pub mod engine_pages;
pub mod host_fault;
pub mod host_map;
mod kit;
pub mod lend;
pub mod page_set;
pub mod pool;
pub mod reclaim;
pub mod rejoin;
pub mod reserve;
pub mod runs;
pub mod scrub;
pub mod share;
pub mod tlb;

use crate::engine::Engine;
use crate::platform::{Barrier, Platform};
use crate::stage2::MapError;
use crate::stage2::descriptor::{Access, LeafBits, Memory};
use abi::Status;
use ownership::{Pfn, Refused};
use percpu::CpuToken;

/// What a batch did: it commits the prefix that it could have and says why it stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Pages done.
    pub done: u64,
    /// Why not more; `Success` if all were.
    pub reason: Status,
}

impl Batch {
    /// As many as were asked for.
    pub(crate) const fn all(done: u64) -> Self {
        Self {
            done,
            reason: Status::Success,
        }
    }

    /// Nothing done, for this reason.
    pub(crate) const fn refused(reason: Status) -> Self {
        Self { done: 0, reason }
    }
}

/// The status that a refused table entry means for the caller.
pub(crate) const fn status_of(error: MapError) -> Status {
    match error {
        MapError::Occupied => Status::AlreadyMapped,
        MapError::Busy => Status::Busy,
        MapError::NoMemory => Status::NoMemory,
        MapError::OutOfRange => Status::OutOfRange,
    }
}

/// The status that a refused claim of a page that should be the caller's means.
pub(crate) fn status_of_refusal(refused: Refused) -> Status {
    match refused {
        Refused::OutOfRange => Status::NotRam,
        Refused::Busy => Status::Busy,
        Refused::Was(word) => match word.state() {
            ownership::State::Reserved | ownership::State::HostFixed => Status::NotRam,
            _ => Status::NotOwner,
        },
    }
}

/// Ends a commit. A claim that was accepted for its operation, with the proofs that the operation
/// made, can't be refused; were it, that would be a bug here, and the dropped claim rolls back.
pub(crate) fn settled<C>(outcome: Result<(), C>) {
    debug_assert!(outcome.is_ok(), "an accepted claim was refused its commit");
    drop(outcome);
}

impl<P: Platform> Engine<P> {
    /// Attributes of a guest's or the host's RAM leaf.
    pub(crate) fn ram_bits(&self, access: Access) -> LeafBits {
        let force_write_back = self.parts.platform.features().force_write_back;
        #[cfg(mutant = "leaf-all-rights")]
        let access = Access::ALL;
        LeafBits::new(Memory::Normal, access, force_write_back)
    }

    /// Once per batch that moves pages which may hold code, where hardware keeps instruction caches
    /// apart (CTR_EL0.DIC = 0): no core runs a former owner's code from its cache.
    pub(crate) fn forget_code(&self, cpu: &CpuToken) {
        if self.parts.platform.features().icache_by_hand {
            #[cfg(not(mutant = "code-no-ic"))]
            self.parts.platform.invalidate_icache(cpu.id());
            #[cfg(not(mutant = "code-no-dsb"))]
            self.parts.platform.barrier(cpu.id(), Barrier::DsbIsh);
        }
    }

    /// Walkers of all cores see the leaves that were stored before. In the image once, so that the barrier is
    /// missed if it goes.
    #[inline(never)]
    pub(crate) fn publish_leaves(&self, cpu: &CpuToken) {
        #[cfg(not(mutant = "leaf-no-dsb"))]
        self.parts.platform.barrier(cpu.id(), Barrier::DsbIshst);
        #[cfg(mutant = "leaf-no-dsb")]
        let _ = cpu;
    }

    /// Without FEAT_S2FWB a guest can look past the caches: what it is given must be in memory.
    #[inline]
    pub(crate) fn write_back(&self, cpu: &CpuToken, first: Pfn, pages: u64) {
        if !self.parts.platform.features().force_write_back {
            self.clean_run(cpu, first, pages);
        }
    }

    /// By itself, so that a caller's registers are not moved between the window's steps.
    #[inline(never)]
    fn clean_run(&self, cpu: &CpuToken, first: Pfn, pages: u64) {
        for page in first.run(pages) {
            self.parts.platform.clean_page(cpu.id(), page);
        }
    }
}

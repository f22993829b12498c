//! VM slots: what the engine knows about a VM, and how a call gets at it.
//!
//! Invariants: a slot's fields are written only in phase `Creating` by the core that won the slot,
//! but for the vCPU list, which grows while that VM's `vcpu_lock` bit is held; everything is
//! published by the Release of `Life::advance`. A slot is freed only when no page word names it, no
//! vCPU of it is left and its translations are flushed, so page words need no generation.
//! VMID = slot + 1, for the slot's life.

pub mod cursor;
pub mod life;
mod lookup;
pub mod rests;

pub use lookup::PinnedVm;

use crate::memory::tlb::Regime;
use crate::stage2::{Geometry, Stage2};
use abi::limit::VCPUS_PER_VM;
use cursor::Cursor;
use life::Life;
use ownership::{Ipa, Pfn, VmSlot};
use rests::Rests;
use sync::{AtomicU64, Ordering, unless};

/// A run of IPA space that is RAM, page-aligned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RamRange {
    /// First page.
    pub first: u64,
    /// Number of pages, 0 if the range is not used.
    pub pages: u64,
    /// The host may lend pages of its own into it.
    pub is_lendable: bool,
}

impl RamRange {
    /// Is the page `ipa_page` in it?
    pub const fn contains(self, ipa_page: u64) -> bool {
        ipa_page.wrapping_sub(self.first) < self.pages
    }

    /// Are `n` pages from `ipa_page` on all in it?
    pub fn contains_run(self, ipa_page: u64, n: u64) -> bool {
        let before = ipa_page.wrapping_sub(self.first);
        before < self.pages && n <= self.pages.wrapping_sub(before)
    }

    /// Do the two have a page in common?
    pub const fn overlaps(self, other: Self) -> bool {
        self.pages != 0
            && other.pages != 0
            && (self.contains(other.first) || other.contains(self.first))
    }
}

/// What is fixed when a VM is created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Root of its stage-2.
    pub root: Pfn,
    /// RAM.
    pub ram: [RamRange; 2],
    /// First page of the redistributor frames.
    pub gicr: u64,
    /// Most vCPUs it can have.
    pub vcpu_limit: u16,
}

/// Pages of one vCPU's redistributor: RD_base and SGI_base, 64 KiB each (IHI0069 12.10).
pub const REDISTRIBUTOR_PAGES: u64 = 32;

/// A VM slot.
#[derive(Default)]
pub struct Vm {
    /// Generation and phase.
    pub life: Life,
    /// What VM_RECLAIM has still to do.
    pub cursor: Cursor,
    /// Where it stopped half-way.
    pub(crate) rests: Rests,
    root: AtomicU64,
    ram: [[AtomicU64; 3]; 2],
    gicr: AtomicU64,
    counter: AtomicU64,
    vcpu_limit: AtomicU64,
    vcpu_count: AtomicU64,
    vcpu_lock: AtomicU64,
    vcpus: VcpuList,
    leftover: AtomicU64,
    ready: AtomicU64,
}

/// One bit of `ready` for each vCPU.
const _: () = assert!(VCPUS_PER_VM <= 64);

/// Slots of the VM's vCPUs, in order of creation.
struct VcpuList([AtomicU64; VCPUS_PER_VM]);

impl Default for VcpuList {
    fn default() -> Self {
        Self(::core::array::from_fn(|_| AtomicU64::new(0)))
    }
}

// Relaxed throughout: every field is published by `Life::advance` (Release) and read after
// `Life::now` (Acquire), as the header says; the vCPU list by `vcpu_count`.
impl Vm {
    fn load(cell: &AtomicU64) -> u64 {
        // Relaxed: see above.
        cell.load(Ordering::Relaxed)
    }

    fn store(cell: &AtomicU64, value: u64) {
        // Relaxed: see above.
        cell.store(value, Ordering::Relaxed);
    }

    /// Is the slot free just now?
    pub fn may_begin(&self) -> bool {
        self.life.may_begin()
    }

    /// Takes the slot if it is free; the caller fills it in with [`Vm::fill`].
    pub fn begin(&self) -> Option<u64> {
        self.life.begin()
    }

    /// Sets what is fixed for the VM's life. Only by the core that began the slot.
    pub fn fill(&self, plan: &Plan, counter: u64) {
        Self::store(&self.counter, counter);
        Self::store(&self.root, plan.root.raw());
        for (cells, range) in self.ram.iter().zip(plan.ram) {
            Self::store(&cells[0], range.first);
            Self::store(&cells[1], range.pages);
            Self::store(&cells[2], u64::from(range.is_lendable));
        }
        Self::store(&self.gicr, plan.gicr);
        Self::store(&self.vcpu_limit, u64::from(plan.vcpu_limit));
        Self::store(&self.vcpu_count, 0);
        Self::store(&self.ready, 0);
    }

    /// What was fixed at creation.
    pub fn plan(&self) -> Plan {
        let [low, high] = &self.ram;
        Plan {
            root: Pfn::from_raw(Self::load(&self.root)),
            ram: [Self::range(low), Self::range(high)],
            gicr: Self::load(&self.gicr),
            vcpu_limit: Self::load(&self.vcpu_limit) as u16,
        }
    }

    fn range(cells: &[AtomicU64; 3]) -> RamRange {
        RamRange {
            first: Self::load(&cells[0]),
            pages: Self::load(&cells[1]),
            is_lendable: Self::load(&cells[2]) != 0,
        }
    }

    /// The physical count at which the VM's virtual count is 0 (CNTVOFF_EL2), the same for all its
    /// vCPUs.
    pub fn counter_offset(&self) -> u64 {
        Self::load(&self.counter)
    }

    /// The VM's stage-2, for the slot `slot` that this is.
    pub fn stage2(&self, slot: VmSlot, geometry: Geometry) -> Stage2 {
        Stage2::new(Pfn::from_raw(Self::load(&self.root)), vmid(slot), geometry)
    }

    /// Which RAM range holds `n` pages from `ipa_page` on, if one does.
    pub fn ram_holds(&self, ipa_page: u64, n: u64) -> bool {
        let mut ranges = self.ram.iter().map(Self::range);
        ranges.any(|range| range.contains_run(ipa_page, n))
    }

    /// Are the `n` pages from `ipa_page` on all in a range into which the host may lend?
    pub fn is_lendable(&self, ipa_page: u64, n: u64) -> bool {
        let mut ranges = self.ram.iter().map(Self::range);
        ranges.any(|range| range.is_lendable && range.contains_run(ipa_page, n))
    }

    /// Slots of the vCPUs, in order.
    pub fn vcpus(&self) -> impl Iterator<Item = u16> + '_ {
        // Acquire: pairs with the Release in `VcpuListLock::add`; the slots before the count are set.
        let look = unless(cfg!(mutant = "vcpus-look-relaxed"), Ordering::Acquire);
        let count = self.vcpu_count.load(look) as usize;
        self.vcpus
            .0
            .iter()
            .take(count)
            .map(|cell| Self::load(cell) as u16)
    }

    /// Remembers that a page was busy when VM_RECLAIM came by.
    pub(crate) fn note_leftover(&self) {
        // Relaxed: the flag is all there is to know, and the cursor that the caller leaves after this
        // (Release) brings it to whoever is the stage's last (Acquire).
        self.leftover.store(1, Ordering::Relaxed);
    }

    /// Was one? Asked by the last core of a stage.
    pub(crate) fn take_leftover(&self) -> bool {
        // Relaxed: see `note_leftover`.
        self.leftover.swap(0, Ordering::Relaxed) != 0
    }

    /// Remembers that the `index`-th vCPU is parked and has work, which the host is to be told.
    pub fn note_ready(&self, index: usize) {
        // Release: pairs with the Acquire in `take_ready`; whoever takes the bit sees the vCPU no
        // earlier than parked.
        let parked = unless(cfg!(mutant = "ready-note-relaxed"), Ordering::Release);
        self.ready.fetch_or(1 << (index % 64), parked);
    }

    /// Is one remembered? A hint, for whoever enters a guest only after `take_ready`.
    pub fn has_ready(&self) -> bool {
        // Relaxed: `take_ready` acquires. A bit that it misses is found at the next entry.
        self.ready.load(Ordering::Relaxed) != 0
    }

    /// All of them, a bit each: for those who compare.
    #[cfg(feature = "sim")]
    pub(crate) fn ready(&self) -> u64 {
        // Relaxed: one thread.
        self.ready.load(Ordering::Relaxed)
    }

    /// One of those that were remembered, each once.
    pub fn take_ready(&self) -> Option<usize> {
        // Relaxed: only a hint; the exchange below decides and acquires. A bit that it misses is
        // found at the next entry.
        let seen = self.ready.load(Ordering::Relaxed);
        if seen == 0 {
            return None;
        }
        let bit = seen & seen.wrapping_neg();
        // Acquire: pairs with the Release in `note_ready`.
        let look = unless(cfg!(mutant = "ready-take-relaxed"), Ordering::Acquire);
        let taken = self.ready.fetch_and(!bit, look) & bit != 0;
        taken.then_some(bit.trailing_zeros() as usize)
    }

    /// Takes the right to add a vCPU; `None` while another core has it.
    pub fn lock_vcpus(&self) -> Option<VcpuListLock<'_>> {
        // Acquire: pairs with the Release in the lock's drop. One attempt: nobody waits.
        let won = unless(cfg!(mutant = "vcpus-lock-relaxed"), Ordering::Acquire);
        #[cfg(not(mutant = "vcpus-no-lock"))]
        self.vcpu_lock
            .compare_exchange(0, 1, won, Ordering::Relaxed)
            .ok()?;
        #[cfg(mutant = "vcpus-no-lock")]
        let _ = won;
        Some(VcpuListLock { vm: self })
    }
}

/// The right to add a vCPU to a VM.
#[must_use]
pub struct VcpuListLock<'vm> {
    vm: &'vm Vm,
}

impl VcpuListLock<'_> {
    /// Is there room for another?
    pub fn has_room(&self) -> bool {
        let count = Vm::load(&self.vm.vcpu_count);
        count < Vm::load(&self.vm.vcpu_limit)
    }

    /// Adds the vCPU in `slot`; `false` if there is no room.
    pub fn add(&self, slot: u16) -> bool {
        let count = Vm::load(&self.vm.vcpu_count);
        match self.vm.vcpus.0.get(count as usize) {
            Some(cell) if self.has_room() => {
                Vm::store(cell, u64::from(slot));
                // Release: pairs with the Acquire in `Vm::vcpus`; publishes the slot.
                let added = unless(cfg!(mutant = "vcpus-add-relaxed"), Ordering::Release);
                self.vm.vcpu_count.store(count + 1, added);
                true
            }
            _ => false,
        }
    }
}

impl Drop for VcpuListLock<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `lock_vcpus`.
        let free = unless(cfg!(mutant = "vcpus-unlock-relaxed"), Ordering::Release);
        self.vm.vcpu_lock.store(0, free);
    }
}

/// VMID of a slot; 0 is the host's.
pub const fn vmid(slot: VmSlot) -> u16 {
    slot.vmid()
}

/// The host's VMID.
pub const HOST_VMID: u16 = 0;

impl Vm {
    /// The VM's regime.
    pub fn regime(&self, slot: VmSlot, geometry: Geometry) -> Regime {
        self.stage2(slot, geometry).regime()
    }

    /// Does `ipa` lie in a redistributor frame of the VM? The vCPU's index and the offset in its
    /// 128 KiB.
    pub fn redistributor_at(&self, ipa: Ipa) -> Option<(usize, u64)> {
        let offset = ipa.raw().checked_sub(Self::load(&self.gicr) << 12)?;
        let index = offset / (REDISTRIBUTOR_PAGES << 12);
        (index < Self::load(&self.vcpu_limit))
            .then_some((index as usize, offset % (REDISTRIBUTOR_PAGES << 12)))
    }
}

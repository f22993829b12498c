//! All shared state of the engine, constructed once, with no statics anywhere in protocol code.
//!
//! Invariants: `Engine` is shared by every core and changed only through atomics; what belongs to
//! one core alone lives in [`CoreState`] behind that core's token. The sizes of its arrays are
//! fixed at construction.

use crate::host::core::HostCore;
use crate::host::fault::GuardedFrames;
use crate::host::leftovers::Leftovers;
use crate::memory::pool::PagePool;
use crate::memory::rejoin::RestingAreas;
use crate::platform::Platform;
use crate::stage2::Stage2;
use crate::stats::Counters;
use crate::trace::{Event, Ring};
use crate::trap::exception::PstateFeatures;
use crate::trap::guest_call::Firmware;
use crate::vcpu::context::GuestMachine;
use crate::vcpu::slot::VcpuSlot;
use crate::vm::Vm;
use ::core::sync::atomic::Ordering::Relaxed;
use abi::Counter;
use ownership::{PageTable, Pfn, VmSlot};
use percpu::{Area, CpuId, CpuToken, PerCpu, Pins, RunQueues};
use sync::AtomicU64;

/// What one core keeps for itself.
#[derive(Default)]
pub struct CoreState {
    /// The order in which its vCPUs play.
    pub order: percpu::Order,
    /// For each VM slot, the vCPU of it that this core ran last, as slot + 1; 0 for none. Two vCPUs
    /// of one VM share its VMID, so a change of it drops what the core has cached.
    pub last_vcpu: LastVcpus,
    /// Areas of the host's map that are to become blocks again.
    pub areas: RestingAreas,
}

/// See [`CoreState::last_vcpu`].
pub struct LastVcpus([u16; abi::limit::VMS]);

impl Default for LastVcpus {
    fn default() -> Self {
        Self([0; abi::limit::VMS])
    }
}

impl LastVcpus {
    /// Notes that the core runs `vcpu` of `vm` now; was it another one before?
    pub(crate) fn replace(&mut self, vm: VmSlot, vcpu: u16) -> bool {
        let Some(last) = self.0.get_mut(usize::from(vm.raw())) else {
            return true;
        };
        ::core::mem::replace(last, vcpu.wrapping_add(1)) != vcpu.wrapping_add(1)
    }
}

/// A run of physical pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRun {
    /// First page.
    pub first: Pfn,
    /// Number of pages.
    pub pages: u64,
}

impl PageRun {
    /// The page behind its last.
    const fn end(self) -> u64 {
        self.first.raw().saturating_add(self.pages)
    }

    /// Do the two have a page in common?
    pub const fn overlaps(self, other: Self) -> bool {
        self.first.raw() < other.end() && other.first.raw() < self.end()
    }
}

/// What an engine is built from: storage, made by the platform's boot code.
pub struct Parts<P: Platform> {
    /// The hardware.
    pub platform: P,
    /// Page words, boot states already set.
    pub pages: PageTable<P::Store<AtomicU64>>,
    /// Free engine pages.
    pub pool: PagePool<P::Store<AtomicU64>>,
    /// The host's stage-2.
    pub host: Stage2,
    /// VM slots.
    pub vms: P::Store<Vm>,
    /// vCPU slots.
    pub vcpus: P::Store<VcpuSlot>,
    /// Host cores.
    pub host_cores: P::Store<HostCore>,
    /// Per-core private state.
    pub cores: PerCpu<CoreState, P::Store<Area<CoreState>>>,
    /// VM pins.
    pub pins: Pins<P::Store<percpu::Padded<AtomicU64>>>,
    /// Run-queue mailboxes.
    pub queues: RunQueues<P::Store<percpu::Mailbox>>,
    /// Counters.
    pub counters: P::Store<Counters>,
    /// Event rings.
    pub rings: P::Store<Ring>,
    /// What guests see of the machine.
    pub machine: GuestMachine,
    /// What the firmware offers.
    pub firmware: Firmware,
    /// Redistributors whose RD_base frames the engine keeps from the host.
    pub guarded: heapless::Vec<GuardedFrames, 64>,
    /// Physical address space that is not RAM and not the host's to map: the guarded frames, the
    /// GIC's ITS.
    pub holes: heapless::Vec<PageRun, 96>,
    /// RAM: what the page words speak of. All else is devices, the host's by default.
    pub ram: heapless::Vec<PageRun, 64>,
    /// What a reset left in it.
    pub leftovers: Leftovers,
}

/// The engine.
pub struct Engine<P: Platform> {
    pub(crate) parts: Parts<P>,
    /// SGI for kicks plus one, 0 while the host has given none.
    doorbell: AtomicU64,
}

impl<P: Platform> Engine<P> {
    /// Puts the parts together.
    pub fn new(parts: Parts<P>) -> Self {
        Self {
            parts,
            doorbell: AtomicU64::new(0),
        }
    }

    /// The hardware.
    pub fn platform(&self) -> &P {
        &self.parts.platform
    }

    /// The page words: for checkers and the census.
    pub fn pages(&self) -> &PageTable<P::Store<AtomicU64>> {
        &self.parts.pages
    }

    /// The engine's own pages.
    pub fn pool(&self) -> &PagePool<P::Store<AtomicU64>> {
        &self.parts.pool
    }

    /// The host's stage-2.
    pub fn host_stage2(&self) -> Stage2 {
        self.parts.host
    }

    /// VM slots: for checkers.
    pub fn vms(&self) -> &[Vm] {
        &self.parts.vms
    }

    /// vCPU slots: for checkers.
    pub fn vcpus(&self) -> &[VcpuSlot] {
        &self.parts.vcpus
    }

    /// The host's cores.
    pub fn host_cores(&self) -> &[HostCore] {
        &self.parts.host_cores
    }

    /// What guests see of the machine.
    pub fn guest_machine(&self) -> &GuestMachine {
        &self.parts.machine
    }

    /// Number of cores, those that did not come up among them.
    pub fn cpus(&self) -> usize {
        self.parts.host_cores.len()
    }

    /// The core with this number.
    pub fn cpu(&self, number: u64) -> Option<CpuId> {
        let number = u16::try_from(number).ok()?;
        (usize::from(number) < self.cpus())
            .then(|| CpuId::new(number))
            .flatten()
    }

    /// Adds to one of this core's counters.
    pub(crate) fn count(&self, cpu: &CpuToken, counter: Counter, by: u64) {
        if let Some(counters) = self.parts.counters.get(cpu.id().index()) {
            counters.add(counter, by);
        }
    }

    /// What each core did last.
    pub fn rings(&self) -> &[Ring] {
        &self.parts.rings
    }

    /// Notes an event in this core's ring.
    pub(crate) fn trace(&self, cpu: &CpuToken, event: Event, argument: u64) {
        if let Some(ring) = self.parts.rings.get(cpu.id().index()) {
            ring.add(event, argument, self.parts.platform.counter(cpu.id()));
        }
    }

    /// What exception entry to EL1 does on this machine.
    pub(crate) fn pstate_features(&self) -> PstateFeatures {
        PstateFeatures::new(&self.parts.machine.id)
    }

    /// The counters of a core.
    pub fn counters(&self, cpu: CpuId) -> Option<&Counters> {
        self.parts.counters.get(cpu.index())
    }

    /// The SGI for kicks.
    pub(crate) fn doorbell(&self) -> Option<u8> {
        // Relaxed: publishes nothing but itself.
        self.doorbell
            .load(Relaxed)
            .checked_sub(1)
            .map(|sgi| sgi as u8)
    }

    /// Sets the SGI for kicks.
    pub(crate) fn set_doorbell(&self, sgi: u8) {
        // Relaxed: publishes nothing but itself.
        self.doorbell.store(u64::from(sgi) + 1, Relaxed);
    }

    /// Kicks another core. The caller has stored what that core shall find.
    pub(crate) fn kick(&self, cpu: &CpuToken, target: CpuId) {
        if target == cpu.id() {
            return;
        }
        let Some(sgi) = self.doorbell() else { return };
        // What the other core shall find must be visible before the interrupt is.
        #[cfg(not(mutant = "kick-no-dsb"))]
        self.parts
            .platform
            .barrier(cpu.id(), crate::platform::Barrier::DsbIshst);
        self.parts.platform.send_sgi(cpu.id(), target, sgi);
        self.count(cpu, Counter::Doorbells, 1);
    }
}

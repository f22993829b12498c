//! [`Metal`]: the cores' private state, and `Platform` by delegation.

use super::calls::HostCalls;
use super::features::CoreFeatures;
use super::host::HostExit;
use super::init::HostRegime;
use super::redistributor::Redistributor;
use super::regs::*;
use super::session::Session;
use super::tlb::SavedRegime;
use super::{firmware, host, init, interrupts, park, tables, tlb, window};
use crate::host::park::ParkWord;
use crate::memory::pool::TablePages;
use crate::platform::{Barrier, Broken, EntryAt, Features, Platform, Tlbi, Zeroed};
use crate::vcpu::context::{Context, GuestExit, HostFrame, Stop};
use core::ptr;
use ownership::Pfn;
use percpu::CpuId;
use smp_boot::firmware::halt;
use smp_boot::stage1::{Stage1, Window};
use sync::UnsafeCell;

/// One core as the platform knows it.
#[derive(Debug)]
pub struct MetalCpu {
    /// Affinity fields of MPIDR_EL1.
    pub(super) mpidr: u64,
    /// Its redistributor.
    pub(super) redistributor: Redistributor,
    /// Its window.
    pub(super) window: Window,
    /// Whether it may leave the park: see `park`.
    pub(super) park: ParkWord,
    /// What the core has; `None` before [`Metal::init_core`]. The core alone touches it.
    features: UnsafeCell<Option<CoreFeatures>>,
    /// The host's state while guests have the core. The core alone touches it.
    session: UnsafeCell<Session>,
}

// SAFETY: `features` and `session` are reached only by the core that it is the part of (by `Metal::own`, and by
// `init_core`, whose `cpu` is the calling core), with interrupts masked: `features` is written once, before it is lent, `session` is lent by `Metal::with_session`, never nested; the rest is constant or atomic.
unsafe impl Sync for MetalCpu {}

impl MetalCpu {
    /// The core with these affinity fields, whose redistributor's RD_base frame is mapped at VA =
    /// PA = `redistributor`, and which alone writes `window`.
    pub fn new(mpidr: u64, redistributor: u64, window: Window) -> Self {
        Self {
            mpidr,
            redistributor: Redistributor::new(redistributor),
            window,
            park: ParkWord::default(),
            features: UnsafeCell::new(None),
            session: UnsafeCell::new(Session::new()),
        }
    }
}

impl MetalCpu {
    /// Makes it another core, before it is one.
    pub fn set_identity(&mut self, mpidr: u64, redistributor: u64, window: Window) {
        self.mpidr = mpidr;
        self.redistributor = Redistributor::new(redistributor);
        self.window = window;
    }
}

/// The machine.
#[derive(Debug)]
pub struct Metal {
    /// By [`CpuId`].
    pub(super) cores: &'static [MetalCpu],
    /// The weakest core's.
    features: Features,
    /// The boot core's own, for a core that was not set up yet.
    boot_core: CoreFeatures,
    /// The host's regime.
    host: HostRegime,
    /// GICD_base, mapped at VA = PA.
    distributor: u64,
    /// The EL2 regime.
    stage1: Stage1,
}

impl Metal {
    /// The machine with these cores, in the order of their numbers.
    pub fn new(
        cores: &'static [MetalCpu],
        features: Features,
        host: HostRegime,
        distributor: u64,
        stage1: Stage1,
    ) -> Self {
        Self {
            cores,
            boot_core: CoreFeatures::read(&features),
            features,
            host,
            distributor,
            stage1,
        }
    }

    /// Sets up the calling core, `cpu`, at EL2. Once per core before anything else on it: all else that is about the core
    /// finds its part by TPIDR_EL2, which is written here.
    pub fn init_core(&self, cpu: CpuId) {
        let Some(core) = self.other(cpu) else {
            // A number that the machine has no core for.
            halt();
        };
        TPIDR_EL2.set(ptr::from_ref(core).addr() as u64);
        let features = CoreFeatures::read(&self.features);
        // The session is still as it was made.
        core.features.with_mut(|known| {
            // SAFETY: `cpu` is the calling core, which has asked for nothing yet: see `core_features`.
            unsafe { *known = Some(features) };
        });
        init::init_core(&features, self.host);
    }

    /// Puts the core's EL1 into the state in which PSCI starts a core. [`Metal::park_core`] does so too.
    pub fn reset_el1(&self, _cpu: CpuId) {
        host::reset_el1(self.core_features().pauth);
    }

    /// Runs the host on the core of `calls` until it needs more than their answers. No guest's registers are loaded.
    pub fn run_host(&self, frame: &mut HostFrame, calls: &mut HostCalls) -> HostExit {
        self.check_is_hosts();
        host::run(frame, calls)
    }

    /// No guest's registers may be loaded where the host goes on.
    pub(super) fn check_is_hosts(&self) {
        self.with_session(|session| debug_assert!(!session.is_open()));
    }

    /// Parks this core at EL2 until it is released.
    pub fn park_core(&self, _cpu: CpuId) {
        park::wait(self.own(), self.core_features(), self.distributor);
    }

    /// Lends this core's session.
    fn with_session<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        self.own().session.with_mut(|session| {
            // SAFETY: it is the calling core's, which takes no interrupts at EL2. No `f` calls back into
            // `with_session`, nor does what `run_guest` calls while a session runs, which its contract
            // says: there is no other reference now.
            f(unsafe { &mut *session })
        })
    }

    /// The calling core's part.
    #[inline]
    fn own(&self) -> &'static MetalCpu {
        // SAFETY: `init_core` wrote the address of this core's part there, of a static, before the core asked for
        // anything of it; the register is EL2's own, and nothing else writes it.
        unsafe { &*(TPIDR_EL2.get() as usize as *const MetalCpu) }
    }

    /// The part of any core, if the machine has one of this number.
    fn other(&self, cpu: CpuId) -> Option<&'static MetalCpu> {
        #[cfg(mutant = "core-by-index")]
        return Some(&self.cores[cpu.index()]);
        #[cfg(not(mutant = "core-by-index"))]
        self.cores.get(cpu.index())
    }
}

impl Platform for Metal {
    type Store<T: 'static> = &'static [T];
    type SavedRegime = SavedRegime;

    fn features(&self) -> &Features {
        &self.features
    }

    fn counter(&self, _cpu: CpuId) -> u64 {
        interrupts::counter()
    }

    fn entry(&self, _cpu: CpuId, at: EntryAt) -> u64 {
        tables::load(at)
    }

    fn swap_entry(&self, _cpu: CpuId, at: EntryAt, old: u64, new: u64) -> Result<(), u64> {
        tables::swap(at, old, new)
    }

    fn store_entry(&self, _cpu: CpuId, at: EntryAt, value: u64) {
        tables::store(at, value);
    }

    fn clear_table(&self, _cpu: CpuId, table: Pfn) {
        tables::clear(table);
    }

    #[inline(always)]
    fn barrier(&self, _cpu: CpuId, barrier: Barrier) {
        tlb::barrier(barrier);
    }

    #[inline(always)]
    fn tlbi(&self, _cpu: CpuId, op: Tlbi) {
        tlb::invalidate(op);
    }

    fn invalidate_icache(&self, _cpu: CpuId) {
        tlb::invalidate_icache();
    }

    fn vttbr(&self, _cpu: CpuId) -> u64 {
        tlb::current()
    }

    fn borrow_regime(&self, _cpu: CpuId, vttbr: u64) -> SavedRegime {
        tlb::borrow_regime(self.core_features(), vttbr)
    }

    fn return_regime(&self, _cpu: CpuId, saved: SavedRegime) {
        tlb::return_regime(saved);
    }

    fn zero_page(&self, _cpu: CpuId, page: Pfn) -> Result<Zeroed, Broken> {
        window::zero(self.own().window, self.core_features(), page)
    }

    fn clean_page(&self, _cpu: CpuId, page: Pfn) {
        window::clean(self.own().window, self.core_features(), page);
    }

    fn read_page(&self, _cpu: CpuId, page: Pfn, into: &mut [u64]) -> Result<(), Broken> {
        window::read(self.own().window, page, into)
    }

    fn engine_tables_missing(&self, _cpu: CpuId, page: Pfn) -> usize {
        tables::engine_tables_missing(&self.stage1, page)
    }

    fn map_engine_page<T: TablePages>(&self, cpu: CpuId, page: Pfn, tables: &T) -> bool {
        tables::map_engine_page(&self.stage1, cpu, page, tables)
    }

    fn unmap_engine_page(&self, _cpu: CpuId, page: Pfn) -> bool {
        tables::unmap_engine_page(&self.stage1, page)
    }

    fn send_sgi(&self, _cpu: CpuId, to: CpuId, sgi: u8) {
        if let Some(core) = self.other(to) {
            interrupts::send_sgi(core.mpidr, sgi);
        }
    }

    fn host_interrupt_pending(&self, _cpu: CpuId, doorbell: Option<u8>) -> bool {
        interrupts::host_interrupt_pending(&self.own().redistributor, doorbell)
    }

    fn run_guest(
        &self,
        _cpu: CpuId,
        context: &mut Context,
        vttbr: u64,
        until: u64,
        answer: impl FnMut(Stop<'_>) -> bool,
    ) -> GuestExit {
        let core = self.core_features();
        let redistributor = &self.own().redistributor;
        self.with_session(|session| {
            session.open(core, redistributor);
            session.run(core, redistributor, context, vttbr, until, answer)
        })
    }

    fn leave_regime(&self, _cpu: CpuId) {
        let core = self.core_features();
        self.with_session(|session| session.leave_regime(core));
    }

    fn return_to_host(&self, _cpu: CpuId) {
        let core = self.core_features();
        self.with_session(|session| session.close(core));
    }

    fn forget_last_vcpu(&self, _cpu: CpuId, vttbr: u64) {
        tlb::forget_last_vcpu(self.core_features(), vttbr);
    }

    fn host_vectors(&self, _cpu: CpuId) -> (u64, u64) {
        host::vectors()
    }

    fn set_host_exception(&self, _cpu: CpuId, elr: u64, spsr: u64, esr: u64, far: u64) {
        host::set_exception(elr, spsr, esr, far);
    }

    fn smc(&self, _cpu: CpuId, x: &mut [u64; 18]) {
        firmware::smc(x);
    }

    fn release_core(&self, _cpu: CpuId, target: CpuId) {
        if let Some(core) = self.other(target) {
            park::release(core, self.distributor);
        }
    }

    fn device_read(&self, _cpu: CpuId, pa: u64, size: u8) -> u64 {
        interrupts::device_read(pa, size)
    }

    fn device_write(&self, _cpu: CpuId, pa: u64, size: u8, value: u64) {
        interrupts::device_write(pa, size, value);
    }
}

impl Metal {
    /// What the calling core has.
    #[inline]
    fn core_features(&self) -> &CoreFeatures {
        self.own().features.with(|known| {
            // SAFETY: it is the calling core's, which alone writes it, in `init_core`, once and before anything else
            // on it: nobody writes while this is lent.
            let known = unsafe { &*known };
            known.as_ref().unwrap_or(&self.boot_core)
        })
    }
}

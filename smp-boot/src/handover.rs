//! What boot and the engine give each other.
//!
//! The engine implements [`Engine`] and names itself in [`entry!`](crate::entry); boot calls it on
//! the primary with a [`Boot`], and, after [`Boot::start_secondaries`], on every other core with a
//! [`CpuBoot`]. Dispatch is static: an image has one engine.

use core::marker::PhantomData;

use percpu::CpuId;

use crate::cores;
use crate::crash;
use crate::error::BootError;
use crate::heap::BootHeap;
use crate::machine::{MachineInfo, Mpidr};
use crate::range::PaRange;
use crate::record::BootRecord;
use crate::stage1::{Attr, Stage1, Window};

/// The program that boot is for.
pub trait Engine: Sized + 'static {
    /// What the cores share; made by the primary before it starts the others.
    type Shared: Sync + 'static;

    /// The vector table for EL2, aligned to 2 KiB. In force from the moment the MMU is on.
    fn vectors() -> u64;

    /// How many bytes of memory the engine needs for this machine.
    fn memory_needed(machine: &MachineInfo) -> u64;

    /// The boot core, MMU on, no other core running.
    fn primary(boot: Boot<Self>) -> !;

    /// Any other core, MMU on. Calls [`CpuBoot::arrive`] when it is ready.
    fn secondary(cpu: CpuBoot, shared: &'static Self::Shared) -> !;

    /// Tells by [`console::write_in_crash`](crate::console::write_in_crash) what the cores did last, behind a
    /// crash record. Any core may be anywhere in its work.
    fn last_words(shared: &'static Self::Shared);
}

/// What the primary hands to the engine.
#[derive(Debug)]
pub struct Boot<E: Engine> {
    /// The machine.
    pub machine: &'static MachineInfo,
    /// The engine's memory, all of it that is not in use yet.
    pub heap: BootHeap,
    /// The engine's address space. The device tree is still mapped, read-only; the engine unmaps
    /// it when it has no more use for it.
    pub stage1: Stage1,
    /// Where the image lies, stacks and zeroed data included.
    pub image: PaRange,
    /// Where all other memory of the engine lies.
    pub region: PaRange,
    /// The boot core's window.
    pub window: Window,
    records: &'static mut [BootRecord],
    engine: PhantomData<E>,
}

impl<E: Engine> Boot<E> {
    pub(crate) fn new(
        machine: &'static MachineInfo,
        heap: BootHeap,
        stage1: Stage1,
        image: PaRange,
        region: PaRange,
        window: Window,
        records: &'static mut [BootRecord],
    ) -> Self {
        Self {
            machine,
            heap,
            stage1,
            image,
            region,
            window,
            records,
            engine: PhantomData,
        }
    }

    /// Maps `range` for as long as boot needs to see it.
    pub fn map(&mut self, range: PaRange, attr: Attr) -> Result<(), BootError> {
        self.stage1.map(range.pages_around(), attr, &mut self.heap)
    }

    /// Unmaps what [`Boot::map`] mapped, or the device tree.
    pub fn unmap(&mut self, range: PaRange) {
        self.stage1.unmap(range.pages_around());
    }

    /// Every core of the machine, this one first, with the window that it alone writes.
    pub fn cores(&self) -> impl Iterator<Item = (Mpidr, Window)> + '_ {
        let others = self
            .records
            .iter()
            .map(|record| (record.mpidr, record.window));
        core::iter::once((cores::this_mpidr(), self.window)).chain(others)
    }

    /// Starts every other core and returns when all have arrived, or no more are coming.
    pub fn start_secondaries(self, shared: &'static E::Shared) -> Started {
        let records = self.records;
        for record in records.iter_mut() {
            record.context = core::ptr::from_ref(shared).addr() as u64;
        }
        let records: &'static [BootRecord] = records;
        crash::keep_last_words::<E>(shared);
        Started {
            up: cores::start_all(records).saturating_add(1),
            heap: self.heap,
            records,
        }
    }
}

/// The outcome of [`Boot::start_secondaries`].
#[derive(Debug)]
pub struct Started {
    /// How many cores are up, the boot core counted.
    pub up: usize,
    /// What is left of the engine's memory.
    pub heap: BootHeap,
    records: &'static [BootRecord],
}

impl Started {
    /// The cores that did not arrive, and never will.
    pub fn missing(&self) -> impl Iterator<Item = (CpuId, Mpidr)> {
        let missing = self.records.iter().filter(|it| !it.arrival.has_come());
        missing.map(|record| (record.cpu, record.mpidr))
    }
}

/// A secondary's own knowledge of itself.
#[derive(Debug)]
pub struct CpuBoot {
    record: &'static BootRecord,
}

impl CpuBoot {
    /// Its number.
    pub fn id(&self) -> CpuId {
        self.record.cpu
    }

    /// Its affinity.
    pub fn mpidr(&self) -> Mpidr {
        self.record.mpidr
    }

    /// Its window.
    pub fn window(&self) -> Window {
        self.record.window
    }

    /// Tells the primary that this core is ready. Does not return if it was given up meanwhile.
    pub fn arrive(self) {
        if !self.record.arrival.arrive() {
            crate::firmware::halt();
        }
    }
}

/// Where a secondary's Rust begins.
///
/// # Safety
///
/// Called once per core by the entry code, in the regime of `record`, which is the core's own.
pub(crate) unsafe extern "C" fn enter_secondary<E: Engine>(record: *const BootRecord) -> ! {
    // SAFETY: PSCI passes on the pointer that `cores::start_all` gave it, to a static record.
    let record = unsafe { &*record };
    if cores::this_mpidr() != record.mpidr {
        record.arrival.disown();
        crate::firmware::halt();
    }
    // SAFETY: `start_secondaries` stored the address of an `E::Shared` that lives for ever, before
    // this core was started.
    let shared = unsafe { &*(record.context as usize as *const E::Shared) };
    E::secondary(CpuBoot { record }, shared)
}

/// Makes `$engine` the engine of this image.
#[macro_export]
macro_rules! entry {
    ($engine:ty) => {
        /// Where the entry code enters Rust: MMU off, the image relocated.
        ///
        /// # Safety
        ///
        /// Called once, by the entry code.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn smp_boot_primary(
            dtb: u64,
            el: u64,
            e2h: u64,
        ) -> *const $crate::record::BootRecord {
            // SAFETY: the entry code's promise is passed on.
            unsafe { $crate::primary::enter::<$engine>(dtb, el, e2h) }
        }
    };
}

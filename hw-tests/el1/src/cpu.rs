//! Cores: per-core state behind `TPIDR_EL1`, and secondaries.
//!
//! Invariants: `TPIDR_EL1` points to this core's [`Cpu`] from the first line of Rust on and never
//! changes; cells of a [`Cpu`] are written by their own core alone. Core 0 is the boot core, the
//! others follow in the device tree's order.

use crate::{PAGE, machine::machine, mmu, pages, psci};
use aarch64_cpu::{
    asm::{self, barrier},
    registers::{MPIDR_EL1, Readable, TPIDR_EL1, Writeable},
};
use alloc::{boxed::Box, vec::Vec};
use core::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
};
use spin::Once;

/// Bytes of a secondary's stack.
const STACK: u64 = 64 << 10;
/// Affinity fields of MPIDR_EL1 (Arm ARM D24.2.117).
const AFFINITY: u64 = 0xff_00ff_ffff;

/// A core.
pub struct Cpu {
    /// Its number here.
    pub index: usize,
    /// Its affinity.
    pub mpidr: u64,
    /// Where a probed access resumes; 0 when none is under way.
    pub(crate) resume: Cell<u64>,
    /// Base of its redistributor, 0 until it was looked for.
    pub(crate) redistributor: Cell<u64>,
    /// Whether its redistributor and CPU interface are set up.
    pub(crate) has_gic: Cell<bool>,
    online: AtomicBool,
}

// SAFETY: the cells are reached through `this` alone, hence by their own core; the rest is atomic
// or never written.
unsafe impl Sync for Cpu {}

impl Cpu {
    const fn new(index: usize, mpidr: u64) -> Self {
        Self {
            index,
            mpidr,
            resume: Cell::new(0),
            redistributor: Cell::new(0),
            has_gic: Cell::new(false),
            online: AtomicBool::new(false),
        }
    }

    /// Whether the core has reached Rust.
    pub fn is_online(&self) -> bool {
        // Acquire: pairs with the Release in `el1_secondary_start`; its core's start is seen.
        self.online.load(Ordering::Acquire)
    }
}

/// What a secondary starts with. Its entry code reads the first two fields with the MMU off.
#[repr(C, align(64))]
pub(crate) struct Start {
    table: u64,
    stack_top: u64,
    cpu: &'static Cpu,
    main: fn() -> !,
}

/// Serves the boot core until its affinity and the others are known.
static EARLY: Cpu = Cpu::new(0, 0);
static CORES: Once<Vec<&'static Cpu>> = Once::new();

/// This core's affinity.
pub fn mpidr() -> u64 {
    MPIDR_EL1.get() & AFFINITY
}

/// This core.
pub fn this() -> &'static Cpu {
    // SAFETY: TPIDR_EL1 holds a pointer to a `Cpu` that lives for ever, set before any Rust that
    // asks.
    unsafe { &*(TPIDR_EL1.get() as *const Cpu) }
}

/// All cores of the device tree.
pub fn all() -> &'static [&'static Cpu] {
    CORES.get().expect("the runtime lists the cores first")
}

pub(crate) fn adopt_boot_core() {
    TPIDR_EL1.set(&raw const EARLY as u64);
}

/// Lists the cores.
pub(crate) fn init() {
    let cores = CORES.call_once(|| {
        let cores = machine().cores.iter().enumerate();
        cores
            .map(|(index, &mpidr)| &*Box::leak(Box::new(Cpu::new(index, mpidr))))
            .collect()
    });
    TPIDR_EL1.set(&raw const *cores[0] as u64);
    // Release: as in `el1_secondary_start`.
    cores[0].online.store(true, Ordering::Release);
}

/// Starts core `index` at `main`, with a stack of its own.
pub fn start(index: usize, main: fn() -> !) -> Result<(), psci::Error> {
    let stack = pages::take(STACK / PAGE, PAGE).ok_or(psci::Error::InternalFailure)?;
    let start = Box::leak(Box::new(Start {
        table: mmu::root(),
        stack_top: stack + STACK,
        cpu: all()[index],
        main,
    }));
    // SAFETY: cleaning a line changes no content; the record fills one line of 64 bytes.
    unsafe { core::arch::asm!("dc cvac, {}", in(reg) &raw const *start) };
    barrier::dsb(barrier::SY);
    let entry: unsafe extern "C" fn() -> ! = el1_secondary_entry;
    psci::cpu_on(
        all()[index].mpidr,
        entry as usize as u64,
        &raw const *start as u64,
    )
}

unsafe extern "C" {
    fn el1_secondary_entry() -> !;
}

/// First Rust of a secondary.
#[unsafe(no_mangle)]
extern "C" fn el1_secondary_start(start: &'static Start) -> ! {
    TPIDR_EL1.set(&raw const *start.cpu as u64);
    // Release: pairs with the Acquire in `Cpu::is_online`.
    start.cpu.online.store(true, Ordering::Release);
    (start.main)()
}

/// Sleeps for ever, deaf: for a core with nothing more to do.
pub fn park() -> ! {
    loop {
        asm::wfi();
    }
}

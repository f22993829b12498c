//! What one core needs to get from its first instruction at EL2 into Rust, and where it says that
//! it has.
//!
//! The first part is read by the entry code with the MMU off, so a record is cleaned to the point
//! of coherency before its core is started, and not written by the primary afterwards. Only
//! `arrival` changes later, once, by whoever is first: the core, or the primary that gives it up.

use percpu::CpuId;

use crate::arrival::Arrival;
use crate::machine::Mpidr;
use crate::stage1::Window;

/// Values of the EL2 regime's registers, the same on every core.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Regime {
    /// MAIR_EL2.
    pub mair: u64,
    /// TCR_EL2.
    pub tcr: u64,
    /// SCTLR_EL2, with the MMU on.
    pub sctlr: u64,
    /// VBAR_EL2.
    pub vbar: u64,
}

/// One core's boot record. The assembly reads the `repr(C)` head by `offset_of!`.
#[derive(Debug)]
#[repr(C, align(256))]
pub struct BootRecord {
    /// The EL2 regime.
    pub regime: Regime,
    /// TTBR0_EL2: this core's own root.
    pub ttbr: u64,
    /// Initial SP.
    pub stack_top: u64,
    /// Where Rust begins, with the record's address in x0.
    pub entry: unsafe extern "C" fn(*const BootRecord) -> !,
    /// The engine's shared state for a secondary; the device tree for the primary.
    pub context: u64,
    /// Which core this is for.
    pub mpidr: Mpidr,
    /// Its number.
    pub cpu: CpuId,
    /// Its window.
    pub window: Window,
    /// Whether it has come.
    pub arrival: Arrival,
}

//! The EL1 physical timer, PPI 30: one deadline per core.
//!
//! Invariants: written by this core alone; the interrupt masks the timer, so that it comes once per
//! [`arm`]. Arm ARM D12.2.4.

use crate::cpu;
use aarch64_cpu::{
    asm::{self, barrier},
    registers::{CNTFRQ_EL0, CNTP_CTL_EL0, CNTP_CVAL_EL0, CNTPCT_EL0, Readable, Writeable},
};

/// The timer's interrupt.
pub const INTID: u32 = 30;

/// The counter.
pub fn now() -> u64 {
    // The barrier keeps the read from being moved before what came earlier.
    barrier::isb(barrier::SY);
    CNTPCT_EL0.get()
}

/// Counter ticks a second.
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// Counter ticks in `millis` milliseconds.
pub fn ticks(millis: u64) -> u64 {
    frequency() * millis / 1000
}

/// Interrupts this core when the counter reaches `deadline`.
pub fn arm(deadline: u64) {
    CNTP_CVAL_EL0.set(deadline);
    CNTP_CTL_EL0.write(CNTP_CTL_EL0::ENABLE::SET);
    barrier::isb(barrier::SY);
}

/// Sleeps for about `micros` microseconds, or until any interrupt is pending, and takes none. The
/// deadline stays what it was. Before the core's GIC is set up nothing could end the sleep: then it
/// returns at once.
pub fn pause(micros: u64) {
    if !cpu::this().has_gic.get() {
        return;
    }
    let (control, deadline) = (CNTP_CTL_EL0.get(), CNTP_CVAL_EL0.get());
    arm(now() + frequency() * micros / 1_000_000);
    barrier::dsb(barrier::SY);
    asm::wfi();
    CNTP_CTL_EL0.set(0);
    CNTP_CVAL_EL0.set(deadline);
    CNTP_CTL_EL0.set(control);
    barrier::isb(barrier::SY);
}

/// Takes the deadline back.
pub fn disarm() {
    CNTP_CTL_EL0.write(CNTP_CTL_EL0::ENABLE::CLEAR);
    barrier::isb(barrier::SY);
}

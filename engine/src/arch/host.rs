//! Running the host, and what the engine must know or set of its EL1.
//!
//! Invariant: all of this is used only while the host's registers are loaded (no session is open).

use super::calls::HostCalls;
use super::el1::{self, WalkControl};
use super::enter::{ExitKind, enter_host};
use super::regs::*;
use crate::vcpu::context::{El1Regs, HostFrame, SCTLR_EL1_RESET};
use smp_boot::crash;

/// Why the host stopped: ESR_EL2, FAR_EL2 and HPFAR_EL2 (valid for aborts only).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostExit {
    /// ESR_EL2.
    pub esr: u64,
    /// FAR_EL2.
    pub far: u64,
    /// HPFAR_EL2.
    pub hpfar: u64,
}

/// Runs the host until it needs more of the engine than an answer to a call.
pub fn run(frame: &mut HostFrame, calls: &mut HostCalls) -> HostExit {
    // Interrupts and SErrors of the host go to its own EL1: HCR_EL2.{IMO, FMO, AMO} are clear. If not, the core is in
    // a state that this engine did not set, as with an exception from EL2 itself.
    if enter_host(&mut frame.0, calls) != ExitKind::Sync {
        crash::end(format_args!(
            "the host took an asynchronous exception to EL2"
        ));
    }
    HostExit {
        esr: ESR_EL2.get(),
        far: FAR_EL2.get(),
        hpfar: HPFAR_EL2.get(),
    }
}

/// Puts the core's EL1 into the state in which PSCI starts a core (DEN0022 6.4): MMU off, all else
/// zero, timers off. Also so that nobody finds what an earlier owner left there.
pub fn reset_el1(pauth: bool) {
    let reset = El1Regs {
        sctlr: SCTLR_EL1_RESET,
        ..El1Regs::new()
    };
    WalkControl::of(&reset).apply();
    #[cfg(not(mutant = "reset-no-isb-between"))]
    isb();
    el1::load(&reset, pauth);
    MDSCR_EL1.set(0);
    CNTP_CTL_EL0.set(0);
    CNTV_CTL_EL0.set(0);
    #[cfg(not(mutant = "reset-no-isb"))]
    isb();
}

/// VBAR_EL1 and SCTLR_EL1.
pub fn vectors() -> (u64, u64) {
    (VBAR_EL1.get(), SCTLR_EL1.get())
}

/// What exception entry to EL1 writes.
pub fn set_exception(elr: u64, spsr: u64, esr: u64, far: u64) {
    ELR_EL1.set(elr);
    SPSR_EL1.set(spsr);
    ESR_EL1.set(esr);
    FAR_EL1.set(far);
}

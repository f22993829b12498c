//! The time that a core spends with guests: from the first run after the host to the host's return.
//!
//! Invariants:
//! - open: all that the host has in registers which a guest shares is in [`Session`], and the
//!   guests' controls are in force; closed: the host's registers and controls are loaded, none of a
//!   guest's values is in a register that the host can read;
//! - a guest's registers are in its `Context` whenever `run` is not on the stack, FP included. What
//!   the hardware still holds after a run is dead: the next `run` or `close` writes over it;
//! - VTTBR_EL2 changes only after a DSB that drains this core's walks, and an ISB follows before
//!   anything relies on the new one (scenarios 2 and 4).

use super::el1::{self, WalkControl};
use super::features::CoreFeatures;
use super::redistributor::Redistributor;
use super::regs::*;
use super::{controls, enter, fp, init};
use crate::vcpu::context::{El1Regs, FpRegs};

/// The EL2 physical timer's interrupt (BSA's number; PPI 10).
const PPI_HYPERVISOR_TIMER: u32 = 26;
/// The GIC's maintenance interrupt (BSA's number; PPI 9): list registers have room again.
const PPI_MAINTENANCE: u32 = 25;
/// The virtual timer's.
pub(super) const PPI_VIRTUAL_TIMER: u32 = 27;

/// The host's state while guests have the core.
#[derive(Debug)]
pub struct Session {
    /// Whether the rest is in use.
    open: bool,
    /// Whether `fp` holds the host's FP registers; otherwise they are still loaded.
    pub(super) fp_saved: bool,
    vttbr: u64,
    el1: El1Regs,
    pub(super) fp: FpRegs,
    cntv_ctl: u64,
    cntv_cval: u64,
    icc_pmr: u64,
    icc_igrpen1: u64,
}

impl Session {
    /// No session: the host has the core.
    pub const fn new() -> Self {
        Self {
            open: false,
            fp_saved: false,
            vttbr: 0,
            el1: El1Regs::new(),
            fp: FpRegs::new(),
            cntv_ctl: 0,
            cntv_cval: 0,
            icc_pmr: 0,
            icc_igrpen1: 0,
        }
    }

    /// Whether guests have the core.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Takes the core from the host. Its EL1 registers stay loaded until a guest's replace them.
    pub fn open(&mut self, core: &CoreFeatures, redistributor: &Redistributor) {
        if self.open {
            return;
        }
        self.open = true;
        self.fp_saved = false;
        self.vttbr = VTTBR_EL2.get();
        el1::save(&mut self.el1, core.pauth);
        self.el1.mdscr = MDSCR_EL1.get();
        self.cntv_cval = CNTV_CVAL_EL0.get();
        self.cntv_ctl = CNTV_CTL_EL0.get();
        CNTV_CTL_EL0.set(0);
        // The host's interrupts end a run whatever the host masks: it will see them, still pending.
        self.icc_pmr = ICC_PMR_EL1.get();
        self.icc_igrpen1 = ICC_IGRPEN1_EL1.get();
        ICC_PMR_EL1.set(0xff);
        ICC_IGRPEN1_EL1.set(1);
        // All three are low unless a guest runs, so the host gets nothing that it did not start.
        redistributor.enable_private([PPI_MAINTENANCE, PPI_HYPERVISOR_TIMER, PPI_VIRTUAL_TIMER]);
        #[cfg(not(mutant = "open-keep-vectors"))]
        VBAR_EL2.set(enter::guest_vectors());
        HCR_EL2.set(core.controls.hcr_guest);
        MDCR_EL2.set(core.controls.mdcr_guest);
        CNTHCTL_EL2.set(controls::CNTHCTL_GUEST);
        ICC_SRE_EL2.set(controls::ICC_SRE_GUEST);
    }

    /// Leaves a guest's regime for the host's, which the last guest's registers do not go with: nothing walks
    /// until `run` or `close` has loaded those that do. EL2 makes no walks of EL1&0 by itself, and cores that
    /// do, by erratum, are told not to.
    pub fn leave_regime(&self, core: &CoreFeatures) {
        if self.open {
            switch_regime(core, self.vttbr);
        }
    }

    /// Gives the core back to the host, whose regime is current.
    pub fn close(&mut self, core: &CoreFeatures) {
        if !self.open {
            return;
        }
        self.open = false;
        init::set_host_controls(core);
        if cfg!(not(mutant = "switch-leak-el1")) {
            el1::load(&self.el1, core.pauth);
        }
        MDSCR_EL1.set(self.el1.mdscr);
        CNTVOFF_EL2.set(0);
        CNTV_CVAL_EL0.set(self.cntv_cval);
        CNTV_CTL_EL0.set(self.cntv_ctl);
        ICC_PMR_EL1.set(self.icc_pmr);
        ICC_IGRPEN1_EL1.set(self.icc_igrpen1);
        // Everything that walks depend on, before walks are allowed again.
        #[cfg(not(mutant = "close-no-isb-before-walks"))]
        isb();
        WalkControl::of(&self.el1).apply();
        if self.fp_saved {
            // CPTR_EL2.TFP is clear since the ISB.
            if cfg!(not(mutant = "switch-leak-fp")) {
                fp::load(&self.fp);
            }
            self.fp_saved = false;
        }
        #[cfg(not(mutant = "close-no-isb"))]
        isb();
    }
}

/// Makes `vttbr` the regime of EL1 and EL0, in front of loading the registers that go with it.
pub(super) fn switch_regime(core: &CoreFeatures, vttbr: u64) {
    // Walks that began under the old registers end under them.
    if cfg!(not(mutant = "switch-no-dsb")) {
        dsb_ish();
    }
    if core.walks_from_el2 {
        WalkControl::forbid_walks();
    }
    VTTBR_EL2.set(vttbr);
    if cfg!(not(mutant = "switch-no-vttbr-isb")) {
        isb();
    }
}

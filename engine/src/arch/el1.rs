//! Saving and loading the EL1 and EL0 registers of which the hardware holds one copy.
//!
//! Invariant: what `save` reads and `load` writes is the same list, written down once. Registers
//! that neither host nor guest can write have no place in it: ACTLR_EL1 (HCR_EL2.TACR), LORegions
//! (TLOR) and IMPLEMENTATION DEFINED registers (TIDCP) trap; SCXTNUM_ELx (HCR_EL2.EnSCXT = 0),
//! TCR2_EL1 and SCTLR2_EL1 (HCRX_EL2 = 0), PIR, POR, TPIDR2_EL0 and what else came with
//! FEAT_FGT's negative bits (HFGRTR_EL2 = 0) do too. PMU registers trap; debug registers are the
//! host's and trap for guests, whose MDSCR_EL1 is loaded by `guest`.

use super::regs::*;
use crate::vcpu::context::El1Regs;

/// Both directions of the list of fields and registers.
macro_rules! el1_registers {
    ($($(#[$part:meta])? $field:ident: $register:ident),* $(,)?) => {
        /// Reads the registers, pointer-authentication keys excepted.
        fn save_registers(regs: &mut El1Regs) {
            $($(#[$part])? { regs.$field = $register.get(); })*
        }

        /// Writes the registers, pointer-authentication keys excepted.
        fn load_registers(regs: &El1Regs) {
            $($(#[$part])? { $register.set(regs.$field); })*
        }
    };
}

el1_registers! {
    cpacr: CPACR_EL1,
    ttbr0: TTBR0_EL1,
    ttbr1: TTBR1_EL1,
    mair: MAIR_EL1,
    amair: AMAIR_EL1,
    vbar: VBAR_EL1,
    contextidr: CONTEXTIDR_EL1,
    esr: ESR_EL1,
    far: FAR_EL1,
    afsr0: AFSR0_EL1,
    afsr1: AFSR1_EL1,
    #[cfg(not(mutant = "el1-keep-par"))]
    par: PAR_EL1,
    elr: ELR_EL1,
    spsr: SPSR_EL1,
    sp_el0: SP_EL0,
    sp_el1: SP_EL1,
    tpidr_el0: TPIDR_EL0,
    tpidrro_el0: TPIDRRO_EL0,
    tpidr_el1: TPIDR_EL1,
    cntkctl: CNTKCTL_EL1,
    csselr: CSSELR_EL1,
}

/// The registers that decide whether EL1&0 walks happen: they come last when a regime is loaded.
#[derive(Clone, Copy, Debug)]
pub struct WalkControl {
    tcr: u64,
    sctlr: u64,
}

/// TCR_EL1.EPD0 and EPD1: a TLB miss faults instead of walking.
const EPD: u64 = 1 << 7 | 1 << 23;
/// SCTLR_EL1.M.
const SCTLR_M: u64 = 1;

impl WalkControl {
    /// As the hardware has it.
    pub fn current() -> Self {
        Self {
            tcr: TCR_EL1.get(),
            sctlr: SCTLR_EL1.get(),
        }
    }

    /// What `regs` wants.
    pub fn of(regs: &El1Regs) -> Self {
        Self {
            tcr: regs.tcr,
            sctlr: regs.sctlr,
        }
    }

    /// Puts it in force with the next context synchronisation.
    pub fn apply(self) {
        TCR_EL1.set(self.tcr);
        SCTLR_EL1.set(self.sctlr);
    }

    /// Turns walks of the EL1&0 regime off and synchronises. `EPD` counts only with the MMU on.
    pub fn forbid_walks() {
        TCR_EL1.set(TCR_EL1.get() | EPD);
        // Stage 1 must not be on, even for an instant, without EPD in force.
        #[cfg(not(mutant = "walks-no-isb-between"))]
        isb();
        SCTLR_EL1.set(SCTLR_EL1.get() | SCTLR_M);
        #[cfg(not(mutant = "walks-no-isb"))]
        isb();
    }
}

/// Reads all EL1 and EL0 registers.
pub fn save(regs: &mut El1Regs, pauth: bool) {
    save_registers(regs);
    regs.tcr = TCR_EL1.get();
    regs.sctlr = SCTLR_EL1.get();
    if pauth {
        save_keys(&mut regs.pauth_keys);
    }
}

/// Writes all of them but [`WalkControl`].
pub fn load(regs: &El1Regs, pauth: bool) {
    load_registers(regs);
    if pauth {
        load_keys(&regs.pauth_keys);
    }
}

/// Reads the pointer-authentication keys.
fn save_keys(keys: &mut [u64; 10]) {
    *keys = [
        APIAKeyLo_EL1.get(),
        APIAKeyHi_EL1.get(),
        APIBKeyLo_EL1.get(),
        APIBKeyHi_EL1.get(),
        APDAKeyLo_EL1.get(),
        APDAKeyHi_EL1.get(),
        APDBKeyLo_EL1.get(),
        APDBKeyHi_EL1.get(),
        APGAKeyLo_EL1.get(),
        APGAKeyHi_EL1.get(),
    ];
}

/// Writes the pointer-authentication keys.
fn load_keys(keys: &[u64; 10]) {
    let [
        ia_lo,
        ia_hi,
        ib_lo,
        ib_hi,
        da_lo,
        da_hi,
        db_lo,
        db_hi,
        ga_lo,
        ga_hi,
    ] = *keys;
    APIAKeyLo_EL1.set(ia_lo);
    APIAKeyHi_EL1.set(ia_hi);
    APIBKeyLo_EL1.set(ib_lo);
    APIBKeyHi_EL1.set(ib_hi);
    APDAKeyLo_EL1.set(da_lo);
    APDAKeyHi_EL1.set(da_hi);
    APDBKeyLo_EL1.set(db_lo);
    APDBKeyHi_EL1.set(db_hi);
    APGAKeyLo_EL1.set(ga_lo);
    APGAKeyHi_EL1.set(ga_hi);
}

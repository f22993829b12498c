//! This core's EL2 registers at start: every trap and routing control gets a known value.
//!
//! Invariants: idempotent, so a core that comes back from power-down runs it again; afterwards the
//! host's controls are in force and no EL1&0 translation of any earlier software is cached. What
//! firmware left in EL1 registers is not the engine's business: PSCI's entry state is set by
//! `host::reset_el1`.

use super::controls::*;
use super::enter;
use super::features::{self, CoreFeatures};
use super::regs::*;
use core::arch::asm;
use core::fmt;

/// The host's stage-2 regime, the same on every core.
#[derive(Clone, Copy, Debug)]
pub struct HostRegime {
    /// VTCR_EL2, of every VM.
    pub vtcr: u64,
    /// VTTBR_EL2 of the host.
    pub vttbr: u64,
}

/// Why the engine can't run on this core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// HCR_EL2.E2H is fixed to 1 (no FEAT_E2H0).
    HostExtensionsOnly,
    /// No system registers for the GIC, or EL3 keeps them.
    NoGicRegisters,
    /// No 4 KiB pages at stage 1 or stage 2.
    NoSmallPages,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostExtensionsOnly => "the core can't run with HCR_EL2.E2H = 0",
            Self::NoGicRegisters => "the core has no GICv3 system registers at EL2",
            Self::NoSmallPages => "the core has no 4 KiB translation granule",
        })
    }
}

/// Looks for reasons not to run on this core. To be called before [`init_core`].
pub fn check_core() -> Result<(), Refusal> {
    if HCR_EL2.is_set(HCR_EL2::E2H) {
        return Err(Refusal::HostExtensionsOnly);
    }
    if !features::has_4k_pages() {
        return Err(Refusal::NoSmallPages);
    }
    if !features::has_gic_registers() {
        return Err(Refusal::NoGicRegisters);
    }
    ICC_SRE_EL2.set(ICC_SRE_HOST);
    #[cfg(not(mutant = "check-no-isb"))]
    isb();
    if !ICC_SRE_EL2.is_set(ICC_SRE_EL2::SRE) {
        return Err(Refusal::NoGicRegisters);
    }
    Ok(())
}

/// Sets this core's EL2 registers for the host.
pub fn init_core(core: &CoreFeatures, host: HostRegime) {
    // First: until it is in force, the GIC's other registers may be UNDEFINED.
    ICC_SRE_EL2.set(ICC_SRE_HOST);
    #[cfg(not(mutant = "init-no-sre-isb"))]
    isb();
    silence_monitors();
    open_new_features_to_nobody();
    HSTR_EL2.set(0);
    HACR_EL2.set(0);
    CNTVOFF_EL2.set(0);
    CNTHP_CTL_EL2.set(0);
    ICC_SRE_EL1.set(0b111);
    ICH_HCR_EL2.set(0);
    if core.ras {
        VDISR_EL2.set(0);
    }
    VTCR_EL2.set(host.vtcr);
    VTTBR_EL2.set(host.vttbr);
    set_host_controls(core);
    #[cfg(not(mutant = "init-no-isb-before"))]
    isb();
    forget_translations();
}

/// Puts the host's trap and routing controls in force with the next context synchronisation.
pub fn set_host_controls(core: &CoreFeatures) {
    VBAR_EL2.set(enter::host_vectors());
    HCR_EL2.set(core.controls.hcr_host);
    MDCR_EL2.set(core.controls.mdcr_host);
    CPTR_EL2.set(CPTR_HOST);
    CNTHCTL_EL2.set(CNTHCTL_HOST);
    ICC_SRE_EL2.set(ICC_SRE_HOST);
    VPIDR_EL2.set(MIDR_EL1.get());
    VMPIDR_EL2.set(MPIDR_EL1.get());
}

/// Turns off what counts, samples or traces, since nobody may use it (see `controls`).
fn silence_monitors() {
    if features::has_pmu() {
        PMCR_EL0.set(0);
    }
    if features::has_profiling() {
        PMSCR_EL2.set(0);
        PMBLIMITR_EL1.set(0);
    }
    if features::has_trace_buffer() {
        TRBLIMITR_EL1.set(0);
    }
    if features::has_trace_filter() {
        TRFCR_EL2.set(0);
    }
    if features::has_mpam() {
        // TRAPMPAM0EL1 and TRAPMPAM1EL1; partition 0 for the engine.
        MPAM2_EL2.set(0b11 << 48);
    }
}

/// Fine-grained controls at zero: a positive bit traps nothing, a negative ("n") bit traps, and
/// HCRX_EL2's enables deny. So registers that came with newer extensions trap on both sides.
fn open_new_features_to_nobody() {
    if features::has_hcrx() {
        HCRX_EL2.set(0);
    }
    let level = features::fine_grained_traps();
    if level >= 1 {
        HFGRTR_EL2.set(0);
        HFGWTR_EL2.set(0);
        HFGITR_EL2.set(0);
        HDFGRTR_EL2.set(0);
        HDFGWTR_EL2.set(0);
        if features::has_activity_monitors() {
            HAFGRTR_EL2.set(0);
        }
    }
    if level >= 2 {
        HFGRTR2_EL2.set(0);
        HFGWTR2_EL2.set(0);
        HFGITR2_EL2.set(0);
        HDFGRTR2_EL2.set(0);
        HDFGWTR2_EL2.set(0);
    }
}

/// Drops every EL1&0 translation that this core may have from software before us (scenario 3), and
/// its instruction cache.
fn forget_translations() {
    if cfg!(mutant = "init-keep-tlb") {
        return;
    }
    // SAFETY: dropping cached translations and instructions is always allowed; the barriers make
    // it complete before anything runs at EL1.
    unsafe {
        asm!(
            #[cfg(not(mutant = "init-no-dsb-before"))]
            "dsb nshst",
            "tlbi alle1",
            #[cfg(not(mutant = "init-no-ic"))]
            "ic iallu",
            #[cfg(not(mutant = "init-no-dsb"))]
            "dsb nsh",
            #[cfg(not(mutant = "init-no-isb"))]
            "isb",
            options(nostack, preserves_flags)
        );
    }
}

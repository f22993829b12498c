//! System registers in Arm's spelling: those of `aarch64-cpu`, and here the ones that it lacks.
//!
//! Invariants: a register is named by its encoding (`S3_op1_Cn_Cm_op2`), so that no assembler has
//! to know the extension that brought it; whether a core has it is for the caller to know. Every
//! read and write is a side effect to the compiler, which keeps their order; none of them touches
//! memory, and none of them synchronises: an ISB, an ERET or an exception entry must follow a write
//! before anything that depends on it.

#![expect(non_camel_case_types, reason = "Arm's spelling")]

pub use aarch64_cpu::registers::{
    AFSR0_EL1, AFSR1_EL1, AMAIR_EL1, CNTFRQ_EL0, CNTHCTL_EL2, CNTKCTL_EL1, CNTP_CTL_EL0,
    CNTPCT_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVOFF_EL2, CONTEXTIDR_EL1, CPACR_EL1, CPTR_EL2,
    CSSELR_EL1, ELR_EL1, ESR_EL1, ESR_EL2, FAR_EL1, FAR_EL2, HCR_EL2, HPFAR_EL2, ICC_SRE_EL2,
    ICH_HCR_EL2, ICH_VMCR_EL2, ICH_VTR_EL2, ID_AA64DFR0_EL1, ID_AA64ISAR0_EL1, ID_AA64ISAR1_EL1,
    ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, ID_AA64MMFR2_EL1, ID_AA64PFR0_EL1, ID_AA64PFR1_EL1,
    MAIR_EL1, MDCR_EL2, MDSCR_EL1, MIDR_EL1, MPIDR_EL1, PAR_EL1, SCTLR_EL1, SP_EL0, SP_EL1,
    SPSR_EL1, TCR_EL1, TPIDR_EL0, TPIDR_EL1, TPIDR_EL2, TPIDRRO_EL0, TTBR0_EL1, TTBR1_EL1,
    VBAR_EL1, VBAR_EL2, VMPIDR_EL2, VTCR_EL2, VTTBR_EL2,
};
pub use aarch64_cpu::registers::{Readable, Writeable};

use core::arch::asm;

/// Declares registers by encoding, with the `get` and `set` of `aarch64-cpu`'s.
macro_rules! system_registers {
    ($($name:ident = $encoding:literal;)*) => {$(
        pub struct $name;

        impl $name {
            #[inline]
            #[allow(dead_code, reason = "not every register is read")]
            pub fn get(&self) -> u64 {
                let value;
                // SAFETY: reads a system register; touches no memory.
                unsafe {
                    asm!(concat!("mrs {}, ", $encoding), out(reg) value,
                        options(nomem, nostack, preserves_flags));
                }
                value
            }

            #[inline]
            #[allow(dead_code, reason = "not every register is written")]
            pub fn set(&self, value: u64) {
                // SAFETY: writes a system register of a lower level's or of this level's
                // configuration that is not in force for the engine's own code and data.
                unsafe {
                    asm!(concat!("msr ", $encoding, ", {}"), in(reg) value,
                        options(nomem, nostack, preserves_flags));
                }
            }
        }
    )*};
}

system_registers! {
    // Identification.
    CTR_EL0 = "S3_3_C0_C0_1";
    DCZID_EL0 = "S3_3_C0_C0_7";
    ID_AA64ISAR2_EL1 = "S3_0_C0_C6_2";
    VPIDR_EL2 = "S3_4_C0_C0_0";
    // Trap configuration.
    HACR_EL2 = "S3_4_C1_C1_7";
    HSTR_EL2 = "S3_4_C1_C1_3";
    HCRX_EL2 = "S3_4_C1_C2_2";
    HFGRTR_EL2 = "S3_4_C1_C1_4";
    HFGWTR_EL2 = "S3_4_C1_C1_5";
    HFGITR_EL2 = "S3_4_C1_C1_6";
    HDFGRTR_EL2 = "S3_4_C3_C1_4";
    HDFGWTR_EL2 = "S3_4_C3_C1_5";
    HAFGRTR_EL2 = "S3_4_C3_C1_6";
    HDFGRTR2_EL2 = "S3_4_C3_C1_0";
    HDFGWTR2_EL2 = "S3_4_C3_C1_1";
    HFGRTR2_EL2 = "S3_4_C3_C1_2";
    HFGWTR2_EL2 = "S3_4_C3_C1_3";
    HFGITR2_EL2 = "S3_4_C3_C1_7";
    MPAM2_EL2 = "S3_4_C10_C5_0";
    // Trace, profiling, performance monitors.
    TRFCR_EL2 = "S3_4_C1_C2_1";
    PMSCR_EL2 = "S3_4_C9_C9_0";
    PMBLIMITR_EL1 = "S3_0_C9_C10_0";
    TRBLIMITR_EL1 = "S3_0_C9_C11_0";
    PMCR_EL0 = "S3_3_C9_C12_0";
    // SError (FEAT_RAS).
    DISR_EL1 = "S3_0_C12_C1_1";
    VDISR_EL2 = "S3_4_C12_C1_1";
    ISR_EL1 = "S3_0_C12_C1_0";
    // Timer.
    CNTHP_CTL_EL2 = "S3_4_C14_C2_1";
    CNTHP_CVAL_EL2 = "S3_4_C14_C2_2";
    // GIC CPU interface (IHI0069 12.2).
    ICC_PMR_EL1 = "S3_0_C4_C6_0";
    ICC_CTLR_EL1 = "S3_0_C12_C12_4";
    ICC_HPPIR1_EL1 = "S3_0_C12_C12_2";
    ICC_SGI1R_EL1 = "S3_0_C12_C11_5";
    ICC_SRE_EL1 = "S3_0_C12_C12_5";
    ICC_IGRPEN1_EL1 = "S3_0_C12_C12_7";
    ICH_AP0R0_EL2 = "S3_4_C12_C8_0";
    ICH_AP0R1_EL2 = "S3_4_C12_C8_1";
    ICH_AP0R2_EL2 = "S3_4_C12_C8_2";
    ICH_AP0R3_EL2 = "S3_4_C12_C8_3";
    ICH_AP1R0_EL2 = "S3_4_C12_C9_0";
    ICH_AP1R1_EL2 = "S3_4_C12_C9_1";
    ICH_AP1R2_EL2 = "S3_4_C12_C9_2";
    ICH_AP1R3_EL2 = "S3_4_C12_C9_3";
    ICH_LR0_EL2 = "S3_4_C12_C12_0";
    ICH_LR1_EL2 = "S3_4_C12_C12_1";
    ICH_LR2_EL2 = "S3_4_C12_C12_2";
    ICH_LR3_EL2 = "S3_4_C12_C12_3";
    ICH_LR4_EL2 = "S3_4_C12_C12_4";
    ICH_LR5_EL2 = "S3_4_C12_C12_5";
    ICH_LR6_EL2 = "S3_4_C12_C12_6";
    ICH_LR7_EL2 = "S3_4_C12_C12_7";
    ICH_LR8_EL2 = "S3_4_C12_C13_0";
    ICH_LR9_EL2 = "S3_4_C12_C13_1";
    ICH_LR10_EL2 = "S3_4_C12_C13_2";
    ICH_LR11_EL2 = "S3_4_C12_C13_3";
    ICH_LR12_EL2 = "S3_4_C12_C13_4";
    ICH_LR13_EL2 = "S3_4_C12_C13_5";
    ICH_LR14_EL2 = "S3_4_C12_C13_6";
    ICH_LR15_EL2 = "S3_4_C12_C13_7";
    // Pointer-authentication keys (FEAT_PAuth).
    APIAKeyLo_EL1 = "S3_0_C2_C1_0";
    APIAKeyHi_EL1 = "S3_0_C2_C1_1";
    APIBKeyLo_EL1 = "S3_0_C2_C1_2";
    APIBKeyHi_EL1 = "S3_0_C2_C1_3";
    APDAKeyLo_EL1 = "S3_0_C2_C2_0";
    APDAKeyHi_EL1 = "S3_0_C2_C2_1";
    APDBKeyLo_EL1 = "S3_0_C2_C2_2";
    APDBKeyHi_EL1 = "S3_0_C2_C2_3";
    APGAKeyLo_EL1 = "S3_0_C2_C3_0";
    APGAKeyHi_EL1 = "S3_0_C2_C3_1";
}

/// `ISB`: what was written to system registers is in force for the instructions that follow.
#[inline]
pub fn isb() {
    // SAFETY: a barrier changes no state; not `nomem`, so no access moves across it.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// `DSB ISH`: every access, walk and invalidation before it is complete.
#[inline]
pub fn dsb_ish() {
    // SAFETY: as for `isb`.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
}

/// `DSB SY`: as `dsb_ish`, for the whole system, devices included.
#[inline]
pub fn dsb_sy() {
    // SAFETY: as for `isb`.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

//! The values of SCTLR_EL2, TCR_EL2 and MAIR_EL2: the EL2 regime as the engine runs it.
//!
//! HCR_EL2, VTCR_EL2, CPTR_EL2 and all else about EL1 are the engine's, not boot's; boot only
//! clears HCR_EL2 but for RW.

use aarch64_cpu::registers::{ID_AA64MMFR0_EL1, Readable, SCTLR_EL2, TCR_EL2};

use crate::record::Regime;
use crate::stage1;

/// Bits 31 and 23 of TCR_EL2 with E2H = 0 (Arm ARM D24.2).
const TCR_RES1: u64 = 1 << 31 | 1 << 23;

/// Bits of SCTLR_EL2 that are RES1 with E2H = 0, or were before an extension gave them a meaning
/// that one keeps: 29, 28, 23, 22 (EIS), 18, 16, 11 (EOS), 5, 4.
const SCTLR_RES1: u64 = 0x30c5_0830;

/// The regime with `vbar` as vectors, for cores like the one that runs this.
pub fn choose(vbar: u64) -> Regime {
    // PARange of 0b0110 (52 bits) and above needs LPA2 tables; 48 bits are what these have.
    let parange = ID_AA64MMFR0_EL1.read(ID_AA64MMFR0_EL1::PARange).min(0b101);
    let tcr = TCR_EL2::PS.val(parange)
        + TCR_EL2::TG0::KiB_4
        + TCR_EL2::SH0::Inner
        + TCR_EL2::ORGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable
        + TCR_EL2::IRGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable
        + TCR_EL2::T0SZ.val(16);
    let sctlr = SCTLR_EL2::M::Enable
        + SCTLR_EL2::C::Cacheable
        + SCTLR_EL2::I::Cacheable
        + SCTLR_EL2::SA::Enable
        + SCTLR_EL2::WXN::Enable;
    Regime {
        mair: stage1::MAIR,
        tcr: tcr.value | TCR_RES1,
        sctlr: sctlr.value | SCTLR_RES1,
        vbar,
    }
}

/// This core's physical address size in bits, as far as these tables reach.
pub fn pa_bits() -> u32 {
    match ID_AA64MMFR0_EL1.read(ID_AA64MMFR0_EL1::PARange) {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        _ => 48,
    }
}

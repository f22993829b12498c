//! From ESR_EL2 to a reason (Arm ARM D19.2.37, ESR_EL2).
//!
//! Invariant: [`Trap::decode`] is total: a class that the engine does not know is [`Trap::Other`].

use super::sysreg::SysregId;

mod abort;
#[cfg(test)]
mod tests;

pub use abort::{Abort, Access, FaultAddress, FaultKind};

/// ESR_ELx.EC: the exception class.
pub mod class {
    /// Unknown reason: an undefined instruction.
    pub const UNKNOWN: u8 = 0x00;
    /// Trapped WFI, WFE, WFIT or WFET.
    pub const WFX: u8 = 0x01;
    /// Trapped SVE, Advanced SIMD or floating-point access.
    pub const FP_ACCESS: u8 = 0x07;
    /// Trapped use of a pointer authentication instruction or key.
    pub const PAUTH: u8 = 0x09;
    /// Illegal execution state.
    pub const ILLEGAL: u8 = 0x0e;
    /// HVC from AArch64.
    pub const HVC: u8 = 0x16;
    /// SMC from AArch64.
    pub const SMC: u8 = 0x17;
    /// Trapped MSR, MRS or system instruction.
    pub const SYSREG: u8 = 0x18;
    /// Trapped SVE access.
    pub const SVE: u8 = 0x19;
    /// Trapped SME access.
    pub const SME: u8 = 0x1d;
    /// Instruction abort from a lower exception level.
    pub const INSTR_ABORT_LOWER: u8 = 0x20;
    /// Instruction abort without a change of exception level.
    pub const INSTR_ABORT_SAME: u8 = 0x21;
    /// Data abort from a lower exception level.
    pub const DATA_ABORT_LOWER: u8 = 0x24;
    /// Data abort without a change of exception level.
    pub const DATA_ABORT_SAME: u8 = 0x25;
}

/// Why a lower exception level trapped to EL2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// Unknown reason: an instruction that is undefined at EL2's word, such as HVC while disabled.
    Unknown,
    /// WFI or WFE.
    Wfx {
        /// It waits for an event, not for an interrupt.
        is_wfe: bool,
        /// WFIT or WFET: it also ends by itself at a counter value.
        is_timed: bool,
    },
    /// First use of FP/SIMD registers.
    FpAccess,
    /// Pointer authentication that EL2 has switched off.
    PauthAccess,
    /// Use of SVE.
    Sve,
    /// Use of SME.
    Sme,
    /// HVC; the return address is behind it.
    Hvc {
        /// Its immediate.
        imm: u16,
    },
    /// SMC; the return address is the instruction itself.
    Smc {
        /// Its immediate.
        imm: u16,
    },
    /// MSR, MRS or a system instruction; the return address is the instruction itself.
    Sysreg(SysregAccess),
    /// A load, store, cache maintenance by address, or an instruction fetch.
    Abort(Abort),
    /// PSTATE.IL was set.
    Illegal,
    /// A debug exception routed to EL2: its class.
    Debug(u8),
    /// A trapped AArch32 instruction, from an EL0 that the ID registers do not offer: its class.
    Aarch32(u8),
    /// Any other class.
    Other(u8),
}

impl Trap {
    /// Decodes ESR_EL2. Inlined: else all of it goes through memory by the byte.
    #[inline(always)]
    pub fn decode(esr: u64) -> Self {
        let iss = (esr & ISS) as u32;
        match exception_class(esr) {
            class::UNKNOWN => Self::Unknown,
            // ISS.TI: WFI, WFE, WFIT, WFET.
            class::WFX => Self::Wfx {
                is_wfe: bit(iss, 0),
                is_timed: bit(iss, 1),
            },
            class::FP_ACCESS => Self::FpAccess,
            class::PAUTH => Self::PauthAccess,
            class::ILLEGAL => Self::Illegal,
            class::HVC => Self::Hvc { imm: iss as u16 },
            class::SMC => Self::Smc { imm: iss as u16 },
            class::SYSREG => Self::Sysreg(SysregAccess::of(esr)),
            class::SVE => Self::Sve,
            class::SME => Self::Sme,
            class::INSTR_ABORT_LOWER => Self::Abort(Abort::of_fetch(esr)),
            class::DATA_ABORT_LOWER => Self::Abort(Abort::of_data(esr)),
            ec @ 0x30..=0x3f => Self::Debug(ec),
            // CP15, CP14, VMRS, BXJ, SVC, HVC and SMC of AArch32.
            ec @ (0x03..=0x06 | 0x08 | 0x0c | 0x11..=0x13) => Self::Aarch32(ec),
            ec => Self::Other(ec),
        }
    }
}

/// ESR_ELx.ISS.
const ISS: u64 = 0x1ff_ffff;

/// ESR_ELx.EC.
pub const fn exception_class(esr: u64) -> u8 {
    (esr >> 26 & 0x3f) as u8
}

/// A trapped MSR, MRS or system instruction (ISS of class 0x18).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SysregAccess {
    /// The register.
    pub register: SysregId,
    /// The general register: 31 is XZR.
    pub rt: u8,
    /// MRS, rather than MSR or a system instruction.
    pub is_read: bool,
}

impl SysregAccess {
    /// The access of an exception of class [`class::SYSREG`].
    pub fn of(esr: u64) -> Self {
        let iss = (esr & ISS) as u32;
        let field = |lsb: u32, width: u32| (iss >> lsb & ((1 << width) - 1)) as u8;
        Self {
            register: SysregId::new(
                field(20, 2),
                field(14, 3),
                field(10, 4),
                field(1, 4),
                field(17, 3),
            ),
            rt: field(5, 5),
            is_read: bit(iss, 0),
        }
    }
}

fn bit(word: u32, index: u32) -> bool {
    word >> index & 1 != 0
}

//! Exception entry to EL1, done by hand: what the core would do if it took the exception itself
//! (Arm ARM J1.1.1 `AArch64.TakeException`, D1.3.2 and D19.2.37).
//!
//! Invariants: the target is always EL1 in AArch64; nothing of the interrupted state is lost but
//! what hardware loses too; a guest's registers are written only in its own [`Context`], the host's
//! are returned for the caller to set.

use super::syndrome::{Abort, class};
use super::sysreg::{IdRegisters, reg};
use crate::vcpu::context::Context;

#[cfg(test)]
mod tests;

const NZCV: u64 = 0xf << 28;
const TCO: u64 = 1 << 25;
const DIT: u64 = 1 << 24;
const PAN: u64 = 1 << 22;
const SSBS: u64 = 1 << 12;
const DAIF: u64 = 0xf << 6;
const AARCH32: u64 = 1 << 4;
const EL_MASK: u64 = 0b11 << 2;
const EL1: u64 = 0b01 << 2;
const SP_ELX: u64 = 1;

const SCTLR_SPAN: u64 = 1 << 23;
const SCTLR_DSSBS: u64 = 1 << 44;

const ESR_IL: u64 = 1 << 25;
const ISS_CM: u64 = 1 << 8;
const ISS_WNR: u64 = 1 << 6;
/// Synchronous external abort on the access itself.
const FSC_EXTERNAL: u64 = 0b01_0000;
/// The same on a walk; the level goes in the low bits.
const FSC_EXTERNAL_ON_WALK: u64 = 0b01_0100;

/// Kinds of exception, as offsets in a quarter of the vector table (Arm ARM D1.3.1.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Synchronous.
    Sync = 0x000,
    /// IRQ.
    Irq = 0x080,
    /// FIQ.
    Fiq = 0x100,
    /// System error.
    SError = 0x180,
}

/// The PSTATE fields that entry sets on this machine. What the core has counts, not what the
/// feature-ID policy shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PstateFeatures {
    /// FEAT_PAN.
    pub pan: bool,
    /// FEAT_SSBS.
    pub ssbs: bool,
    /// FEAT_MTE: PSTATE.TCO exists.
    pub tco: bool,
}

impl PstateFeatures {
    /// From the machine's ID registers.
    pub fn new(real: &IdRegisters) -> Self {
        Self {
            pan: real.field(reg::ID_AA64MMFR1_EL1, 20) != 0,
            ssbs: real.field(reg::ID_AA64PFR1_EL1, 4) != 0,
            tco: real.field(reg::ID_AA64PFR1_EL1, 8) != 0,
        }
    }
}

/// Where and how EL1 goes on: the new PC and PSTATE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// In the vector table.
    pub pc: u64,
    /// EL1h, masked.
    pub pstate: u64,
}

/// Computes entry to EL1 from `pstate`, with the given VBAR_EL1 and SCTLR_EL1.
pub fn enter_el1(kind: Kind, pstate: u64, vbar: u64, sctlr: u64, has: PstateFeatures) -> Entry {
    let from = if pstate & AARCH32 != 0 {
        0x600
    } else if pstate & EL_MASK == 0 {
        0x400
    } else if pstate & SP_ELX != 0 {
        0x200
    } else {
        0x000
    };
    // BTYPE, SS, IL and UAO end here. The kept bits lie alike in AArch32's PSTATE.
    let mut entered = pstate & (NZCV | DIT) | DAIF | EL1 | SP_ELX;
    if has.pan && (pstate & PAN != 0 || sctlr & SCTLR_SPAN == 0) {
        entered |= PAN;
    }
    if has.ssbs && sctlr & SCTLR_DSSBS != 0 {
        entered |= SSBS;
    }
    if has.tco {
        entered |= TCO;
    }
    // VBAR_EL1 bits 10:0 are RES0.
    Entry {
        pc: (vbar & !0x7ff).wrapping_add(from | kind as u64),
        pstate: entered,
    }
}

/// ESR_EL1 of an undefined instruction.
pub const fn undefined_syndrome() -> u64 {
    (class::UNKNOWN as u64) << 26 | ESR_IL
}

/// An external abort to be reported at EL1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExternalAbort {
    /// On a fetch, rather than a load or store.
    pub is_instruction: bool,
    /// WnR.
    pub is_write: bool,
    /// CM.
    pub is_cache_op: bool,
    /// On a stage-1 walk: at which level, 0 to 3.
    pub walk_level: Option<u8>,
}

impl ExternalAbort {
    /// The answer to an abort taken to EL2.
    pub fn to(abort: Abort) -> Self {
        let level = abort.level().filter(|_| abort.on_walk());
        Self {
            is_instruction: abort.is_fetch(),
            is_write: abort.is_write(),
            is_cache_op: abort.is_cache_op(),
            walk_level: level.map(|level| level.max(0) as u8),
        }
    }

    /// ESR_EL1, for an exception from the state `pstate`.
    pub fn syndrome(&self, pstate: u64) -> u64 {
        let is_lower = pstate & AARCH32 != 0 || pstate & EL_MASK == 0;
        let class = match (self.is_instruction, is_lower) {
            (true, true) => class::INSTR_ABORT_LOWER,
            (true, false) => class::INSTR_ABORT_SAME,
            (false, true) => class::DATA_ABORT_LOWER,
            (false, false) => class::DATA_ABORT_SAME,
        };
        let mut iss = self.walk_level.map_or(FSC_EXTERNAL, |level| {
            FSC_EXTERNAL_ON_WALK | u64::from(level & 0b11)
        });
        if !self.is_instruction && self.is_write {
            iss |= ISS_WNR;
        }
        if !self.is_instruction && self.is_cache_op {
            iss |= ISS_CM;
        }
        u64::from(class) << 26 | ESR_IL | iss
    }
}

/// A synchronous exception taken to EL1: new state, and what the EL1 registers become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Where EL1 goes on.
    pub entry: Entry,
    /// ELR_EL1: the instruction that is blamed.
    pub elr: u64,
    /// SPSR_EL1: its PSTATE.
    pub spsr: u64,
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1. Zero where the architecture leaves it UNKNOWN.
    pub far: u64,
}

/// What EL1 saw when it was interrupted, and where its exceptions go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupted {
    /// The instruction that is blamed.
    pub pc: u64,
    /// Its PSTATE.
    pub pstate: u64,
    /// VBAR_EL1.
    pub vbar: u64,
    /// SCTLR_EL1.
    pub sctlr: u64,
}

impl Interrupted {
    /// Takes an undefined-instruction exception.
    pub fn take_undefined(&self, has: PstateFeatures) -> Taken {
        self.take(undefined_syndrome(), 0, has)
    }

    /// Takes an external abort on `far`.
    pub fn take_abort(&self, abort: &ExternalAbort, far: u64, has: PstateFeatures) -> Taken {
        self.take(abort.syndrome(self.pstate), far, has)
    }

    fn take(&self, esr: u64, far: u64, has: PstateFeatures) -> Taken {
        Taken {
            entry: enter_el1(Kind::Sync, self.pstate, self.vbar, self.sctlr, has),
            elr: self.pc,
            spsr: self.pstate,
            esr,
            far,
        }
    }
}

/// Makes a guest take an undefined-instruction exception at its current instruction.
pub fn inject_undefined(context: &mut Context, has: PstateFeatures) {
    let taken = interrupted(context).take_undefined(has);
    apply(context, &taken);
}

/// Makes a guest take an external abort on `far` at its current instruction.
pub fn inject_abort(context: &mut Context, abort: &ExternalAbort, far: u64, has: PstateFeatures) {
    let taken = interrupted(context).take_abort(abort, far, has);
    apply(context, &taken);
}

fn interrupted(context: &Context) -> Interrupted {
    Interrupted {
        pc: context.frame.pc,
        pstate: context.frame.pstate,
        vbar: context.el1.vbar,
        sctlr: context.el1.sctlr,
    }
}

fn apply(context: &mut Context, taken: &Taken) {
    context.frame.pc = taken.entry.pc;
    context.frame.pstate = taken.entry.pstate;
    context.el1.elr = taken.elr;
    context.el1.spsr = taken.spsr;
    context.el1.esr = taken.esr;
    context.el1.far = taken.far;
}

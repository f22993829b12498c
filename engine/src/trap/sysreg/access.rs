//! The answers to trapped MSR and MRS.
//!
//! Invariants: a register without a row, or used in a direction that its row does not have, is
//! UNDEFINED; the only state touched is the guest's shadow of MDSCR_EL1, and whatever is stored
//! there is safe to load into the hardware while the guest runs.

use super::features::{Side, shown};
use super::id::IdRegisters;
use super::number::{SysregId, reg};
use crate::trap::syndrome::SysregAccess;
use crate::vcpu::context::El1Regs;

/// What became of a trapped access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SysregOutcome {
    /// MRS: the register reads as this.
    Read(u64),
    /// MSR: done, or without effect.
    Written,
    /// MSR to an SGI register: send one.
    SendSgi {
        /// What was written (GIC specification IHI0069 12.2.16, ICC_SGI1R_EL1).
        value: u64,
        /// The group of the interrupts that it reaches.
        group: SgiGroup,
    },
    /// MRS of the physical counter: read it for the VM.
    Counter,
    /// The access is UNDEFINED: inject that.
    Undefined,
}

/// Interrupt groups of a GIC with one security state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SgiGroup {
    /// Group 0.
    Zero,
    /// Group 1.
    One,
}

/// What MRS of a register gives.
#[derive(Clone, Copy)]
enum OnRead {
    Undefined,
    Is(u64),
    Mdscr,
    Counter,
}

/// What MSR of a register does.
#[derive(Clone, Copy)]
enum OnWrite {
    Undefined,
    Ignored,
    Mdscr,
    Sgi(SgiGroup),
}

/// Bits of MDSCR_EL1 that a guest may set: SS, TDCC, KDE. MDE stays clear, since the breakpoint
/// registers of the core hold the host's values; nor may a guest touch what the OS lock guards.
pub const MDSCR_GUEST: u64 = 1 << 13 | 1 << 12 | 1;

/// OSLSR_EL1: OS lock implemented (OSLM 0b10) and open.
const OS_LOCK_OPEN: u64 = 1 << 3;
/// DBGAUTHSTATUS_EL1: no external debug is offered, of either security state.
const NO_EXTERNAL_DEBUG: u64 = 0;
/// ICC_SRE_EL1: system registers only, no bypass.
const SRE_DIB_DFB: u64 = 0b111;

/// A guest's registers beside the feature-ID space.
///
/// Debug (Arm ARM H9, D19.3): Linux resets the two breakpoints and watchpoints, opens the OS lock
/// and writes MDSCR_EL1 on every core; all but the last have no effect. Not listed, so UNDEFINED:
/// PMU, SPE, trace, AMU, MPAM, RAS, LORegions, SCXTNUM, the physical timer, and whatever is
/// IMPLEMENTATION DEFINED.
const GUEST: &[(SysregId, OnRead, OnWrite)] = {
    use OnRead::{Counter, Is, Mdscr};
    use OnWrite::{Ignored, Sgi};
    const NO_READ: OnRead = OnRead::Undefined;
    const NO_WRITE: OnWrite = OnWrite::Undefined;
    &[
        (reg::ACTLR_EL1, Is(0), Ignored),
        (reg::CNTPCT_EL0, Counter, NO_WRITE),
        (reg::CNTPCTSS_EL0, Counter, NO_WRITE),
        (reg::ICC_SGI1R_EL1, NO_READ, Sgi(SgiGroup::One)),
        // With one security state there is no other Group 1 to reach.
        (reg::ICC_ASGI1R_EL1, NO_READ, Ignored),
        (reg::ICC_SGI0R_EL1, NO_READ, Sgi(SgiGroup::Zero)),
        (reg::ICC_SRE_EL1, Is(SRE_DIB_DFB), Ignored),
        // Set/way maintenance says nothing about memory that moves between cores.
        (reg::DC_ISW, NO_READ, Ignored),
        (reg::DC_CSW, NO_READ, Ignored),
        (reg::DC_CISW, NO_READ, Ignored),
        (reg::MDSCR_EL1, Mdscr, OnWrite::Mdscr),
        (reg::MDCCINT_EL1, Is(0), Ignored),
        (reg::OSDTRRX_EL1, Is(0), Ignored),
        (reg::OSDTRTX_EL1, Is(0), Ignored),
        (reg::OSECCR_EL1, Is(0), Ignored),
        (reg::MDRAR_EL1, Is(0), NO_WRITE),
        (reg::OSLAR_EL1, NO_READ, Ignored),
        (reg::OSLSR_EL1, Is(OS_LOCK_OPEN), NO_WRITE),
        (reg::OSDLR_EL1, Is(0), Ignored),
        (reg::DBGPRCR_EL1, Is(0), Ignored),
        (reg::DBGCLAIMSET_EL1, Is(0), Ignored),
        (reg::DBGCLAIMCLR_EL1, Is(0), Ignored),
        (reg::DBGAUTHSTATUS_EL1, Is(NO_EXTERNAL_DEBUG), NO_WRITE),
        (reg::DBGBVR0_EL1, Is(0), Ignored),
        (reg::DBGBVR1_EL1, Is(0), Ignored),
        (reg::DBGBCR0_EL1, Is(0), Ignored),
        (reg::DBGBCR1_EL1, Is(0), Ignored),
        (reg::DBGWVR0_EL1, Is(0), Ignored),
        (reg::DBGWVR1_EL1, Is(0), Ignored),
        (reg::DBGWCR0_EL1, Is(0), Ignored),
        (reg::DBGWCR1_EL1, Is(0), Ignored),
        (reg::MDCCSR_EL0, Is(0), NO_WRITE),
        (reg::DBGDTR_EL0, Is(0), Ignored),
        (reg::DBGDTRRX_EL0, Is(0), Ignored),
    ]
};

/// Answers a guest's MRS.
pub fn guest_read(register: SysregId, real: &IdRegisters, el1: &El1Regs) -> SysregOutcome {
    if register.as_feature().is_some() {
        return SysregOutcome::Read(shown(Side::Guest, register, real));
    }
    match GUEST
        .iter()
        .find(|row| row.0 == register)
        .map_or(OnRead::Undefined, |row| row.1)
    {
        OnRead::Undefined => SysregOutcome::Undefined,
        OnRead::Is(value) => SysregOutcome::Read(value),
        OnRead::Mdscr => SysregOutcome::Read(el1.mdscr),
        OnRead::Counter => SysregOutcome::Counter,
    }
}

/// Answers a guest's MSR of `value`, or a system instruction.
pub fn guest_write(register: SysregId, value: u64, el1: &mut El1Regs) -> SysregOutcome {
    match GUEST
        .iter()
        .find(|row| row.0 == register)
        .map_or(OnWrite::Undefined, |row| row.2)
    {
        OnWrite::Undefined => SysregOutcome::Undefined,
        OnWrite::Ignored => SysregOutcome::Written,
        OnWrite::Mdscr => {
            el1.mdscr = value & MDSCR_GUEST;
            SysregOutcome::Written
        }
        OnWrite::Sgi(group) => SysregOutcome::SendSgi { value, group },
    }
}

/// Answers the host: it reads feature-ID registers, and has no use for ACTLR_EL1. Whatever else
/// traps is not the host's.
pub fn answer_host(access: SysregAccess, real: &IdRegisters) -> SysregOutcome {
    match (access.register, access.is_read) {
        (register, true) if register.as_feature().is_some() => {
            SysregOutcome::Read(shown(Side::Host, register, real))
        }
        (reg::ACTLR_EL1, true) => SysregOutcome::Read(0),
        (reg::ACTLR_EL1, false) => SysregOutcome::Written,
        _ => SysregOutcome::Undefined,
    }
}

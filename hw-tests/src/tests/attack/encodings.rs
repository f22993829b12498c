//! The space of system registers and instructions as this core has it: no list of what there should be.
//!
//! Invariants: a register is here if its MRS at EL1 gives a value, and its reading changes nothing; every instruction
//! that has an encoding is here, whether the core knows it or not.

use crate::{
    code::{self, Sysreg},
    outcome::{TestResult, check},
};
use alloc::vec::Vec;
use spin::Once;

/// Reads that do something, or whose value is the time's, the interrupts', the probing's or a debugger's own.
const RESTLESS: &[Sysreg] = &[
    Sysreg(2, 0, 0, 0, 2),   // OSDTRRX_EL1
    Sysreg(2, 0, 0, 3, 2),   // OSDTRTX_EL1
    Sysreg(2, 3, 0, 1, 0),   // MDCCSR_EL0
    Sysreg(2, 3, 0, 4, 0),   // DBGDTR_EL0
    Sysreg(2, 3, 0, 5, 0),   // DBGDTRRX_EL0
    Sysreg(3, 0, 4, 0, 0),   // SPSR_EL1
    Sysreg(3, 0, 4, 0, 1),   // ELR_EL1
    Sysreg(3, 0, 12, 1, 0),  // ISR_EL1
    Sysreg(3, 0, 12, 8, 0),  // ICC_IAR0_EL1
    Sysreg(3, 0, 12, 8, 2),  // ICC_HPPIR0_EL1
    Sysreg(3, 0, 12, 12, 0), // ICC_IAR1_EL1
    Sysreg(3, 0, 12, 12, 2), // ICC_HPPIR1_EL1
    Sysreg(3, 0, 12, 9, 5),  // ICC_NMIAR1_EL1
    Sysreg(3, 3, 2, 4, 0),   // RNDR
    Sysreg(3, 3, 2, 4, 1),   // RNDRRS
    Sysreg(3, 3, 4, 2, 0),   // NZCV
    Sysreg(3, 3, 14, 0, 1),  // CNTPCT_EL0
    Sysreg(3, 3, 14, 0, 2),  // CNTVCT_EL0
    Sysreg(3, 3, 14, 0, 5),  // CNTPCTSS_EL0
    Sysreg(3, 3, 14, 0, 6),  // CNTVCTSS_EL0
    Sysreg(3, 3, 14, 2, 0),  // CNTP_TVAL_EL0
    Sysreg(3, 3, 14, 2, 1),  // CNTP_CTL_EL0: ISTATUS
    Sysreg(3, 3, 14, 3, 0),  // CNTV_TVAL_EL0
    Sysreg(3, 3, 14, 3, 1),  // CNTV_CTL_EL0: ISTATUS
];

/// Every encoding with this op0.
fn space(op0: u32) -> impl Iterator<Item = Sysreg> {
    (0..8 * 16 * 16 * 8).map(move |place| {
        let (op1, crn) = (place >> 11, place >> 7 & 0xf);
        Sysreg(op0, op1, crn, place >> 3 & 0xf, place & 7)
    })
}

/// Registers that can be read at EL1: debug and trace, op0 2, and all others, op0 3.
pub fn readable() -> TestResult<&'static [Sysreg]> {
    static FOUND: Once<Vec<Sysreg>> = Once::new();
    FOUND.try_call_once(search).map(Vec::as_slice)
}

fn search() -> TestResult<Vec<Sysreg>> {
    let mut found = Vec::new();
    for register in space(2).chain(space(3)) {
        if RESTLESS.contains(&register) {
            continue;
        }
        // SAFETY: a read that does nothing.
        if unsafe { code::run_here(&[register.mrs(0)])? }.is_ok() {
            found.push(register);
        }
    }
    for op0 in [2, 3] {
        let count = found.iter().filter(|register| register.0 == op0).count();
        let least = [4, 30][op0 as usize - 2];
        check!(
            count > least,
            "only {count} registers of op0 {op0} can be read"
        );
    }
    Ok(found)
}

/// Every system instruction with an operand: op0 1.
pub fn instructions() -> impl Iterator<Item = Sysreg> {
    space(1)
}

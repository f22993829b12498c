//! Accesses that may fault: a synchronous exception comes back as a value.
//!
//! Invariant: between the store to the core's `resume` word and the access nothing else can fault,
//! and the handler clears the word when it uses it. Written by this core alone: the probing
//! function sets and clears, [`crate::exceptions`] consumes.

use crate::cpu;
use core::{arch::asm, fmt};

/// What the exception said (Arm ARM D24.2: ESR_EL1, FAR_EL1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Syndrome.
    pub esr: u64,
    /// Faulting virtual address.
    pub far: u64,
}

impl Fault {
    /// Exception class: 0x25 data abort, 0x21 instruction abort, both from EL1 itself.
    pub fn class(self) -> u64 {
        self.esr >> 26 & 0x3f
    }

    /// Fault status code of an abort.
    pub fn status(self) -> u64 {
        self.esr & 0x3f
    }

    /// Whether this is a data or instruction abort of this exception level.
    pub fn is_abort(self) -> bool {
        matches!(self.class(), 0x21 | 0x25)
    }

    /// Whether it is an external abort of the access itself, as which the engine answers one to what is not the
    /// host's (Arm ARM D24.2.37: DFSC 0b01_0000).
    pub fn is_external(self) -> bool {
        self.is_abort() && self.status() == 0b01_0000
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "esr {:#x} far {:#x}", self.esr, self.far)
    }
}

/// Loads 64 bits from `address`.
pub fn load(address: u64) -> Result<u64, Fault> {
    let (value, far, faulted): (u64, u64, u64);
    // SAFETY: the load changes nothing; a fault resumes at label 2 with x0 = ESR, x1 = FAR, x2 = 1.
    unsafe {
        asm!(
            "adr x2, 2f",
            "str x2, [{slot}]",
            "mov x2, #0",
            "ldr x0, [x0]",
            "2: str xzr, [{slot}]",
            slot = in(reg) cpu::this().resume.as_ptr(),
            inout("x0") address => value,
            out("x1") far,
            out("x2") faulted,
            options(nostack),
        );
    }
    answer(value, far, faulted)
}

/// Stores 64 bits to `address`.
///
/// # Safety
/// If the store succeeds, the memory there is not in use by Rust.
pub unsafe fn store(address: u64, value: u64) -> Result<u64, Fault> {
    let (result, far, faulted): (u64, u64, u64);
    // SAFETY: the caller answers for the store; a fault resumes at label 2 as in `load`.
    unsafe {
        asm!(
            "adr x2, 2f",
            "str x2, [{slot}]",
            "mov x2, #0",
            "str {value}, [x0]",
            "2: str xzr, [{slot}]",
            slot = in(reg) cpu::this().resume.as_ptr(),
            value = in(reg) value,
            inout("x0") address => result,
            out("x1") far,
            out("x2") faulted,
            options(nostack),
        );
    }
    answer(result, far, faulted)
}

/// Calls `address` as a function without arguments and returns its `x0`.
///
/// # Safety
/// If the fetch succeeds, the code there follows the procedure call standard and does no harm.
pub unsafe fn fetch(address: u64) -> Result<u64, Fault> {
    let (result, far, faulted): (u64, u64, u64);
    // SAFETY: the caller answers for the code; a fault resumes at label 2 as in `load`.
    // x21 outlives the call, as the standard makes it callee-saved.
    unsafe {
        asm!(
            "adr x2, 2f",
            "str x2, [x21]",
            "mov x2, #0",
            "blr x0",
            "mov x2, #0",
            "2: str xzr, [x21]",
            in("x21") cpu::this().resume.as_ptr(),
            inout("x0") address => result,
            out("x1") far,
            out("x2") faulted,
            clobber_abi("C"),
        );
    }
    answer(result, far, faulted)
}

/// Turns the three registers of a probe into its result.
fn answer(value: u64, far: u64, faulted: u64) -> Result<u64, Fault> {
    match faulted {
        0 => Ok(value),
        _ => Err(Fault { esr: value, far }),
    }
}

//! The way down to EL1 and back: `enter` and the exception vectors of EL2.
//!
//! `enter` looks to its caller like a function that runs the host or a guest and returns why it
//! stopped. Invariants:
//! - between the ERET and the exception that ends it, SP_EL2 points to the record that `enter`
//!   pushed: the frame's address, then the caller's registers (AAPCS64: x19–x30 are its own);
//! - on return everything that EL1 and EL0 had in x0–x30, PC and PSTATE is in the frame; no
//!   register that the caller may rely on was changed by them;
//! - the host and guests have a table of vectors each, which differ in what `calls` answers without a return;
//! - one ERET to a lower level is in the image;
//! - DAIF stays masked at EL2 throughout: exception entry sets it and nothing clears it, so the
//!   engine takes no interrupt. PSTATE.{PAN, UAO, DIT, SSBS, TCO} may keep a lower level's value
//!   at EL2, where with E2H = 0 and pages of one privilege level they decide nothing;
//! - an exception from EL2 itself is the engine's own fault and ends in `smp_boot::crash`, on the
//!   core's emergency stack; but for a memory error of a page in the window (`foreign`).
//!
//! AArch32 at EL0 (HCR_EL2.RW forbids it at EL1) uses the same code: its registers are w0–w14 of
//! x0–x14 and the frame's `pstate` bit 4 is set.

use super::calls::HostCalls;
use crate::vcpu::context::Frame;
use core::arch::global_asm;
use core::mem::{offset_of, size_of};
use core::{ffi::c_void, ptr};

/// Which kind of exception ended a run at a lower level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitKind {
    /// Synchronous: ESR_EL2 says what.
    Sync,
    /// IRQ or FIQ.
    Interrupt,
    /// SError.
    SError,
}

unsafe extern "C" {
    /// The vector table while the host runs.
    static arch_host_vectors: [u32; 512];
    /// The vector table while guests run.
    static arch_guest_vectors: [u32; 512];
    /// Runs `frame` at EL1 or EL0 until the next exception to EL2 that `calls` does not answer.
    /// Returns the place of the vector in its group of four.
    fn arch_enter(frame: *mut Frame, calls: *mut c_void) -> u32;
}

/// Where in the record of `arch_enter` the host's calls stand.
pub(super) const RECORD_CALLS: u64 = 14 * 8;
const RECORD: u64 = 16 * 8;

/// Where the host's vectors are, for VBAR_EL2.
pub fn host_vectors() -> u64 {
    (&raw const arch_host_vectors).addr() as u64
}

/// Where the guests' vectors are, for VBAR_EL2.
pub fn guest_vectors() -> u64 {
    (&raw const arch_guest_vectors).addr() as u64
}

/// Runs the guest in `frame` until the next exception to EL2. Whoever's registers are loaded besides it is the
/// caller's business; the guests' vectors are in force.
#[inline]
pub fn enter(frame: &mut Frame) -> ExitKind {
    // SAFETY: the assembly reads and writes exactly `*frame` and its own stack record, keeps what
    // AAPCS64 says a callee keeps. What runs meanwhile runs at EL1 or EL0, under a stage 2 in which
    // no engine memory is mapped. Guests have no calls that the vectors hand on.
    kind(unsafe { arch_enter(frame, ptr::null_mut()) })
}

/// Runs the host in `frame` until it does something that is no call of the engine's. The host's vectors are in
/// force.
#[inline]
pub fn enter_host(frame: &mut Frame, calls: &mut HostCalls) -> ExitKind {
    // SAFETY: as above; and `calls` is the vectors' alone until they return.
    kind(unsafe { arch_enter(frame, ptr::from_mut(calls).cast()) })
}

const fn kind(vector: u32) -> ExitKind {
    match vector {
        0 => ExitKind::Sync,
        1 | 2 => ExitKind::Interrupt,
        _ => ExitKind::SError,
    }
}

// The assembly stores registers pairwise from offset 0 and relies on this layout.
const _: () = {
    assert!(offset_of!(Frame, x) == 0);
    assert!(offset_of!(Frame, pc) == 31 * size_of::<u64>());
    assert!(offset_of!(Frame, pstate) == offset_of!(Frame, pc) + size_of::<u64>());
};

global_asm!(
    r#"
    .pushsection .text.arch_vectors, "ax"

    .macro crash_vector entry
    .balign 0x80
    mov     x0, #\entry
    b       smp_boot_crash_entry
    .endm

    .macro lower_vector kind
    .balign 0x80
    stp     x0, x1, [sp, #-16]!
    ldr     x0, [sp, #16]
    mov     w1, #\kind
    b       arch_leave
    .endm

    .macro vectors sync
    // From EL2 with SP_EL0: the engine never uses SP_EL0.
    crash_vector 0
    crash_vector 1
    crash_vector 2
    crash_vector 3
    // From EL2 with SP_EL2.
    .balign 0x80
    b       arch_foreign_check
    crash_vector 5
    crash_vector 6
    crash_vector 7
    // From a lower level in AArch64.
    .balign 0x80
    b       \sync
    lower_vector 1
    lower_vector 2
    lower_vector 3
    // From a lower level in AArch32.
    lower_vector 0
    lower_vector 1
    lower_vector 2
    lower_vector 3
    .balign 0x80
    .endm

    .balign 0x800
    .global arch_host_vectors
arch_host_vectors:
    vectors arch_host_sync
    .global arch_guest_vectors
arch_guest_vectors:
    vectors arch_guest_sync

    // A synchronous exception that has no short way.
    .global arch_leave_sync
arch_leave_sync:
    stp     x0, x1, [sp, #-16]!
    ldr     x0, [sp, #16]
    mov     w1, #0

    // x0: frame, w1: kind, [sp]: the lower level's x0 and x1, then the record of arch_enter.
arch_leave:
    stp     x2, x3, [x0, #2 * 8]
    stp     x4, x5, [x0, #4 * 8]
    stp     x6, x7, [x0, #6 * 8]
    stp     x8, x9, [x0, #8 * 8]
    stp     x10, x11, [x0, #10 * 8]
    stp     x12, x13, [x0, #12 * 8]
    stp     x14, x15, [x0, #14 * 8]
    stp     x16, x17, [x0, #16 * 8]
    stp     x18, x19, [x0, #18 * 8]
    stp     x20, x21, [x0, #20 * 8]
    stp     x22, x23, [x0, #22 * 8]
    stp     x24, x25, [x0, #24 * 8]
    stp     x26, x27, [x0, #26 * 8]
    stp     x28, x29, [x0, #28 * 8]
    str     x30, [x0, #30 * 8]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x2, x3, [x0, #{pc}]
    mov     w0, w1
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp, #96]
    ldr     x18, [sp, #8]
    add     sp, sp, #{record}
    ret

    .global arch_enter
    .type arch_enter, %function
arch_enter:
    sub     sp, sp, #{record}
    stp     x0, x18, [sp]
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    stp     x29, x30, [sp, #96]
    str     x1, [sp, #{calls}]
    ldp     x1, x2, [x0, #{pc}]
    // M[3] names EL2 and EL3. Without it a frame that is wrong so far makes an illegal return,
    // which is a crash: nothing in a frame can have EL2 execute at its PC.
    bic     x2, x2, #1 << 3
    msr     elr_el2, x1
    msr     spsr_el2, x2
    ldp     x2, x3, [x0, #2 * 8]
    ldp     x4, x5, [x0, #4 * 8]
    ldp     x6, x7, [x0, #6 * 8]
    ldp     x8, x9, [x0, #8 * 8]
    ldp     x10, x11, [x0, #10 * 8]
    ldp     x12, x13, [x0, #12 * 8]
    ldp     x14, x15, [x0, #14 * 8]
    ldp     x16, x17, [x0, #16 * 8]
    ldp     x18, x19, [x0, #18 * 8]
    ldp     x20, x21, [x0, #20 * 8]
    ldp     x22, x23, [x0, #22 * 8]
    ldp     x24, x25, [x0, #24 * 8]
    ldp     x26, x27, [x0, #26 * 8]
    ldp     x28, x29, [x0, #28 * 8]
    ldr     x30, [x0, #30 * 8]
    ldp     x0, x1, [x0]
    .global arch_return
arch_return:
    eret
    // Nothing is speculated past the ERET.
    "#,
    #[cfg(not(mutant = "eret-no-dsb"))]
    "dsb     nsh",
    #[cfg(not(mutant = "eret-no-isb"))]
    "isb",
    r#"
    .size arch_enter, . - arch_enter
    .popsection
    "#,
    pc = const offset_of!(Frame, pc),
    record = const RECORD,
    calls = const RECORD_CALLS,
);

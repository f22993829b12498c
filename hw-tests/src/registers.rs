//! A hypercall with every general and FP register given before and read after.
//!
//! Invariant: the call is made by assembly that keeps what the procedure call standard says, so
//! that a register which the engine changed shows in the record and does no other harm.

use core::{arch::global_asm, mem::offset_of};

/// x0–x30, v0–v31, FPCR, FPSR.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct Registers {
    /// x0–x30.
    pub x: [u64; 31],
    /// FPCR.
    pub fpcr: u64,
    /// FPSR.
    pub fpsr: u64,
    padding: u64,
    /// v0–v31, low half first.
    pub v: [u64; 64],
}

/// What the host's own registers hold during a call; the low byte is the register's number.
const HOST: u64 = 0x4057_0000_0000_0000;

impl Registers {
    /// The host's own values everywhere.
    pub fn of_host() -> Self {
        Self {
            x: core::array::from_fn(|n| HOST | n as u64),
            fpcr: 1 << 22,
            fpsr: 0x10,
            padding: 0,
            v: core::array::from_fn(|n| HOST | 0x100 | n as u64),
        }
    }
}

unsafe extern "C" {
    fn hwt_hvc(registers: *mut Registers);
    fn hwt_smc(registers: *mut Registers);
}

/// HVC #0 with `registers`, which then hold what the engine left.
pub fn hvc(registers: &mut Registers) {
    // SAFETY: the assembly reads and writes exactly the record and its own stack.
    unsafe { hwt_hvc(registers) };
}

/// SMC #0 with `registers`, which then hold what the engine left.
pub fn smc(registers: &mut Registers) {
    // SAFETY: as in `hvc`.
    unsafe { hwt_smc(registers) };
}

const _: () = {
    assert!(offset_of!(Registers, x) == 0);
    assert!(offset_of!(Registers, fpcr) == 248);
    assert!(offset_of!(Registers, v) == 272);
};

global_asm!(
    r#"
    .pushsection .text.hwt_registers, "ax"
    .arch_extension fp
    .arch_extension simd

    .macro full_call name, instruction
    .global \name
\name:
    sub     sp, sp, #128
    stp     x0, x18, [sp]
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    stp     x29, x30, [sp, #96]
    mrs     x1, cpacr_el1
    orr     x1, x1, #3 << 20
    msr     cpacr_el1, x1
    isb
    ldp     x1, x2, [x0, #248]
    msr     fpcr, x1
    msr     fpsr, x2
    add     x1, x0, #272
    .irp n, 0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30
    full_call_load_v \n, (\n + 1)
    .endr
    .irp n, 2,4,6,8,10,12,14,16,18,20,22,24,26,28
    full_call_load_x \n, (\n + 1)
    .endr
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
    \instruction #0
    stp     x0, x1, [sp, #112]
    ldr     x0, [sp]
    .irp n, 2,4,6,8,10,12,14,16,18,20,22,24,26,28
    full_call_store_x \n, (\n + 1)
    .endr
    str     x30, [x0, #240]
    ldp     x2, x3, [sp, #112]
    stp     x2, x3, [x0]
    add     x1, x0, #272
    .irp n, 0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30
    full_call_store_v \n, (\n + 1)
    .endr
    mrs     x2, fpcr
    mrs     x3, fpsr
    stp     x2, x3, [x0, #248]
    ldp     x0, x18, [sp]
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp, #96]
    add     sp, sp, #128
    ret
    .endm
"#,
    ""
);

//! A hypercall with every general and FP register and the flags given before and read after.
//!
//! Invariant: the call is made by assembly that keeps what the procedure call standard says, so
//! that a register which the engine changed shows in the record and does no other harm.

use core::{arch::global_asm, mem::offset_of};

/// x0–x30, v0–v31, FPCR, FPSR, NZCV.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct Registers {
    /// x0–x30.
    pub x: [u64; 31],
    /// FPCR.
    pub fpcr: u64,
    /// FPSR.
    pub fpsr: u64,
    /// NZCV.
    pub nzcv: u64,
    /// v0–v31, low half first.
    pub v: [u64; 64],
}

/// What the host's own registers hold during a call; the low byte is the register's number.
const HOST: u64 = 0x4057_0000_0000_0000;

/// Z and V: flags that a comparison hardly leaves together.
const FLAGS: u64 = 1 << 30 | 1 << 28;

impl Registers {
    /// The host's own values everywhere.
    pub fn of_host() -> Self {
        Self {
            x: core::array::from_fn(|n| HOST | n as u64),
            fpcr: 1 << 22,
            fpsr: 0x10,
            nzcv: FLAGS,
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
    assert!(offset_of!(Registers, fpsr) == offset_of!(Registers, fpcr) + 8);
    assert!(offset_of!(Registers, v) % 16 == 0);
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
    ldp     x1, x2, [x0, #{fpcr}]
    msr     fpcr, x1
    msr     fpsr, x2
    ldr     x1, [x0, #{nzcv}]
    msr     nzcv, x1
    add     x1, x0, #{v}
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ldr     q\n, [x1, #16 * \n]
    .endr
    .irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    ldr     x\n, [x0, #8 * \n]
    .endr
    ldp     x0, x1, [x0]
    \instruction #0
    stp     x0, x1, [sp, #112]
    ldr     x0, [sp]
    .irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    str     x\n, [x0, #8 * \n]
    .endr
    ldp     x2, x3, [sp, #112]
    stp     x2, x3, [x0]
    add     x1, x0, #{v}
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    str     q\n, [x1, #16 * \n]
    .endr
    mrs     x2, nzcv
    str     x2, [x0, #{nzcv}]
    mrs     x2, fpcr
    mrs     x3, fpsr
    stp     x2, x3, [x0, #{fpcr}]
    ldr     x18, [sp, #8]
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp, #96]
    add     sp, sp, #128
    ret
    .endm

    full_call hwt_hvc, hvc
    full_call hwt_smc, smc

    .arch_extension nosimd
    .arch_extension nofp
    .popsection
"#,
    fpcr = const offset_of!(Registers, fpcr),
    nzcv = const offset_of!(Registers, nzcv),
    v = const offset_of!(Registers, v),
);

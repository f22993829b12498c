//! FP and SIMD registers, switched when a guest first uses them.
//!
//! Invariants: CPTR_EL2.TFP is set whenever a guest is entered without its own registers loaded;
//! the engine itself is built without FP, so between a guest's exit and the next load nothing reads
//! them. What a guest left in them was saved to its context before its run ends.

use crate::vcpu::context::FpRegs;
use core::arch::global_asm;
use core::mem::{offset_of, size_of};

unsafe extern "C" {
    fn arch_save_fp(regs: *mut FpRegs);
    fn arch_load_fp(regs: *const FpRegs);
}

/// Reads V0–V31, FPCR and FPSR. CPTR_EL2.TFP must be clear: it traps EL2 too.
pub fn save(regs: &mut FpRegs) {
    // SAFETY: stores exactly `*regs`, laid out as asserted below.
    unsafe { arch_save_fp(regs) };
}

/// Writes V0–V31, FPCR and FPSR. CPTR_EL2.TFP must be clear: it traps EL2 too.
pub fn load(regs: &FpRegs) {
    // SAFETY: loads exactly `*regs`; the engine's own code holds nothing in these registers.
    unsafe { arch_load_fp(regs) };
}

const _: () = {
    assert!(offset_of!(FpRegs, v) == 0);
    assert!(offset_of!(FpRegs, fpcr) == 32 * 16);
    assert!(offset_of!(FpRegs, fpsr) == offset_of!(FpRegs, fpcr) + size_of::<u64>());
};

global_asm!(
    r#"
    .pushsection .text.arch_fp, "ax"
    .arch_extension fp
    .arch_extension simd

    .global arch_save_fp
    .type arch_save_fp, %function
arch_save_fp:
    stp     q0, q1, [x0, #0 * 16]
    stp     q2, q3, [x0, #2 * 16]
    stp     q4, q5, [x0, #4 * 16]
    stp     q6, q7, [x0, #6 * 16]
    stp     q8, q9, [x0, #8 * 16]
    stp     q10, q11, [x0, #10 * 16]
    stp     q12, q13, [x0, #12 * 16]
    stp     q14, q15, [x0, #14 * 16]
    stp     q16, q17, [x0, #16 * 16]
    stp     q18, q19, [x0, #18 * 16]
    stp     q20, q21, [x0, #20 * 16]
    stp     q22, q23, [x0, #22 * 16]
    stp     q24, q25, [x0, #24 * 16]
    stp     q26, q27, [x0, #26 * 16]
    stp     q28, q29, [x0, #28 * 16]
    stp     q30, q31, [x0, #30 * 16]
    add     x0, x0, #{fpcr}
    mrs     x1, fpcr
    mrs     x2, fpsr
    stp     x1, x2, [x0]
    ret
    .size arch_save_fp, . - arch_save_fp

    .global arch_load_fp
    .type arch_load_fp, %function
arch_load_fp:
    ldp     q0, q1, [x0, #0 * 16]
    ldp     q2, q3, [x0, #2 * 16]
    ldp     q4, q5, [x0, #4 * 16]
    ldp     q6, q7, [x0, #6 * 16]
    ldp     q8, q9, [x0, #8 * 16]
    ldp     q10, q11, [x0, #10 * 16]
    ldp     q12, q13, [x0, #12 * 16]
    ldp     q14, q15, [x0, #14 * 16]
    ldp     q16, q17, [x0, #16 * 16]
    ldp     q18, q19, [x0, #18 * 16]
    ldp     q20, q21, [x0, #20 * 16]
    ldp     q22, q23, [x0, #22 * 16]
    ldp     q24, q25, [x0, #24 * 16]
    ldp     q26, q27, [x0, #26 * 16]
    ldp     q28, q29, [x0, #28 * 16]
    ldp     q30, q31, [x0, #30 * 16]
    add     x0, x0, #{fpcr}
    ldp     x1, x2, [x0]
    msr     fpcr, x1
    msr     fpsr, x2
    ret
    .size arch_load_fp, . - arch_load_fp

    .arch_extension nosimd
    .arch_extension nofp
    .popsection
    "#,
    fpcr = const offset_of!(FpRegs, fpcr),
);

//! The puppet: a guest that asks the host for its next step, does it, and tells how it went.
//!
//! Each answer to [`CALL_NEXT`](super::CALL_NEXT) is a step in x0 to x3: [`LOAD`], [`STORE`],
//! [`WAIT`], [`SPIN`], [`SMC`], [`LOOK_AT_FP`], [`LOOK_AT_SYSTEM`], [`SET_TIMER`], [`PAGING`], [`SWEEP`],
//! [`CALL`], [`LOAD_TWICE`], [`STORE_TWICE`], or, for any other x0, an HVC with these registers. A fault of its own comes back with the next call;
//! what faulted is stepped over.

use core::arch::global_asm;

/// Loads from x1.
pub const LOAD: u64 = 1;
/// Stores x2 at x1.
pub const STORE: u64 = 2;
/// WFI.
pub const WAIT: u64 = 3;
/// Counts up at x1 for ever.
pub const SPIN: u64 = 4;
/// SMC with x1 to x3 as x0 to x2.
pub const SMC: u64 = 5;
/// x0 and x1: all v registers, ORed; x2: FPCR, x3: FPSR.
pub const LOOK_AT_FP: u64 = 6;
/// x0: system registers that start as zero, ORed; x1: CNTV_CTL_EL0, x2: CNTV_CVAL_EL0.
pub const LOOK_AT_SYSTEM: u64 = 7;
/// Sets CNTV_CVAL_EL0 to x1 and CNTV_CTL_EL0 to x2.
pub const SET_TIMER: u64 = 8;
/// Turns the MMU on with the tables at x1 (see `paging`).
pub const PAGING: u64 = 9;
/// Counts up, for ever and all together, the words at x1 and at the same place of the x2 pages from there on;
/// they start as 0. The number of rounds goes to x3. A word that is not what was left there last ends it with
/// [`CALL_WRONG`](super::CALL_WRONG): x1 is its address, x2 what it holds, x3 what it should.
pub const SWEEP: u64 = 10;
/// Calls x1 with x2 and x3 as x0 and x1.
pub const CALL: u64 = 11;
/// Loads from x1 to x0, and x3 counter ticks later again, to x1. x2: ticks from before the first to before the second.
pub const LOAD_TWICE: u64 = 12;
/// Stores x2 at x1, and its complement x3 counter ticks later. x2: as above.
pub const STORE_TWICE: u64 = 13;
/// TCR_EL1: 39-bit lower half, no upper one, 4 KiB, walks write-back inner shareable, 40-bit addresses.
const TCR: u64 = 25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2 << 32;

global_asm!(
    r#"
    .pushsection .rodata.hwt_puppet, "a"
    .balign 4096
    .arch_extension fp
    .arch_extension simd
    .macro or_v n
    orr     v0.16b, v0.16b, v\n\().16b
    .endm

    // The vectors come first, as they must be 2 KiB-aligned wherever the code is copied.
    .macro puppet_vector
    .balign 0x80
    mrs     x21, esr_el1
    mrs     x22, far_el1
    mrs     x20, elr_el1
    add     x20, x20, #4
    msr     elr_el1, x20
    // What can't be fetched is not stepped over but left: back to where it was called.
    lsr     x20, x21, #26
    cmp     x20, #0x21
    b.ne    21f
    msr     elr_el1, x30
21: eret
    .endm
    .global hwt_puppet_vectors
hwt_puppet_vectors:
    .rept 16
    puppet_vector
    .endr
    .balign 0x80

    .global hwt_puppet
hwt_puppet:
    adr     x9, hwt_puppet_vectors
    msr     vbar_el1, x9
    // Interrupts wake it and are never taken.
    mov     x9, #0xff
    msr     S3_0_C4_C6_0, x9            // ICC_PMR_EL1
    mov     x9, #1
    msr     S3_0_C12_C12_7, x9          // ICC_IGRPEN1_EL1
    isb
    mov     x21, #0
    mov     x22, #0
1:  mov     x4, x3
    mov     x3, x2
    mov     x2, x1
    mov     x1, x0
    mov     x5, x21
    mov     x6, x22
    movz    x0, #{next_low}
    movk    x0, #{next_high}, lsl #16
    hvc     #0
    mov     x21, #0
    mov     x22, #0
    cmp     x0, #{load}
    b.eq    2f
    cmp     x0, #{store}
    b.eq    3f
    cmp     x0, #{wait}
    b.eq    4f
    cmp     x0, #{spin}
    b.eq    5f
    cmp     x0, #{smc}
    b.eq    6f
    cmp     x0, #{look_at_fp}
    b.eq    7f
    cmp     x0, #{look_at_system}
    b.eq    8f
    cmp     x0, #{set_timer}
    b.eq    9f
    cmp     x0, #{paging}
    b.eq    10f
    cmp     x0, #{sweep}
    b.eq    11f
    cmp     x0, #{call}
    b.eq    20f
    cmp     x0, #{load_twice}
    b.eq    22f
    cmp     x0, #{store_twice}
    b.eq    24f
    hvc     #0
    b       1b
2:  ldr     x0, [x1]
    b       1b
3:  str     x2, [x1]
    b       1b
4:  wfi
    b       1b
5:  ldr     x3, [x1]
    add     x3, x3, #1
    str     x3, [x1]
    b       5b
6:  mov     x0, x1
    mov     x1, x2
    mov     x2, x3
    smc     #0
    b       1b
7:  mov     x9, #3 << 20
    msr     cpacr_el1, x9
    isb
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    or_v    \n
    .endr
    umov    x0, v0.d[0]
    umov    x1, v0.d[1]
    mrs     x2, fpcr
    mrs     x3, fpsr
    b       1b
8:  mov     x0, #0
    .irp register, tpidr_el0, tpidrro_el0, tpidr_el1, contextidr_el1, par_el1, sp_el0, far_el1, esr_el1, ttbr0_el1, ttbr1_el1, mair_el1, amair_el1, afsr0_el1, afsr1_el1, cntkctl_el1
    mrs     x9, \register
    orr     x0, x0, x9
    .endr
    mrs     x1, cntv_ctl_el0
    mrs     x2, cntv_cval_el0
    mov     x3, #0
    b       1b
9:  msr     cntv_cval_el0, x1
    msr     cntv_ctl_el0, x2
    isb
    b       1b
10: mov     x9, #0xff
    msr     mair_el1, x9
    movz    x9, #{tcr_low}
    movk    x9, #{tcr_middle}, lsl #16
    movk    x9, #{tcr_high}, lsl #32
    msr     tcr_el1, x9
    msr     ttbr0_el1, x1
    isb
    tlbi    vmalle1
    dsb     nsh
    isb
    // M, C, I.
    mrs     x9, sctlr_el1
    mov     x10, #0x1005
    orr     x9, x9, x10
    msr     sctlr_el1, x9
    isb
    b       1b
11: mov     x4, #0
12: mov     x5, x1
    mov     x6, x2
13: ldr     x7, [x5]
    cmp     x7, x4
    b.ne    14f
    add     x7, x7, #1
    str     x7, [x5]
    add     x5, x5, #4096
    subs    x6, x6, #1
    b.ne    13b
    add     x4, x4, #1
    str     x4, [x3]
    b       12b
14: mov     x1, x5
    mov     x2, x7
    mov     x3, x4
    movz    x0, #{wrong_low}
    movk    x0, #{wrong_high}, lsl #16
    hvc     #0
    b       14b
20: mov     x9, x1
    mov     x0, x2
    mov     x1, x3
    // The host may have written the code just now.
    ic      iallu
    dsb     nsh
    isb
    blr     x9
    b       1b
    .macro puppet_count to
    isb
    mrs     \to, cntvct_el0
    isb
    .endm
22: puppet_count x9
    ldr     x0, [x1]
23: puppet_count x2
    sub     x2, x2, x9
    cmp     x2, x3
    b.lo    23b
    ldr     x1, [x1]
    b       1b
24: puppet_count x9
    str     x2, [x1]
    mvn     x10, x2
25: puppet_count x2
    sub     x2, x2, x9
    cmp     x2, x3
    b.lo    25b
    str     x10, [x1]
    b       1b
    .arch_extension nosimd
    .arch_extension nofp
    .global hwt_puppet_end
hwt_puppet_end:
    .popsection
"#,
    next_low = const super::CALL_NEXT & 0xffff,
    next_high = const super::CALL_NEXT >> 16,
    load = const LOAD,
    store = const STORE,
    wait = const WAIT,
    spin = const SPIN,
    smc = const SMC,
    look_at_fp = const LOOK_AT_FP,
    look_at_system = const LOOK_AT_SYSTEM,
    set_timer = const SET_TIMER,
    paging = const PAGING,
    sweep = const SWEEP,
    tcr_low = const TCR & 0xffff,
    tcr_middle = const TCR >> 16 & 0xffff,
    tcr_high = const TCR >> 32,
    wrong_low = const super::CALL_WRONG & 0xffff,
    wrong_high = const super::CALL_WRONG >> 16,
    call = const CALL,
    load_twice = const LOAD_TWICE,
    store_twice = const STORE_TWICE,
);

unsafe extern "C" {
    static hwt_puppet_vectors: u8;
    static hwt_puppet: u8;
    static hwt_puppet_end: u8;
}

/// The program.
pub(super) fn code() -> &'static [u8] {
    // SAFETY: the symbols are the first and last of the section above.
    unsafe { super::between(&raw const hwt_puppet_vectors, &raw const hwt_puppet_end) }
}

/// Offset of its first instruction.
pub(super) fn entry() -> u64 {
    &raw const hwt_puppet as u64 - &raw const hwt_puppet_vectors as u64
}

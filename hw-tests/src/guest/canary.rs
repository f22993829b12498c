//! The canary program: a known value in every register that a guest may write, and one exit of each
//! kind after the other.
//!
//! After each exit it checks that its registers are as it left them, but for those that the exit
//! was to change; if not, it makes the call [`CALL_WRONG`](super::CALL_WRONG) with x1 = the number
//! of the step. Register x*n* and both halves of v*n* hold [`CANARY`] + *n*; SP holds [`CANARY`],
//! so that the checks need one register only, x29, which is checked first. x30 holds addresses.
//!
//! The order of exits is what `tests/canary.rs` expects: store to RAM without a page, MMIO read,
//! MMIO write, forwarded call, WFI, a spin that only the host's interrupt ends, share, unshare,
//! relinquish, CPU_ON, SYSTEM_OFF; on the second vCPU CPU_OFF.

use super::{ANSWER, CALL_ASK, CALL_WRONG, DATA, HOLE, MAILBOX, MMIO};
use abi::{psci, smccc};
use core::arch::global_asm;

/// What the registers hold; the low byte is the register's number.
pub const CANARY: u64 = 0x5ec2_e7ca_9a41_1e00;

/// Whether `value` holds the canary, or one half of it.
pub fn is_canary(value: u64) -> bool {
    let halves = [value as u32, (value >> 32) as u32];
    halves[0] & !0xff == CANARY as u32 || halves.contains(&((CANARY >> 32) as u32))
}

global_asm!(
    r#"
    .pushsection .rodata.hwt_canary, "a"
    .balign 4096
    .global hwt_canary_start
hwt_canary_start:
    .arch_extension fp
    .arch_extension simd

    .macro load_address register, value
    movz    \register, #((\value) & 0xffff)
    movk    \register, #((\value) >> 16 & 0xffff), lsl #16
    .endm

    .macro load_canary register
    movz    \register, #({canary} & 0xffff)
    movk    \register, #({canary} >> 16 & 0xffff), lsl #16
    movk    \register, #({canary} >> 32 & 0xffff), lsl #32
    movk    \register, #({canary} >> 48 & 0xffff), lsl #48
    .endm

    // Fills x0 to x29; x30 is left alone.
    .macro fill_x
    load_canary x0
    mov     sp, x0
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29
    add     x\n, x0, #\n
    .endr
    .endm

    // Checks x29, x28 down to x`from`, then FP and system registers, and fills all anew.
    .macro verify from, step
    mov     x30, #\step
    sub     x29, x29, #29
    cmp     sp, x29
    b.ne    hwt_canary_wrong
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28
    .if \n >= \from
    sub     x29, x\n, #\n
    cmp     sp, x29
    b.ne    hwt_canary_wrong
    .endif
    .endr
    bl      hwt_canary_verify_rest
    fill_x
    .endm

    .macro fill_v n
    add     x30, x0, #\n
    dup     v\n\().2d, x30
    .endm

    .macro verify_v n
    umov    x29, v\n\().d[0]
    sub     x29, x29, #\n
    cmp     sp, x29
    b.ne    hwt_canary_wrong
    umov    x29, v\n\().d[1]
    sub     x29, x29, #\n
    cmp     sp, x29
    b.ne    hwt_canary_wrong
    .endm

    .macro verify_system register, n
    mrs     x29, \register
    sub     x29, x29, #\n
    cmp     sp, x29
    b.ne    hwt_canary_wrong
    .endm

    .macro fill_system register, n
    add     x29, x0, #\n
    msr     \register, x29
    .endm

// x29 is free, x30 the way back, SP the canary.
hwt_canary_verify_rest:
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    verify_v \n
    .endr
    verify_system tpidr_el0, 0x40
    verify_system tpidrro_el0, 0x41
    verify_system tpidr_el1, 0x42
    verify_system far_el1, 0x43
    verify_system elr_el1, 0x44
    verify_system sp_el0, 0x45
    verify_system cntv_cval_el0, 0x46
    ret

// x30 says where; an exception comes here too.
hwt_canary_wrong:
    mov     x1, x30
    mrs     x2, esr_el1
    load_address x0, {call_wrong}
    hvc     #0
    b       hwt_canary_wrong

    // Sets everything up once; clobbers x30.
    .macro prepare
    adr     x30, hwt_canary_vectors
    msr     vbar_el1, x30
    mov     x30, #3 << 20
    msr     cpacr_el1, x30
    mov     x30, #0xff
    msr     S3_0_C4_C6_0, x30           // ICC_PMR_EL1
    mov     x30, #1
    msr     S3_0_C12_C12_7, x30         // ICC_IGRPEN1_EL1
    isb
    fill_x
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fill_v \n
    .endr
    fill_system tpidr_el0, 0x40
    fill_system tpidrro_el0, 0x41
    fill_system tpidr_el1, 0x42
    fill_system far_el1, 0x43
    fill_system elr_el1, 0x44
    fill_system sp_el0, 0x45
    fill_system cntv_cval_el0, 0x46
    fill_system ttbr0_el1, 0x48
    fill_system ttbr1_el1, 0x4a
    fill_system mair_el1, 0x4b
    fill_system amair_el1, 0x4c
    fill_system contextidr_el1, 0x4d
    fill_system par_el1, 0x4e
    fill_system esr_el1, 0x4f
    fill_system afsr0_el1, 0x50
    fill_system afsr1_el1, 0x51
    // Enabled and masked: it asks for nothing.
    mov     x29, #3
    msr     cntv_ctl_el0, x29
    mov     x29, #0x9f
    msr     fpsr, x29
    mov     x29, #1 << 24
    msr     fpcr, x29
    // Pointer authentication keys, if there are any: APA, API, GPA or GPI.
    mrs     x29, id_aa64isar1_el1
    mov     x30, #0xff0
    movk    x30, #0xff00, lsl #16
    tst     x29, x30
    b.eq    1f
    fill_system S3_0_C2_C1_0, 0x60
    fill_system S3_0_C2_C1_1, 0x61
    fill_system S3_0_C2_C1_2, 0x62
    fill_system S3_0_C2_C1_3, 0x63
    fill_system S3_0_C2_C2_0, 0x64
    fill_system S3_0_C2_C2_1, 0x65
    fill_system S3_0_C2_C2_2, 0x66
    fill_system S3_0_C2_C2_3, 0x67
    fill_system S3_0_C2_C3_0, 0x68
    fill_system S3_0_C2_C3_1, 0x69
1:  isb
    fill_x
    .endm

    .balign 0x800
hwt_canary_vectors:
    .rept 16
    .balign 0x80
    mov     x30, #0xbad
    b       hwt_canary_wrong
    .endr
    .balign 0x80

    .global hwt_canary
hwt_canary:
    prepare

    // Not at a page's start: the low bits are the guest's own.
    load_address x30, {hole} + 0xca8
    str     x1, [x30]
    verify  0, 1

    load_address x30, {mmio} + 0x18
    ldr     w3, [x30]
    mov     x29, #({answer} & 0xffff)
    movk    x29, #({answer} >> 16), lsl #16
    mov     x30, #2
    cmp     x3, x29
    b.ne    hwt_canary_wrong
    add     x3, x0, #3
    add     x29, x0, #29
    verify  0, 2

    load_address x30, {mmio} + 0x1c
    str     w5, [x30]
    verify  0, 3

    load_address x0, {call_ask}
    load_canary x30
    hvc     #0
    mov     x29, #({answer} & 0xffff)
    movk    x29, #({answer} >> 16), lsl #16
    mov     x30, #4
    cmp     x0, x29
    b.ne    hwt_canary_wrong
    add     x29, x28, #1
    verify  4, 4

    load_canary x30
    wfi
    verify  0, 5
    mrs     x30, S3_0_C12_C12_0         // ICC_IAR1_EL1
    msr     S3_0_C12_C12_1, x30         // ICC_EOIR1_EL1
    isb

    load_address x30, {mailbox}
1:  ldr     x29, [x30]
    cbz     x29, 1b
    add     x29, x0, #29
    verify  0, 6

    .macro page_call function, step
    load_address x0, \function
    load_address x1, {data}
    mov     x2, #0
    mov     x3, #0
    load_canary x30
    hvc     #0
    mov     x30, #\step
    cbnz    x0, hwt_canary_wrong
    verify  4, \step
    .endm
    page_call {share}, 7
    page_call {unshare}, 8
    page_call {relinquish}, 9

    load_address x0, {cpu_on}
    mov     x1, #1
    adr     x2, hwt_canary_off
    load_canary x30
    hvc     #0
    mov     x30, #10
    cbnz    x0, hwt_canary_wrong
    verify  3, 10

    load_address x0, {system_off}
    load_canary x30
    hvc     #0
    mov     x30, #11
    b       hwt_canary_wrong

hwt_canary_off:
    // A vCPU starts with nothing in its registers but x0.
    mov     x29, x1
    .irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,30
    orr     x29, x29, x\n
    .endr
    mov     x30, #12
    cbnz    x29, hwt_canary_wrong
    load_canary x29
    add     x29, x29, #3
    cmp     x0, x29
    b.ne    hwt_canary_wrong
    prepare
    load_address x0, {cpu_off}
    load_canary x30
    hvc     #0
    mov     x30, #13
    b       hwt_canary_wrong

    .global hwt_canary_end
hwt_canary_end:
    .arch_extension nosimd
    .arch_extension nofp
    .popsection
"#,
    canary = const CANARY,
    hole = const HOLE,
    mmio = const MMIO,
    mailbox = const MAILBOX,
    data = const DATA,
    answer = const ANSWER,
    call_ask = const CALL_ASK,
    call_wrong = const CALL_WRONG,
    share = const smccc::KVM_MEM_SHARE,
    unshare = const smccc::KVM_MEM_UNSHARE,
    relinquish = const smccc::KVM_MEM_RELINQUISH,
    cpu_on = const psci::CPU_ON_64,
    cpu_off = const psci::CPU_OFF,
    system_off = const psci::SYSTEM_OFF,
);

unsafe extern "C" {
    static hwt_canary_start: u8;
    static hwt_canary: u8;
    static hwt_canary_end: u8;
}

/// The program.
pub(super) fn code() -> &'static [u8] {
    // SAFETY: the symbols are the first and last of the section above.
    unsafe { super::between(&raw const hwt_canary_start, &raw const hwt_canary_end) }
}

/// Offset of its first instruction.
pub(super) fn entry() -> u64 {
    &raw const hwt_canary as u64 - &raw const hwt_canary_start as u64
}

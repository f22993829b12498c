//! Gadgets: routines that the puppet calls ([`CALL`](super::CALL)), for what one instruction does not do.
//!
//! Each takes x0 and x1 and returns its result in x0. They leave the puppet's own x20 to x22 alone, and
//! [`Gadget::ipa`] says where one lies once the code is in the guest. Those that say so never return.
//!
//! Arming and digesting are the victim's: [`Gadget::Arm`] fills memory and every register that stays as it is
//! while the puppet waits, [`Gadget::Digest`] reads all of it into one number.

use super::CALL_WRONG;
use core::arch::global_asm;

/// Words that [`Gadget::Arm`] fills and [`Gadget::Digest`] reads: four pages.
pub const DIGEST_WORDS: u64 = 4 * 512;

/// A routine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gadget {
    /// x0: memory, x1: seed.
    Arm,
    /// x0: memory; returns a digest of it and of the registers.
    Digest,
    /// x0: where; x1: 32 bits to store.
    StoreWord,
    /// x0: where; returns 32 bits.
    LoadWord,
    /// x0: where; returns 8 bits.
    LoadByte,
    /// x0: counter in memory. Acknowledges and ends interrupts for ever, and counts them.
    TakeInterrupts,
    /// x0: what to write to ICC_SGI1R_EL1, for ever; x1: counter in memory.
    FloodSgi,
    /// x0: counter in memory. Broadcasts TLB invalidations for ever.
    FloodTlbi,
    /// x0: counter in memory, which nobody else may change: if somebody does, CALL_WRONG.
    CountAlone,
    /// Drops to EL0 and makes an HVC there; comes back by the exception that ends it.
    HvcAtEl0,
    /// ERET to EL2h; comes back by the exception that ends it.
    ReturnToEl2,
    /// x0: address. LDP from it, which gives no syndrome.
    LoadPair,
    /// x0: address. LDXR from it, which gives no syndrome either.
    LoadExclusive,
    /// x0: function, x1: its argument. An HVC; returns what it took (see `measure`).
    TimeHvc,
    /// x0: address. A load of 32 bits; returns what it took.
    TimeLoad,
    /// x0: address. A store of 32 bits; returns what it took.
    TimeStore,
    /// x0: what to write to ICC_SGI1R_EL1 to wake the other vCPU, which is at `WaitAgain`; x1: its page. Wakes it
    /// [`TURNS`] times, and notes behind the page's first word how long after that vCPU began to wait it went on
    /// itself.
    GiveWay,
    /// x0: a page. For ever: notes the time in its first word and waits for an interrupt, which it takes.
    WaitAgain,
    /// x0: what to write to ICC_SGI1R_EL1 to interrupt the vCPU that is at `TakeSgis` with the same page, x1.
    /// [`TURNS`] times, each in a window.
    SendSgis,
    /// x0: a page. [`TURNS`] times: says in its first word that it is ready for SGI number so and so, and looks for
    /// it, in a window; the core is not given up.
    TakeSgis,
}

/// How often [`Gadget::GiveWay`] gives way.
pub const TURNS: u64 = 64;

global_asm!(
    r#"
    .pushsection .rodata.hwt_gadgets, "a"
    .balign 4096
    .arch_extension fp
    .arch_extension simd
    .global hwt_gadgets_start
hwt_gadgets_start:

    // The registers of the victim that nobody touches while it waits.
    .macro for_victim_registers action
    \action tpidr_el0
    \action tpidrro_el0
    \action tpidr_el1
    \action contextidr_el1
    \action ttbr0_el1
    \action ttbr1_el1
    \action mair_el1
    \action amair_el1
    \action afsr0_el1
    \action afsr1_el1
    \action esr_el1
    \action far_el1
    \action elr_el1
    \action spsr_el1
    \action sp_el0
    \action par_el1
    \action cntv_cval_el0
    \action cntkctl_el1
    \action cpacr_el1
    \action vbar_el1
    \action csselr_el1
    \action fpcr
    \action fpsr
    .endm

    .macro arm_register register
    .ifnc \register,cpacr_el1
    .ifnc \register,vbar_el1
    .ifnc \register,csselr_el1
    ror     x1, x1, #9
    msr     \register, x1
    .endif
    .endif
    .endif
    .endm

    .macro mix register
    ror     x3, x3, #59
    eor     x3, x3, \register
    .endm

    .macro mix_register register
    mrs     x4, \register
    mix     x4
    .endm

    .global hwt_gadget_arm
hwt_gadget_arm:
    mov     x2, #{words}
1:  str     x1, [x0], #8
    ror     x1, x1, #7
    add     x1, x1, x2
    subs    x2, x2, #1
    b.ne    1b
    mov     x9, #3 << 20
    msr     cpacr_el1, x9
    isb
    .irp n, 10,11,12,13,14,15,16,17,18,19,23,24,25,26,27,28
    add     x\n, x1, #\n
    .endr
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    add     x9, x1, #\n
    dup     v\n\().2d, x9
    .endr
    for_victim_registers arm_register
    // Enabled and masked: it asks for nothing.
    mov     x9, #3
    msr     cntv_ctl_el0, x9
    isb
    ret

    .global hwt_gadget_digest
hwt_gadget_digest:
    mov     x2, #{words}
    mov     x3, #0
2:  ldr     x4, [x0], #8
    mix     x4
    subs    x2, x2, #1
    b.ne    2b
    .irp n, 10,11,12,13,14,15,16,17,18,19,23,24,25,26,27,28
    mix     x\n
    .endr
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    umov    x4, v\n\().d[0]
    mix     x4
    umov    x4, v\n\().d[1]
    mix     x4
    .endr
    for_victim_registers mix_register
    mrs     x4, cntv_ctl_el0
    and     x4, x4, #3
    mix     x4
    mov     x0, x3
    ret

    .global hwt_gadget_store_word
hwt_gadget_store_word:
    str     w1, [x0]
    ret

    .global hwt_gadget_load_word
hwt_gadget_load_word:
    ldr     w0, [x0]
    ret

    .global hwt_gadget_load_byte
hwt_gadget_load_byte:
    ldrb    w0, [x0]
    ret

    .global hwt_gadget_take_interrupts
hwt_gadget_take_interrupts:
    mrs     x9, S3_0_C12_C12_0          // ICC_IAR1_EL1
    cmp     w9, #1020
    b.hs    hwt_gadget_take_interrupts
    msr     S3_0_C12_C12_1, x9          // ICC_EOIR1_EL1
    ldr     x3, [x0]
    add     x3, x3, #1
    str     x3, [x0]
    b       hwt_gadget_take_interrupts

    .global hwt_gadget_flood_sgi
hwt_gadget_flood_sgi:
    msr     S3_0_C12_C11_5, x0          // ICC_SGI1R_EL1
    isb
    ldr     x3, [x1]
    add     x3, x3, #1
    str     x3, [x1]
    b       hwt_gadget_flood_sgi

    .global hwt_gadget_flood_tlbi
hwt_gadget_flood_tlbi:
    dsb     ishst
    tlbi    vmalle1is
    dsb     ish
    isb
    ldr     x3, [x0]
    add     x3, x3, #1
    str     x3, [x0]
    b       hwt_gadget_flood_tlbi

    .global hwt_gadget_count_alone
hwt_gadget_count_alone:
    ldr     x3, [x0]
4:  ldr     x4, [x0]
    cmp     x3, x4
    b.ne    5f
    add     x3, x3, #1
    str     x3, [x0]
    b       4b
5:  mov     x1, x3
    mov     x2, x4
    movz    x0, #{wrong_low}
    movk    x0, #{wrong_high}, lsl #16
    hvc     #0
    b       5b

    // Drops out of a gadget with the next exception: x18 the way back, x19 the puppet's vectors.
    .macro escape_by_exception
    mov     x18, x30
    mrs     x19, vbar_el1
    adr     x3, hwt_gadget_vectors
    msr     vbar_el1, x3
    isb
    .endm

    .global hwt_gadget_hvc_at_el0
hwt_gadget_hvc_at_el0:
    escape_by_exception
    adr     x3, 6f
    msr     elr_el1, x3
    mov     x3, #0x3c0                  // EL0t, masked
    msr     spsr_el1, x3
    eret
6:  hvc     #0
    svc     #0                          // not refused: another class of exception tells

    .global hwt_gadget_return_to_el2
hwt_gadget_return_to_el2:
    escape_by_exception
    adr     x3, 7f
    msr     elr_el1, x3
    mov     x3, #0x3c9                  // EL2h, masked
    msr     spsr_el1, x3
    eret
7:  svc     #0

    .balign 0x800
hwt_gadget_vectors:
    .rept 16
    .balign 0x80
    mrs     x21, esr_el1
    mrs     x22, far_el1
    msr     vbar_el1, x19
    isb
    br      x18
    .endr
    .balign 0x80

    .global hwt_gadget_load_pair
hwt_gadget_load_pair:
    ldp     x0, x1, [x0]
    ret

    .global hwt_gadget_load_exclusive
hwt_gadget_load_exclusive:
    ldxr    x0, [x0]
    clrex
    ret

    // As the host's own measurements: the marks of a window, and two reads with one instruction between them.
    .macro begin_timed
    hint    #112
    isb
    mrs     x9, cntvct_el0
    .endm

    .macro end_timed
    isb
    mrs     x10, cntvct_el0
    hint    #113
    sub     x0, x10, x9
    ret
    .endm

    .global hwt_gadget_time_hvc
hwt_gadget_time_hvc:
    mov     x2, #0
    mov     x3, #0
    begin_timed
    hvc     #0
    end_timed

    .global hwt_gadget_time_load
hwt_gadget_time_load:
    begin_timed
    ldr     w1, [x0]
    end_timed

    .global hwt_gadget_time_store
hwt_gadget_time_store:
    begin_timed
    str     w1, [x0]
    end_timed

    .global hwt_gadget_give_way
hwt_gadget_give_way:
    mov     x2, #0
    add     x3, x1, #8
9:  msr     S3_0_C12_C11_5, x0          // ICC_SGI1R_EL1
    isb
    mrs     x10, cntvct_el0
    ldr     x9, [x1]
    sub     x10, x10, x9
    str     x10, [x3, x2, lsl #3]
    add     x2, x2, #1
    cmp     x2, #{turns}
    b.ne    9b
    ret

    .global hwt_gadget_wait_again
hwt_gadget_wait_again:
    isb
    mrs     x9, cntvct_el0
    str     x9, [x0]
    wfi
    mrs     x9, S3_0_C12_C12_0          // ICC_IAR1_EL1
    msr     S3_0_C12_C12_1, x9          // ICC_EOIR1_EL1
    b       hwt_gadget_wait_again

    .global hwt_gadget_send_sgis
hwt_gadget_send_sgis:
    mov     x2, #1
10: ldar    x9, [x1]
    cmp     x9, x2
    b.ne    10b
    hint    #112
    msr     S3_0_C12_C11_5, x0          // ICC_SGI1R_EL1
    isb
    hint    #113
    add     x2, x2, #1
    cmp     x2, #{turns}
    b.ls    10b
    ret

    .global hwt_gadget_take_sgis
hwt_gadget_take_sgis:
    mov     x2, #1
11: hint    #112
    stlr    x2, [x0]
12: mrs     x9, isr_el1
    cbz     x9, 12b
    hint    #113
    mrs     x9, S3_0_C12_C12_0          // ICC_IAR1_EL1
    msr     S3_0_C12_C12_1, x9          // ICC_EOIR1_EL1
    isb
    add     x2, x2, #1
    cmp     x2, #{turns}
    b.ls    11b
    ret

    .arch_extension nosimd
    .arch_extension nofp
    .global hwt_gadgets_end
hwt_gadgets_end:
    .popsection
"#,
    words = const DIGEST_WORDS,
    wrong_low = const CALL_WRONG & 0xffff,
    wrong_high = const CALL_WRONG >> 16,
    turns = const TURNS,
);

unsafe extern "C" {
    static hwt_gadgets_start: u8;
    static hwt_gadget_arm: u8;
    static hwt_gadget_digest: u8;
    static hwt_gadget_store_word: u8;
    static hwt_gadget_load_word: u8;
    static hwt_gadget_load_byte: u8;
    static hwt_gadget_take_interrupts: u8;
    static hwt_gadget_flood_sgi: u8;
    static hwt_gadget_flood_tlbi: u8;
    static hwt_gadget_count_alone: u8;
    static hwt_gadget_hvc_at_el0: u8;
    static hwt_gadget_return_to_el2: u8;
    static hwt_gadget_load_pair: u8;
    static hwt_gadget_load_exclusive: u8;
    static hwt_gadget_time_hvc: u8;
    static hwt_gadget_time_load: u8;
    static hwt_gadget_time_store: u8;
    static hwt_gadget_give_way: u8;
    static hwt_gadget_wait_again: u8;
    static hwt_gadget_send_sgis: u8;
    static hwt_gadget_take_sgis: u8;
    static hwt_gadgets_end: u8;
}

/// All of them.
pub(super) fn code() -> &'static [u8] {
    // SAFETY: the symbols are the first and last of the section above.
    unsafe { super::between(&raw const hwt_gadgets_start, &raw const hwt_gadgets_end) }
}

impl Gadget {
    /// Where it lies in a guest that has the gadgets.
    pub fn ipa(self) -> u64 {
        let start = match self {
            Self::Arm => &raw const hwt_gadget_arm,
            Self::Digest => &raw const hwt_gadget_digest,
            Self::StoreWord => &raw const hwt_gadget_store_word,
            Self::LoadWord => &raw const hwt_gadget_load_word,
            Self::LoadByte => &raw const hwt_gadget_load_byte,
            Self::TakeInterrupts => &raw const hwt_gadget_take_interrupts,
            Self::FloodSgi => &raw const hwt_gadget_flood_sgi,
            Self::FloodTlbi => &raw const hwt_gadget_flood_tlbi,
            Self::CountAlone => &raw const hwt_gadget_count_alone,
            Self::HvcAtEl0 => &raw const hwt_gadget_hvc_at_el0,
            Self::ReturnToEl2 => &raw const hwt_gadget_return_to_el2,
            Self::LoadPair => &raw const hwt_gadget_load_pair,
            Self::LoadExclusive => &raw const hwt_gadget_load_exclusive,
            Self::TimeHvc => &raw const hwt_gadget_time_hvc,
            Self::TimeLoad => &raw const hwt_gadget_time_load,
            Self::TimeStore => &raw const hwt_gadget_time_store,
            Self::GiveWay => &raw const hwt_gadget_give_way,
            Self::WaitAgain => &raw const hwt_gadget_wait_again,
            Self::SendSgis => &raw const hwt_gadget_send_sgis,
            Self::TakeSgis => &raw const hwt_gadget_take_sgis,
        };
        super::GADGETS + (start as u64 - &raw const hwt_gadgets_start as u64)
    }
}

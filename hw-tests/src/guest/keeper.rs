//! The keeper: a guest that signs its pages, looks again and again whether they still are as it left
//! them, and meanwhile makes every kind of exit, for ever.
//!
//! Each vCPU has [`KEPT_PAGES`] pages of its own, by its affinity. A page that it has not signed yet holds what
//! the host left there; one that it has signed holds, every 64 bytes, [`signature`] and nothing else, until the
//! vCPU shares it or gives it up itself. What it finds wrong it tells with
//! [`CALL_WRONG`](super::CALL_WRONG): x1 where, x2 what, x3 what should be there (0: anything but a guest's).
//!
//! x19 signature less address, x20 pages signed, x21 random numbers, x22 first page, x23 pages looked at, x24
//! page that is shared or 0, x25 affinity, x26 own argument, x27 MMIO, x28 window.

use core::arch::global_asm;

/// Pages of a vCPU.
pub const KEPT_PAGES: u64 = 64;
/// Bytes between two signed words.
pub const STEP: u64 = 64;
/// Top byte of a word that only its VM may see.
pub const PRIVATE: u64 = 0x47;
/// Top byte of a word that a guest leaves for the host.
pub const PUBLIC: u64 = 0x50;
/// Bits of the VM's key in a signature, and in the argument that a vCPU starts with.
pub const KEY_BITS: u32 = 24;

global_asm!(
    r#"
    .pushsection .rodata.hwt_keeper, "a"
    .balign 4096
    .macro keeper_address register, value
    movz    \register, #((\value) & 0xffff)
    movk    \register, #((\value) >> 16 & 0xffff), lsl #16
    .endm

    // The host may answer an access to its device with an abort: go on behind it.
    .macro keeper_vector
    .balign 0x80
    mrs     x9, far_el1
    bic     x9, x9, #0xfff
    cmp     x9, x27
    b.ne    hwt_keeper_fault
    mrs     x9, elr_el1
    add     x9, x9, #4
    msr     elr_el1, x9
    eret
    .endm
    .global hwt_keeper_vectors
hwt_keeper_vectors:
    .rept 16
    keeper_vector
    .endr
    .balign 0x80

hwt_keeper_fault:
    mrs     x11, far_el1
    mrs     x13, esr_el1
    mov     x14, #0
// x11 where, x13 what is there, x14 what should be.
hwt_keeper_wrong:
    mov     x1, x11
    mov     x2, x13
    mov     x3, x14
    keeper_address x0, {wrong}
    hvc     #0
    b       hwt_keeper_wrong
// A call that cannot fail did: x0 its answer, x1 its page.
hwt_keeper_refused:
    mov     x11, x1
    mov     x13, x0
    mov     x14, #0
    b       hwt_keeper_wrong

    .global hwt_keeper
hwt_keeper:
    adr     x9, hwt_keeper_vectors
    msr     vbar_el1, x9
    // Interrupts wake it and are never taken.
    mov     x9, #0xff
    msr     S3_0_C4_C6_0, x9            // ICC_PMR_EL1
    mov     x9, #1
    msr     S3_0_C12_C12_7, x9          // ICC_IGRPEN1_EL1
    isb
    and     x9, x0, #((1 << {key_bits}) - 1)
    mov     x19, #({private} << 8)
    lsl     x19, x19, #48
    orr     x19, x19, x9, lsl #32
    mov     x26, x0
    mrs     x9, mpidr_el1
    and     x25, x9, #0xff
    add     x21, x0, x25, lsl #40
    orr     x21, x21, #1
    keeper_address x22, {data}
    add     x22, x22, x25, lsl #18
    keeper_address x27, {mmio}
    keeper_address x28, {window}
    mov     x20, #0
    mov     x23, #0
    mov     x24, #0

.Lkeeper_next:
    eor     x21, x21, x21, lsr #12
    eor     x21, x21, x21, lsl #25
    eor     x21, x21, x21, lsr #27
    ubfx    x9, x21, #8, #6
    add     x1, x22, x9, lsl #12
    mov     x10, #1
    lsl     x10, x10, x9
    cmp     x1, x24
    b.eq    .Lkeeper_unshare
    mov     x11, x1
    add     x12, x1, #4096
    tst     x20, x10
    b.eq    .Lkeeper_fresh
1:  ldr     x13, [x11]
    add     x14, x19, x11
    cmp     x13, x14
    b.ne    hwt_keeper_wrong
    add     x11, x11, #{step}
    cmp     x11, x12
    b.ne    1b
    add     x23, x23, #1
    b       .Lkeeper_act
// The host's words, or none; its own too, if the vCPU was off. Another guest's never.
.Lkeeper_fresh:
    ldr     x13, [x11]
    add     x14, x19, x11
    cmp     x13, x14
    b.eq    2f
    lsr     x15, x13, #56
    cmp     x15, #{private}
    mov     x15, x14
    mov     x14, #0
    b.eq    hwt_keeper_wrong
    str     x15, [x11]
2:  add     x11, x11, #{step}
    cmp     x11, x12
    b.ne    .Lkeeper_fresh
    orr     x20, x20, x10

.Lkeeper_act:
    mov     x2, #0
    mov     x3, #0
    ubfx    x9, x21, #20, #6
    cmp     x9, #0
    b.eq    .Lkeeper_relinquish
    cmp     x9, #2
    b.ls    .Lkeeper_share
    cmp     x9, #3
    b.eq    .Lkeeper_sleep
    cmp     x9, #4
    b.eq    .Lkeeper_acknowledge
    cmp     x9, #5
    b.eq    .Lkeeper_write_device
    cmp     x9, #6
    b.eq    .Lkeeper_read_device
    cmp     x9, #7
    b.eq    .Lkeeper_tell
    cmp     x9, #8
    b.eq    .Lkeeper_turn_on
    cmp     x9, #9
    b.eq    .Lkeeper_turn_off
    cmp     x9, #11
    b.ls    .Lkeeper_window
    cmp     x9, #12
    b.eq    .Lkeeper_interrupt
    cmp     x9, #13
    b.eq    .Lkeeper_tell
    b       .Lkeeper_next

.Lkeeper_relinquish:
    bic     x20, x20, x10
    keeper_address x0, {relinquish}
    hvc     #0
    cbnz    x0, hwt_keeper_refused
    b       .Lkeeper_next

.Lkeeper_share:
    cbnz    x24, .Lkeeper_unshare
    mov     x13, #({public} << 8)
    lsl     x13, x13, #48
    mov     x11, x1
3:  orr     x14, x13, x11
    str     x14, [x11]
    add     x11, x11, #{step}
    cmp     x11, x12
    b.ne    3b
    bic     x20, x20, x10
    mov     x24, x1
    keeper_address x0, {share}
    hvc     #0
    mov     x1, x24
    cbnz    x0, hwt_keeper_refused
    b       .Lkeeper_next

.Lkeeper_unshare:
    mov     x1, x24
    mov     x2, #0
    mov     x3, #0
    keeper_address x0, {unshare}
    hvc     #0
    mov     x1, x24
    cbnz    x0, hwt_keeper_refused
    mov     x24, #0
    b       .Lkeeper_next

.Lkeeper_sleep:
    tst     x21, #(7 << 32)
    b.ne    .Lkeeper_next
    wfi
.Lkeeper_acknowledge:
    mrs     x9, S3_0_C12_C12_0          // ICC_IAR1_EL1
    msr     S3_0_C12_C12_1, x9          // ICC_EOIR1_EL1
    isb
    b       .Lkeeper_next

.Lkeeper_write_device:
    str     w21, [x27]
    b       .Lkeeper_next

.Lkeeper_read_device:
    ldr     w9, [x27, #8]
    b       .Lkeeper_next

.Lkeeper_tell:
    keeper_address x0, {kept}
    mov     x1, x23
    mov     x23, #0
    hvc     #0
    b       .Lkeeper_next

.Lkeeper_turn_on:
    keeper_address x0, {cpu_on}
    add     x1, x25, #1
    cmp     x1, #{vcpus}
    csel    x1, x1, xzr, lo
    adr     x2, hwt_keeper
    mov     x3, x26
    hvc     #0
    b       .Lkeeper_next

.Lkeeper_turn_off:
    cbnz    x24, .Lkeeper_unshare
    tst     x21, #(3 << 32)
    b.ne    .Lkeeper_next
    // Now and then all of it.
    tst     x21, #(63 << 32)
    b.eq    4f
    cbz     x25, .Lkeeper_next
    keeper_address x0, {cpu_off}
    hvc     #0
    b       .Lkeeper_next
4:  keeper_address x0, {system_off}
    hvc     #0
    b       .Lkeeper_next

.Lkeeper_window:
    ubfx    x9, x21, #32, #4
    add     x11, x28, x9, lsl #12
    ubfx    x9, x21, #40, #6
    add     x11, x11, x9, lsl #6
    ldr     x13, [x11]
    lsr     x14, x13, #56
    cmp     x14, #{private}
    mov     x14, #0
    b.eq    hwt_keeper_wrong
    mov     x13, #({public} << 8)
    lsl     x13, x13, #48
    str     x13, [x11]
    b       .Lkeeper_next

// SGI 3 to all others of the VM.
.Lkeeper_interrupt:
    mov     x9, #(1 << 40)
    orr     x9, x9, #(3 << 24)
    msr     S3_0_C12_C11_5, x9          // ICC_SGI1R_EL1
    isb
    b       .Lkeeper_next

    .global hwt_keeper_end
hwt_keeper_end:
    .popsection
"#,
    wrong = const super::CALL_WRONG,
    kept = const super::CALL_KEPT,
    key_bits = const KEY_BITS,
    private = const PRIVATE,
    public = const PUBLIC,
    step = const STEP,
    data = const super::DATA,
    mmio = const super::MMIO,
    window = const super::WINDOW,
    vcpus = const super::KEEPER_VCPUS,
    share = const abi::smccc::KVM_MEM_SHARE,
    unshare = const abi::smccc::KVM_MEM_UNSHARE,
    relinquish = const abi::smccc::KVM_MEM_RELINQUISH,
    cpu_on = const abi::psci::CPU_ON_64,
    cpu_off = const abi::psci::CPU_OFF,
    system_off = const abi::psci::SYSTEM_OFF,
);

unsafe extern "C" {
    static hwt_keeper_vectors: u8;
    static hwt_keeper: u8;
    static hwt_keeper_end: u8;
}

/// The program.
pub(super) fn code() -> &'static [u8] {
    // SAFETY: the symbols are the first and last of the section above.
    unsafe { super::between(&raw const hwt_keeper_vectors, &raw const hwt_keeper_end) }
}

/// Offset of its first instruction.
pub(super) fn entry() -> u64 {
    &raw const hwt_keeper as u64 - &raw const hwt_keeper_vectors as u64
}

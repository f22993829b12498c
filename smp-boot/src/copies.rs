//! `memcpy` and `memset`: what the compiler calls for copies and fills that it does not write out.
//!
//! The image is built for strict alignment, since it begins with its MMU off; for that the compiler calls them
//! for anything larger than 32 bytes, and those of `compiler_builtins`, which these replace, take 50 to 80
//! instructions for the 64 to 160 bytes of the engine's structures. Most are aligned words: eight of them a turn.
//!
//! Invariants: AAPCS64 functions with the C library's contract; every access is aligned to its size; only
//! x0–x6 and the flags change.

use core::arch::global_asm;

global_asm!(
    r#"
    .pushsection .text.copies, "ax"

    // x0: to, x1: from, x2: bytes. Returns x0.
    .global memcpy
    .type memcpy, %function
memcpy:
    mov     x3, x0
    orr     x4, x0, x1
    tst     x4, #7
    b.ne    4f
    lsr     x4, x2, #6
    cbz     x4, 1f
0:
    ldp     x5, x6, [x1]
    stp     x5, x6, [x3]
    ldp     x5, x6, [x1, #16]
    stp     x5, x6, [x3, #16]
    ldp     x5, x6, [x1, #32]
    stp     x5, x6, [x3, #32]
    ldp     x5, x6, [x1, #48]
    stp     x5, x6, [x3, #48]
    add     x1, x1, #64
    add     x3, x3, #64
    sub     x4, x4, #1
    cbnz    x4, 0b
1:
    tbz     x2, #5, 1f
    ldp     x5, x6, [x1], #16
    stp     x5, x6, [x3], #16
    ldp     x5, x6, [x1], #16
    stp     x5, x6, [x3], #16
1:
    tbz     x2, #4, 1f
    ldp     x5, x6, [x1], #16
    stp     x5, x6, [x3], #16
1:
    tbz     x2, #3, 2f
    ldr     x5, [x1], #8
    str     x5, [x3], #8
2:
    ands    x2, x2, #7
    b.ne    5f
3:
    ret
4:
    cbz     x2, 3b
    orr     x4, x4, x2
    tst     x4, #3
    b.ne    5f
0:
    ldr     w5, [x1], #4
    str     w5, [x3], #4
    subs    x2, x2, #4
    b.ne    0b
    ret
5:
    ldrb    w5, [x1], #1
    strb    w5, [x3], #1
    subs    x2, x2, #1
    b.ne    5b
    ret
    .size memcpy, . - memcpy

    // x0: to, w1: byte, x2: bytes. Returns x0.
    .global memset
    .type memset, %function
memset:
    mov     x3, x0
    tst     x0, #7
    b.ne    4f
    and     x1, x1, #0xff
    orr     x1, x1, x1, lsl #8
    orr     x1, x1, x1, lsl #16
    orr     x1, x1, x1, lsl #32
    lsr     x4, x2, #6
    cbz     x4, 1f
0:
    stp     x1, x1, [x3]
    stp     x1, x1, [x3, #16]
    stp     x1, x1, [x3, #32]
    stp     x1, x1, [x3, #48]
    add     x3, x3, #64
    sub     x4, x4, #1
    cbnz    x4, 0b
1:
    tbz     x2, #5, 1f
    stp     x1, x1, [x3], #16
    stp     x1, x1, [x3], #16
1:
    tbz     x2, #4, 1f
    stp     x1, x1, [x3], #16
1:
    tbz     x2, #3, 2f
    str     x1, [x3], #8
2:
    and     x2, x2, #7
4:
    cbz     x2, 6f
5:
    strb    w1, [x3], #1
    subs    x2, x2, #1
    b.ne    5b
6:
    ret
    .size memset, . - memset
    .popsection
    "#
);

//! The first instructions: image header, relocation, zeroed memory, MMU on, then Rust.
//!
//! Invariants: until `el1_mmu_on` returns, the core runs with its MMU off, where memory is Device
//! and an exclusive access may fail: no lock and no atomic is touched, no pointer that needs a
//! relocation is used before the relocation loop has run. Written by nobody else: secondaries enter
//! at `el1_secondary_entry` with `x0` = their [`crate::cpu::Start`] record.
//!
//! The header is that of Linux's `Documentation/arch/arm64/booting.rst`: flags say little-endian,
//! 4 KiB pages, placed anywhere.

use crate::{console, cpu, heap, machine, machine::Range, mmu, pages};
use core::arch::global_asm;

global_asm!(
    r#"
    .section .head, "ax"
    .global el1_image_header
el1_image_header:
    b       el1_boot_entry
    nop
    .quad   0                       // text_offset: any 2 MiB-aligned address will do
    .quad   el1_image_size
    .quad   0xa                     // flags: 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0

    .text
el1_boot_entry:
    msr     daifset, #0xf
    mov     x19, x0
    adrp    x20, el1_image_start
    add     x20, x20, :lo12:el1_image_start
    adrp    x1, el1_boot_stack_top
    add     x1, x1, :lo12:el1_boot_stack_top
    mov     sp, x1

    // Relocate: every entry is R_AARCH64_RELATIVE (1027): *(base + offset) = base + addend.
    adrp    x1, el1_rela_start
    add     x1, x1, :lo12:el1_rela_start
    adrp    x2, el1_rela_end
    add     x2, x2, :lo12:el1_rela_end
1:  cmp     x1, x2
    b.hs    3f
    ldp     x3, x4, [x1], #16
    ldr     x5, [x1], #8
    cmp     w4, #1027
    b.ne    1b
    add     x5, x5, x20
    str     x5, [x20, x3]
    b       1b

3:  adrp    x1, el1_bss_start
    add     x1, x1, :lo12:el1_bss_start
    adrp    x2, el1_bss_end
    add     x2, x2, :lo12:el1_bss_end
4:  cmp     x1, x2
    b.hs    5f
    stp     xzr, xzr, [x1], #16
    b       4b

5:  adrp    x1, el1_vectors
    add     x1, x1, :lo12:el1_vectors
    msr     vbar_el1, x1
    isb
    mov     x0, x19
    bl      el1_build_map
    mov     x21, x0

    // What was written with the caches off must not be hidden by a stale line once they are on.
    mrs     x3, ctr_el0
    ubfx    x3, x3, #16, #4
    mov     x4, #4
    lsl     x4, x4, x3
    mov     x1, x20
    adrp    x2, el1_image_end
    add     x2, x2, :lo12:el1_image_end
6:  dc      ivac, x1
    add     x1, x1, x4
    cmp     x1, x2
    b.lo    6b
    dsb     sy

    mov     x0, x21
    bl      el1_mmu_on
    mov     x0, x19
    bl      el1_start
    b       .

    .global el1_secondary_entry
el1_secondary_entry:
    msr     daifset, #0xf
    mov     x19, x0
    ldp     x21, x22, [x0]          // Start: table, stack_top
    mov     sp, x22
    adrp    x1, el1_vectors
    add     x1, x1, :lo12:el1_vectors
    msr     vbar_el1, x1
    mov     x0, x21
    bl      el1_mmu_on
    mov     x0, x19
    bl      el1_secondary_start
    b       .

// x0 = root table of both halves' walks. The register values are `mmu`'s.
el1_mmu_on:
    ldr     x1, ={mair}
    msr     mair_el1, x1
    ldr     x1, ={tcr}
    mrs     x2, id_aa64mmfr0_el1
    and     x2, x2, #0xf            // PARange; 48 bits at most without 52-bit descriptors
    mov     x3, #5
    cmp     x2, x3
    csel    x2, x2, x3, lo
    bfi     x1, x2, #32, #3
    msr     tcr_el1, x1
    msr     ttbr0_el1, x0
    adrp    x2, {empty}
    add     x2, x2, :lo12:{empty}
    msr     ttbr1_el1, x2
    dsb     ishst
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    ldr     x1, ={sctlr}
    msr     sctlr_el1, x1
    isb
    ret
    .ltorg
"#,
    mair = const mmu::MAIR,
    tcr = const mmu::TCR,
    sctlr = const mmu::SCTLR,
    empty = sym mmu::EMPTY_TABLE,
);

unsafe extern "Rust" {
    /// The image's main function, defined by [`crate::entry!`].
    safe fn el1_image_main() -> !;
}

/// Builds the identity map for the machine that the device tree at `dtb` describes; MMU off.
#[unsafe(no_mangle)]
extern "C" fn el1_build_map(dtb: *const u8) -> u64 {
    // First what a panic needs.
    cpu::adopt_boot_core();
    // SAFETY: the boot protocol gives a device tree at `dtb`; memory is readable with the MMU off.
    let tree = unsafe { machine::tree_at(dtb) };
    if let Some((base, kind)) = machine::find_uart(tree) {
        console::init(base, kind);
    }
    // SAFETY: called once, on the boot core, with the MMU off, before anything else runs.
    unsafe { mmu::build_map(tree) }
}

/// Brings the runtime up on the boot core, then runs the image.
#[unsafe(no_mangle)]
extern "C" fn el1_start(dtb: *const u8) -> ! {
    // SAFETY: as in `el1_build_map`; the tree's memory is kept out of the page allocator.
    let tree = unsafe { machine::tree_at(dtb) };
    heap::init();
    machine::init(tree);
    pages::init();
    cpu::init();
    el1_image_main()
}

unsafe extern "C" {
    static el1_image_start: u8;
    static el1_image_end: u8;
}

/// Where this image lies, memory past its file included.
pub(crate) fn image_range() -> Range {
    let start = &raw const el1_image_start as u64;
    Range {
        start,
        size: &raw const el1_image_end as u64 - start,
    }
}

//! The first instructions: the arm64 Image header, the boot core's way into Rust, every other
//! core's way into Rust, and the one piece of code that turns the MMU on for all of them.
//!
//! The image runs wherever it was loaded (any multiple of 2 MiB): it is linked at 0 as a
//! position-independent executable, code addresses are relative to PC, and the pointers in its
//! data are relocated here before any Rust code runs. Assumed of the boot loader, as the arm64
//! boot protocol (Linux, Documentation/arch/arm64/booting.rst) demands: MMU and data cache off,
//! the image clean to the point of coherency, x0 = device tree.
//!
//! What is written with the caches off is invisible to them and may be hidden by stale lines, so
//! all that is written, which is what lies behind the code, is cleaned and invalidated before and after.

use core::arch::global_asm;
use core::mem::offset_of;

use crate::record::{BootRecord, Regime};

unsafe extern "C" {
    /// Start of the image.
    static __image_start: u8;
    /// End of what is executable; constants follow.
    static __text_end: u8;
    /// End of constants; writable data follows.
    static __rodata_end: u8;
    /// End of writable data.
    static __data_end: u8;
    /// The boot core's stack block.
    static __boot_stack: u8;
    /// End of all that the image occupies.
    static __image_end: u8;
    /// Where a core that PSCI starts begins.
    fn smp_boot_secondary_entry() -> !;
}

/// A boundary of the image, where it really is.
macro_rules! boundary {
    ($symbol:ident) => {
        (&raw const $symbol).addr() as u64
    };
}

/// Boundaries of the image's parts, each a multiple of the page size.
#[derive(Clone, Copy, Debug)]
pub struct ImageLayout {
    pub start: u64,
    pub text_end: u64,
    pub rodata_end: u64,
    pub data_end: u64,
    pub stack: u64,
    pub end: u64,
}

impl ImageLayout {
    /// The running image's.
    pub fn get() -> Self {
        Self {
            start: boundary!(__image_start),
            text_end: boundary!(__text_end),
            rodata_end: boundary!(__rodata_end),
            data_end: boundary!(__data_end),
            stack: boundary!(__boot_stack),
            end: boundary!(__image_end),
        }
    }
}

/// The address that PSCI starts cores at.
pub fn secondary_entry() -> u64 {
    smp_boot_secondary_entry as *const () as usize as u64
}

// Image header, and the boot core.
global_asm!(
    r#"
    .pushsection .head.text, "ax"
    .global _start
_start:
    b       1f
    .long   0
    .quad   0                           // text_offset
    .quad   __image_size
    .quad   0xa                         // little-endian, 4 KiB pages, anywhere in RAM
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

1:  msr     daifset, #0xf
    msr     spsel, #1
    mov     x20, x0                     // device tree
    mrs     x22, CurrentEL
    lsr     x22, x22, #2
    mov     x23, #0                     // nonzero: E2H is stuck
    cmp     x22, #2
    b.ne    2f
    mov     x1, #0x80000000             // RW only: E2H = TGE = 0, stage 2 off
    msr     hcr_el2, x1
    isb
    mrs     x1, hcr_el2
    and     x23, x1, #1 << 34

2:  adrp    x0, __text_end
    adrp    x1, __image_end
    bl      smp_boot_clean_invalidate

    adrp    x21, __image_start          // = the load address, since the image is linked at 0
    adrp    x1, __rela_start
    add     x1, x1, :lo12:__rela_start
    adrp    x2, __rela_end
    add     x2, x2, :lo12:__rela_end
3:  cmp     x1, x2
    b.hs    4f
    ldp     x3, x4, [x1], #16           // place, kind
    ldr     x5, [x1], #8                // addend
    cmp     x4, #1027                   // R_AARCH64_RELATIVE, the only kind the linker may leave
    b.ne    smp_boot_halt
    add     x5, x5, x21
    str     x5, [x21, x3]
    b       3b

4:  adrp    x1, __bss_start
    add     x1, x1, :lo12:__bss_start
    adrp    x2, __data_end              // the stack behind it needs no zeroes
    b       6f
5:  stp     xzr, xzr, [x1], #16
    stp     xzr, xzr, [x1], #16
    stp     xzr, xzr, [x1], #16
    stp     xzr, xzr, [x1], #16
6:  cmp     x1, x2
    b.lo    5b

    adrp    x1, __boot_stack_top
    mov     sp, x1
    mov     x0, x20
    mov     x1, x22
    mov     x2, x23
    bl      smp_boot_primary            // returns the boot core's record
    mov     x19, x0
    adrp    x0, __text_end
    adrp    x1, __image_end
    bl      smp_boot_clean_invalidate
    mov     x0, x19
    b       smp_boot_enter_regime

// Cleans and invalidates [x0, x1), both aligned to the page size. Clobbers x0 to x4.
smp_boot_clean_invalidate:
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4             // DminLine: log2 of words in the smallest line
    mov     x3, #4
    lsl     x3, x3, x2
1:  dc      civac, x0
    add     x0, x0, x3
    dc      civac, x0
    add     x0, x0, x3
    cmp     x0, x1
    b.lo    1b
"#,
    #[cfg(not(mutant = "boot-no-dsb"))]
    "dsb     sy",
    r#"
    ret

// No console and no PSCI to say why.
    .global smp_boot_halt
smp_boot_halt:
    wfi
    b       smp_boot_halt
    .popsection
"#
);

// A core that PSCI has just started (DEN0022 6.4: x0 = context, MMU off), and the step that all
// cores take alike.
global_asm!(
    r#"
    .pushsection .text.smp_boot_regime, "ax"
    .global smp_boot_secondary_entry
smp_boot_secondary_entry:
    msr     daifset, #0xf
    msr     spsel, #1
    mrs     x1, CurrentEL
    cmp     x1, #2 << 2
    b.ne    smp_boot_halt               // the primary will report the silence
    mov     x1, #0x80000000
    msr     hcr_el2, x1
    isb
    mrs     x1, hcr_el2
    tbnz    x1, #34, smp_boot_halt

// x0 = record. Nothing that is cached from before survives.
smp_boot_enter_regime:
    ldr     x1, [x0, #{mair}]
    msr     mair_el2, x1
    ldr     x1, [x0, #{tcr}]
    msr     tcr_el2, x1
    ldr     x1, [x0, #{ttbr}]
    msr     ttbr0_el2, x1
    ldr     x1, [x0, #{vbar}]
    msr     vbar_el2, x1
    ldr     x2, [x0, #{sctlr}]
    ldr     x3, [x0, #{stack_top}]
    ldr     x4, [x0, #{entry}]
"#,
    // Tables were written with the MMU off, on the primary.
    #[cfg(not(mutant = "regime-no-dsb-before"))]
    "dsb     sy",
    #[cfg(not(mutant = "regime-no-isb-before"))]
    "isb",
    #[cfg(not(mutant = "regime-no-tlbi-alle2"))]
    "tlbi    alle2",
    // Scenario 3: whatever ran before may have left EL1&0 entries of any VMID behind, and a later VM of
    // that VMID must not find them.
    #[cfg(not(mutant = "boot-no-tlbi-alle1"))]
    "tlbi    alle1",
    #[cfg(not(mutant = "regime-no-ic"))]
    "ic      iallu",
    #[cfg(not(mutant = "regime-no-dsb"))]
    "dsb     nsh",
    #[cfg(not(mutant = "regime-no-isb"))]
    "isb",
    "msr     sctlr_el2, x2",
    #[cfg(not(mutant = "regime-no-last-isb"))]
    "isb",
    r#"
    mov     sp, x3
    mov     x29, #0
    mov     x30, #0
    br      x4
    .popsection
"#,
    mair = const offset_of!(BootRecord, regime) + offset_of!(Regime, mair),
    tcr = const offset_of!(BootRecord, regime) + offset_of!(Regime, tcr),
    sctlr = const offset_of!(BootRecord, regime) + offset_of!(Regime, sctlr),
    vbar = const offset_of!(BootRecord, regime) + offset_of!(Regime, vbar),
    ttbr = const offset_of!(BootRecord, ttbr),
    stack_top = const offset_of!(BootRecord, stack_top),
    entry = const offset_of!(BootRecord, entry),
);

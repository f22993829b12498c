//! The instructions that touch a page through the window, and the way out of a memory error there.
//!
//! A page of RAM may have an error that the core tells by a synchronous external abort, at EL2 if the
//! engine makes the access. Everywhere else in the engine that is the end. Here it is about one page
//! that is on its way to another owner, and it is known which instructions can raise it: those between
//! `arch_foreign_begin` and `arch_foreign_end`. EL2's vector for synchronous exceptions comes to
//! `arch_foreign_check`; if the exception is an external abort of data, was taken from one of these
//! instructions and names an address in the page, it goes on at a landing pad, which returns to the caller
//! with the answer "broken".
//!
//! Invariants: nothing between the two labels calls, or changes SP or x30, so that the landing pad may return
//! in its place; at every access there x2 is the end of the window's page, for the check to compare. The one
//! other memory accessed is where `copy` stores to, the engine's own: an error there is the engine's end.
//! Loads are completed there too: each value is used.

use core::arch::global_asm;

/// What a routine returns in x0 and x1.
#[repr(C)]
struct Answer {
    value: u64,
    broken: u64,
}

unsafe extern "C" {
    /// ORs the words of the page at `va`, and stops at the first 128 bytes that are not zero.
    fn arch_foreign_probe(va: u64) -> Answer;
    /// The same of one word in each 64 bytes.
    fn arch_foreign_sample(va: u64) -> Answer;
    /// Zeroes the page at `va`, by `DC ZVA` of `block` bytes, or by stores if that is 0.
    fn arch_foreign_zero(va: u64, block: u64) -> Answer;
    /// Cleans and invalidates the page at `va`, by lines of `line` bytes, and waits (`DSB SY`).
    fn arch_foreign_clean(va: u64, line: u64) -> Answer;
    /// Copies `bytes` of the page at `va` to `into`: not 0, and a multiple of 16.
    fn arch_foreign_copy(va: u64, into: *mut u64, bytes: u64) -> Answer;
}

/// An external abort came instead.
pub struct Aborted;

impl Answer {
    fn value(self) -> Result<u64, Aborted> {
        match self.broken {
            0 => Ok(self.value),
            _ if cfg!(mutant = "abort-ignored") => Ok(self.value),
            _ => Err(Aborted),
        }
    }
}

/// Is any word of the page at `va` not zero?
///
/// # Safety
/// The page is mapped there, for this core alone.
pub unsafe fn probe(va: u64) -> Result<bool, Aborted> {
    // SAFETY: reads the mapped page.
    unsafe { arch_foreign_probe(va) }.value().map(|or| or != 0)
}

/// Is one of the words not zero that begin a line of 64 bytes in the page at `va`?
///
/// # Safety
/// As for [`probe`].
pub unsafe fn sample(va: u64) -> Result<bool, Aborted> {
    // SAFETY: reads the mapped page.
    unsafe { arch_foreign_sample(va) }.value().map(|or| or != 0)
}

/// Zeroes the page at `va`; `block` is what `DC ZVA` zeroes, in bytes, if it may be used.
///
/// # Safety
/// As for [`probe`], as normal memory, and nobody else's.
pub unsafe fn zero(va: u64, block: Option<usize>) -> Result<(), Aborted> {
    // Two blocks at a time.
    let is_fit = |bytes: &usize| bytes.is_power_of_two() && *bytes <= 2048;
    let block = block.filter(is_fit).unwrap_or(0);
    // SAFETY: stores to the mapped page only: the block divides it.
    unsafe { arch_foreign_zero(va, block as u64) }
        .value()
        .map(drop)
}

/// Cleans and invalidates the page at `va`, lines of `line` bytes, to the point of coherency.
///
/// # Safety
/// As for [`probe`].
pub unsafe fn clean(va: u64, line: usize) -> Result<(), Aborted> {
    // Four lines at a time, within the page.
    let line = line.min(1024);
    // SAFETY: cleaning keeps the content.
    unsafe { arch_foreign_clean(va, line as u64) }
        .value()
        .map(drop)
}

/// Copies the first words of the page at `va`, each once.
///
/// # Safety
/// As for [`probe`]; and `into` has an even number of words, two at least and a page at most.
pub unsafe fn copy(va: u64, into: &mut [u64]) -> Result<(), Aborted> {
    let bytes = size_of_val(into);
    // SAFETY: reads the mapped page, and writes all of `into`, which is so large, by pairs of words.
    unsafe { arch_foreign_copy(va, into.as_mut_ptr(), bytes as u64) }
        .value()
        .map(drop)
}

/// ESR_EL2.EC of x9 to x10, without ISS2, which lies above it.
#[cfg(not(mutant = "foreign-class-with-iss2"))]
macro_rules! class_to_x10 {
    () => {
        "ubfx x10, x9, #26, #6\n"
    };
}
#[cfg(mutant = "foreign-class-with-iss2")]
macro_rules! class_to_x10 {
    () => {
        "lsr x10, x9, #26\n"
    };
}

/// On to 1f where the abort names no address (FnV), or one outside the page that ends at x2.
#[cfg(not(mutant = "foreign-any-address"))]
macro_rules! require_address_in_page {
    () => {
        "tbnz x9, #10, 1f
         mrs  x10, far_el2
         sub  x10, x2, x10
         sub  x10, x10, #1
         lsr  x10, x10, #12
         cbnz x10, 1f\n"
    };
}
#[cfg(mutant = "foreign-any-address")]
macro_rules! require_address_in_page {
    () => {
        ""
    };
}

// ESR_EL2.EC 0x25 is a data abort without a change of level; DFSC 0x10 a synchronous external abort,
// 0x18 a parity or ECC error, both not on a walk (Arm ARM D19.2.40). The check clobbers what only a
// crash or the landing pad finds: a routine's own registers, of which its caller expects nothing.
global_asm!(
    r#"
    .pushsection .text.arch_foreign, "ax"

    .global arch_foreign_check
arch_foreign_check:
    mrs     x9, esr_el2
    "#,
    class_to_x10!(),
    r#"
    cmp     x10, #0x25
    b.ne    1f
    and     x10, x9, #0x3f
    cmp     x10, #0x10
    mov     x11, #0x18
    ccmp    x10, x11, #4, ne
    b.ne    1f
    mrs     x10, elr_el2
    adr     x11, arch_foreign_begin
    adr     x12, arch_foreign_end
    cmp     x10, x11
    ccmp    x10, x12, #2, hs
    b.hs    1f
    "#,
    require_address_in_page!(),
    r#"
    adr     x10, 2f
    msr     elr_el2, x10
    eret
    "#,
    #[cfg(not(mutant = "landing-no-dsb"))]
    "dsb     nsh",
    #[cfg(not(mutant = "landing-no-isb"))]
    "isb",
    r#"
1:  mov     x0, #4
    b       smp_boot_crash_entry
2:  mov     x0, xzr
    mov     x1, #1
    ret

arch_foreign_begin:
    .global arch_foreign_probe
arch_foreign_probe:
    add     x2, x0, #4096
1:  ldp     x3, x4, [x0]
    ldp     x5, x6, [x0, #16]
    ldp     x7, x8, [x0, #32]
    ldp     x9, x10, [x0, #48]
    ldp     x11, x12, [x0, #64]
    ldp     x13, x14, [x0, #80]
    ldp     x15, x16, [x0, #96]
    ldp     x17, x1, [x0, #112]
    add     x0, x0, #128
    orr     x3, x3, x4
    orr     x5, x5, x6
    orr     x7, x7, x8
    orr     x9, x9, x10
    orr     x11, x11, x12
    orr     x13, x13, x14
    orr     x15, x15, x16
    orr     x17, x17, x1
    orr     x3, x3, x5
    orr     x7, x7, x9
    orr     x11, x11, x13
    orr     x15, x15, x17
    orr     x3, x3, x7
    orr     x11, x11, x15
    orr     x3, x3, x11
    cbnz    x3, 2f
    cmp     x0, x2
    b.ne    1b
2:  mov     x0, x3
    mov     x1, xzr
    ret

    .global arch_foreign_sample
arch_foreign_sample:
    add     x2, x0, #4096
1:  ldr     x3, [x0]
    ldr     x4, [x0, #64]
    ldr     x5, [x0, #128]
    ldr     x6, [x0, #192]
    add     x0, x0, #256
    orr     x3, x3, x4
    orr     x5, x5, x6
    orr     x3, x3, x5
    cbnz    x3, 2f
    cmp     x0, x2
    b.ne    1b
2:  mov     x0, x3
    mov     x1, xzr
    ret

    .global arch_foreign_zero
arch_foreign_zero:
    add     x2, x0, #4096
    cbz     x1, 2f
1:  dc      zva, x0
    add     x0, x0, x1
    dc      zva, x0
    add     x0, x0, x1
    cmp     x0, x2
    b.ne    1b
    b       3f
2:  stp     xzr, xzr, [x0]
    stp     xzr, xzr, [x0, #16]
    stp     xzr, xzr, [x0, #32]
    stp     xzr, xzr, [x0, #48]
    add     x0, x0, #64
    cmp     x0, x2
    b.ne    2b
3:  mov     x0, xzr
    mov     x1, xzr
    ret

    .global arch_foreign_clean
arch_foreign_clean:
    add     x2, x0, #4096
1:  dc      civac, x0
    add     x0, x0, x1
    dc      civac, x0
    add     x0, x0, x1
    dc      civac, x0
    add     x0, x0, x1
    dc      civac, x0
    add     x0, x0, x1
    cmp     x0, x2
    b.lo    1b
    "#,
    #[cfg(not(mutant = "clean-no-dsb"))]
    "dsb     sy",
    r#"
    mov     x0, xzr
    mov     x1, xzr
    ret

    .global arch_foreign_copy
arch_foreign_copy:
    add     x5, x0, x2
    add     x2, x0, #4096
1:  ldp     x3, x4, [x0], #16
    stp     x3, x4, [x1], #16
    cmp     x0, x5
    b.ne    1b
    mov     x0, xzr
    mov     x1, xzr
    ret
arch_foreign_end:
    .popsection
    "#,
);

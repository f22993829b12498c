//! From the firmware's address space to the Image's first instruction.
//!
//! The arm64 boot protocol (Linux, Documentation/arch/arm64/booting.rst) wants MMU and data cache off,
//! the image in memory and not only in a cache, interrupts masked, x0 = device tree, x1 to x3 zero. The
//! firmware maps memory where it is, so that turning the MMU off moves nothing.

use core::arch::asm;

use smp_boot::PaRange;

/// Bits of SCTLR_EL2: MMU, data cache, instruction cache.
const MMU_AND_CACHES: u64 = 1 << 0 | 1 << 2 | 1 << 12;

/// Where the core is now.
pub fn exception_level() -> u64 {
    let level: u64;
    // SAFETY: reading a register.
    unsafe { asm!("mrs {}, currentel", out(reg) level, options(nomem, nostack)) };
    level >> 2 & 3
}

/// MPIDR of this core.
pub fn mpidr() -> u64 {
    let mpidr: u64;
    // SAFETY: reading a register.
    unsafe { asm!("mrs {}, mpidr_el1", out(reg) mpidr, options(nomem, nostack)) };
    mpidr
}

/// Stops for good.
pub fn halt() -> ! {
    loop {
        // SAFETY: waiting changes nothing.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}

/// Starts the Image at `entry` with the tree `blob`; `loaded` is what else has to be in memory.
pub fn enter(entry: u64, blob: PaRange, loaded: &[PaRange]) -> ! {
    // SAFETY: masking interrupts: their handlers went with the firmware.
    unsafe { asm!("msr daifset, #0xf", options(nomem, nostack)) };
    for range in loaded.iter().chain([&blob]) {
        clean(*range);
    }
    // SAFETY: boot services are left, so that this core is ours and nobody else runs. The code that is
    // run with the MMU off has been cleaned to memory by itself before; from there on only registers are
    // used. What is at `entry` takes the machine as the protocol has it.
    unsafe {
        asm!(
            // The few instructions from here to the branch, in the smallest lines there can be.
            "adr     x4, 2f",
            "adr     x5, 3f",
            "1:",
            "dc      civac, x4",
            "add     x4, x4, #16",
            "cmp     x4, x5",
            "b.lo    1b",
            "dc      civac, x5",
            "dsb     sy",
            "mrs     x4, sctlr_el2",
            "bic     x4, x4, x6",
            "b       2f",
            "2:",
            "msr     sctlr_el2, x4",
            "isb",
            "ic      iallu",
            "tlbi    alle2",
            "dsb     nsh",
            "isb",
            "mov     x1, xzr",
            "mov     x2, xzr",
            "mov     x3, xzr",
            "3:",
            "br      x7",
            in("x0") blob.start(),
            in("x6") MMU_AND_CACHES,
            in("x7") entry,
            options(noreturn, nostack)
        )
    }
}

/// Cleans a range to the point of coherency.
fn clean(range: PaRange) {
    // The smallest line there can be.
    for line in (range.start() & !15..range.end()).step_by(16) {
        // SAFETY: cache maintenance of memory that is mapped changes no content.
        unsafe { asm!("dc civac, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

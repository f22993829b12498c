//! Barriers and TLB maintenance of the EL2 regime, by what they are for.
//!
//! Off bare metal there are no walkers and no TLB, so these do nothing: the code above is the same
//! in both builds.

#[cfg(target_os = "none")]
use core::arch::asm;

/// Entries that were written are seen by walkers of all CPUs, and by instructions after this.
pub fn publish_entries() {
    #[cfg(target_os = "none")]
    // SAFETY: barriers change no state; not `nomem`, so no access moves across.
    unsafe {
        asm!(
            #[cfg(not(mutant = "el2-no-dsb-before"))]
            "dsb ishst",
            #[cfg(not(mutant = "el2-no-isb-before"))]
            "isb",
            options(nostack, preserves_flags)
        );
    }
}

/// Starts dropping every CPU's cached translation of `va`, leaf and tables above it (TLBI VAE2IS).
pub fn flush_va_everywhere(va: u64) {
    #[cfg(target_os = "none")]
    // SAFETY: dropping cached translations is always allowed; the operand has the page number in
    // bits 43:0 and TTL 0, which asks for any level.
    unsafe {
        asm!("tlbi vae2is, {}", in(reg) va >> 12, options(nostack, preserves_flags));
    }
    #[cfg(not(target_os = "none"))]
    let _ = va;
}

/// Waits until all CPUs have done what was started.
pub fn complete_flush() {
    #[cfg(target_os = "none")]
    // SAFETY: as in `publish_entries`.
    unsafe {
        asm!(
            #[cfg(not(mutant = "el2-no-dsb"))]
            "dsb ish",
            #[cfg(not(mutant = "el2-no-isb"))]
            "isb",
            options(nostack, preserves_flags)
        );
    }
}

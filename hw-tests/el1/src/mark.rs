//! Marks for whoever looks on: our QEMU plugin counts between them, for the core that passes them.

use core::arch::asm;

/// From here on it counts. Does nothing without it.
pub fn begin_window() {
    // SAFETY: a hint that no processor knows does nothing (Arm ARM C6.2.128).
    unsafe { asm!("hint #112", options(nostack, preserves_flags)) };
}

/// Up to here.
pub fn end_window() {
    // SAFETY: as in `begin_window`.
    unsafe { asm!("hint #113", options(nostack, preserves_flags)) };
}

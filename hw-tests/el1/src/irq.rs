//! Interrupts, taken only where the image opens a window for them.
//!
//! Invariants: a handler runs on its own core inside [`open_window`] or [`wait`] and nowhere else;
//! it takes no lock that its core may hold. The timer is masked here; every interrupt, the timer's
//! included, is then told to the image's handler.

use crate::{gic, timer};
use aarch64_cpu::asm::{self, barrier};
use core::arch::asm;
use spin::Once;

static HANDLER: Once<fn(u32)> = Once::new();

/// Names the function that is told the INTID of every interrupt; only the first call counts.
pub fn install(handler: fn(u32)) {
    HANDLER.call_once(|| handler);
}

/// Takes every interrupt that is pending now.
pub fn open_window() {
    // SAFETY: handlers keep to this module's invariants; the state is masked again after.
    unsafe {
        asm!(
            "msr daifclr, #2",
            "isb",
            "msr daifset, #2",
            options(nostack)
        )
    };
}

/// Sleeps until an interrupt is pending, then takes it. Returns at once if `ready` says so.
///
/// No wake-up is lost: interrupts are masked from the question to the sleep, and one that is
/// pending while masked ends WFI (Arm ARM D1.7.2).
pub fn wait(ready: impl FnOnce() -> bool) {
    if !ready() {
        barrier::dsb(barrier::SY);
        asm::wfi();
    }
    open_window();
}

/// Acknowledges and handles what is pending; called by the vectors.
pub(crate) fn dispatch() {
    while let Some(intid) = gic::acknowledge() {
        if intid == timer::INTID {
            timer::disarm();
        }
        if let Some(handler) = HANDLER.get() {
            handler(intid);
        }
        gic::end(intid);
    }
}

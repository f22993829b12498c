//! SErrors that are pending at EL2, where PSTATE.A masks them and nothing takes them.
//!
//! Invariant: one that came with a guest is taken, where that can be done; any other stays pending, and is
//! the host's.

use super::features::CoreFeatures;
use super::regs::*;
use core::arch::asm;

/// ISR_EL1.A: a physical SError is pending.
const PENDING: u64 = 1 << 8;
/// DISR_EL1.A: ESB has taken an SError.
const DEFERRED: u64 = 1 << 31;
/// DISR_EL1.IDS and ISS, which are ESR_ELx.ISS.
const DEFERRED_ISS: u64 = 0x1ff_ffff;
/// ESR_EL2 of an SError: EC and IL.
const ESR_SERROR: u64 = 0x2f << 26 | 1 << 25;

/// Is one pending?
pub fn is_pending() -> bool {
    ISR_EL1.get() & PENDING != 0
}

/// Takes one that is pending; the ESR_EL2 that it would have had. Without FEAT_RAS there is no way to:
/// it stays pending.
pub fn take(core: &CoreFeatures) -> Option<u64> {
    if !core.ras || !is_pending() {
        return None;
    }
    // SAFETY: ESB (HINT #16) at EL2 moves a pending SError to DISR_EL1 and changes nothing else.
    unsafe { asm!("hint #16", options(nostack, preserves_flags)) };
    let deferred = DISR_EL1.get();
    DISR_EL1.set(0);
    (deferred & DEFERRED != 0).then_some(ESR_SERROR | deferred & DEFERRED_ISS)
}

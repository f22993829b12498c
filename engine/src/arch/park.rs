//! Cores that the host has not started, or has given back: parked at EL2 until released.
//!
//! Invariants: the word is the truth; the SGI only ends a WFI. `ParkWord` has the order: the releaser
//! stores the word, then DSB, then sends; the parked core enables the SGI, then looks at the word, then
//! WFI, which a pending SGI keeps from waiting.
//! A parked core is woken by nothing but that SGI (or what the host gives the same top priority):
//! ICC_PMR_EL1 lets only priorities below [`park_mask`] through.

use super::features::CoreFeatures;
use super::metal::MetalCpu;
use super::regs::*;
use super::{host, init, interrupts};
use crate::gic::priority;
use core::arch::asm;

/// The SGI that wakes a parked core: its number is the host's again as soon as the core runs.
const PARK_SGI: u8 = 15;
/// How often to look for an SGI that was sent right after the word was stored, where none has come yet: it is a
/// matter of microseconds.
const SGI_PATIENCE: u32 = 1_000;
/// GICD_CTLR as Non-secure software and software of a single-state GIC see it (IHI0069 12.9.4):
/// EnableGrp1(A) is bit 1 in both, ARE(_NS) bit 4.
const GICD_CTLR_ENABLE_GROUP1: u32 = 1 << 1;
const GICD_CTLR_AFFINITY_ROUTING: u32 = 1 << 4;
/// GICD_CTLR.DS: one security state; RES0 to Non-secure software of two.
const GICD_CTLR_ONE_STATE: u32 = 1 << 6;

/// Lets a parked core go. The caller has stored what it shall find.
pub fn release(target: &MetalCpu, distributor: u64) {
    target.park.release(|| {
        // The word must be visible before the SGI is sent. ISH suffices: both are cores.
        // SAFETY: a barrier changes no state; not `nomem`.
        #[cfg(not(mutant = "release-no-dsb"))]
        unsafe {
            asm!("dsb ishst", options(nostack, preserves_flags))
        };
        open_distributor(distributor);
        interrupts::send_sgi(target.mpidr, PARK_SGI);
    });
}

/// A host may start cores before it has set up its GIC: without the distributor no SGI arrives.
/// With all else disabled, what this enables is nothing but that.
fn open_distributor(distributor: u64) {
    const WANTED: u32 = GICD_CTLR_ENABLE_GROUP1 | GICD_CTLR_AFFINITY_ROUTING;
    let control = distributor as usize as *mut u32;
    // SAFETY: GICD_CTLR, mapped at VA = PA as device memory. The host may write it meanwhile: the
    // last writer wins, and both want the same of these bits.
    unsafe {
        let value = control.read_volatile();
        if value & WANTED != WANTED {
            // Affinity routing may only change while the groups are disabled (IHI0069 12.9.4).
            control.write_volatile(value | GICD_CTLR_AFFINITY_ROUTING);
            control.write_volatile(value | WANTED);
        }
    }
    #[cfg(not(mutant = "distributor-no-dsb"))]
    dsb_sy();
}

/// What lets the SGI, whose priority is 0, through and as little else as can be.
fn park_mask(distributor: u64) -> u64 {
    // SAFETY: GICD_CTLR, mapped at VA = PA as device memory; a read without effect.
    let control = unsafe { (distributor as usize as *const u32).read_volatile() };
    let probe = priority::next_to_zero((ICC_CTLR_EL1.get() >> 8) as u8);
    ICC_PMR_EL1.set(probe.into());
    let is_plain = ICC_PMR_EL1.get() == u64::from(probe);
    priority::most_urgent(control & GICD_CTLR_ONE_STATE == 0, is_plain).into()
}

/// Waits until this core is released; its EL1 is then as PSCI starts a core.
pub fn wait(cpu: &MetalCpu, core: &CoreFeatures, distributor: u64) {
    let gic = &cpu.redistributor;
    host::reset_el1(core.pauth);
    // Interrupts must be this level's to end a WFI here (Arm ARM D1.6.2); PSTATE.I stays set.
    HCR_EL2.set(core.controls.hcr_guest);
    gic.wake();
    ICC_PMR_EL1.set(park_mask(distributor));
    ICC_IGRPEN1_EL1.set(1);
    #[cfg(not(mutant = "park-no-isb-before"))]
    isb();
    // From here on the SGI is not lost: before, the GIC may have dropped it for its group.
    let before = gic.take_over_private(PARK_SGI.into());
    let mut was_pending = false;
    cpu.park.wait(|| {
        // SAFETY: waits for an interrupt to be pending; changes no state. The DSB completes the
        // accesses above.
        unsafe {
            asm!(
                #[cfg(not(mutant = "park-no-dsb"))]
                "dsb sy",
                "wfi",
                options(nostack, preserves_flags)
            );
        }
        // An SGI that is still pending would turn this into a busy loop.
        // Of the last wake: the word was there before its SGI was sent, so the next look finds it.
        was_pending = gic.is_pending(PARK_SGI.into());
        gic.drop_pending(PARK_SGI.into());
    });
    // The word may have been seen before its SGI came, which the host shall not find. (If the last that came was the
    // host's own, it may find the other instead.)
    for _ in 0..SGI_PATIENCE {
        if was_pending || gic.is_pending(PARK_SGI.into()) {
            break;
        }
        sync::spin_hint();
    }
    gic.drop_pending(PARK_SGI.into());
    gic.give_back_private(PARK_SGI.into(), before);
    ICC_PMR_EL1.set(0);
    ICC_IGRPEN1_EL1.set(0);
    init::set_host_controls(core);
    #[cfg(not(mutant = "park-no-isb"))]
    isb();
}

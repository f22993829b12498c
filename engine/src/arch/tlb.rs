//! Barriers, TLB invalidation of the EL1&0 regime, and VTTBR_EL2 for the time of one.
//!
//! Invariants: one method, one instruction (a range may take a few); the sequences that make them
//! sound are `memory::tlb`'s. Every operand has TTL = 0 and the level is any.

use super::el1::WalkControl;
use super::features::CoreFeatures;
use super::regs::*;
use crate::platform::{Barrier, Tlbi};
use core::arch::asm;

/// One barrier or invalidation without operand.
macro_rules! plain {
    ($instruction:literal) => {
        // SAFETY: barriers and invalidations change no architectural state but what is cached; not
        // `nomem`, so no access moves across.
        unsafe { asm!($instruction, options(nostack, preserves_flags)) }
    };
}

/// One invalidation with operand; the encoding for `SYS` where the assembler may not know it.
macro_rules! operand {
    ($instruction:literal, $value:expr) => {
        // SAFETY: as for `plain`.
        unsafe {
            asm!(concat!($instruction, ", {}"), in(reg) $value, options(nostack, preserves_flags))
        }
    };
}

/// Executes one barrier.
#[inline(always)]
pub fn barrier(barrier: Barrier) {
    match barrier {
        Barrier::DsbIshst => plain!("dsb ishst"),
        Barrier::DsbIsh => plain!("dsb ish"),
        Barrier::DsbNsh => plain!("dsb nsh"),
        Barrier::Isb => plain!("isb"),
    }
}

/// Executes one invalidation. Inlined, as a call would decide at run time which one: so it is one
/// instruction where it is asked for, and the image shows there which.
#[inline(always)]
pub fn invalidate(op: Tlbi) {
    match op {
        #[cfg(not(any(mutant = "tlb-local", mutant = "tlb-of-el2")))]
        Tlbi::Ipas2e1is { ipa_page } => operand!("tlbi ipas2e1is", ipa_page & PAGE_NUMBER),
        #[cfg(mutant = "tlb-local")]
        Tlbi::Ipas2e1is { ipa_page } => operand!("tlbi ipas2e1", ipa_page & PAGE_NUMBER),
        #[cfg(mutant = "tlb-of-el2")]
        Tlbi::Ipas2e1is { .. } => plain!("tlbi alle2is"),
        Tlbi::Ripas2e1is { ipa_page, pages } => invalidate_run(ipa_page, pages),
        Tlbi::Vmalle1is => plain!("tlbi vmalle1is"),
        Tlbi::Vmalls12e1is => plain!("tlbi vmalls12e1is"),
        Tlbi::Vmalle1 => plain!("tlbi vmalle1"),
        Tlbi::Alle1is => plain!("tlbi alle1is"),
    }
}

/// `IC IALLUIS`.
pub fn invalidate_icache() {
    plain!("ic ialluis");
}

/// Bits 36:0 of an operand: an address divided by 4 KiB.
const PAGE_NUMBER: u64 = (1 << 37) - 1;
/// TG of a range operand: 4 KiB.
const RANGE_GRANULE_4K: u64 = 0b01 << 46;
/// Largest SCALE.
const MAX_SCALE: u32 = 3;

/// Pages that NUM = 0 covers with this SCALE: (NUM + 1) << (5 * SCALE + 1) pages in all.
const fn range_unit(scale: u32) -> u64 {
    1u64.wrapping_shl(scale.wrapping_mul(5).wrapping_add(1))
}

/// Invalidates a run by `RIPAS2E1IS` (Arm ARM C5.5, range operands), largest pieces first; a last
/// odd page by `IPAS2E1IS`, as a range has an even number.
fn invalidate_run(mut first: u64, mut pages: u64) {
    let mut scale = MAX_SCALE;
    while pages > 1 {
        let units = (pages / range_unit(scale)).min(32);
        if units == 0 {
            scale = scale.saturating_sub(1);
            continue;
        }
        let operand =
            RANGE_GRANULE_4K | u64::from(scale) << 44 | (units - 1) << 39 | first & PAGE_NUMBER;
        // TLBI RIPAS2E1IS.
        if cfg!(not(mutant = "tlb-no-ripas2")) {
            operand!("sys #4, c8, c0, #2", operand);
        }
        let done = units.wrapping_mul(range_unit(scale));
        first = first.wrapping_add(done);
        pages = pages.saturating_sub(done);
    }
    if pages == 1 && cfg!(not(mutant = "tlb-no-ipas2-odd")) {
        operand!("tlbi ipas2e1is", first & PAGE_NUMBER);
    }
}

/// VTTBR_EL2.
pub fn current() -> u64 {
    VTTBR_EL2.get()
}

/// What was in force before [`borrow_regime`].
#[derive(Clone, Copy, Debug)]
#[must_use = "the regime must be returned"]
pub struct SavedRegime {
    vttbr: u64,
    /// On cores that walk from EL2 only.
    walks: Option<WalkControl>,
}

/// Makes `vttbr` current for TLB maintenance, with no walk of this core under it.
pub fn borrow_regime(core: &CoreFeatures, vttbr: u64) -> SavedRegime {
    let walks = core.walks_from_el2.then(|| {
        let walks = WalkControl::current();
        WalkControl::forbid_walks();
        walks
    });
    let saved = SavedRegime {
        vttbr: VTTBR_EL2.get(),
        walks,
    };
    VTTBR_EL2.set(vttbr);
    if cfg!(not(mutant = "tlb-no-vttbr-isb")) {
        isb();
    }
    saved
}

/// Puts back what [`borrow_regime`] found.
pub fn return_regime(saved: SavedRegime) {
    VTTBR_EL2.set(saved.vttbr);
    #[cfg(not(mutant = "return-no-isb"))]
    isb();
    if let Some(walks) = saved.walks {
        walks.apply();
        #[cfg(not(mutant = "return-no-walks-isb"))]
        isb();
    }
}

/// Drops what this core has cached for the VM's vCPU that ran here last: its stage-1 entries carry
/// the VM's VMID and, by ASID, may be taken for another vCPU's.
pub fn forget_last_vcpu(core: &CoreFeatures, vttbr: u64) {
    #[cfg(not(mutant = "vcpu-no-dsb"))]
    dsb_ish();
    let saved = (current() != vttbr).then(|| borrow_regime(core, vttbr));
    // SAFETY: as for `plain`.
    unsafe {
        asm!(
            #[cfg(not(mutant = "vcpu-no-tlbi"))]
            "tlbi vmalle1",
            #[cfg(not(mutant = "vcpu-no-ic"))]
            "ic iallu",
            #[cfg(not(mutant = "vcpu-no-dsb-after"))]
            "dsb nsh",
            #[cfg(not(mutant = "vcpu-no-isb"))]
            "isb",
            options(nostack, preserves_flags)
        );
    }
    if let Some(saved) = saved {
        return_regime(saved);
    }
}

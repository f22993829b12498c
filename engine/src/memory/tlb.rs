//! Stage-2 TLB invalidation: the only place where a [`Flushed`] is minted.
//!
//! Invariants:
//! - the caller has already stored the entries; the `DSB ISH` here makes them visible to walkers
//!   *and* drains walks that saw the old ones (ISHST would not: when VTTBR changes next, walks that
//!   began under the old value must have ended);
//! - IPAS2 invalidation leaves combined stage-1+2 entries alone, so `VMALLE1IS` always follows it;
//! - a `Flushed` exists only after the last `DSB ISH`.
//!
//! The sequence is the Arm ARM's (D8.17.6, "TLB maintenance"), the repeat that of CVE-2025-10263:
//! on affected cores an older store of another core may still land after TLBI + DSB; a second
//! broadcast TLBI + DSB, with any operand, waits for it.

use crate::platform::{Barrier, Platform, Tlbi};
use ownership::{Coverage, Flushed};
use percpu::CpuId;

/// A VM's translation regime: the value VTTBR_EL2 has while it runs (VMID in bits 63:48, the root
/// table's address below).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Regime {
    vttbr: u64,
}

impl Regime {
    /// The regime of `vmid` with its root table at `root`.
    pub const fn new(vmid: u16, root: ownership::Pfn) -> Self {
        Self {
            vttbr: (vmid as u64) << 48 | root.raw() << 12,
        }
    }

    /// VTTBR_EL2.
    pub const fn vttbr(self) -> u64 {
        self.vttbr
    }

    /// VMID.
    pub const fn vmid(self) -> u16 {
        (self.vttbr >> 48) as u16
    }
}

/// A run of IPA pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpaRun {
    /// First page.
    pub first: u64,
    /// Number of pages.
    pub pages: u64,
}

/// From this many single invalidations on, the whole VMID goes instead: each broadcast is a
/// message to every core, and walks for the rest of the VM cost less than these.
#[cfg(not(any(mutant = "flush-never-whole", mutant = "flush-always-whole")))]
const WHOLE_VM_FROM: u64 = 32;
#[cfg(mutant = "flush-never-whole")]
const WHOLE_VM_FROM: u64 = u64::MAX;
#[cfg(mutant = "flush-always-whole")]
const WHOLE_VM_FROM: u64 = 1;

/// How one flush was done, for the counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlushKind {
    /// Page by page or by range.
    Pages,
    /// The whole VMID.
    Vm,
}

/// Invalidates everything any core may have cached for `runs` of `regime`. In the image once, where its
/// sequence is looked for.
#[inline(never)]
pub fn flush_runs<P: Platform>(
    platform: &P,
    cpu: CpuId,
    regime: Regime,
    runs: &[IpaRun],
) -> (Flushed, FlushKind) {
    let singles: u64 = runs
        .iter()
        .fold(0, |sum, run| sum.saturating_add(run.pages));
    let range = platform.features().tlb_range && !cfg!(mutant = "flush-no-ranges");
    let operations = if range { runs.len() as u64 } else { singles };
    if operations >= WHOLE_VM_FROM {
        return (flush_vm(platform, cpu, regime), FlushKind::Vm);
    }
    let flushed = flush_ipas(platform, cpu, regime, || {
        #[cfg(not(mutant = "tlb-no-ipas2"))]
        for run in runs {
            if range && run.pages > 1 {
                platform.tlbi(
                    cpu,
                    Tlbi::Ripas2e1is {
                        ipa_page: run.first,
                        pages: run.pages,
                    },
                );
            } else {
                for page in run.first..run.first.saturating_add(run.pages) {
                    invalidate_page(platform, cpu, page);
                }
            }
        }
    });
    (flushed, FlushKind::Pages)
}

/// Is one page alone worth no flush of all?
pub(super) const ALONE: bool = WHOLE_VM_FROM > 1;

/// The same for one page.
#[inline(never)]
pub(super) fn flush_page<P: Platform>(
    platform: &P,
    cpu: CpuId,
    regime: Regime,
    ipa_page: u64,
) -> Flushed {
    flush_ipas(platform, cpu, regime, || {
        #[cfg(not(mutant = "tlb-no-ipas2"))]
        invalidate_page(platform, cpu, ipa_page);
    })
}

/// By `each` what is cached by IPA, then what is cached of both stages.
#[inline(always)]
fn flush_ipas<P: Platform>(
    platform: &P,
    cpu: CpuId,
    regime: Regime,
    each: impl FnOnce(),
) -> Flushed {
    within(platform, cpu, regime, || {
        each();
        #[cfg(not(mutant = "tlb-no-dsb-between"))]
        platform.barrier(cpu, Barrier::DsbIsh);
        #[cfg(not(mutant = "tlb-no-vmalle1"))]
        platform.tlbi(cpu, Tlbi::Vmalle1is);
    });
    // SAFETY: `within` ended with the DSB ISH that completes the invalidations above on all cores.
    unsafe { Flushed::mint(Coverage::Vmid(regime.vmid())) }
}

#[inline(always)]
fn invalidate_page<P: Platform>(platform: &P, cpu: CpuId, ipa_page: u64) {
    if cfg!(not(mutant = "tlb-no-ipas2-page")) {
        platform.tlbi(cpu, Tlbi::Ipas2e1is { ipa_page });
    }
}

/// Invalidates everything any core may have cached for `regime`.
pub fn flush_vm<P: Platform>(platform: &P, cpu: CpuId, regime: Regime) -> Flushed {
    within(platform, cpu, regime, || {
        #[cfg(not(mutant = "tlb-no-vmalls12"))]
        platform.tlbi(cpu, Tlbi::Vmalls12e1is);
    });
    // SAFETY: `within` ended with the DSB ISH that completes the invalidation above on all cores.
    unsafe { Flushed::mint(Coverage::Vmid(regime.vmid())) }
}

/// States that nothing needs invalidating: the caller holds the claims of pages that no valid leaf
/// of `regime` has named since its last completed flush.
pub(crate) fn nothing_to_flush(regime: Regime) -> Flushed {
    // SAFETY: by the caller's word; a leaf is written only under the page's claim, which is held,
    // and every unmapping since was flushed before its claim was let go.
    unsafe { Flushed::mint(Coverage::Vmid(regime.vmid())) }
}

/// Runs `invalidate` under `regime`'s VMID between the barriers that make it count.
#[inline(always)]
fn within<P: Platform>(platform: &P, cpu: CpuId, regime: Regime, invalidate: impl FnOnce()) {
    #[cfg(not(mutant = "tlb-no-dsb-before"))]
    platform.barrier(cpu, Barrier::DsbIsh);
    #[cfg(not(mutant = "tlb-wrong-vmid"))]
    let foreign = platform.vttbr(cpu) != regime.vttbr;
    #[cfg(mutant = "tlb-wrong-vmid")]
    let foreign = false;
    let saved = foreign.then(|| platform.borrow_regime(cpu, regime.vttbr));
    invalidate();
    #[cfg(not(mutant = "tlb-no-dsb-after"))]
    platform.barrier(cpu, Barrier::DsbIsh);
    if platform.features().repeat_tlbi {
        #[cfg(not(mutant = "tlb-no-repeat"))]
        platform.tlbi(cpu, Tlbi::Vmalle1is);
        #[cfg(not(mutant = "tlb-no-dsb-repeat"))]
        platform.barrier(cpu, Barrier::DsbIsh);
    }
    if let Some(saved) = saved {
        platform.return_regime(cpu, saved);
    }
    #[cfg(not(mutant = "tlb-no-isb"))]
    platform.barrier(cpu, Barrier::Isb);
}

/// The proof that the whole VM was flushed when it entered phase `Reclaiming`.
///
/// # Safety
/// The caller has read phase `Reclaiming` of the VM with an Acquire load, or moved it there itself:
/// the flush came before the Release that published the phase, and no vCPU has entered since.
pub unsafe fn flushed_before_reclaiming(regime: Regime) -> Flushed {
    // SAFETY: as above: the VM's regime is flushed and nothing can allocate under it any more.
    unsafe { Flushed::mint(Coverage::Vmid(regime.vmid())) }
}

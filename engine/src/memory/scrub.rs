//! Zeroing a page between two owners: the only place where a [`Scrubbed`] is minted.
//!
//! Invariants: a page is zeroed only after its flush (the `Flushed` is demanded), so no store
//! through an old translation can land behind the zeroes; cleaning to the point of coherency comes
//! *after* zeroing, so an uncached reader finds zeroes too.

use crate::platform::{Platform, Zeroed};
use ownership::{Flushed, Pfn, Scrubbed};
use percpu::CpuId;

/// Zeroes `page`, which no regime reaches any more as `flushed` says.
pub fn scrub<P: Platform>(
    platform: &P,
    cpu: CpuId,
    page: Pfn,
    flushed: &Flushed,
) -> (Scrubbed, Zeroed) {
    #[cfg(not(mutant = "scrub-skip"))]
    let zeroed = platform.zero_page(cpu, page);
    #[cfg(mutant = "scrub-skip")]
    let zeroed = Zeroed {
        was_nonzero: true,
        reads_zero: true,
    };
    // SAFETY: `zero_page` zeroed this page, cleaned it and completed both with a DSB; the page was
    // unreachable for others, as `flushed` says, from before the first store on.
    (unsafe { Scrubbed::mint(page, flushed) }, zeroed)
}

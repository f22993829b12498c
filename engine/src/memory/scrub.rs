//! Zeroing pages between two owners: the only place where a [`Scrubbed`] is minted.
//!
//! Invariants: a page is zeroed only after its flush (the `Flushed` is demanded), so no store
//! through an old translation can land behind the zeroes; cleaning to the point of coherency comes
//! *after* zeroing, so an uncached reader finds zeroes too; of a page with a memory error there is no
//! proof, nor of one that does not read back as zero.

use crate::engine::Engine;
use crate::platform::{Broken, Platform, Zeroed};
use abi::Counter;
use ownership::{Flushed, Pfn, Scrubbed};
use percpu::{CpuId, CpuToken};

/// Zeroes `page`, which no regime reaches any more as `flushed` says.
fn scrub<P: Platform>(
    platform: &P,
    cpu: CpuId,
    page: Pfn,
    flushed: &Flushed,
) -> Result<(Scrubbed, Zeroed), Broken> {
    #[cfg(not(mutant = "scrub-skip"))]
    let zeroed = platform.zero_page(cpu, page);
    #[cfg(mutant = "scrub-skip")]
    let zeroed = Ok(Zeroed {
        was_nonzero: true,
        reads_zero: true,
    });
    #[cfg(not(mutant = "scrub-ignore-error"))]
    let zeroed = zeroed?;
    #[cfg(mutant = "scrub-ignore-error")]
    let zeroed = zeroed.unwrap_or(Zeroed {
        was_nonzero: true,
        reads_zero: true,
    });
    // SAFETY: `zero_page` zeroed this page, cleaned it and completed both with a DSB; the page was
    // unreachable for others, as `flushed` says, from before the first store on.
    Ok((unsafe { Scrubbed::mint(page, flushed) }, zeroed))
}

/// What came of zeroing a run of pages.
pub(crate) struct ScrubbedRun {
    /// The proof for the pages up to the first that is broken; `None` if that is the first of all.
    pub proof: Option<Scrubbed>,
    /// Was there one?
    pub met_error: bool,
}

impl<P: Platform> Engine<P> {
    /// Scrubs one page and counts what was found. A page that is not zero after is as good as broken:
    /// something else stores there, or it does not hold what is stored.
    pub(crate) fn scrub_page(
        &self,
        cpu: &CpuToken,
        page: Pfn,
        flushed: &Flushed,
    ) -> Result<Scrubbed, Broken> {
        let (scrubbed, zeroed) = scrub(&self.parts.platform, cpu.id(), page, flushed)?;
        self.count(cpu, Counter::PagesScrubbed, 1);
        if zeroed.was_nonzero {
            self.count(cpu, Counter::ScrubbedNonzero, 1);
        }
        if !zeroed.reads_zero {
            self.count(cpu, Counter::ScrubViolations, 1);
            #[cfg(not(mutant = "scrub-trust-store"))]
            return Err(Broken);
        }
        Ok(scrubbed)
    }

    /// Scrubs `n` pages from `first` on, up to the first that is broken.
    pub(crate) fn scrub_run(
        &self,
        cpu: &CpuToken,
        first: Pfn,
        n: u64,
        flushed: &Flushed,
    ) -> ScrubbedRun {
        let mut proof: Option<Scrubbed> = None;
        for page in first.run(n) {
            let Ok(next) = self.scrub_page(cpu, page, flushed) else {
                return ScrubbedRun {
                    proof,
                    met_error: true,
                };
            };
            proof = Some(match proof {
                None => next,
                // Adjacent, and under one flush: they always join.
                Some(all) => all.join(next).unwrap_or_else(|(all, _)| all),
            });
        }
        ScrubbedRun {
            proof,
            met_error: false,
        }
    }
}

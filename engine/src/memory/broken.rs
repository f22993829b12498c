//! Pages with a memory error, found while the engine works on them.
//!
//! An error on a page that is on its way to another owner takes that page out of circulation, and only
//! that page: it is `Poisoned`, nobody is given it ever again, and the call goes on with the others.
//!
//! Invariants: such a page is reached by nobody when it is found, since it is found while it is zeroed,
//! and zeroing needs its flush; a proof that it was zeroed is never made.

use super::settled;
use crate::engine::Engine;
use crate::platform::Platform;
use crate::trace::Event;
use abi::Counter;
use ownership::{Claim, Flushed, Hold, Pfn};
use percpu::CpuToken;

impl<P: Platform> Engine<P> {
    /// Ends the claim of a page that can't be zeroed. Everyone who could reach it is covered by one of
    /// the flushes.
    pub(crate) fn lose_broken<H: Hold>(
        &self,
        cpu: &CpuToken,
        claim: Claim<H>,
        flushes: &[&Flushed],
    ) {
        let page = claim.pfn();
        settled(claim.poison(flushes));
        self.note_poisoned(cpu, page);
    }

    /// Tells that a page is out of circulation.
    pub(crate) fn note_poisoned(&self, cpu: &CpuToken, page: Pfn) {
        self.count(cpu, Counter::PagesPoisoned, 1);
        self.trace(cpu, Event::Poisoned, page.raw());
    }
}

//! Pages of the engine's own: ENGINE_DONATE, ENGINE_RECLAIM, and PAGE_POISON.
//!
//! Invariants: a page joins the pool only after the host can't reach it any more and EL2 can; it
//! leaves only after every core's EL2 translation of it is gone and it is zero; a poisoned page is
//! mapped nowhere. A donation out of a 2 MiB block works however empty the pool is, for what it costs
//! the reserve it brings; out of a whole 1 GiB it takes a page more than it brings, and where EL2 has
//! no table left for a new 2 MiB of pages it is refused: then the host donates beside pages that it
//! donated before.

use super::settled;
use super::{Batch, status_of, status_of_refusal};
use crate::engine::Engine;
use crate::platform::Platform;
use abi::Status;
use heapless::Vec;
use ownership::{Coverage, Flushed, Granule, Op, Owner, Pfn, Refused, State};
use percpu::CpuToken;

impl<P: Platform> Engine<P> {
    /// Takes `n` host pages from `first` on for tables and metadata.
    pub(crate) fn donate_to_engine(&self, cpu: &CpuToken, first: Pfn, n: u64) -> Batch {
        for done in 0..n {
            let page = match first.raw().checked_add(done) {
                Some(page) => Pfn::from_raw(page),
                None => {
                    return Batch {
                        done,
                        reason: Status::OutOfRange,
                    };
                }
            };
            if let Err(reason) = self.donate_page_to_engine(cpu, page) {
                return Batch { done, reason };
            }
        }
        Batch {
            done: n,
            reason: Status::Success,
        }
    }

    fn donate_page_to_engine(&self, cpu: &CpuToken, page: Pfn) -> Result<(), Status> {
        // What can't be donated shall not use the reserve up; that it can be, the claim decides.
        let refused = match self.parts.pages.state(page) {
            Some(State::Owned(Owner::Host)) => None,
            Some(State::Claimed { .. } | State::Merged) => Some(Refused::Busy),
            Some(other) => Some(Refused::Was(other)),
            None => Some(Refused::OutOfRange),
        };
        if let Some(refused) = refused {
            return Err(status_of_refusal(refused));
        }
        #[cfg(not(mutant = "donate-no-reserve"))]
        let tables = &self.parts.pool.for_donation();
        #[cfg(mutant = "donate-no-reserve")]
        let tables = &self.parts.pool;
        let claim = self
            .parts
            .pages
            .claim(
                Granule::page(page),
                Op::EngineDonate,
                cpu.id().raw(),
                |state| state == State::Owned(Owner::Host),
            )
            .map_err(status_of_refusal)?;
        if let (_, Some(error)) = self.prepare_host(cpu, page, 1, tables) {
            return Err(status_of(error));
        }
        let flushed = self.unmap_from_host(cpu, page, 1);
        // Where this fails the claim rolls back, and the host's next touch maps the page again.
        if !self.parts.platform.map_engine_page(cpu.id(), page) {
            return Err(Status::NoMemory);
        }
        settled(claim.donate_to_engine(&flushed));
        self.parts.pool.refill(page);
        Ok(())
    }

    /// Gives up to `max` free pool pages to the host, scrubbed.
    pub(crate) fn reclaim_from_engine(
        &self,
        cpu: &CpuToken,
        max: usize,
    ) -> Vec<Pfn, { abi::limit::ENGINE_RECLAIM_PAGES }> {
        let mut home = Vec::new();
        for _ in 0..max {
            let Some(page) = self.parts.pool.take_donated(cpu.id().index()) else {
                break;
            };
            match self.return_engine_page(cpu, page) {
                Returned::Home if home.push(page).is_ok() => {}
                // It is gone; another one may be there.
                Returned::Broken => {}
                Returned::Home => break,
                Returned::Not => {
                    self.parts.pool.put(page);
                    break;
                }
            }
        }
        home
    }

    /// Moves one page that was taken from the pool to the host.
    fn return_engine_page(&self, cpu: &CpuToken, page: Pfn) -> Returned {
        let claim = self.parts.pages.claim(
            Granule::page(page),
            Op::EngineReclaim,
            cpu.id().raw(),
            |state| state == State::Owned(Owner::Engine),
        );
        let Ok(claim) = claim else {
            return Returned::Not;
        };
        // The host has no table here if the page was never its own: make sure that it can be
        // mapped, before anything changes.
        if self.map_for_host_later(cpu, page).is_err() {
            return Returned::Not;
        }
        self.parts.platform.unmap_engine_page(cpu.id(), page);
        // SAFETY: `unmap_engine_page` ended with the broadcast invalidation of the EL2 regime and
        // its DSB; no EL1&0 regime ever had the page while it was the engine's.
        let flushed = unsafe { Flushed::mint(Coverage::El2) };
        let Ok(scrubbed) = self.scrub_page(cpu, page, &flushed) else {
            self.lose_broken(cpu, claim, &[&flushed]);
            return Returned::Broken;
        };
        settled(claim.engine_to_host(&flushed, scrubbed));
        Returned::Home
    }

    /// Makes the table that the host's leaf of `page` needs, leaving the leaf empty.
    fn map_for_host_later(&self, cpu: &CpuToken, page: Pfn) -> Result<(), Status> {
        use crate::stage2::Stage2;
        use crate::stage2::descriptor::LAST_LEVEL;
        let platform = &self.parts.platform;
        let ipa = ownership::Ipa::from_raw(page.pa().raw());
        let at = self
            .parts
            .host
            .take_entry(platform, cpu.id(), &self.parts.pool, ipa, LAST_LEVEL)
            .map_err(status_of)?;
        Stage2::give_entry_back(platform, cpu.id(), at);
        Ok(())
    }

    /// Takes a host page with a memory error out of circulation for good.
    pub(crate) fn poison(&self, cpu: &CpuToken, page: Pfn) -> Result<(), Status> {
        let claim = self
            .parts
            .pages
            .claim(Granule::page(page), Op::Poison, cpu.id().raw(), |state| {
                state == State::Owned(Owner::Host)
            })
            .map_err(status_of_refusal)?;
        if let (_, Some(error)) = self.prepare_host(cpu, page, 1, &self.parts.pool) {
            return Err(status_of(error));
        }
        let flushed = self.unmap_from_host(cpu, page, 1);
        self.lose_broken(cpu, claim, &[&flushed]);
        Ok(())
    }
}

/// How the way home of a page of the engine's ended.
enum Returned {
    /// It is the host's.
    Home,
    /// It has a memory error, and is nobody's.
    Broken,
    /// Nothing changed.
    Not,
}

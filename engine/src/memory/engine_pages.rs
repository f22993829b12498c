//! Pages of the engine's own: ENGINE_DONATE, ENGINE_RECLAIM, and PAGE_POISON.
//!
//! Invariants: a page joins the pool only after the host can't reach it any more and EL2 can; it
//! leaves only after every core's EL2 translation of it is gone and it is zero; a poisoned page is
//! mapped nowhere. The pages come first: the host's tables are walked under their claims.
//!
//! A donation goes by pieces of one 2 MiB. Each takes the tables that it needs at once, as a
//! [`Kit`](super::kit::Kit), or is refused with nothing changed: so one of as many pages as it needs
//! tables, which are four at most, works however empty the pool is, and leaves the reserve full. Where
//! another core holds the host's block meanwhile, `BUSY`, a table that was spent stays spent; the next
//! try needs it no more.

use super::pool::TablePages;
use super::{Batch, settled, status_of, status_of_refusal};
use crate::bite::{Bite, ENGINE_PAGE, FAR_PAGE, TABLE};
use crate::engine::Engine;
use crate::platform::Platform;
use crate::stage2::descriptor::{Entry, LAST_LEVEL, pages_of};
use abi::Status;
use heapless::Vec;
use ownership::{Coverage, Flushed, Op, Owner, Pfn, State};
use percpu::{CpuId, CpuToken};

/// Pages of one 2 MiB, which have their last tables in common.
const PIECE: u64 = pages_of(2);

impl<P: Platform> Engine<P> {
    /// Takes host pages from `first` on for tables and metadata: of `n` those that are in its 2 MiB, or as many as a
    /// bite pays for.
    pub(crate) fn donate_to_engine(&self, cpu: &CpuToken, first: Pfn, n: u64) -> Batch {
        let to_end_of_piece = PIECE - first.raw() % PIECE;
        let n = Bite::default().most(ENGINE_PAGE, n.min(to_end_of_piece));
        self.donate_piece(cpu, first, n)
    }

    /// Takes what there is of `n` pages of one 2 MiB.
    fn donate_piece(&self, cpu: &CpuToken, first: Pfn, n: u64) -> Batch {
        let pool = &self.parts.pool;
        // Both ends: the pool's bits need not begin with a piece.
        #[cfg(not(mutant = "donate-no-prepare"))]
        if !pool.prepare(first) || !pool.prepare(first.after(n.saturating_sub(1))) {
            return Batch::refused(Status::Busy);
        }
        let (mut claim, refused) = self.parts.pages.claim_run(
            first,
            n as usize,
            Op::EngineDonate,
            cpu.id().raw(),
            State::Owned(Owner::Host),
        );
        let claimed = claim.len() as u64;
        if claimed == 0 {
            return Batch::refused(refused.map_or(Status::Success, status_of_refusal));
        }
        let mut n = claimed;
        // The claim rolls back wherever this fails.
        let prepared = self.tables_of_host(cpu, first).and_then(|host| {
            let at_el2 = self.parts.platform.engine_tables_missing(cpu.id(), first);
            let tables = host.saturating_add(at_el2);
            // Fewer pages where there is more to do beside them, but no fewer than tables, for the reserve's sake.
            let beside = FAR_PAGE.saturating_add((tables as u32).saturating_mul(TABLE));
            let paid = Bite::default().without(beside).most(ENGINE_PAGE, n);
            if tables > 0 {
                n = n.min(paid.max(tables as u64));
                drop(claim.split_off(n as usize));
            }
            let kit = pool.kit(cpu.id().index(), tables, n)?;
            match self.prepare_host(cpu, first, n, &kit) {
                (_, None) => Ok(kit),
                (_, Some(error)) => Err(status_of(error)),
            }
        });
        let refused = refused.filter(|_| n == claimed);
        let kit = match prepared {
            Ok(kit) => kit,
            // Too few pages for the tables, since the run ends at one that is not to be had.
            Err(Status::NoMemory) if let Some(refused) = refused => {
                return Batch::refused(status_of_refusal(refused));
            }
            Err(reason) => return Batch::refused(reason),
        };
        let flushed = self.unmap_from_host(cpu, first, n);
        // The engine will store to them as tables, where an error would be its own.
        #[cfg(not(mutant = "donate-unseen"))]
        let sound = self.sound_pages(cpu, first, n);
        #[cfg(mutant = "donate-unseen")]
        let sound = n;
        if sound < n
            && let Some(mut rest) = claim.split_off(sound as usize)
        {
            drop(rest.split_off(1));
            self.lose_broken(cpu, rest, &[&flushed]);
        }
        if sound == 0 {
            return Batch::refused(Status::NotRam);
        }
        let mapped = self.map_at_el2(cpu, first, sound, &kit);
        // What was not mapped goes back, and the host's next touch maps it again.
        drop(claim.split_off(mapped as usize));
        if mapped == 0 {
            return Batch::refused(Status::NoMemory);
        }
        settled(claim.donate_to_engine(&flushed));
        for page in first.run(mapped) {
            pool.refill(page);
        }
        Batch {
            done: mapped,
            reason: match refused {
                _ if mapped < sound => Status::NoMemory,
                _ if sound < n => Status::NotRam,
                Some(refused) => status_of_refusal(refused),
                None => Status::Success,
            },
        }
    }

    /// How many of these pages, which nobody reaches, can be zeroed before one has a memory error.
    fn sound_pages(&self, cpu: &CpuToken, first: Pfn, n: u64) -> u64 {
        let platform = &self.parts.platform;
        let is_sound = |nth: &u64| {
            let zeroed = platform.zero_page(cpu.id(), first.after(*nth));
            zeroed.is_ok_and(|zeroed| zeroed.reads_zero)
        };
        (0..n).find(|nth| !is_sound(nth)).unwrap_or(n)
    }

    /// Tables that the host's map needs before claimed pages, `page` the first, leave their 2 MiB.
    /// Others can make it fewer until then, not more.
    fn tables_of_host(&self, cpu: &CpuToken, page: Pfn) -> Result<usize, Status> {
        let ipa = ownership::Ipa::from_raw(page.pa().raw());
        let found = self
            .parts
            .host
            .walk(&self.parts.platform, cpu.id(), ipa, LAST_LEVEL)
            .map_err(status_of)?;
        match found.entry() {
            Entry::Leaf { .. } | Entry::Empty => {
                Ok(usize::from(LAST_LEVEL.saturating_sub(found.level)))
            }
            Entry::Reserved | Entry::Splitting => Err(Status::Busy),
            Entry::Table(_) => Ok(0),
        }
    }

    /// Makes claimed pages reachable at EL2; how many, in order.
    fn map_at_el2(&self, cpu: &CpuToken, first: Pfn, n: u64, tables: &impl TablePages) -> u64 {
        let platform = &self.parts.platform;
        let tables = Cleared {
            platform,
            cpu: cpu.id(),
            tables,
        };
        let fails = |nth: &u64| !platform.map_engine_page(cpu.id(), first.after(*nth), &tables);
        (0..n).find(fails).unwrap_or(n)
    }

    /// Gives up to `max` free pool pages to the host, scrubbed, or as many as a bite pays for.
    pub(crate) fn reclaim_from_engine(
        &self,
        cpu: &CpuToken,
        max: usize,
    ) -> Vec<Pfn, { abi::limit::ENGINE_RECLAIM_PAGES }> {
        let mut home = Vec::new();
        // To look for them takes some of it.
        let bite = Bite::default().without(2 * TABLE);
        for _ in 0..bite.most(ENGINE_PAGE, max as u64) {
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
        let is_engine = |state| state == State::Owned(Owner::Engine);
        let pages = &self.parts.pages;
        let claim = pages.claim_page(page, Op::EngineReclaim, cpu.id().raw(), is_engine);
        let Ok(claim) = claim else {
            return Returned::Not;
        };
        // The host has no table here if the page was never its own: make sure that it can be
        // mapped, before anything changes.
        if self.make_host_tables(cpu, page).is_err() {
            return Returned::Not;
        }
        if !self.parts.platform.unmap_engine_page(cpu.id(), page) {
            // It was never given to the engine by a call: the host has no claim to it.
            return Returned::Not;
        }
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

    /// Takes a host page with a memory error out of circulation for good.
    pub(crate) fn poison(&self, cpu: &CpuToken, page: Pfn) -> Result<(), Status> {
        let claim = self
            .parts
            .pages
            .claim_page(page, Op::Poison, cpu.id().raw(), |state| {
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

/// Tables of zeroes, for EL2's walkers: from `tables`, cleared when taken.
struct Cleared<'a, P, T> {
    platform: &'a P,
    cpu: CpuId,
    tables: &'a T,
}

impl<P: Platform, T: TablePages> TablePages for Cleared<'_, P, T> {
    fn take_table(&self, hint: usize) -> Option<Pfn> {
        let table = self.tables.take_table(hint)?;
        #[cfg(not(mutant = "el2-table-no-clear"))]
        self.platform.clear_table(self.cpu, table);
        Some(table)
    }

    fn put_table(&self, page: Pfn) {
        self.tables.put_table(page);
    }
}

//! Host to VM: VM_MAP of a run. One page goes by `donate_page`, 2 MiB in one piece by
//! `donate_block`, pages all over memory by `donate_list`.
//!
//! The order, for each batch: claim the pages; take the guest's entries and make the host's map
//! ready; unmap from the host and flush, once; write the guest's leaves; commit. Everything that can
//! fail comes before the first store that changes what anyone may reach; what fails shortens the batch. (A
//! block of the host's that leaves a table behind goes in the second step: if the call fails after that,
//! the host's next touch has it again.)
//!
//! Invariants: at no moment can both sides reach a page through a TLB: the flush is complete before
//! the first guest leaf is written; a call takes on what one bite pays for, however much it is asked for.

use super::host_map::BLOCK_LEVEL;
use super::rejoin::Whole;
use super::settled;
use super::{Batch, status_of, status_of_refusal};
use crate::bite::{self, BLOCK, Bite, FAR_PAGE, IN_PARTS, RUN_PAGE, TABLE};
use crate::engine::Engine;
use crate::memory::runs::Runs;
use crate::platform::Platform;
use crate::stage2::descriptor::{Access, Entry, LAST_LEVEL, level_of, pages_of};
use crate::stage2::{MapError, Stage2, ipa_after};
use crate::vm::PinnedVm;
use abi::{Counter, Status};
use ownership::{Granule, GranuleSize, Ipa, Op, Owner, Pfn, State};
use percpu::CpuToken;

/// What pages of one 2 MiB cost beside what each does: it comes apart, and there are tables to make.
const AREA: u32 = FAR_PAGE + TABLE;

/// Guest leaves that one call writes.
const ENTRIES_PER_CALL: u64 = bite::in_one(RUN_PAGE) as u64;

/// Page words that one call claims: those of one 2 MiB in parts, and as many whole ones as a bite pays for.
const WORDS_PER_CALL: usize = GranuleSize::Block2M.pages() as usize + bite::in_one(BLOCK);

/// A run of pages and where the VM is to see it.
#[derive(Clone, Copy, Debug)]
pub struct MapRun {
    /// First host page.
    pub first: Pfn,
    /// First IPA page.
    pub ipa: Ipa,
    /// Number of pages.
    pub pages: u64,
}

impl MapRun {
    /// The run without its first `done` pages.
    fn after(self, done: u64) -> Option<Self> {
        Some(Self {
            first: self.first.checked_add(done)?,
            ipa: ipa_after(self.ipa, done)?,
            pages: self.pages.checked_sub(done)?,
        })
    }

    /// The level of the largest leaf that the run can begin with.
    fn level(self) -> u8 {
        let fits = |size: &GranuleSize| {
            let within = (self.first.raw() | self.ipa.page()) & (size.pages() - 1);
            within == 0 && size.pages() <= self.pages
        };
        let size = GranuleSize::DOWNWARD.into_iter().find(fits);
        size.map_or(LAST_LEVEL, level_of)
    }

    /// The pages of it that leaves of `level` in one table can take: one block, or pages up to the
    /// end of their table, `most` entries at most.
    fn unit(self, level: u8, most: u64) -> u64 {
        let table = pages_of(LAST_LEVEL - 1);
        let to_end_of_table = table - (self.ipa.page() & (table - 1));
        match level {
            LAST_LEVEL => self.pages.min(to_end_of_table).min(most),
            _ => pages_of(level),
        }
    }
}

impl<P: Platform> Engine<P> {
    /// Gives a run of host pages to the VM.
    #[inline]
    pub(crate) fn map_run(
        &self,
        cpu: &CpuToken,
        target: &PinnedVm<'_>,
        run: MapRun,
        access: Access,
    ) -> Batch {
        #[cfg(mutant = "donate-one-lock")]
        let _turn = one_lock::take();
        if run.pages == 1 {
            return self.map_one(cpu, target, (run.first, run.ipa), access);
        }
        match self.map_block(cpu, target, run, access) {
            Ok(()) => Batch::all(run.pages),
            Err(_) => self.map_pieces(cpu, target, run, access),
        }
    }

    /// The same for what is neither one page nor 2 MiB in one piece. Apart from these, which want few registers.
    #[inline(never)]
    fn map_pieces(
        &self,
        cpu: &CpuToken,
        target: &PinnedVm<'_>,
        run: MapRun,
        access: Access,
    ) -> Batch {
        let platform = &self.parts.platform;
        let stage2 = target.vm.stage2(target.slot, self.parts.host.geometry());
        let pages = self.pages_per_call(cpu, stage2, run);
        let mut run = MapRun { pages, ..run };
        if pages == pages_of(BLOCK_LEVEL) && run.level() == BLOCK_LEVEL {
            // To make one of parts is less work than to go through them all.
            let whole = self.make_whole(cpu, Granule::around(GranuleSize::Block2M, run.first));
            match (self.map_block(cpu, target, run, access), whole) {
                (Ok(()), _) => return Batch::all(run.pages),
                // It was to be had: another core came in between, or there is no table for the VM. That was work enough.
                (Err(reason), Whole::Made) => return Batch::refused(reason),
                (Err(_), Whole::Was) => {}
                (Err(_), Whole::InParts) => {
                    run.pages = Bite::default().without(AREA).most(RUN_PAGE, pages);
                }
            }
        }
        let pages = run.pages;
        let (mut claim, refused) = self.parts.pages.claim_run_of(
            run.first,
            pages as usize,
            WORDS_PER_CALL,
            Op::VmMap,
            cpu.id().raw(),
            State::Owned(Owner::Host),
        );
        let claimed = MapRun {
            pages: claim.len() as u64,
            ..run
        };
        let mut runs = Runs::default();
        let (done, stopped) = self.take_units(cpu, stage2, claimed, &mut runs);
        let reason = match (stopped, refused) {
            (Some(error), _) => status_of(error),
            // Only if all was taken that was claimed.
            (None, Some(refused)) if done == claimed.pages => status_of_refusal(refused),
            (None, _) => Status::Success,
        };
        if done == 0 {
            return Batch::refused(reason);
        }
        if done < claimed.pages {
            // Pages past the ones that have an entry go back unchanged.
            drop(claim.split_off(done as usize));
        }
        if (run.first.raw() ^ run.ipa.page()) & (pages_of(BLOCK_LEVEL) - 1) == 0 {
            claim.fold();
        }
        self.collect_unmapped(cpu, run.first, done, &mut runs);
        let flushed = self.flush_host(cpu, &runs);
        self.write_back(cpu, run.first, done);
        self.forget_code(cpu);
        let bits = self.ram_bits(access);
        stage2.for_entries(
            platform,
            cpu.id(),
            run.ipa,
            done,
            LAST_LEVEL,
            |found, at| {
                let page = run.first.after(at);
                platform.store_entry(cpu.id(), found.at, bits.leaf(page, found.level));
            },
        );
        self.publish_leaves(cpu);
        settled(claim.donate_to_vm(target.slot, &flushed));
        self.count_donated(cpu, done, &runs);
        Batch { done, reason }
    }

    /// Notes how many pages a VM was given, and for how many of them nobody had to be told.
    pub(super) fn count_donated(&self, cpu: &CpuToken, pages: u64, unmapped: &Runs) {
        self.count(cpu, Counter::PagesDonated, pages);
        let lazily = pages.saturating_sub(unmapped.pages());
        if lazily != 0 {
            self.count(cpu, Counter::PagesDonatedLazily, lazily);
        }
    }

    /// How much of a run one call takes on.
    fn pages_per_call(&self, cpu: &CpuToken, stage2: Stage2, run: MapRun) -> u64 {
        let (mut bite, mut pages) = (Bite::default(), 0);
        while let Some(rest) = run.after(pages).filter(|rest| rest.pages != 0) {
            let (piece, cost) = self.next_piece(cpu, stage2, rest, &bite);
            if pages != 0 && !bite.affords(cost) {
                break;
            }
            bite.spend(cost);
            pages += piece;
        }
        pages
    }

    /// The pages at the start of a run that are taken together, and what that costs: a granule that both sides can
    /// have as one, or single pages up to the next one, as many as the bite pays for.
    fn next_piece(&self, cpu: &CpuToken, stage2: Stage2, run: MapRun, bite: &Bite) -> (u64, u32) {
        let block = GranuleSize::Block2M;
        let has_table = || {
            let found = stage2.walk(&self.parts.platform, cpu.id(), run.ipa, BLOCK_LEVEL);
            found.is_ok_and(|found| found.entry() != Entry::Empty)
        };
        // Without FEAT_S2FWB each page has to be cleaned, and a block is enough.
        let largest = match run.level() {
            level if level == LAST_LEVEL || has_table() => {
                let to_block = block.pages() - (run.first.raw() & (block.pages() - 1));
                let few = bite.without(AREA).most(RUN_PAGE, run.pages.min(to_block));
                return (
                    few,
                    (few as u32).saturating_mul(RUN_PAGE).saturating_add(AREA),
                );
            }
            level if self.parts.platform.features().force_write_back => pages_of(level),
            _ => return (block.pages(), IN_PARTS),
        };
        match self.parts.pages.size_around(run.first) {
            // All its parts have an entry of the host's.
            GranuleSize::Block1G if GranuleSize::Block1G.pages() <= largest => (largest, IN_PARTS),
            GranuleSize::Page => (block.pages(), IN_PARTS),
            _ => (block.pages(), BLOCK),
        }
    }

    /// Takes the guest's entries for as much of a claimed run as is to be had and makes the host's
    /// map ready for it; how many pages, and why not more.
    fn take_units(
        &self,
        cpu: &CpuToken,
        stage2: Stage2,
        run: MapRun,
        runs: &mut Runs,
    ) -> (u64, Option<MapError>) {
        let (mut done, mut entries) = (0u64, 0u64);
        while let Some(rest) = run.after(done).filter(|rest| rest.pages != 0) {
            if entries >= ENTRIES_PER_CALL {
                break;
            }
            let most = ENTRIES_PER_CALL - entries;
            let (taken, level, stopped) = self.take_unit(cpu, stage2, rest, most, runs);
            done = done.saturating_add(taken);
            entries = entries.saturating_add(taken / pages_of(level));
            if stopped.is_some() || taken == 0 {
                return (done, stopped);
            }
        }
        (done, None)
    }

    /// The same for one unit; and the level of its leaves.
    fn take_unit(
        &self,
        cpu: &CpuToken,
        stage2: Stage2,
        run: MapRun,
        most: u64,
        runs: &mut Runs,
    ) -> (u64, u8, Option<MapError>) {
        let (platform, pool) = (&self.parts.platform, &self.parts.pool);
        let mut level = run.level();
        loop {
            let want = run.unit(level, most);
            let (taken, stopped) = stage2.take_run(platform, cpu.id(), pool, run.ipa, want, level);
            if stopped == Some(MapError::Occupied) && taken == 0 && level < LAST_LEVEL {
                // The guest has a table there: smaller leaves, then.
                level += 1;
                continue;
            }
            let tables = runs.tables();
            let (ready, unready) = self.prepare_host_for(cpu, run.first, taken, level, pool, runs);
            // Of a block all or nothing.
            let ready = ready & !(pages_of(level) - 1);
            if let Some(rest) = run.after(ready) {
                stage2.give_run_back(platform, cpu.id(), rest.ipa, taken.saturating_sub(ready));
            }
            let is_too_much = ready < taken && unready.is_none();
            if is_too_much && level < BLOCK_LEVEL {
                // In smaller pieces, of which fewer are work enough.
                runs.set_tables(tables);
                level += 1;
                continue;
            }
            return (ready, level, unready.or(stopped));
        }
    }
}

/// What this engine has not: one lock that all cores wait for.
#[cfg(mutant = "donate-one-lock")]
mod one_lock {
    use sync::{AtomicU64, Ordering, spin_hint};

    static HELD: AtomicU64 = AtomicU64::new(0);

    /// The lock, held.
    pub struct Turn;

    /// Waits for it.
    pub fn take() -> Turn {
        while HELD.swap(1, Ordering::Acquire) != 0 {
            spin_hint();
        }
        Turn
    }

    impl Drop for Turn {
        fn drop(&mut self) {
            HELD.store(0, Ordering::Release);
        }
    }
}

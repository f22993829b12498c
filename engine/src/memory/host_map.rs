//! The host's own stage-2: an identity map that loses what the host gives away. What it regains, and
//! how, is `host_fault`.
//!
//! Invariants:
//! - the host's leaf of page *p* is written only under *p*'s claim, the fault handler's included, so
//!   a fault can't bring back a page that is just being donated; nobody walks to *p* without it, so
//!   that tables can be freed by who has claimed all that they translate (`stage2/walk.rs`);
//! - mapping a page again needs no memory: whoever takes pages away, or makes them the host's on
//!   their own, leaves tables down to the size in which they can come back. No entry for 1 GiB is
//!   left empty;
//! - a page that came home is mapped lazily: donated again before the host touched it, it costs no
//!   broadcast.

use super::runs::Runs;
use super::tlb::{FlushKind, Regime, flush_vm};
use crate::engine::Engine;
use crate::memory::pool::TablePages;
use crate::platform::{EntryAt, Platform};
use crate::stage2::descriptor::{AT_ONCE, ENTRIES, Entry, LAST_LEVEL, is_leaf, pages_of};
use crate::stage2::{Fill, Found, MapError};
use abi::Counter;
use ownership::{Flushed, Ipa, Owner, Pfn, State};
use percpu::CpuToken;

/// Tables of pages that one call goes through for blocks that leave: that takes a third of a bite.
const TABLES_PER_CALL: u64 = 1;
/// The level of 2 MiB blocks.
pub(crate) const BLOCK_LEVEL: u8 = 2;

impl<P: Platform> Engine<P> {
    /// Where a walk of the host's tables to a page ends; the caller has claimed it.
    #[inline]
    pub(super) fn find_host(
        &self,
        cpu: &CpuToken,
        page: Pfn,
        depth: u8,
    ) -> Result<Found, MapError> {
        let ipa = Ipa::from_raw(page.pa().raw());
        self.parts
            .host
            .walk(&self.parts.platform, cpu.id(), ipa, depth)
    }

    pub(crate) fn count_flush(&self, cpu: &CpuToken, kind: FlushKind) {
        let counter = match kind {
            FlushKind::Pages => Counter::FlushPage,
            FlushKind::Vm => Counter::FlushVm,
        };
        self.count(cpu, counter, 1);
    }

    /// Splits the host's blocks around `n` claimed pages from `first` on, with tables from `tables`,
    /// so that these can be unmapped and can come back page by page. Returns how many pages are
    /// ready.
    pub(crate) fn prepare_host(
        &self,
        cpu: &CpuToken,
        first: Pfn,
        n: u64,
        tables: &impl TablePages,
    ) -> (u64, Option<MapError>) {
        let mut runs = Runs::default();
        self.prepare_host_for(cpu, first, n, LAST_LEVEL, tables, &mut runs)
    }

    /// The same for pages that can come back in the leaves of `level`; for blocks the run is whole
    /// ones. A block that goes as a whole, and yet has to leave a table, goes at once: `runs` counts
    /// its pages as unmapped. Ready are fewer, without an error, where pages in so many tables stand
    /// in the place of blocks that going through them is work enough.
    pub(crate) fn prepare_host_for(
        &self,
        cpu: &CpuToken,
        first: Pfn,
        n: u64,
        level: u8,
        tables: &impl TablePages,
        runs: &mut Runs,
    ) -> (u64, Option<MapError>) {
        #[cfg(not(mutant = "host-empty-gib"))]
        let depth = level.max(BLOCK_LEVEL);
        #[cfg(mutant = "host-empty-gib")]
        let depth = level;
        let mut ready = 0;
        while ready < n {
            let page = first.after(ready);
            let found = match self.find_host(cpu, page, depth) {
                Ok(found) => found,
                Err(error) => return (ready, Some(error)),
            };
            let span = pages_of(found.level);
            let within = page.raw() & (span - 1);
            let step = match found.entry() {
                Entry::Reserved | Entry::Splitting => Err(MapError::Busy),
                Entry::Table(_) if found.level == depth => {
                    if runs.tables() >= TABLES_PER_CALL {
                        return (ready, None);
                    }
                    runs.count_table();
                    ready = ready.saturating_add(span.saturating_sub(within));
                    Ok(())
                }
                _ if found.level == depth && depth < LAST_LEVEL => {
                    ready = ready.saturating_add(span.saturating_sub(within));
                    ready = n.min(ready + self.alike_beside(cpu, &found, n.saturating_sub(ready)));
                    Ok(())
                }
                _ if found.level == depth => {
                    // As are the others that the same table has.
                    let beyond = pages_of(depth - 1);
                    let to_end = beyond.saturating_sub(page.raw() & beyond.wrapping_sub(1));
                    ready = n.min(ready.saturating_add(to_end));
                    Ok(())
                }
                Entry::Leaf { .. } => {
                    let whole = within == 0 && n - ready >= span;
                    let fill = if whole { Fill::Nothing } else { Fill::Children };
                    let split = self.split_host(cpu, page, &found, fill, tables);
                    if whole && split.is_ok() {
                        runs.count_unmapped(span);
                    }
                    split
                }
                Entry::Empty | Entry::Table(_) => self.parts.host.make_tables(
                    &self.parts.platform,
                    cpu.id(),
                    tables,
                    Ipa::from_raw(page.pa().raw()),
                    depth,
                ),
            };
            if let Err(error) = step {
                return (ready, Some(error));
            }
        }
        (ready, None)
    }

    /// How many of the `n` pages behind a leaf or an empty entry of the host's have one of these each up to the end of
    /// its table, or up to one that is neither.
    fn alike_beside(&self, cpu: &CpuToken, found: &Found, n: u64) -> u64 {
        let (mut at, mut pages) = (found.at, 0u64);
        while pages < n
            && let Some(next) = self.parts.host.next_in_table(at, found.level)
        {
            let raw = self.parts.platform.entry(cpu.id(), next);
            match Entry::decode(raw, found.level) {
                Entry::Leaf { .. } | Entry::Empty => {}
                _ => break,
            }
            at = next;
            pages = pages.wrapping_add(pages_of(found.level));
        }
        pages
    }

    /// Sees to it that a claimed page, which is or becomes the host's to reach on its own, can be
    /// mapped for it without memory. A block that has it mapped stays.
    pub(crate) fn make_host_tables(&self, cpu: &CpuToken, page: Pfn) -> Result<(), MapError> {
        self.make_host_tables_of(cpu, page, &self.parts.pool)
    }

    /// The same with tables from `tables`.
    pub(super) fn make_host_tables_of(
        &self,
        cpu: &CpuToken,
        page: Pfn,
        tables: &impl TablePages,
    ) -> Result<(), MapError> {
        self.parts.host.make_tables(
            &self.parts.platform,
            cpu.id(),
            tables,
            Ipa::from_raw(page.pa().raw()),
            LAST_LEVEL,
        )
    }

    fn split_host(
        &self,
        cpu: &CpuToken,
        page: Pfn,
        found: &Found,
        fill: Fill,
        tables: &impl TablePages,
    ) -> Result<(), MapError> {
        let ipa = Ipa::from_raw(page.pa().raw());
        let kind = self.parts.host.split_block(
            &self.parts.platform,
            cpu.id(),
            tables,
            ipa,
            found,
            fill,
        )?;
        self.count_flush(cpu, kind);
        self.count(cpu, Counter::HostSplits, 1);
        Ok(())
    }

    /// Ends a TLB conflict: a core held an entry for a block and one for a page of it (FEAT_BBM level
    /// 2 permits that abort while a size is changed in place). With the regime's entries gone the
    /// access is tried again.
    pub(crate) fn resolve_conflict(&self, cpu: &CpuToken, regime: Regime) {
        let _ = flush_vm(&self.parts.platform, cpu.id(), regime);
        self.count_flush(cpu, FlushKind::Vm);
        self.count(cpu, Counter::TlbConflicts, 1);
    }

    /// Takes `n` claimed pages from `first` on, which [`Engine::prepare_host`] found ready, out of
    /// the host's stage-2 and flushes.
    pub(crate) fn unmap_from_host(&self, cpu: &CpuToken, first: Pfn, n: u64) -> Flushed {
        let mut runs = Runs::default();
        self.collect_unmapped(cpu, first, n, &mut runs);
        self.flush_host(cpu, &runs)
    }

    /// Unmaps `n` claimed pages, noting which had been mapped; the caller flushes.
    pub(crate) fn collect_unmapped(&self, cpu: &CpuToken, first: Pfn, n: u64, runs: &mut Runs) {
        if n >= pages_of(BLOCK_LEVEL) && self.collect_whole(cpu, first, n, runs) {
            return;
        }
        let (platform, ipa) = (&self.parts.platform, Ipa::from_raw(first.pa().raw()));
        let host = self.parts.host;
        host.for_entries(platform, cpu.id(), ipa, n, LAST_LEVEL, |found, at| {
            if let Entry::Leaf { .. } = found.entry() {
                debug_assert!(
                    (first.raw() + at).is_multiple_of(pages_of(found.level))
                        && n - at >= pages_of(found.level),
                    "a block that was not prepared"
                );
                let page = first.after(at);
                self.unmap_entry(cpu, found.at, page, pages_of(found.level), runs);
            }
        });
    }

    /// The same of all pages of one table, which are the dearest, without walks; `false` if it is not that, or not all.
    #[inline(never)]
    fn collect_whole(&self, cpu: &CpuToken, first: Pfn, n: u64, runs: &mut Runs) -> bool {
        for level in [BLOCK_LEVEL, BLOCK_LEVEL - 1] {
            // All pages of a table, and no others: a run of as many may begin in one table and end in the next.
            let is_whole = n == pages_of(level)
                && (first.raw().is_multiple_of(n) || cfg!(mutant = "collect-any-run"));
            if is_whole
                && let Ok(found) = self.find_host(cpu, first, level)
                && let Entry::Table(table) = found.entry()
            {
                return self.collect_table(cpu, (table, found.level + 1), first, runs);
            }
        }
        false
    }

    /// The same of all pages that a table of `level` translates, the first of which is `first`; `false` if there is one
    /// below it, and then not of the pages of that and those behind.
    fn collect_table(
        &self,
        cpu: &CpuToken,
        (table, level): (Pfn, u8),
        first: Pfn,
        runs: &mut Runs,
    ) -> bool {
        let (platform, span) = (&self.parts.platform, pages_of(level));
        let mut page = first.raw();
        // Neighbours, which are flushed together.
        let (mut start, mut end) = (page, page);
        let mut is_all = true;
        for index in 0..ENTRIES as u16 {
            let at = EntryAt { table, index };
            let raw = platform.entry(cpu.id(), at);
            if is_leaf(raw, level) {
                #[cfg(not(mutant = "host-keep-leaf"))]
                platform.store_entry(cpu.id(), at, 0);
                if page != end {
                    runs.add_some(start, end.wrapping_sub(start));
                    start = page;
                }
                end = page.wrapping_add(span);
            } else if raw != 0 {
                is_all = false;
                break;
            }
            page = page.wrapping_add(span);
        }
        runs.add_some(start, end.wrapping_sub(start));
        is_all
    }

    /// Is it a table of the host's for pages that maps none, all of them claimed?
    pub(super) fn is_empty_table(&self, cpu: &CpuToken, found: &Found) -> bool {
        let Entry::Table(table) = found.entry() else {
            return false;
        };
        let entry = |index: u64| {
            let index = index as u16;
            self.parts
                .platform
                .entry(cpu.id(), EntryAt { table, index })
        };
        let mut turns = (0..ENTRIES).step_by(AT_ONCE as usize);
        turns.all(|first| {
            let entries = first..first.wrapping_add(AT_ONCE);
            entries.fold(0, |all, index| all | entry(index)) == 0
        })
    }

    /// Empties the host's entry for `n` claimed pages from `first` on; the caller flushes.
    #[inline]
    pub(super) fn unmap_entry(
        &self,
        cpu: &CpuToken,
        at: EntryAt,
        first: Pfn,
        n: u64,
        runs: &mut Runs,
    ) {
        #[cfg(not(mutant = "host-keep-leaf"))]
        self.parts.platform.store_entry(cpu.id(), at, 0);
        #[cfg(mutant = "host-keep-leaf")]
        let _ = (cpu, at);
        runs.add(first.raw(), n);
    }

    /// Flushes `runs` of the host's regime.
    #[inline]
    pub(crate) fn flush_host(&self, cpu: &CpuToken, runs: &Runs) -> Flushed {
        let regime = self.parts.host.regime();
        #[cfg(not(mutant = "host-no-flush"))]
        let (flushed, kind) = runs.flush(&self.parts.platform, cpu.id(), regime);
        #[cfg(mutant = "host-no-flush")]
        let (flushed, kind) = (super::tlb::nothing_to_flush(regime), None::<FlushKind>);
        #[cfg(mutant = "host-no-flush")]
        let _ = runs;
        if let Some(kind) = kind {
            self.count_flush(cpu, kind);
        }
        flushed
    }
}

/// May the host reach a page in this state?
pub fn may_host_reach(state: State) -> bool {
    match state {
        State::HostFixed | State::Owned(Owner::Host) => true,
        State::Shared {
            owner, borrower, ..
        } => owner == Owner::Host || borrower == Owner::Host,
        _ => false,
    }
}

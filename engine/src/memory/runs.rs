//! Runs of IPA pages that need invalidation, collected while a batch unmaps.
//!
//! Invariant: what was added is covered: when the list is full it says "all of the VM" instead.

use super::tlb::{
    ALONE, FlushKind, IpaRun, Regime, flush_page, flush_runs, flush_vm, nothing_to_flush,
};
use crate::platform::Platform;
use heapless::Vec;
use ownership::Flushed;
use percpu::CpuId;

/// Most separate runs worth remembering: beyond that the whole VMID is flushed anyway.
const RUNS: usize = 32;

/// The list.
pub struct Runs {
    everything: bool,
    pages: u64,
    tables: u64,
    runs: Vec<IpaRun, RUNS>,
}

impl Default for Runs {
    /// By hand, inlined, and the list last: else the compiler writes zeroes into all places of the empty list, 120
    /// instructions (`cargo xtask bench`, `donate_4k`).
    #[inline(always)]
    fn default() -> Self {
        Self {
            everything: false,
            pages: 0,
            tables: 0,
            runs: Vec::new(),
        }
    }
}

impl Runs {
    /// How many pages were unmapped.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// How many tables of pages have to be gone through where a block leaves.
    pub fn tables(&self) -> u64 {
        self.tables
    }

    /// One more of these.
    pub fn count_table(&mut self) {
        self.tables = self.tables.wrapping_add(1);
    }

    /// So many after all.
    pub fn set_tables(&mut self, tables: u64) {
        self.tables = tables;
    }

    /// So many were unmapped, and flushed already.
    pub fn count_unmapped(&mut self, pages: u64) {
        self.pages = self.pages.saturating_add(pages);
    }

    /// Adds `pages` pages; joins them to the last run where they continue that.
    pub fn add(&mut self, ipa_page: u64, pages: u64) {
        self.count_unmapped(pages);
        if let Some(last) = self.runs.last_mut()
            && last.first.checked_add(last.pages) == Some(ipa_page)
        {
            last.pages = last.pages.saturating_add(pages);
            return;
        }
        if self
            .runs
            .push(IpaRun {
                first: ipa_page,
                pages,
            })
            .is_err()
        {
            self.everything = true;
        }
    }

    /// The same if there are any.
    pub fn add_some(&mut self, ipa_page: u64, pages: u64) {
        if pages != 0 {
            self.add(ipa_page, pages);
        }
    }

    /// Flushes what was added, if anything was.
    #[inline(always)]
    pub fn flush<P: Platform>(
        &self,
        platform: &P,
        cpu: CpuId,
        regime: Regime,
    ) -> (Flushed, Option<FlushKind>) {
        match *self.runs {
            [IpaRun { first, pages: 1 }] if ALONE => {
                let flushed = flush_page(platform, cpu, regime, first);
                (flushed, Some(FlushKind::Pages))
            }
            _ => self.flush_many(platform, cpu, regime),
        }
    }

    fn flush_many<P: Platform>(
        &self,
        platform: &P,
        cpu: CpuId,
        regime: Regime,
    ) -> (Flushed, Option<FlushKind>) {
        if self.everything {
            return (flush_vm(platform, cpu, regime), Some(FlushKind::Vm));
        }
        if self.runs.is_empty() {
            return (nothing_to_flush(regime), None);
        }
        let (flushed, kind) = flush_runs(platform, cpu, regime, &self.runs);
        (flushed, Some(kind))
    }
}

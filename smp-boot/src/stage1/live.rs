//! Pages that join and leave the engine's memory while it runs, by any CPU at any time.
//!
//! The caller holds the page's ownership claim, so no two CPUs map or unmap the same page at once;
//! they may meet in the tables above it, which are linked in by compare-exchange and stay for good.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::descriptor;
use super::table::{Below, Table, TableSource};
use super::{Stage1, is_within_reach};
use crate::barrier;
use crate::range::{PAGE, PaRange};

/// Why a page was not mapped or unmapped. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageError {
    /// Not a page in the span of RAM: the caller's mistake.
    OutOfReach,
    /// No page for a table: the caller may donate more and try again.
    NoMemory,
    /// The page is the engine's already: the caller's mistake.
    Mapped,
    /// The page was not mapped by [`Stage1::map_engine_page`]: the caller's mistake.
    NotDonated,
}

impl Stage1 {
    /// Makes the page at `pa` readable and writable at VA == PA.
    ///
    /// On return (`DSB ISHST; ISB`) walkers of all CPUs see the entry. Another CPU learns the
    /// address from this one only by an acquire load, or enters EL2 afterwards: either way its
    /// access is ordered behind that barrier, and an invalid entry is never cached in a TLB.
    pub fn map_engine_page<T: TableSource>(
        &self,
        pa: u64,
        tables: &mut T,
    ) -> Result<(), PageError> {
        let page = PaRange::new(pa, PAGE).ok_or(PageError::OutOfReach)?;
        if !pa.is_multiple_of(PAGE) || !is_within_reach(page) {
            return Err(PageError::OutOfReach);
        }
        let table = self.find_or_link(pa, tables)?;
        // Relaxed: the entry is for walkers, which the barrier below serves, not for Rust code.
        table
            .entry(pa, 3)
            .compare_exchange(0, descriptor::donated_page(pa), Relaxed, Relaxed)
            .map_err(|_| PageError::Mapped)?;
        barrier::publish_entries();
        Ok(())
    }

    /// How many tables the page at `pa` lacks: other CPUs may link some in meanwhile, and none goes.
    pub fn tables_missing(&self, pa: u64) -> usize {
        let mut table = self.root;
        for level in 0..3 {
            // Acquire: pairs with the Release that linked the table in `find_or_link`.
            table = match Table::below(table.entry(pa, level).load(Acquire)) {
                Below::Table(next) => next,
                // No table can help.
                Below::Nothing if level == 0 => return 0,
                Below::Nothing => return 3 - level as usize,
                Below::Block => return 0,
            };
        }
        0
    }

    /// Takes away the page at `pa` again. On return (`TLBI VAE2IS; DSB ISH`, twice, `ISB`) no CPU
    /// can reach it through the engine's address space.
    pub fn unmap_engine_page(&self, pa: u64) -> Result<(), PageError> {
        let mut table = self.root;
        for level in 0..3 {
            // Acquire: pairs with the Release that linked the table in `find_or_link`.
            table = match Table::below(table.entry(pa, level).load(Acquire)) {
                Below::Table(next) => next,
                Below::Nothing | Below::Block => return Err(PageError::NotDonated),
            };
        }
        // Relaxed: as in `map_engine_page`. The exact value says that the page was donated.
        table
            .entry(pa, 3)
            .compare_exchange(descriptor::donated_page(pa), 0, Relaxed, Relaxed)
            .map_err(|_| PageError::NotDonated)?;
        barrier::publish_entries();
        if cfg!(not(mutant = "stage1-no-tlbi")) {
            barrier::flush_va_everywhere(pa);
            barrier::complete_flush();
            // Once more: on cores with the repeat-TLBI erratum (CVE-2025-10263, scenario 1) another
            // core's older store may still land after the first.
            barrier::flush_va_everywhere(pa);
            barrier::complete_flush();
        }
        Ok(())
    }

    /// The level-3 table for `va`; missing ones between are linked in.
    fn find_or_link<T: TableSource>(
        &self,
        va: u64,
        tables: &mut T,
    ) -> Result<&'static Table, PageError> {
        let mut table = self.root;
        for level in 0..3 {
            let entry = table.entry(va, level);
            // Acquire: pairs with the Release of the exchange below on another CPU; makes the
            // zeroes of the new table visible here.
            table = match Table::below(entry.load(Acquire)) {
                Below::Table(next) => next,
                Below::Block => return Err(PageError::Mapped),
                // Each CPU has its own level 0: a link made here would be missing elsewhere.
                Below::Nothing if level == 0 => return Err(PageError::OutOfReach),
                Below::Nothing => {
                    let new = tables.take_table().ok_or(PageError::NoMemory)?;
                    // Walkers must see zeroes in the table before they can see the link to it.
                    barrier::publish_entries();
                    // Release: pairs with the Acquire above and in `unmap_engine_page`. Acquire on
                    // failure: the winner's table is used.
                    let linked = descriptor::table(new.pa());
                    match entry.compare_exchange(0, linked, AcqRel, Acquire) {
                        Ok(_) => new,
                        Err(winner) => {
                            tables.give_back_table(new);
                            match Table::below(winner) {
                                Below::Table(next) => next,
                                Below::Nothing | Below::Block => return Err(PageError::Mapped),
                            }
                        }
                    }
                }
            };
        }
        Ok(table)
    }
}

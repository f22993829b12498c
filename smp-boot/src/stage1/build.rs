//! Building the address space: by the primary alone, before any other CPU runs.
//!
//! Entries are written by plain atomic stores, never by read-modify-write: part of this runs with
//! the MMU off, where exclusives need not work (Arm ARM B2.12). `Relaxed` throughout: there is no
//! second thread, and walkers are served by the barrier at the end.

use core::sync::atomic::Ordering::Relaxed;

use super::descriptor::{self, Attr};
use super::table::{Below, Table, TableSource};
use super::{PRIVATE_SLOT, PRIVATE_VA, Root, Stage1, Window, is_within_reach};
use crate::barrier;
use crate::error::BootError;
use crate::range::{BLOCK, PAGE, PaRange};

impl Stage1 {
    /// The address space under `root`, as far as it has been built.
    pub const fn new(root: &'static Table) -> Self {
        Self { root }
    }

    /// Maps the whole pages `range` at VA == PA, by blocks where they fit.
    pub fn map<T: TableSource>(
        &self,
        range: PaRange,
        attr: Attr,
        tables: &mut T,
    ) -> Result<(), BootError> {
        if !is_within_reach(range) {
            return Err(BootError::OutOfReach(range));
        }
        let mut at = range.start();
        // The table of the pages around `at`, once one was found.
        let mut pages = None;
        while at < range.end() {
            let begins_block = at.is_multiple_of(BLOCK);
            let (level, size, leaf) = match begins_block && range.end() - at >= BLOCK {
                true => (2, BLOCK, descriptor::block(at, attr)),
                false => (3, PAGE, descriptor::page(at, attr)),
            };
            let table = match pages {
                Some(table) if !begins_block => table,
                _ => self.make_way(at, level, tables, range)?,
            };
            pages = (level == 3).then_some(table);
            let entry = table.entry(at, level);
            if entry.load(Relaxed) != 0 {
                return Err(BootError::Overlap(range));
            }
            entry.store(leaf, Relaxed);
            at += size;
        }
        barrier::publish_entries();
        Ok(())
    }

    /// Makes level-1 tables for all of `span`, since level 0 cannot change later.
    pub fn reserve<T: TableSource>(&self, span: PaRange, tables: &mut T) -> Result<(), BootError> {
        const SLOT: u64 = 1 << 39;
        if !is_within_reach(span) {
            return Err(BootError::OutOfReach(span));
        }
        for slot in span.start() / SLOT..span.end().div_ceil(SLOT) {
            self.make_way(slot * SLOT, 1, tables, span)?;
        }
        barrier::publish_entries();
        Ok(())
    }

    /// Unmaps the whole pages `range`, which was mapped by one or more whole calls of `map`, and
    /// returns when no CPU can reach it. A hole in it is left as it is. There is one copy of it, in which
    /// `cargo xtask litmus` sees each instruction that is lost.
    #[inline(never)]
    pub fn unmap(&self, range: PaRange) {
        let mut at = range.start();
        while at < range.end() {
            // Does not wrap here and below: a range ends at 2^63 at most.
            at = self.unmap_leaf(at).max(at.wrapping_add(PAGE));
        }
        barrier::publish_entries();
        let mut at = range.start();
        while at < range.end() {
            barrier::flush_va_everywhere(at);
            at = at.wrapping_add(PAGE);
        }
        barrier::complete_flush();
    }

    /// How many level-0 slots there are up to the last shared one that is in use.
    pub fn shared_slots(&self) -> usize {
        let shared = &self.root.entries()[..PRIVATE_SLOT];
        let last = shared.iter().rposition(|slot| slot.load(Relaxed) != 0);
        last.map_or(0, |last| last + 1)
    }

    /// The root of one more CPU: the first `slots` shared slots, which are all in use, as they are now,
    /// and a window of its own.
    pub fn root_for_cpu<T: TableSource>(
        &self,
        slots: usize,
        tables: &mut T,
    ) -> Result<Root, BootError> {
        let table = tables.take_table().ok_or(BootError::OutOfBootMemory)?;
        let both = table.entries().iter().zip(self.root.entries());
        for (own, shared) in both.take(slots.min(PRIVATE_SLOT)) {
            own.store(shared.load(Relaxed), Relaxed);
        }
        Stage1::new(table).finish_root(tables)
    }

    /// Gives this root its private slot.
    pub fn finish_root<T: TableSource>(&self, tables: &mut T) -> Result<Root, BootError> {
        let nowhere = PaRange::default();
        let entry = self
            .make_way(PRIVATE_VA, 3, tables, nowhere)?
            .entry(PRIVATE_VA, 3);
        barrier::publish_entries();
        Ok(Root {
            table: self.root,
            window: Window {
                va: PRIVATE_VA,
                entry,
            },
        })
    }

    /// The table of `level` for `va`, made if need be. `range` is what to complain about.
    fn make_way<T: TableSource>(
        &self,
        va: u64,
        level: u32,
        tables: &mut T,
        range: PaRange,
    ) -> Result<&'static Table, BootError> {
        let mut table = self.root;
        for above in 0..level {
            let entry = table.entry(va, above);
            table = match Table::below(entry.load(Relaxed)) {
                Below::Table(next) => next,
                Below::Block => return Err(BootError::Overlap(range)),
                Below::Nothing => {
                    let next = tables.take_table().ok_or(BootError::OutOfBootMemory)?;
                    entry.store(descriptor::table(next.pa()), Relaxed);
                    next
                }
            };
        }
        Ok(table)
    }

    /// Clears the leaf that maps `va`, if any; returns the address after what it mapped.
    fn unmap_leaf(&self, va: u64) -> u64 {
        let mut table = self.root;
        for level in 0..3 {
            let entry = table.entry(va, level);
            match Table::below(entry.load(Relaxed)) {
                Below::Table(next) => table = next,
                Below::Nothing => return va.wrapping_add(PAGE),
                Below::Block => {
                    entry.store(0, Relaxed);
                    return va.wrapping_add(BLOCK);
                }
            }
        }
        table.entry(va, 3).store(0, Relaxed);
        va.wrapping_add(PAGE)
    }
}

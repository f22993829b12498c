//! Splitting a block: break-before-make (Arm ARM D8.17.1, "Using break-before-make when updating
//! translation table entries").
//!
//! Invariants: the block belongs to the core whose compare-exchange put the `SPLITTING` mark; the
//! table that replaces it is complete and flushed of the block before it is published; a split is
//! never undone. While the mark stands, an access to the block faults, and the fault handlers retry.

use super::descriptor::{
    ENTRIES, Entry, LAST_LEVEL, LeafBits, pages_of, splitting_descriptor, table_descriptor,
};
use super::walk::Found;
use super::{MapError, Stage2};
use crate::memory::pool::TablePages;
use crate::memory::tlb::{FlushKind, IpaRun, flush_runs};
#[cfg(not(mutant = "split-no-dsb"))]
use crate::platform::Barrier;
use crate::platform::{EntryAt, Platform};
use ownership::{Flushed, Ipa, Pfn};
use percpu::CpuId;

/// What the new table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fill {
    /// The block's pages, with the block's rights.
    Children,
    /// Nothing: the caller holds the claims of all the block's pages and takes them away.
    Nothing,
}

impl Stage2 {
    /// Replaces the block that `found` is by a table one level down, for the area around `ipa`.
    /// `Busy` if the entry is no longer what was found.
    pub fn split_block<P: Platform, T: TablePages>(
        self,
        platform: &P,
        cpu: CpuId,
        pool: &T,
        ipa: Ipa,
        found: &Found,
        fill: Fill,
    ) -> Result<(Flushed, FlushKind), MapError> {
        let Entry::Leaf { base, bits } = found.entry else {
            return Err(MapError::Busy);
        };
        if found.level >= LAST_LEVEL {
            return Err(MapError::Occupied);
        }
        let table = pool.take_table(cpu.index()).ok_or(MapError::NoMemory)?;
        platform.clear_table(cpu, table);
        if fill == Fill::Children {
            fill_with_children(platform, cpu, table, base, bits, found.level + 1);
        }
        if platform
            .swap_entry(cpu, found.at, found.raw, splitting_descriptor(base))
            .is_err()
        {
            pool.put_table(table);
            return Err(MapError::Busy);
        }
        let pages = pages_of(found.level);
        let first = (ipa.raw() >> 12) & !(pages - 1);
        #[cfg(not(mutant = "split-no-flush"))]
        let flushed = flush_runs(platform, cpu, self.regime(), &[IpaRun { first, pages }]);
        #[cfg(mutant = "split-no-flush")]
        let flushed = (
            crate::memory::tlb::nothing_to_flush(self.regime()),
            FlushKind::Pages,
        );
        #[cfg(mutant = "split-no-flush")]
        let _ = (first, pages);
        platform.store_entry(cpu, found.at, table_descriptor(table));
        #[cfg(not(mutant = "split-no-dsb"))]
        platform.barrier(cpu, Barrier::DsbIshst);
        Ok(flushed)
    }
}

fn fill_with_children<P: Platform>(
    platform: &P,
    cpu: CpuId,
    table: Pfn,
    base: Pfn,
    bits: LeafBits,
    level: u8,
) {
    for index in 0..ENTRIES {
        let child = Pfn::from_raw(base.raw() + index * pages_of(level));
        let at = EntryAt {
            table,
            index: index as u16,
        };
        platform.store_entry(cpu, at, bits.leaf(child, level));
    }
}

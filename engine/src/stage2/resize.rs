//! Changing the size of what an entry maps: a block becomes a table, a table a block (Arm ARM
//! D8.17.1, "Using break-before-make when updating translation table entries").
//!
//! Invariants:
//! - a block is split by the core whose compare-exchange took its entry; of the host's, it holds the claim
//!   of a page beneath. A split is never undone within its call;
//! - a table becomes a block only by a core that holds the claims of all its pages: nobody else
//!   walks it, and after the flush no hardware does, so it is free for another use;
//! - with break-before-make the entry holds the `SPLITTING` mark until everything that was cached
//!   through it is flushed; an access meanwhile faults, and the fault handlers retry. Cores with
//!   FEAT_BBM level 2 on the allow-list change it in place and flush then: both sizes translate alike.

use super::descriptor::{
    AT_ONCE, ENTRIES, Entry, LAST_LEVEL, LeafBits, bytes_of, pages_of, splitting_descriptor,
    table_descriptor,
};
use super::walk::Found;
use super::{MapError, Stage2};
use crate::memory::pool::TablePages;
use crate::memory::tlb::{FlushKind, IpaRun, flush_runs};
use crate::platform::{Barrier, EntryAt, Platform};
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
    ) -> Result<FlushKind, MapError> {
        let Entry::Leaf { base, bits } = found.entry() else {
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
        // Pages that go away need the break, whatever the core can do.
        let in_place = fill == Fill::Children;
        let changed = self.change_size(
            platform,
            cpu,
            ipa,
            found,
            base,
            table_descriptor(table),
            in_place,
        );
        if changed.is_err() {
            pool.put_table(table);
        }
        changed.map(|(_, kind)| kind)
    }

    /// Replaces the table that `found` names by the block from `base` on with these attributes; the
    /// caller holds the claims of all its pages, and there is no table below. The table goes to `spare` when
    /// nothing finds it any more.
    pub fn join_block<P: Platform>(
        self,
        platform: &P,
        cpu: CpuId,
        found: &Found,
        base: Pfn,
        bits: LeafBits,
        spare: impl FnOnce(Pfn),
    ) -> Result<FlushKind, MapError> {
        let Entry::Table(table) = found.entry() else {
            return Err(MapError::Busy);
        };
        let ipa = Ipa::from_raw(base.pa().raw());
        let leaf = bits.leaf(base, found.level);
        let (_, kind) = self.change_size(platform, cpu, ipa, found, base, leaf, true)?;
        spare(table);
        Ok(kind)
    }

    /// Puts `new` in the place of a table or block at `found`, and flushes what was cached of it. In the image
    /// once, so that its first barrier is missed there if it goes.
    #[inline(never)]
    #[expect(
        clippy::too_many_arguments,
        reason = "one step of a protocol, all its parts named"
    )]
    fn change_size<P: Platform>(
        self,
        platform: &P,
        cpu: CpuId,
        ipa: Ipa,
        found: &Found,
        base: Pfn,
        new: u64,
        may_be_in_place: bool,
    ) -> Result<(Flushed, FlushKind), MapError> {
        let pages = pages_of(found.level);
        let first = ipa.page() & !(pages - 1);
        let in_place = may_be_in_place && platform.features().resize_in_place;
        if in_place {
            // A new table must be seen by walkers before its link is.
            #[cfg(not(mutant = "resize-no-dsb"))]
            platform.barrier(cpu, Barrier::DsbIshst);
        }
        let next = if in_place {
            new
        } else {
            splitting_descriptor(base)
        };
        platform
            .swap_entry(cpu, found.at, found.raw, next)
            .map_err(|_| MapError::Busy)?;
        #[cfg(not(any(mutant = "split-no-flush", mutant = "in-place-no-flush")))]
        let flushed = flush_runs(platform, cpu, self.regime(), &[IpaRun { first, pages }]);
        #[cfg(mutant = "split-no-flush")]
        let flushed = (
            crate::memory::tlb::nothing_to_flush(self.regime()),
            FlushKind::Pages,
        );
        // Both sizes translate alike, but walk caches keep a table that is free for another use.
        #[cfg(mutant = "in-place-no-flush")]
        let flushed = if in_place {
            platform.barrier(cpu, Barrier::DsbIsh);
            (
                crate::memory::tlb::nothing_to_flush(self.regime()),
                FlushKind::Pages,
            )
        } else {
            flush_runs(platform, cpu, self.regime(), &[IpaRun { first, pages }])
        };
        #[cfg(mutant = "split-no-flush")]
        let _ = (first, pages, flush_runs::<P>);
        if !in_place {
            platform.store_entry(cpu, found.at, new);
            #[cfg(not(mutant = "split-no-dsb"))]
            platform.barrier(cpu, Barrier::DsbIshst);
        }
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
    // The leaves differ by their address alone.
    let (mut leaf, step) = (bits.leaf(base, level), bytes_of(level));
    for first in (0..ENTRIES).step_by(AT_ONCE as usize) {
        for index in first..first.wrapping_add(AT_ONCE) {
            #[cfg(mutant = "split-lose-leaf")]
            if index == 3 {
                leaf = leaf.wrapping_add(step);
                continue;
            }
            let at = EntryAt {
                table,
                index: index as u16,
            };
            #[cfg(not(mutant = "split-wrong-child"))]
            platform.store_entry(cpu, at, leaf);
            #[cfg(mutant = "split-wrong-child")]
            platform.store_entry(cpu, at, leaf ^ step);
            leaf = leaf.wrapping_add(step);
        }
    }
}

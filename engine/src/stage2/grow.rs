//! Installing tables and taking leaf entries of a guest.
//!
//! Invariants: a table is zeroed before it is published, by compare-exchange from empty, and stays
//! for the VM's life; the loser of that race gives its page back. Growing is invisible to the VM, so
//! a call that fails later need not undo it. A leaf entry is taken by compare-exchange from empty to
//! the reserved mark, and then belongs to the taker alone.

use super::descriptor::{Entry, LAST_LEVEL, RESERVED, table_descriptor};
use super::{MapError, Stage2, ipa_after};
use crate::memory::pool::TablePages;
use crate::platform::{EntryAt, Platform};
use ownership::Ipa;
use percpu::CpuId;

impl Stage2 {
    /// Takes the empty entry of `ipa` at `level` for a leaf to come, installing the tables above it.
    pub fn take_entry<P: Platform, T: TablePages>(
        self,
        platform: &P,
        cpu: CpuId,
        pool: &T,
        ipa: Ipa,
        level: u8,
    ) -> Result<EntryAt, MapError> {
        // One round per level, and one more for each table lost to another core's.
        for _ in 0..2 * (u32::from(LAST_LEVEL) + 1) {
            let found = self.walk(platform, cpu, ipa, level)?;
            match found.entry {
                Entry::Empty if found.level == level => {
                    return match platform.swap_entry(cpu, found.at, 0, RESERVED) {
                        Ok(()) => Ok(found.at),
                        Err(_) => Err(MapError::Busy),
                    };
                }
                Entry::Empty => self.install(platform, cpu, pool, found.at)?,
                Entry::Reserved | Entry::Splitting => return Err(MapError::Busy),
                Entry::Table(_) | Entry::Leaf { .. } => return Err(MapError::Occupied),
            }
        }
        Err(MapError::Busy)
    }

    /// Takes the empty level-3 entries of `n` pages from `ipa` on; how many it got, and why not more.
    pub fn take_pages<P: Platform, T: TablePages>(
        self,
        platform: &P,
        cpu: CpuId,
        pool: &T,
        ipa: Ipa,
        n: u64,
    ) -> (u64, Option<MapError>) {
        let mut taken = 0;
        let mut last: Option<EntryAt> = None;
        while taken < n {
            let next = last.filter(|at| at.index < 511).map(|at| EntryAt {
                index: at.index + 1,
                ..at
            });
            let outcome = match next {
                // The same table goes on: tables stay for the VM's life.
                Some(at) => match platform.swap_entry(cpu, at, 0, RESERVED) {
                    Ok(()) => Ok(at),
                    Err(seen) => match Entry::decode(seen, LAST_LEVEL) {
                        Entry::Leaf { .. } => Err(MapError::Occupied),
                        _ => Err(MapError::Busy),
                    },
                },
                None => match ipa_after(ipa, taken) {
                    Some(ipa) => self.take_entry(platform, cpu, pool, ipa, LAST_LEVEL),
                    None => Err(MapError::OutOfRange),
                },
            };
            match outcome {
                Ok(at) => {
                    last = Some(at);
                    taken += 1;
                }
                Err(error) => return (taken, Some(error)),
            }
        }
        (taken, None)
    }

    /// Visits the level-3 entries of `n` pages from `ipa` on, whose tables stand, with each page's
    /// index in the run.
    pub fn for_pages<P: Platform>(
        self,
        platform: &P,
        cpu: CpuId,
        ipa: Ipa,
        n: u64,
        mut visit: impl FnMut(EntryAt, u64),
    ) {
        let mut last: Option<EntryAt> = None;
        for index in 0..n {
            let next = last.filter(|at| at.index < 511).map(|at| EntryAt {
                index: at.index + 1,
                ..at
            });
            let at = match next {
                Some(at) => at,
                None => {
                    let Some(ipa) = ipa_after(ipa, index) else {
                        return;
                    };
                    match self.walk(platform, cpu, ipa, LAST_LEVEL) {
                        Ok(found) if found.level == LAST_LEVEL => found.at,
                        _ => return,
                    }
                }
            };
            visit(at, index);
            last = Some(at);
        }
    }

    /// Gives an entry back that [`Stage2::take_entry`] took, or whose leaf was taken away and flushed.
    pub fn give_entry_back<P: Platform>(platform: &P, cpu: CpuId, at: EntryAt) {
        platform.store_entry(cpu, at, 0);
    }

    fn install<P: Platform, T: TablePages>(
        self,
        platform: &P,
        cpu: CpuId,
        pool: &T,
        at: EntryAt,
    ) -> Result<(), MapError> {
        let table = pool.take_table(cpu.index()).ok_or(MapError::NoMemory)?;
        #[cfg(not(mutant = "grow-no-clear"))]
        platform.clear_table(cpu, table);
        // A walker must see the zeroes before it can see the entry.
        platform.barrier(cpu, crate::platform::Barrier::DsbIshst);
        if platform
            .swap_entry(cpu, at, 0, table_descriptor(table))
            .is_err()
        {
            #[cfg(not(mutant = "install-lose-table"))]
            pool.put_table(table);
        }
        Ok(())
    }
}

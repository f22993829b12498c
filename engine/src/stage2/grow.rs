//! Installing tables and taking leaf entries, of guests and of the host.
//!
//! Invariants: a table is zeroed before it is published, by compare-exchange from empty, and a
//! guest's stays for the VM's life; the loser of that race gives its page back. Growing is invisible to the VM, so
//! a call that fails later need not undo it. A leaf entry is taken by compare-exchange from empty to
//! the reserved mark, and then belongs to the taker alone.

use super::descriptor::{Entry, LAST_LEVEL, RESERVED, pages_of, table_descriptor};
use super::{MapError, Stage2, ipa_after};
use crate::memory::pool::TablePages;
use crate::platform::{EntryAt, Platform};
use ownership::Ipa;
use percpu::CpuId;

impl Stage2 {
    /// Takes the empty entry of `ipa` at `level` for a leaf to come, installing the tables above it.
    #[inline(always)]
    pub fn take_entry<P: Platform, T: TablePages>(
        self,
        platform: &P,
        cpu: CpuId,
        pool: &T,
        ipa: Ipa,
        level: u8,
    ) -> Result<EntryAt, MapError> {
        let found = self.walk(platform, cpu, ipa, level)?;
        if found.level == level && found.raw == 0 {
            return Self::take_empty(platform, cpu, found.at);
        }
        self.grow_to(platform, cpu, pool, ipa, level)
    }

    /// The same where tables are missing, or the entry is not empty.
    fn grow_to<P: Platform, T: TablePages>(
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
            match found.entry() {
                Entry::Empty if found.level == level => {
                    return Self::take_empty(platform, cpu, found.at);
                }
                Entry::Empty => self.install(platform, cpu, pool, found.at)?,
                Entry::Reserved | Entry::Splitting => return Err(MapError::Busy),
                #[cfg(mutant = "map-over")]
                Entry::Leaf { .. } if found.level == level => return Ok(found.at),
                Entry::Table(_) | Entry::Leaf { .. } => return Err(MapError::Occupied),
            }
        }
        Err(MapError::Busy)
    }

    /// Takes an entry that was seen empty.
    #[inline]
    fn take_empty<P: Platform>(platform: &P, cpu: CpuId, at: EntryAt) -> Result<EntryAt, MapError> {
        #[cfg(not(mutant = "take-no-compare"))]
        let taken = platform.swap_entry(cpu, at, 0, RESERVED);
        #[cfg(mutant = "take-no-compare")]
        let taken = Ok::<(), u64>(platform.store_entry(cpu, at, RESERVED));
        match taken {
            Ok(()) => Ok(at),
            Err(_) => Err(MapError::Busy),
        }
    }

    /// Takes the empty entries of `n` pages from `ipa` on at `level`, whole entries of it; for how
    /// many pages it got them, and why not for more.
    pub fn take_run<P: Platform, T: TablePages>(
        self,
        platform: &P,
        cpu: CpuId,
        pool: &T,
        ipa: Ipa,
        n: u64,
        level: u8,
    ) -> (u64, Option<MapError>) {
        let mut taken = 0;
        let mut last: Option<EntryAt> = None;
        while taken < n {
            let outcome = match last.and_then(|at| self.next_in_table(at, level)) {
                // The same table goes on: a VM's tables stay for its life.
                Some(at) => match platform.swap_entry(cpu, at, 0, RESERVED) {
                    Ok(()) => Ok(at),
                    Err(seen) => match Entry::decode(seen, level) {
                        Entry::Leaf { .. } | Entry::Table(_) => Err(MapError::Occupied),
                        _ => Err(MapError::Busy),
                    },
                },
                None => match ipa_after(ipa, taken) {
                    Some(ipa) => self.take_entry(platform, cpu, pool, ipa, level),
                    None => Err(MapError::OutOfRange),
                },
            };
            match outcome {
                Ok(at) => {
                    last = Some(at);
                    taken += pages_of(level);
                }
                Err(error) => return (taken, Some(error)),
            }
        }
        (taken, None)
    }

    /// Gives the marks of `n` pages from `ipa` on back, which [`Stage2::take_run`] left there.
    pub fn give_run_back<P: Platform>(self, platform: &P, cpu: CpuId, ipa: Ipa, n: u64) {
        self.for_entries(platform, cpu, ipa, n, LAST_LEVEL, |found, _| {
            Self::give_entry_back(platform, cpu, found.at);
        });
    }

    /// Makes the tables above the entry of `ipa` at `level`, where nothing but empty entries stands
    /// in the way. The caller holds a claim beneath.
    pub fn make_tables<P: Platform, T: TablePages>(
        self,
        platform: &P,
        cpu: CpuId,
        pool: &T,
        ipa: Ipa,
        level: u8,
    ) -> Result<(), MapError> {
        // As in `take_entry`.
        for _ in 0..2 * (u32::from(LAST_LEVEL) + 1) {
            let found = self.walk(platform, cpu, ipa, level)?;
            match found.entry() {
                Entry::Empty if found.level < level => {
                    self.install(platform, cpu, pool, found.at)?;
                }
                Entry::Reserved | Entry::Splitting => return Err(MapError::Busy),
                _ => return Ok(()),
            }
        }
        Err(MapError::Busy)
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
        #[cfg(not(mutant = "install-no-dsb-before"))]
        platform.barrier(cpu, crate::platform::Barrier::DsbIshst);
        if platform
            .swap_entry(cpu, at, 0, table_descriptor(table))
            .is_err()
        {
            #[cfg(not(mutant = "install-lose-table"))]
            pool.put_table(table);
        } else {
            // Others build on the table, and complete only stores of their own.
            #[cfg(not(mutant = "install-no-dsb"))]
            platform.barrier(cpu, crate::platform::Barrier::DsbIshst);
        }
        Ok(())
    }
}

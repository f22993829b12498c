//! Translation-table entries as atomics, and the EL2 regime's tables for pages that join later.
//!
//! Invariant: every page that `EntryAt` or `clear` names is engine memory, mapped at VA = PA as
//! normal write-back memory, the same as walkers use (VTCR_EL2): engine pages are `Owned(Engine)`
//! and become tables only through the pool.

use crate::platform::EntryAt;
use ownership::Pfn;
use smp_boot::stage1::{Stage1, Table, TableSource};
use sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Bytes of a page, as a shift.
const PAGE_SHIFT: u32 = 12;
/// Entries of a table.
const ENTRIES: usize = 512;

/// The entry as an atomic.
fn entry(at: EntryAt) -> &'static AtomicU64 {
    let index = usize::from(at.index) % ENTRIES;
    let table = (at.table.raw() << PAGE_SHIFT) as usize as *mut u64;
    // SAFETY: by the invariant the page is mapped and of the engine's own, all accesses to it as a
    // table are atomic, and `index` stays inside; aligned by construction.
    unsafe { AtomicU64::from_ptr(table.add(index)) }
}

/// Reads an entry.
pub fn load(at: EntryAt) -> u64 {
    // Acquire: pairs with the Release in `store` and `swap`; the table it names is initialised.
    entry(at).load(Ordering::Acquire)
}

/// Replaces an entry if it is `old`.
pub fn swap(at: EntryAt, old: u64, new: u64) -> Result<(), u64> {
    // Release: publishes the table that `new` may name, to the Acquire in `load`. Acquire, on
    // failure too: the caller follows what it sees.
    entry(at)
        .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
        .map(drop)
}

/// Stores an entry that the caller alone may write.
pub fn store(at: EntryAt, value: u64) {
    // Release: pairs with the Acquire in `load`.
    entry(at).store(value, Ordering::Release);
}

/// Fills a table that nobody else can see with zero entries.
pub fn clear(table: Pfn) {
    for index in 0..ENTRIES as u16 {
        // Relaxed: published by the Release, for walkers by the DSB, of whoever links the table.
        entry(EntryAt { table, index }).store(0, Ordering::Relaxed);
    }
}

/// Tables for the EL2 regime's growth, all taken from the engine's memory at boot.
#[derive(Debug)]
pub struct SpareTables {
    tables: &'static [Table],
    /// One for each table.
    taken: &'static [AtomicBool],
    /// Where to look first: all before it were taken once.
    next: AtomicUsize,
}

impl SpareTables {
    /// Spares from `tables`, all zero, with one `false` in `taken` for each.
    pub const fn new(tables: &'static [Table], taken: &'static [AtomicBool]) -> Self {
        Self {
            tables,
            taken,
            next: AtomicUsize::new(0),
        }
    }
}

/// A way to take spares through a shared reference.
struct Taker<'a>(&'a SpareTables);

impl TableSource for Taker<'_> {
    fn take_table(&mut self) -> Option<&'static Table> {
        let SpareTables {
            tables,
            taken,
            next,
        } = self.0;
        // Relaxed: a hint; the exchange below decides.
        let from = next.load(Ordering::Relaxed);
        // One round from the hint, and one more over those that were given back.
        for index in (from..tables.len()).chain(0..from.min(tables.len())) {
            let flag = taken.get(index)?;
            // Acquire: pairs with the Release in `give_back_table`; the table is still zero, and
            // what its last holder did to it is over.
            if flag
                .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                // Relaxed: a hint.
                next.store(index + 1, Ordering::Relaxed);
                return tables.get(index);
            }
        }
        None
    }

    fn give_back_table(&mut self, table: &'static Table) {
        let index = self.0.tables.iter().position(|it| core::ptr::eq(it, table));
        if let Some(flag) = index.and_then(|index| self.0.taken.get(index)) {
            // Release: pairs with the Acquire in `take_table`.
            flag.store(false, Ordering::Release);
        }
    }
}

/// Maps an engine page at VA = PA; `false` if there is no table left for it.
pub fn map_engine_page(stage1: &Stage1, spares: &SpareTables, page: Pfn) -> bool {
    stage1
        .map_engine_page(page.raw() << PAGE_SHIFT, &mut Taker(spares))
        .is_ok()
}

/// Unmaps an engine page on every core.
pub fn unmap_engine_page(stage1: &Stage1, page: Pfn) {
    let unmapped = stage1.unmap_engine_page(page.raw() << PAGE_SHIFT);
    // Only pages that `map_engine_page` mapped are ever given back.
    assert!(unmapped.is_ok(), "an engine page was not mapped as one");
}

//! Translation-table entries as atomics, and the EL2 regime's tables for pages that join later.
//!
//! Invariant: every page that `EntryAt` or `clear` names is engine memory, mapped at VA = PA as
//! normal write-back memory, the same as walkers use (VTCR_EL2): engine pages are `Owned(Engine)`
//! and become tables only through the pool.

use crate::memory::pool::TablePages;
use crate::platform::EntryAt;
use ownership::Pfn;
use percpu::CpuId;
use smp_boot::stage1::{Stage1, Table, TableSource};
use smp_boot::{Page, bulk};
use sync::{AtomicU64, Ordering};

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
    let table = (table.raw() << PAGE_SHIFT) as usize as *mut Page;
    // SAFETY: as in `entry`, of all of the page, which is in no table yet and the caller's alone. The zeroes are
    // published by the Release, for walkers by the DSB, of whoever links the table.
    unsafe { bulk::zero_pages(table, 1) };
}

/// Pages of the engine's as tables of the EL2 regime.
struct Source<'a, T> {
    pages: &'a T,
    hint: usize,
}

impl<T: TablePages> TableSource for Source<'_, T> {
    fn take_table(&mut self) -> Option<&'static Table> {
        let page = self.pages.take_table(self.hint)?;
        let table = (page.raw() << PAGE_SHIFT) as usize as *const Table;
        // SAFETY: by the invariant above the page is mapped for good and holds 512 words that are
        // reached as atomics only; `pages` gave it away as zeroes, and nobody else has it. It goes
        // back only by `give_back_table`, which ends all use of it here.
        Some(unsafe { &*table })
    }

    fn give_back_table(&mut self, table: &'static Table) {
        self.pages
            .put_table(Pfn::from_raw(table.pa() >> PAGE_SHIFT));
    }
}

/// How many tables [`map_engine_page`] lacks for a page.
pub fn engine_tables_missing(stage1: &Stage1, page: Pfn) -> usize {
    stage1.tables_missing(page.raw() << PAGE_SHIFT)
}

/// Maps an engine page at VA = PA; `false` if there are too few tables in `pages`, whose pages are of
/// zeroes.
pub fn map_engine_page(stage1: &Stage1, cpu: CpuId, page: Pfn, pages: &impl TablePages) -> bool {
    let hint = cpu.index();
    stage1
        .map_engine_page(page.raw() << PAGE_SHIFT, &mut Source { pages, hint })
        .is_ok()
}

/// Unmaps an engine page on every core; `false` if `map_engine_page` had not mapped it.
pub fn unmap_engine_page(stage1: &Stage1, page: Pfn) -> bool {
    stage1.unmap_engine_page(page.raw() << PAGE_SHIFT).is_ok()
}

//! A table of the host's pages for tests on one thread, and names for its places.
//!
//! Invariant: as at a boot, the words that none has cleared hold garbage.

extern crate std;

use crate::*;
use std::boxed::Box;
use sync::AtomicU64;

pub type Table = PageTable<Box<[AtomicU64]>>;

pub const BASE: Pfn = Pfn::from_raw(0x40000);
pub const BLOCK: u64 = GranuleSize::Block2M.pages();
pub const GIANT: u64 = GranuleSize::Block1G.pages();
pub const A: VmSlot = VmSlot::new(0).unwrap();
pub const B: VmSlot = VmSlot::new(1).unwrap();
pub const HOST: State = State::Owned(Owner::Host);
pub const OF_A: State = State::Owned(Owner::Vm(A));
/// What memory that nobody has cleared may hold.
pub const GARBAGE: u64 = 0x0123_4567_89ab_cdef;

/// So many pages of which nothing is said yet.
pub fn fresh(pages: u64) -> Table {
    let pages = pages as usize;
    let clear = Table::words_to_clear(BASE, pages);
    let words = (0..Table::words_for(BASE, pages))
        .map(|index| AtomicU64::new(if index < clear { 0 } else { GARBAGE }));
    PageTable::new(BASE, pages, words.collect())
}

/// So many pages of the host's, by as few words as can be.
pub fn table(pages: u64) -> Table {
    let mut table = fresh(pages);
    table.boot_set(BASE, pages as usize, HOST).unwrap();
    table
}

pub fn page(index: u64) -> Pfn {
    BASE.checked_add(index).unwrap()
}

pub fn granule(size: GranuleSize, index: u64) -> Granule {
    Granule::new(size, page(index)).unwrap()
}

/// The page has a word of its own from now on.
pub fn part(table: &Table, index: u64) {
    let claim = table.claim_page(page(index), Op::Lend, 0, |_| true);
    drop(claim.unwrap());
}

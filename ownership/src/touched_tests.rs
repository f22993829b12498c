//! What the table says it has touched is what was written.

extern crate std;

use crate::*;
use std::vec::Vec;
use sync::{AtomicU64, Ordering};

const BLOCK: u64 = GranuleSize::Block2M.pages();
const GIANT: u64 = GranuleSize::Block1G.pages();
const HOST: State = State::Owned(Owner::Host);
const BASE: Pfn = Pfn::from_raw(GIANT);
const PAGE: usize = 4096;

type Table = PageTable<&'static [AtomicU64]>;

/// Words as the machine's memory gives them: zero, and no memory of ours until they are written.
fn untouched(count: usize) -> &'static [AtomicU64] {
    let words: &'static mut [u64] = std::vec![0; count].leak();
    let first = words.as_mut_ptr().cast::<AtomicU64>();
    // SAFETY: as large and aligned as the `u64`s, which nobody else reaches any more.
    unsafe { core::slice::from_raw_parts(first, count) }
}

/// All the host's, in whole GiB.
fn whole(giants: u64) -> Table {
    let pages = (giants * GIANT) as usize;
    let words = untouched(Table::words_for(BASE, pages));
    let mut table = PageTable::new(BASE, pages, words);
    table.boot_set(BASE, pages, HOST).unwrap();
    table
}

/// Takes a page for a moment: what is above it comes apart and stays so.
fn touch(table: &Table, page: u64) {
    let page = Granule::page(BASE.checked_add(page).unwrap());
    let claim = table.claim(page, Op::VmMap, 0, |state| state == HOST);
    claim.unwrap().release();
}

/// Pages of words that hold something: all words of a page that was touched do.
fn written(table: &Table) -> usize {
    let pages = table.words().chunks(PAGE / 8);
    let is_written = |page: &&[AtomicU64]| {
        // Relaxed: one thread.
        page.iter().any(|word| word.load(Ordering::Relaxed) != 0)
    };
    pages.filter(is_written).count() * PAGE
}

#[test]
fn a_terabyte_in_one_piece_touches_what_boot_clears() {
    let table = whole(1024);
    // 1024 words, a count, and a mark for each GiB and each of their 2 MiB: 9233 words.
    assert_eq!(table.touched_bytes(), 19 * PAGE);
    // A page for the GiB and one for the 2 MiB of it, the first time.
    for _ in 0..2 {
        touch(&table, 700 * GIANT + 5 * BLOCK + 9);
        assert_eq!(table.touched_bytes(), 21 * PAGE);
    }
    touch(&table, 700 * GIANT + 6 * BLOCK);
    assert_eq!(table.touched_bytes(), 22 * PAGE);
    // A claim of a 2 MiB takes the GiB apart and no more.
    let block = Granule::new(GranuleSize::Block2M, BASE.checked_add(9 * GIANT).unwrap());
    let claim = table.claim(block.unwrap(), Op::VmMap, 0, |_| true);
    drop(claim.unwrap());
    assert_eq!(table.touched_bytes(), 23 * PAGE);
}

#[test]
fn what_was_joined_does_not_count_again() {
    let table = whole(2);
    let block = Granule::new(GranuleSize::Block2M, BASE.checked_add(3 * BLOCK).unwrap()).unwrap();
    let giant = Granule::new(GranuleSize::Block1G, BASE).unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        touch(&table, 3 * BLOCK + 1);
        for granule in [block, giant] {
            let claim = table.claim(granule, Op::VmMap, 0, |_| true).unwrap();
            drop(claim);
        }
        assert_eq!(table.granule(BASE).unwrap().0, giant);
        seen.push(table.touched_bytes());
    }
    // Of the 20 words that boot clears a page, of the GiB and its 2 MiB one each.
    assert_eq!(seen, [3 * PAGE; 3]);
}

/// A terabyte in pages would be 2 GiB of words: by the same rule 19 pages, one for each of 1024 GiB, and
/// one for each of 524288 times 2 MiB, 2 151 755 776 bytes.
#[test]
fn half_and_all_in_pages() {
    const GIANTS: u64 = 4;
    let table = whole(GIANTS);
    let cleared = table.touched_bytes();
    assert_eq!(cleared, PAGE);
    for half in 0..2 {
        let blocks = GIANTS * GIANT / BLOCK / 2;
        for block in 0..blocks {
            touch(&table, (half * blocks + block) * BLOCK + block % BLOCK);
        }
        let giants = GIANTS / 2 * (half + 1);
        let parts = (giants + giants * GIANT / BLOCK) as usize * PAGE;
        assert_eq!(table.touched_bytes(), cleared + parts);
        assert_eq!(written(&table), table.touched_bytes());
    }
}

//! Folding a claim: which of its words become one.

use crate::for_tests::{self, BASE, BLOCK, GIANT, HOST, Table, page, part};
use crate::*;

/// Two GiB of the host's, of which these pages have words of their own.
fn table(in_parts: &[u64]) -> Table {
    let table = for_tests::table(2 * GIANT);
    for &index in in_parts {
        part(&table, index);
    }
    table
}

/// Claims `pages` pages from `first` on, and folds them; the table says the same of whose they are.
fn fold(table: &Table, first: u64, pages: u64) {
    let (mut run, refused) = table.claim_run(page(first), pages as usize, Op::VmMap, 0, HOST);
    assert_eq!((run.len() as u64, refused), (pages, None));
    run.fold();
    let census = table.count(BASE, table.len()).unwrap();
    assert_eq!(census.claimed as u64, pages);
    drop(run);
    let census = table.count(BASE, table.len()).unwrap();
    assert_eq!(census.host, table.len());
}

fn size(table: &Table, index: u64) -> GranuleSize {
    table.size_around(page(index))
}

#[test]
fn a_block_behind_one_that_is_whole_becomes_whole() {
    let table = table(&[BLOCK, 3 * BLOCK]);
    fold(&table, 0, 3 * BLOCK);
    assert_eq!(size(&table, BLOCK), GranuleSize::Block2M);
    // It was no part of the claim.
    assert_eq!(size(&table, 3 * BLOCK), GranuleSize::Page);
}

#[test]
fn what_is_claimed_in_part_stays_in_parts() {
    let table = table(&[BLOCK, 2 * BLOCK]);
    // All of the first block but its first page, and of the second all but its last.
    fold(&table, BLOCK + 1, 2 * BLOCK - 2);
    assert_eq!(size(&table, BLOCK), GranuleSize::Page);
    assert_eq!(size(&table, 2 * BLOCK), GranuleSize::Page);
}

#[test]
fn each_gib_of_a_claim_becomes_one_word() {
    let table = table(&[5, GIANT, 2 * GIANT - 1]);
    fold(&table, 0, 2 * GIANT);
    for index in [0, GIANT - 1, GIANT, 2 * GIANT - 1] {
        assert_eq!(size(&table, index), GranuleSize::Block1G);
    }
}

#[test]
fn the_second_gib_becomes_one_word_though_the_first_is_claimed_in_part() {
    let table = table(&[GIANT + BLOCK]);
    fold(&table, BLOCK, 2 * GIANT - BLOCK);
    assert_eq!(size(&table, 0), GranuleSize::Block2M);
    assert_eq!(size(&table, GIANT), GranuleSize::Block1G);
}

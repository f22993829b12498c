//! Looks without a claim: in one state or not, in parts or not, by one word and by many.

extern crate std;

use crate::*;
use std::boxed::Box;
use sync::AtomicU64;

type Table = PageTable<Box<[AtomicU64]>>;

const BASE: Pfn = Pfn::from_raw(0x40000);
const BLOCK: u64 = GranuleSize::Block2M.pages();
const GIANT: u64 = GranuleSize::Block1G.pages();
const A: VmSlot = VmSlot::new(0).unwrap();
const HOST: State = State::Owned(Owner::Host);
const OF_A: State = State::Owned(Owner::Vm(A));

/// A GiB of the host's, by one word.
fn table() -> Table {
    let pages = GIANT as usize;
    let words = (0..Table::words_for(BASE, pages)).map(|_| AtomicU64::new(0));
    let mut table = PageTable::new(BASE, pages, words.collect());
    table.boot_set(BASE, pages, HOST).unwrap();
    table
}

fn page(index: u64) -> Pfn {
    BASE.checked_add(index).unwrap()
}

fn granule(size: GranuleSize, index: u64) -> Granule {
    Granule::new(size, page(index)).unwrap()
}

/// Has the page a word of its own from now on.
fn part(table: &Table, index: u64) {
    drop(
        table
            .claim_page(page(index), Op::Lend, 0, |_| true)
            .unwrap(),
    );
}

#[test]
fn what_has_one_word_is_in_one_state_with_all_its_parts() {
    let table = table();
    for granule in [
        granule(GranuleSize::Block1G, 0),
        granule(GranuleSize::Block2M, 3 * BLOCK),
        page(77).into(),
    ] {
        assert_eq!(table.uniformity(granule, HOST), Uniform::All);
        assert_eq!(table.uniformity(granule, OF_A), Uniform::No);
        assert_eq!(table.first_in_parts(granule), None);
        assert_eq!(table.size_around(granule.base()), GranuleSize::Block1G);
    }
    let beyond = granule(GranuleSize::Block2M, GIANT);
    assert_eq!(table.uniformity(beyond, HOST), Uniform::No);
    assert_eq!(table.first_in_parts(beyond), None);
}

#[test]
fn parts_are_in_one_state_if_each_of_them_is() {
    let table = table();
    part(&table, 5 * BLOCK + 9);
    let block = granule(GranuleSize::Block2M, 5 * BLOCK);
    assert_eq!(table.uniformity(block, HOST), Uniform::All);
    assert_eq!(table.uniformity(block, OF_A), Uniform::No);
    let last = page(6 * BLOCK - 1);
    let held = table.claim_page(last, Op::VmMap, 0, |_| true).unwrap();
    assert_eq!(table.uniformity(block, HOST), Uniform::Changing);
    assert_eq!(table.uniformity(last.into(), HOST), Uniform::Changing);
    // SAFETY: no hardware here: nothing is reachable through anything.
    let flushed = unsafe { Flushed::mint(Coverage::Vmid(HOST_VMID)) };
    held.donate_to_vm(A, &flushed).unwrap();
    assert_eq!(table.uniformity(block, HOST), Uniform::No);
    assert_eq!(table.uniformity(last.into(), OF_A), Uniform::All);
    // Of another block nobody took anything.
    let next = granule(GranuleSize::Block2M, 6 * BLOCK);
    assert_eq!(table.uniformity(next, HOST), Uniform::All);
    let held = table.claim(next, Op::VmMap, 0, |_| true).unwrap();
    assert_eq!(table.uniformity(next, HOST), Uniform::Changing);
    drop(held);
}

#[test]
fn the_first_part_that_is_in_parts_is_found() {
    let table = table();
    let giant = granule(GranuleSize::Block1G, 0);
    part(&table, 7 * BLOCK);
    let seventh = granule(GranuleSize::Block2M, 7 * BLOCK);
    assert_eq!(table.first_in_parts(giant), Some(seventh));
    // Pages have no parts.
    assert_eq!(table.first_in_parts(seventh), None);
    part(&table, 2 * BLOCK + 1);
    let second = granule(GranuleSize::Block2M, 2 * BLOCK);
    assert_eq!(table.first_in_parts(giant), Some(second));
    // All of it is the host's, but not by words of blocks.
    assert_eq!(table.uniformity(giant, HOST), Uniform::No);
    assert_eq!(table.size_around(page(2 * BLOCK)), GranuleSize::Page);
    assert_eq!(table.size_around(page(3 * BLOCK)), GranuleSize::Block2M);
}

#[test]
fn behind_a_part_are_the_others_of_its_whole() {
    let table = table();
    part(&table, BLOCK);
    let behind = |granule| table.tree().behind(granule).len() as u64;
    assert_eq!(behind(page(BLOCK).into()), BLOCK - 1);
    assert_eq!(behind(page(2 * BLOCK - 1).into()), 0);
    assert_eq!(behind(granule(GranuleSize::Block2M, 0)), GIANT / BLOCK - 1);
    let second = granule(GranuleSize::Block2M, BLOCK);
    assert_eq!(behind(second), GIANT / BLOCK - 2);
    assert_eq!(behind(granule(GranuleSize::Block2M, GIANT - BLOCK)), 0);
    assert_eq!(behind(granule(GranuleSize::Block1G, 0)), 0);
}

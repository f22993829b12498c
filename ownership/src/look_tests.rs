//! Looks without a claim: in one state or not, in parts or not, by one word and by many.

use crate::for_tests::{A, BLOCK, GIANT, HOST, OF_A, granule, page, part, table};
use crate::*;

#[test]
fn what_has_one_word_is_in_one_state_with_all_its_parts() {
    let table = table(GIANT);
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
    let table = table(GIANT);
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
    let table = table(GIANT);
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
    let table = table(GIANT);
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

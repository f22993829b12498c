//! A granule of a dying VM, zeroed slice by slice: what its word says in between, who may have it
//! then, and what becomes of it when a page can't be zeroed.

use crate::for_tests::{A, B, BASE, BLOCK, HOST, OF_A, Table, page, table};
use crate::*;

/// Memory of so many pages, all of VM A.
fn of_a(pages: u64) -> Table {
    let table = table(pages);
    give_to_a(&table, 0, pages);
    table
}

fn give_to_a(table: &Table, first: u64, pages: u64) {
    let (claim, refused) = table.claim_run(page(first), pages as usize, Op::VmMap, 0, HOST);
    assert_eq!(refused, None);
    claim.donate_to_vm(A, &flushed(HOST_VMID)).unwrap();
}

fn block(index: u64) -> Granule {
    Granule::new(GranuleSize::Block2M, page(index * BLOCK)).unwrap()
}

fn flushed(vmid: u16) -> Flushed {
    // SAFETY: no hardware here: nothing is reachable through anything.
    unsafe { Flushed::mint(Coverage::Vmid(vmid)) }
}

fn zeroes(vm: VmSlot, first: u64, pages: u64) -> Scrubbed {
    let flushed = flushed(vm.vmid());
    let proofs = (first..first + pages).map(|index| {
        // SAFETY: no hardware here: pages have no content.
        unsafe { Scrubbed::mint(page(index), &flushed) }
    });
    proofs
        .reduce(|all, next| all.join(next).expect("adjacent"))
        .expect("at least one page")
}

fn claim(table: &Table, granule: Granule) -> RunClaim<'_> {
    table.claim(granule, Op::Reclaim, 3, |_| true).unwrap()
}

fn half(done: u16) -> State {
    State::Scrubbing { vm: A, done }
}

#[test]
fn a_granule_comes_home_in_slices() {
    let table = of_a(2 * BLOCK);
    for (done, next) in [(0, 1), (1, 8), (8, 511)] {
        let held = claim(&table, block(1));
        assert_eq!(held.zeroed(), Some(done));
        held.scrub_on(zeroes(A, BLOCK + done, next - done)).unwrap();
        assert_eq!(
            table.granule(page(BLOCK)),
            Some((block(1), half(next as u16)))
        );
        assert_eq!(table.count(BASE, table.len()).unwrap().vm as u64, 2 * BLOCK);
    }
    let done = claim(&table, block(1)).scrub_on(zeroes(A, BLOCK + 511, 1));
    done.unwrap();
    assert_eq!(table.granule(page(BLOCK)), Some((block(1), HOST)));
    assert_eq!(table.granule(page(0)).unwrap().1, OF_A);
}

#[test]
fn a_proof_that_does_not_follow_the_zeroes_is_refused() {
    let table = of_a(BLOCK);
    claim(&table, block(0)).scrub_on(zeroes(A, 0, 8)).unwrap();
    for wrong in [
        zeroes(A, 0, 16),
        zeroes(A, 7, 2),
        zeroes(A, 9, 1),
        zeroes(A, 9, 503),
        zeroes(B, 8, 1),
        zeroes(A, 8, 505),
    ] {
        let held = claim(&table, block(0)).scrub_on(wrong).unwrap_err();
        assert_eq!(held.zeroed(), Some(8));
        drop(held);
        assert_eq!(table.state(BASE), Some(half(8)));
    }
    // The other commit that takes a proof is not for it.
    let held = claim(&table, block(0));
    drop(held.return_to_host(zeroes(A, 0, BLOCK)).unwrap_err());
    assert_eq!(table.state(BASE), Some(half(8)));
}

#[test]
fn nobody_but_a_reclaimer_of_the_whole_gets_a_granule_that_is_zeroed_in_part() {
    let table = of_a(2 * BLOCK);
    for index in 0..2 {
        claim(&table, block(index))
            .scrub_on(zeroes(A, index * BLOCK, 8))
            .unwrap();
    }
    let was = Some(Refused::Was(half(8).into()));
    for op in Op::ALL {
        let part = table.claim(page(3).into(), op, 0, |_| true).err();
        assert_eq!(part, was, "{op:?}");
        let whole = table.claim(block(0), op, 0, |_| true).err();
        assert_eq!(whole, was.filter(|_| op != Op::Reclaim), "{op:?}");
        for (first, pages) in [(0, 1), (8, 1), (0, 511), (1, 511), (0, 2 * BLOCK)] {
            let (got, refused) = table.claim_run(page(first), pages as usize, op, 0, half(8));
            assert_eq!((got.len(), refused), (0, was), "{op:?}");
        }
    }
    let mut held = claim(&table, block(0));
    assert!(held.split_off(8).is_none());
    held.fold();
    drop(held);
    assert_eq!(table.granule(BASE), Some((block(0), half(8))));
}

#[test]
fn a_claim_that_is_no_whole_granule_of_a_vm_s_is_not_zeroed_in_slices() {
    let table = of_a(2 * BLOCK);
    let one = table
        .claim(page(0).into(), Op::Reclaim, 0, |_| true)
        .unwrap();
    assert_eq!(one.zeroed(), None);
    drop(one.scrub_on(zeroes(A, 0, 1)).unwrap_err());
    // A poisoned page keeps a granule from being one word: its claim is one of pages.
    let lost = claim(&table, page(0).into());
    lost.poison(&[&flushed(A.vmid())]).unwrap();
    let refused = table.claim(block(0), Op::Reclaim, 0, |_| true).err();
    assert_eq!(refused, Some(Refused::Was(State::Poisoned.into())));
    let long = table.claim_run(page(BLOCK), 511, Op::Reclaim, 0, OF_A).0;
    assert_eq!(long.zeroed(), None);
}

#[test]
fn a_granule_in_parts_becomes_one_word_and_comes_home_in_slices() {
    let table = of_a(BLOCK);
    // Cut it up: a page that goes and comes back.
    let one = table
        .claim(page(77).into(), Op::Share, 0, |_| true)
        .unwrap();
    drop(one);
    assert_eq!(table.granule(BASE).unwrap().0.size(), GranuleSize::Page);
    claim(&table, block(0)).scrub_on(zeroes(A, 0, 100)).unwrap();
    assert_eq!(table.granule(page(300)), Some((block(0), half(100))));
}

#[test]
fn a_page_that_cannot_be_zeroed_is_lost_alone() {
    for (before, clean) in [(0, 0), (0, 5), (8, 0), (8, 5), (8, 503), (500, 11)] {
        let table = of_a(2 * BLOCK);
        if before > 0 {
            claim(&table, block(0))
                .scrub_on(zeroes(A, 0, before))
                .unwrap();
        }
        let lost = before + clean;
        let proof = (clean > 0).then(|| zeroes(A, before, clean));
        let held = claim(&table, block(0));
        held.lose_page(proof, &flushed(A.vmid())).unwrap();
        for index in 0..2 * BLOCK {
            let expected = match index {
                _ if index < lost => HOST,
                _ if index == lost => State::Poisoned,
                _ => OF_A,
            };
            assert_eq!(
                table.state(page(index)),
                Some(expected),
                "{before} {clean} {index}"
            );
        }
        // The rest comes home page by page.
        for index in lost + 1..BLOCK {
            let one = claim(&table, page(index).into());
            one.return_to_host(zeroes(A, index, 1)).unwrap();
        }
        let census = table.count(BASE, table.len()).unwrap();
        assert_eq!((census.poisoned, census.vm as u64), (1, BLOCK));
    }
}

#[test]
fn a_page_is_not_lost_without_the_flush_and_the_proof() {
    let table = of_a(BLOCK);
    claim(&table, block(0)).scrub_on(zeroes(A, 0, 8)).unwrap();
    for (proof, flush) in [
        (None, flushed(HOST_VMID)),
        (Some(zeroes(A, 0, 8)), flushed(A.vmid())),
        (Some(zeroes(B, 8, 1)), flushed(A.vmid())),
        (Some(zeroes(A, 8, 504)), flushed(A.vmid())),
    ] {
        drop(
            claim(&table, block(0))
                .lose_page(proof, &flush)
                .unwrap_err(),
        );
        assert_eq!(table.granule(BASE), Some((block(0), half(8))));
    }
}

#[test]
fn whoever_zeroes_a_page_may_find_it_broken() {
    let table = of_a(4);
    let flush = flushed(A.vmid());
    let held = claim(&table, page(0).into());
    drop(held.poison(&[&flushed(B.vmid())]).unwrap_err());
    claim(&table, page(0).into()).poison(&[&flush]).unwrap();
    let held = table.claim(page(1).into(), Op::Relinquish, 0, |_| true);
    held.unwrap().poison(&[&flush]).unwrap();
    let held = table.claim(page(2).into(), Op::Share, 0, |_| true).unwrap();
    drop(held.poison(&[&flush]).unwrap_err());
    assert_eq!(table.count(BASE, 4).unwrap().poisoned, 2);
}

//! Claims on one thread: what they let through, what they refuse, and that a refusal changes
//! nothing. Numbers in comments are those of docs/scenarios.md.

use crate::for_tests::{A, B, BASE, HOST, Table, fresh, page, table};
use crate::*;

fn flushed(coverage: Coverage) -> Flushed {
    // SAFETY: no hardware here: nothing is reachable through anything.
    unsafe { Flushed::mint(coverage) }
}

fn of_host() -> Flushed {
    flushed(Coverage::Vmid(HOST_VMID))
}

fn of(vm: VmSlot) -> Flushed {
    flushed(Coverage::Vmid(vm.vmid()))
}

fn scrubbed(page: Pfn, flushed: &Flushed) -> Scrubbed {
    // SAFETY: no hardware here: the page has no content.
    unsafe { Scrubbed::mint(page, flushed) }
}

fn claim(table: &Table, index: u64, op: Op) -> PageClaim<'_> {
    table.claim_page(page(index), op, 3, |_| true).unwrap()
}

fn donate(table: &Table, index: u64, vm: VmSlot) {
    claim(table, index, Op::VmMap)
        .donate_to_vm(vm, &of_host())
        .unwrap();
}

#[test]
fn a_page_goes_to_a_vm_and_comes_back() {
    let table = table(2);
    donate(&table, 1, A);
    assert_eq!(table.state(page(1)), Some(State::Owned(Owner::Vm(A))));
    assert_eq!(table.state(page(0)), Some(HOST));
    let flushed = of(A);
    let claim = claim(&table, 1, Op::Reclaim);
    claim.return_to_host(scrubbed(page(1), &flushed)).unwrap();
    assert_eq!(table.state(page(1)), Some(HOST));
}

#[test]
fn a_page_goes_to_the_engine_and_comes_back() {
    let table = table(1);
    claim(&table, 0, Op::EngineDonate)
        .donate_to_engine(&of_host())
        .unwrap();
    assert_eq!(table.state(BASE), Some(State::Owned(Owner::Engine)));
    let el2 = flushed(Coverage::El2);
    let claim = claim(&table, 0, Op::EngineReclaim);
    claim.engine_to_host(&el2, scrubbed(BASE, &el2)).unwrap();
    assert_eq!(table.state(BASE), Some(HOST));
}

#[test]
fn the_engine_s_page_needs_a_flush_of_the_engine_and_a_scrub_after_it() {
    let table = table(2);
    for index in 0..2 {
        let claimed = claim(&table, index, Op::EngineDonate);
        claimed.donate_to_engine(&of_host()).unwrap();
    }
    let el2 = flushed(Coverage::El2);
    let attempt = |flush: &Flushed, scrub| {
        let claimed = claim(&table, 0, Op::EngineReclaim);
        claimed.engine_to_host(flush, scrub).is_ok()
    };
    assert!(!attempt(&of_host(), scrubbed(BASE, &el2)));
    assert!(!attempt(&el2, scrubbed(BASE, &of_host())));
    assert!(!attempt(&el2, scrubbed(page(1), &el2)));
    assert_eq!(table.state(BASE), Some(State::Owned(Owner::Engine)));
    assert!(attempt(&el2, scrubbed(BASE, &el2)));
}

#[test]
fn lending_counts_leaves() {
    // 21: a partial unmap does not drop the count, and it can't underflow.
    let table = table(1);
    for count in 1..=3 {
        claim(&table, 0, Op::Lend).lend_to(A).unwrap();
        let lent = State::Shared {
            owner: Owner::Host,
            borrower: Owner::Vm(A),
            count,
        };
        assert_eq!(table.state(BASE), Some(lent));
    }
    assert!(claim(&table, 0, Op::Lend).lend_to(B).is_err());
    claim(&table, 0, Op::Unlend).unlend(&of(A)).unwrap();
    claim(&table, 0, Op::Reclaim).return_lent(&of(A)).unwrap();
    claim(&table, 0, Op::Unlend).unlend(&of(A)).unwrap();
    assert_eq!(table.state(BASE), Some(HOST));
    assert_eq!(
        table.claim(BASE.into(), Op::Unlend, 0, |_| true).err(),
        Some(Refused::Was(HOST.into()))
    );
}

#[test]
fn sharing_and_unsharing() {
    let table = table(1);
    donate(&table, 0, A);
    claim(&table, 0, Op::Share).share_with_host().unwrap();
    let shared = State::Shared {
        owner: Owner::Vm(A),
        borrower: Owner::Host,
        count: 1,
    };
    assert_eq!(table.state(BASE), Some(shared));
    // A page that is shared can't be given back before it is unshared.
    let refused = table.claim(BASE.into(), Op::Relinquish, 0, |_| true).err();
    assert_eq!(refused, Some(Refused::Was(shared.into())));
    claim(&table, 0, Op::Unshare).unshare(&of_host()).unwrap();
    assert_eq!(table.state(BASE), Some(State::Owned(Owner::Vm(A))));
}

#[test]
fn dropping_a_claim_restores_the_page() {
    // 9, 28: no error path keeps a claim.
    let table = table(1);
    let held = claim(&table, 0, Op::VmMap);
    assert_eq!(
        table.claim(BASE.into(), Op::VmMap, 1, |_| true).err(),
        Some(Refused::Busy)
    );
    drop(held);
    assert_eq!(table.state(BASE), Some(HOST));
    claim(&table, 0, Op::ReadList).release();
    assert_eq!(table.state(BASE), Some(HOST));
}

#[test]
fn who_does_not_accept_the_state_gets_no_claim() {
    let table = table(1);
    let refused = table.claim(BASE.into(), Op::VmMap, 0, |_| false).err();
    assert_eq!(refused, Some(Refused::Was(HOST.into())));
    assert_eq!(table.state(BASE), Some(HOST));
}

#[test]
fn a_page_is_claimed_only_in_the_state_that_is_expected() {
    let table = table(2);
    donate(&table, 0, A);
    let of_a = State::Owned(Owner::Vm(A));
    let refusal = |index, op, expect| table.claim_page_in(page(index), op, 3, expect).err();
    assert_eq!(refusal(0, Op::VmMap, HOST), Some(Refused::Was(of_a.into())));
    let of_b = State::Owned(Owner::Vm(B));
    assert_eq!(refusal(0, Op::Share, of_b), Some(Refused::Was(of_a.into())));
    // What the operation can't claim at all is no better for being expected.
    assert_eq!(refusal(0, Op::VmMap, of_a), Some(Refused::Was(of_a.into())));
    assert_eq!(refusal(2, Op::VmMap, HOST), Some(Refused::OutOfRange));
    let held = table.claim_page_in(page(1), Op::VmMap, 3, HOST).unwrap();
    assert_eq!((held.pfn(), held.len(), held.cpu()), (page(1), 1, 3));
    assert_eq!(refusal(1, Op::VmMap, HOST), Some(Refused::Busy));
    held.donate_to_vm(B, &of_host()).unwrap();
    assert_eq!(table.state(page(1)), Some(of_b));
}

#[test]
fn a_page_beside_a_claimed_one_is_found_in_the_same_2_mib_alone() {
    let table = table(1024);
    donate(&table, 2, A);
    let held = claim(&table, 0, Op::VmMap);
    let beside = |index| table.claim_page_beside(&held, page(index), Op::VmMap, 3, HOST);
    let next = beside(511).unwrap().unwrap();
    assert_eq!(
        (next.pfn(), next.len(), next.cpu(), next.from()),
        (page(511), 1, 3, HOST)
    );
    assert!(next.was(HOST) && !next.was(State::Reserved));
    // Of 2 MiB that have one word the pages have none that says anything.
    assert!(beside(512).is_none() && beside(1023).is_none());
    assert!(beside(1024).is_none());
    let of_a = State::Owned(Owner::Vm(A));
    assert_eq!(beside(2).unwrap().err(), Some(Refused::Was(of_a.into())));
    assert_eq!(beside(511).unwrap().err(), Some(Refused::Busy));
    assert_eq!(beside(0).unwrap().err(), Some(Refused::Busy));
    next.donate_to_vm(B, &of_host()).unwrap();
    drop(held);
    assert_eq!(table.state(page(511)), Some(State::Owned(Owner::Vm(B))));
    assert_eq!(table.state(BASE), Some(HOST));
}

#[test]
fn a_page_beside_a_claimed_one_is_one_of_the_table() {
    // The table ends in the middle of 2 MiB.
    let table = table(5);
    let held = claim(&table, 0, Op::VmMap);
    let beside = |index| table.claim_page_beside(&held, page(index), Op::VmMap, 3, HOST);
    assert!(beside(5).is_none());
    assert!(beside(4).unwrap().is_ok());
}

#[test]
fn a_commit_for_another_operation_is_refused() {
    let table = table(1);
    let claim = claim(&table, 0, Op::ReadList);
    let claim = claim.donate_to_vm(A, &of_host()).unwrap_err();
    let claim = claim.lend_to(A).unwrap_err();
    assert_eq!(claim.from(), HOST);
    drop(claim);
    assert_eq!(table.state(BASE), Some(HOST));
}

#[test]
fn a_flush_of_someone_else_does_not_count() {
    // 2, 14: the wrong VMID was flushed.
    let table = table(3);
    assert!(claim(&table, 0, Op::VmMap).donate_to_vm(A, &of(A)).is_err());
    donate(&table, 0, A);
    let wrong = of(B);
    let claimed = claim(&table, 0, Op::Reclaim);
    assert!(claimed.return_to_host(scrubbed(BASE, &wrong)).is_err());
    claim(&table, 1, Op::Lend).lend_to(A).unwrap();
    assert!(claim(&table, 1, Op::Unlend).unlend(&of_host()).is_err());
    // A lent page is poisoned only when both sides are flushed (6).
    assert!(claim(&table, 1, Op::Poison).poison(&[&of(A)]).is_err());
    claim(&table, 1, Op::Poison)
        .poison(&[&of(A), &of_host()])
        .unwrap();
    assert_eq!(table.state(page(1)), Some(State::Poisoned));
    claim(&table, 2, Op::Poison)
        .poison(&[&flushed(Coverage::All)])
        .unwrap();
}

#[test]
fn a_scrub_of_other_pages_does_not_count() {
    // 13: only some pages of a batch were scrubbed.
    let table = table(4);
    for index in 0..3 {
        donate(&table, index, A);
    }
    let flushed = of(A);
    let from = State::Owned(Owner::Vm(A));
    let proof = |index| scrubbed(page(index), &flushed);
    let run = || table.claim_run(BASE, 3, Op::Reclaim, 0, from).0;
    assert!(run().return_to_host(proof(0)).is_err());
    let two = proof(0).join(proof(1)).unwrap();
    assert!(run().return_to_host(two).is_err());
    assert!(proof(0).join(proof(2)).is_err());
    assert!(proof(0).join(scrubbed(page(1), &of(B))).is_err());
    let all = proof(0)
        .join(proof(1))
        .and_then(|two| two.join(proof(2)))
        .unwrap();
    assert_eq!(run().len(), 3);
    run().return_to_host(all).unwrap();
    assert_eq!(
        table.count(BASE, 4).unwrap(),
        Census {
            host: 4,
            ..Census::default()
        }
    );
}

#[test]
fn a_run_stops_at_the_first_page_it_cannot_have() {
    let table = table(6);
    donate(&table, 4, A);
    let busy = claim(&table, 2, Op::Lend);
    let (run, refused) = table.claim_run(BASE, 6, Op::VmMap, 0, HOST);
    assert_eq!((run.len(), refused), (2, Some(Refused::Busy)));
    assert!(!run.is_empty());
    drop(busy);
    drop(run);
    let (run, refused) = table.claim_run(page(1), 5, Op::VmMap, 0, HOST);
    assert_eq!(run.pfn(), page(1));
    assert_eq!(
        (run.len(), refused),
        (3, Some(Refused::Was(State::Owned(Owner::Vm(A)).into())))
    );
    run.donate_to_vm(B, &of_host()).unwrap();
    let (empty, _) = table.claim_run(page(4), 1, Op::VmMap, 0, HOST);
    assert!(empty.is_empty());
    empty.donate_to_vm(B, &of_host()).unwrap();
    let census = Census {
        host: 2,
        vm: 4,
        ..Census::default()
    };
    assert_eq!(table.count(BASE, 6).unwrap(), census);
}

#[test]
fn a_run_is_split_between_two_ends() {
    let table = table(4);
    let (mut head, _) = table.claim_run(BASE, 4, Op::VmMap, 0, HOST);
    assert!(head.split_off(5).is_none());
    let tail = head.split_off(1).unwrap();
    assert_eq!((head.len(), tail.len(), tail.pfn()), (1, 3, page(1)));
    drop(tail);
    head.donate_to_vm(A, &of_host()).unwrap();
    assert_eq!(table.state(BASE), Some(State::Owned(Owner::Vm(A))));
    assert_eq!(table.count(page(1), 3).unwrap().host, 3);
}

#[test]
fn a_block_is_claimed_whole_or_not_at_all() {
    let table = table(1024);
    let block = Granule::around(GranuleSize::Block2M, page(512));
    donate(&table, 1023, A);
    assert_eq!(
        table.claim(block, Op::VmMap, 0, |_| true).err(),
        Some(Refused::Was(State::Owned(Owner::Vm(A)).into()))
    );
    assert_eq!(table.count(BASE, 1024).unwrap().claimed, 0);
    let first = Granule::around(GranuleSize::Block2M, BASE);
    let claim = table
        .claim(first, Op::VmMap, 0, |state| state == HOST)
        .unwrap();
    assert_eq!(claim.len(), 512);
    claim.donate_to_vm(B, &of_host()).unwrap();
}

#[test]
fn what_lies_outside_is_out_of_range() {
    // 8: ranges that overrun or overflow.
    let table = table(4);
    let out = Some(Refused::OutOfRange);
    assert_eq!(
        table.claim(page(4).into(), Op::VmMap, 0, |_| true).err(),
        out
    );
    let below = Pfn::from_raw(BASE.raw() - 1);
    assert_eq!(table.claim(below.into(), Op::VmMap, 0, |_| true).err(), out);
    assert_eq!(table.claim_run(page(2), 3, Op::VmMap, 0, HOST).1, out);
    assert_eq!(
        table.claim_run(page(2), usize::MAX, Op::VmMap, 0, HOST).1,
        out
    );
    let block = Granule::around(GranuleSize::Block2M, BASE);
    assert_eq!(table.claim(block, Op::VmMap, 0, |_| true).err(), out);
    assert_eq!(table.state(below), None);
    assert!(!table.contains(page(4)) && table.contains(page(3)));
}

#[test]
fn boot_sets_each_page_once() {
    // 30: engine memory overlaps memory given to the host.
    let mut table = fresh(4);
    assert_eq!(
        table.claim(BASE.into(), Op::Boot, 0, |_| true).err(),
        Some(Refused::Was(State::Reserved.into()))
    );
    table
        .boot_set(page(1), 1, State::Owned(Owner::Engine))
        .unwrap();
    let refused = table.boot_set(BASE, 3, HOST).err();
    assert_eq!(
        refused,
        Some(Refused::Was(State::Owned(Owner::Engine).into()))
    );
    let vm = State::Owned(Owner::Vm(A));
    assert_eq!(
        table.boot_set(page(3), 1, vm).err(),
        Some(Refused::Was(State::Reserved.into()))
    );
}

//! Page words under loom: does any interleaving give a page two owners, or lose one?
//!
//! Numbers in comments are those of docs/scenarios.md.

use crate::pages::{A, B, BASE, HOST, Machine, OF_A, flushed, page, scrubbed};
use crate::{Arc, cpu, explore, spawn, token};
use ownership::{HOST_VMID, Op, Owner, PageClaim, Refused, State, VmSlot};
use percpu::{Padded, Pins};
use sync::{AtomicU64, Ordering};

suite! {
    /// Makes the models of [`suites::ownership`](mod@crate::suites::ownership) tests of the crate that calls it.
    ownership_suite: ownership {
        one_page_gets_one_owner,
        a_commit_publishes_what_was_done_to_the_page,
        a_roll_back_leaves_the_page_to_the_next,
        no_page_joins_a_vm_after_destroy_found_it_alone,
        share_and_reclaim_leave_one_of_two_states,
        every_lend_is_counted,
        of_overlapping_runs_one_progresses,
        of_opposite_lists_one_progresses,
        #[should_panic(expected = "both gave up")]
        of_opposite_lists_none_progresses_if_all_or_nothing,
        of_three_claims_one_succeeds,
    }
}

/// Two cores give one page to two VMs.
pub fn one_page_gets_one_owner() {
    explore(2, || {
        let machine = Machine::new(1);
        let other = machine.clone();
        let second = spawn(move || other.donate(0, B, 1).is_ok());
        let first = machine.donate(0, A, 0).is_ok();
        let second = second.join().unwrap();
        assert!(first != second, "one of the two gets it, and one alone");
        let winner = if first { A } else { B };
        assert_eq!(machine.state(0), State::Owned(Owner::Vm(winner)));
    });
}

/// A core prepares a page and commits it; another claims it from its new owner and looks.
pub fn a_commit_publishes_what_was_done_to_the_page() {
    explore(2, || {
        let machine = Machine::new(1);
        let other = machine.clone();
        let donor = spawn(move || {
            let claim = other
                .claim(0, Op::VmMap, 1)
                .expect("nobody else wants a host page");
            other.write(0, 7);
            claim
                .donate_to_vm(A, &flushed(HOST_VMID))
                .expect("a host page");
        });
        if let Ok(claim) = machine.claim(0, Op::Reclaim, 0) {
            assert_eq!(machine.read(0), 7);
            machine.write(0, 0);
            claim
                .return_to_host(scrubbed(page(0), A))
                .expect("a VM's page");
        }
        donor.join().unwrap();
    });
}

/// A core claims a page, works on it and gives up, while another wants it (9, 28).
pub fn a_roll_back_leaves_the_page_to_the_next() {
    explore(2, || {
        let machine = Machine::new(1);
        let other = machine.clone();
        let failing = spawn(move || {
            if let Ok(claim) = other.claim(0, Op::VmMap, 1) {
                other.write(0, 1);
                drop(claim);
            }
        });
        let first = machine.claim(0, Op::ReadList, 0).map(|claim| {
            machine.read(0);
            claim.release()
        });
        assert!(matches!(first, Ok(_) | Err(Refused::Busy)));
        failing.join().unwrap();
        assert_eq!(machine.state(0), HOST);
        machine.donate(0, A, 0).expect("nobody holds it any more");
    });
}

/// VM_MAP races with VM_DESTROY: once the destroyer finds nobody pinned, no page joins the VM
/// that it would miss (18, 22).
pub fn no_page_joins_a_vm_after_destroy_found_it_alone() {
    const RUNNING: u64 = 0;
    const DYING: u64 = 1;
    const KEY: u64 = 1;
    explore(2, || {
        let machine = Machine::new(1);
        let phase = Arc::new(AtomicU64::new(RUNNING));
        let slots: Vec<_> = (0..2).map(|_| Padded::new(AtomicU64::new(0))).collect();
        let pins = Arc::new(Pins::new(slots));
        let mapper = spawn({
            let (machine, phase, pins) = (machine.clone(), phase.clone(), pins.clone());
            move || {
                let token = token(1);
                let _pin = pins.pin(&token, KEY).expect("the first of this CPU");
                // Relaxed: the pin's fence orders it.
                if phase.load(Ordering::Relaxed) == RUNNING {
                    machine.donate(0, A, 1).expect("nobody else wants it");
                }
            }
        });
        // Relaxed: the fence in `holders_but` orders it.
        phase.store(DYING, Ordering::Relaxed);
        let alone = pins.holders_but(cpu(0), KEY).0 == 0;
        let found = machine.state(0);
        mapper.join().unwrap();
        if alone {
            assert_eq!(machine.state(0), found, "a page came after the walk");
        }
    });
}

/// A guest shares a page while the VM's pages are taken home: the page comes home or is found
/// shared, never shared after it came home (6).
pub fn share_and_reclaim_leave_one_of_two_states() {
    explore(2, || {
        let machine = Machine::new(1);
        machine.donate(0, A, 0).expect("alone");
        let other = machine.clone();
        let guest = spawn(move || {
            let claim = other.claim(0, Op::Share, 1)?;
            claim.share_with_host().expect("the guest's own page");
            Ok::<(), Refused>(())
        });
        let home = machine.claim(0, Op::Reclaim, 0).map(|claim| {
            claim
                .return_to_host(scrubbed(page(0), A))
                .expect("a VM's page");
        });
        let shared = guest.join().unwrap();
        match (home, shared) {
            (Ok(()), _) => assert_eq!(machine.state(0), HOST),
            (Err(Refused::Busy), Ok(())) => {
                let owner = Owner::Vm(A);
                let shared = State::Shared {
                    owner,
                    borrower: Owner::Host,
                    count: 1,
                };
                assert_eq!(machine.state(0), shared);
            }
            refused => panic!("nobody got it: {refused:?}"),
        }
    });
}

/// Two cores lend one page to one VM, twice in all: each success counts once (21).
pub fn every_lend_is_counted() {
    explore(2, || {
        let machine = Machine::new(1);
        let lend = |machine: &Machine, cpu| {
            let claim = machine.claim(0, Op::Lend, cpu);
            claim
                .map(|claim| claim.lend_to(A).expect("the host's page"))
                .is_ok()
        };
        let other = machine.clone();
        let second = spawn(move || u16::from(lend(&other, 1)));
        let first = u16::from(lend(&machine, 0));
        let count = first + second.join().unwrap();
        let lent = State::Shared {
            owner: Owner::Host,
            borrower: Owner::Vm(A),
            count,
        };
        assert_eq!(machine.state(0), lent);
    });
}

/// Two batches claim overlapping runs: no page goes to both, and one of them gets something.
pub fn of_overlapping_runs_one_progresses() {
    explore(2, || {
        let machine = Machine::new(3);
        let other = machine.clone();
        let batch = |machine: &Machine, first, vm, cpu| {
            let (run, _) = machine
                .table
                .claim_run(page(first), 2, Op::VmMap, cpu, HOST);
            let pages = run.len();
            run.donate_to_vm(vm, &flushed(HOST_VMID))
                .expect("host pages");
            pages
        };
        let second = spawn(move || batch(&other, 1, B, 1));
        let first = batch(&machine, 0, A, 0);
        let second = second.join().unwrap();
        assert!(first > 0 || second > 0);
        let census = machine.table.count(BASE, 3).expect("in range");
        assert_eq!((census.vm, census.claimed), (first + second, 0));
    });
}

/// What a batch does with the pages it has when it meets one that it can't have.
#[derive(Clone, Copy)]
enum Meeting {
    CommitPrefix,
    RollBackAll,
}

/// Claims the pages in this order, as VM_MAP_LIST does; how many were donated.
fn donate_list(machine: &Machine, list: [u64; 2], vm: VmSlot, cpu: u16, meeting: Meeting) -> usize {
    let mut claims = Vec::new();
    for index in list {
        match machine.claim(index, Op::VmMap, cpu) {
            Ok(claim) => claims.push(claim),
            Err(_) => match meeting {
                Meeting::CommitPrefix => break,
                Meeting::RollBackAll => return 0,
            },
        }
    }
    let flushed = flushed(HOST_VMID);
    let donated = claims.len();
    for claim in claims {
        claim.donate_to_vm(vm, &flushed).expect("a host page");
    }
    donated
}

fn two_lists_in_opposite_order(meeting: Meeting) {
    explore(2, move || {
        let machine = Machine::new(2);
        let other = machine.clone();
        let second = spawn(move || donate_list(&other, [1, 0], B, 1, meeting));
        let first = donate_list(&machine, [0, 1], A, 0, meeting);
        let second = second.join().unwrap();
        assert!(first + second > 0, "both gave up: they may do so for ever");
    });
}

/// Two lists name the same two pages in opposite order.
pub fn of_opposite_lists_one_progresses() {
    two_lists_in_opposite_order(Meeting::CommitPrefix);
}

/// The twin: all or nothing lets both give up.
pub fn of_opposite_lists_none_progresses_if_all_or_nothing() {
    two_lists_in_opposite_order(Meeting::RollBackAll);
}

/// Three cores want one page at once: somebody gets it.
pub fn of_three_claims_one_succeeds() {
    explore(3, || {
        let machine = Machine::new(1);
        let others = [(Op::Lend, 1), (Op::HostFault, 2)].map(|(op, cpu)| {
            let machine = machine.clone();
            spawn(move || machine.claim(0, op, cpu).map(PageClaim::release).is_ok())
        });
        let mut any = machine.donate(0, A, 0).is_ok();
        for other in others {
            any |= other.join().unwrap();
        }
        assert!(any);
        assert!(matches!(machine.state(0), HOST | OF_A));
    });
}

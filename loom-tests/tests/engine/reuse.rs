//! Handles that are stale, or of something that is only coming: a call reaches what its handle names,
//! whole, or nothing.

use crate::{A, HOST};
use abi::{Status, VmHandle};
use loom_tests::explore_engine;
use loom_tests::host::Host;
use loom_tests::world::Size;

/// A page is given to a VM that ends meanwhile, and whose slot becomes another's: the old one has it
/// and takes it along, or nobody; never the next.
#[test]
fn a_stale_vm_against_its_slot_s_next() {
    explore_engine(2, || {
        let (mut host, old) = Host::with_vm(Size::of(1));

        let mapping = host.beside(move |other| other.map(old, 0, 0));
        host.destroy(old).expect("it is there");
        let is_gone = host.reclaim(old, 1) == Ok((0, true));
        let next = is_gone.then(|| host.create_vm().expect("the slot again"));
        let mapped = mapping.join().unwrap();

        assert!(
            matches!(mapped, Ok(()) | Err(Status::BadHandle | Status::BadState)),
            "{mapped:?}"
        );
        if let Some(next) = next {
            assert_eq!(next.slot(), old.slot());
            assert_ne!(next.generation(), old.generation());
            assert!(mapped.is_err(), "by a stale handle");
        } else {
            host.reclaim_rest(old);
        }
        assert_eq!(host.state(0), HOST);
        host.check();
    });
}

/// An interrupt is injected into a vCPU of a VM that ends, while another VM gets the vCPU's slot and
/// starts: the next vCPU has none.
#[test]
fn a_stale_vcpu_against_its_slot_s_next() {
    explore_engine(2, || {
        let size = Size {
            vms: 2,
            ..Size::with_vcpu(1)
        };
        let (mut host, vm, old) = Host::with_guest_on(size, &[], |host, vm| {
            host.map(vm, 0, 0).expect("the host's page");
        });
        let heir = host.create_vm().expect("a slot");
        host.destroy(vm).expect("it is there");
        assert_eq!(host.reclaim(vm, 1), Ok((1, false)));

        let injecting = host.beside(move |other| other.inject(old));
        assert_eq!(host.reclaim(vm, 1), Ok((0, true)));
        let next = host.create_vcpu(heir).expect("the slot again");
        let started = host.start(heir);
        let injected = injecting.join().unwrap();

        assert!(
            matches!(injected, Err(Status::BadHandle | Status::BadState)),
            "{injected:?}"
        );
        assert_eq!(next.slot(), old.slot());
        if started.is_err() {
            assert_eq!(started, Err(Status::Busy), "a call by the old handle looks");
            host.start(heir).expect("nobody is building");
        }
        host.enqueue(next, 0).expect("it is on");
        host.run(0);
        let taken = host.machine().guests().taken();
        assert_eq!(taken, 0, "an interrupt of its predecessor's");
        host.check();
    });
}

/// Two cores create a VM where there is one slot: one of them has it.
#[test]
fn create_against_create_for_one_slot() {
    explore_engine(2, || {
        let mut host = Host::boot(Size::of(1));

        let second = host.beside(|other| other.create_vm());
        let first = host.create_vm();
        let second = second.join().unwrap();

        let refused = match (first, second) {
            (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
            both => panic!("both have it, or none: {both:?}"),
        };
        assert_eq!(refused, Status::Limit);
        host.check();
    });
}

/// A core guesses the handle of a VM that is being created, and gives it a page: there is no such VM
/// yet, or all of it.
#[test]
fn create_against_a_guessed_handle() {
    explore_engine(2, || {
        let mut host = Host::boot(Size::of(1));
        let guess = VmHandle::new(0, 1);

        let mapping = host.beside(move |other| other.map(guess, 0, 0));
        assert_eq!(host.create_vm(), Ok(guess));
        let mapped = mapping.join().unwrap();

        assert!(
            matches!(mapped, Ok(()) | Err(Status::BadHandle)),
            "{mapped:?}"
        );
        assert_eq!(host.state(0), if mapped.is_ok() { A } else { HOST });
        host.check();
    });
}

/// Two cores give a VM a vCPU each, with one affinity or with two: one of each affinity joins, and all
/// that joined are listed.
fn vcpu_against_vcpu(other_affinity: u64) {
    explore_engine(2, move || {
        let (mut host, vm) = Host::with_vm(Size::with_vcpus(1, 2));

        let second = host.beside(move |other| other.create_vcpu_at(vm, other_affinity));
        let first = host.create_vcpu_at(vm, 0);
        let second = second.join().unwrap();

        let joined: Vec<_> = [first, second]
            .iter()
            .filter_map(|vcpu| vcpu.ok())
            .collect();
        for refused in [first.err(), second.err()].into_iter().flatten() {
            let same = refused == Status::OutOfRange && other_affinity == 0;
            assert!(refused == Status::Busy || same, "{refused:?}");
        }
        if other_affinity == 0 {
            assert_eq!(joined.len(), 1, "{first:?} {second:?}");
        }
        let mut listed: Vec<_> = host.engine().vms()[0].vcpus().collect();
        let mut slots: Vec<_> = joined.iter().map(|vcpu| vcpu.slot()).collect();
        listed.sort_unstable();
        slots.sort_unstable();
        assert!(!slots.is_empty(), "each gave way to the other");
        assert_eq!(listed, slots);
        host.check();
    });
}

#[test]
fn two_vcpus_join_at_once() {
    vcpu_against_vcpu(1);
}

#[test]
fn two_vcpus_of_one_affinity() {
    vcpu_against_vcpu(0);
}

//! Flushes and scrubs against what other cores still have: translations, stores, sizes, and stage-1
//! entries.

use crate::{A, HOST, TWO_VMS};
use abi::{ExitReason, Status};
use engine::stage2::descriptor::pages_of;
use loom_tests::explore_engine;
use loom_tests::guest::GuestStep;
use loom_tests::host::{Access, Host};
use loom_tests::world::{Size, World};

/// Pages of a block.
const BLOCK: u64 = pages_of(2);

/// A page is given to a VM, which writes to it, while another core of the host stores and loads by
/// whatever its TLB has: no store lands behind the VM's, and nothing of the VM's is loaded.
#[test]
fn donate_against_a_warm_tlb() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(1));

        let accessing = host.beside(|other| (other.store(0, 7), other.access(0, None)));
        host.map(a, 0, 0).expect("the host's page");
        assert!(host.guest_store(a, 0, 9), "the VM does not find its page");
        let (_, loaded) = accessing.join().unwrap();

        assert_eq!(host.content(0), 9, "a store of the host's came late");
        if let Access::Done(values) = loaded {
            assert!(!values.contains(&9), "the host saw what the VM wrote");
        }
        host.check();
    });
}

/// A VM is destroyed and its page zeroed for the host while its vCPU stores to it: no store lands
/// behind the zeroes.
#[test]
fn reclaim_against_a_guest_that_stores() {
    explore_engine(2, || {
        let steps = [GuestStep::Store(0, 7), GuestStep::Store(0, 8)];
        let (mut host, a, vcpu) = Host::with_guest(1, &steps, |host, a| {
            host.map(a, 0, 0).expect("the host's page");
        });
        host.enqueue(vcpu, 1).expect("it is parked");

        let running = host.beside(|other| other.run(8));
        host.destroy(a).expect("it is there");
        let reclaimed = host.reclaim(a, 1);
        running.join().unwrap();

        assert!(
            matches!(reclaimed, Ok(_) | Err(Status::Busy)),
            "{reclaimed:?}"
        );
        let early = reclaimed.map_or(0, |(pages, _)| pages);
        assert_eq!(early + host.reclaim_rest(a), 1);
        assert_eq!((host.state(0), host.content(0)), (HOST, 0));
        host.check();
    });
}

/// On cores with the erratum a store of whoever had a page may land after its flush: when the engine gets
/// the page, it lands before the zeroes all the same.
#[test]
fn scrub_against_a_late_store() {
    explore_engine(2, || {
        let size = Size {
            repeat_tlbi: true,
            ..Size::of(1)
        };
        let (mut host, a) = Host::with_vm(size);
        host.lend(a, 0, 0).expect("the host's page");
        assert!(host.guest_store(a, 0, 7));
        host.unlend(a, 0).expect("it is lent");

        let loading = host.beside(|other| other.access(0, None));
        host.donate(0).expect("the host's page");
        let loaded = loading.join().unwrap();

        if let Access::Done(values) = loaded {
            assert_eq!(values, [7]);
        }
        assert_eq!(host.content(0), 0, "a store landed behind the zeroes");
        host.check();
    });
}

/// A VM ends, and the next in its slot has its VMID, while a core that ran the old one goes on: what
/// that core has of the old one leads the new one nowhere.
#[test]
fn a_vmid_s_next_vm_against_what_is_left_of_its_last() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(2));
        host.map(a, 0, 0).expect("the host's page");
        let stored = host.beside(move |other| other.guest_store(a, 0, 7));
        assert!(stored.join().unwrap());

        let loading = host.beside(|other| other.access(0, None));
        host.destroy(a).expect("it is there");
        let reclaimed = host.reclaim(a, 1);
        let loaded = loading.join().unwrap();
        let early = reclaimed.map_or(0, |(pages, _)| pages);
        assert_eq!(early + host.reclaim_rest(a), 1);

        let b = host.create_vm().expect("the slot");
        assert_eq!(b.slot(), a.slot());
        host.map(b, 1, 0).expect("the host's page");
        let stored = host.beside(move |other| other.guest_store(b, 0, 9));
        assert!(stored.join().unwrap());
        assert_eq!((host.content(0), host.content(1)), (0, 9));
        if let Access::Done(values) = loaded {
            assert_eq!(values, [0]);
        }
        host.check();
    });
}

/// A block of the host's is split where it is, without an invalid entry in between, while another
/// core stores to a page of it: that goes on as if nothing happened.
#[test]
fn split_in_place_against_a_store_of_the_host() {
    explore_engine(2, || {
        let size = Size {
            resize_in_place: true,
            ..Size::in_blocks(BLOCK + 1)
        };
        let (mut host, a) = Host::with_vm(size);

        let storing = host.beside(|other| other.access(1, Some(7)));
        host.map(a, 0, 0).expect("the host's page");
        let stored = storing.join().unwrap();

        assert_eq!((host.state(0), host.state(1)), (A, HOST));
        assert!(matches!(stored, Access::Done(_)), "{stored:?}");
        assert_eq!(host.access(1, None), Access::Done(vec![7]));
        host.check();
    });
}

/// Two vCPUs of one VM take turns on a core, one of which comes to it meanwhile: neither goes by the
/// other's stage-1 translations.
#[test]
fn two_vcpus_of_a_vm_on_one_core() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::with_vcpus(1, 2));
        let steps = [GuestStep::CpuOn(1, 1)];
        host.machine().guests().set_program(World::ipa(0), &steps);
        let first = host.create_vcpu_at(a, 0).expect("a slot");
        let second = host.create_vcpu_at(a, 1).expect("a slot");
        host.start(a).expect("nobody is building");
        host.enqueue(first, 0).expect("it is parked");
        assert_eq!(host.run(0), ExitReason::VcpuOn);
        host.enqueue(first, 1).expect("it is parked");

        let running = host.beside(|other| [other.run(0), other.run(0)]);
        host.enqueue(second, 1).expect("it is parked");
        running.join().unwrap();

        let runs = host.beside(|other| {
            other.run(0);
            other.run(0);
            other.runs()
        });
        assert!(runs.join().unwrap() >= 4, "each run plays a vCPU");
        host.check();
    });
}

/// A lent page comes back and goes to another VM while the host stores to it: the flushes are for the VM
/// that had it and for the host, and a store lands before the page is given away, or never.
#[test]
fn unlend_and_donate_against_a_store_of_the_host() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(TWO_VMS);
        let b = host.create_vm().expect("another");
        host.lend(a, 0, 0).expect("the host's page");
        assert!(host.guest_store(a, 0, 7));

        let storing = host.beside(|other| other.store(0, 8));
        host.unlend(a, 0).expect("it is lent");
        let mapped = host.map(b, 0, 0);
        let stored = storing.join().unwrap();

        assert!(matches!(mapped, Ok(()) | Err(Status::Busy)), "{mapped:?}");
        assert_eq!(host.content(0), if stored { 8 } else { 7 });
        host.check();
    });
}

//! VMs begin and end on several cores at once.

use crate::TWO_VMS;
use crate::{A, HOST};
use abi::Status;
use loom_tests::explore_engine;
use loom_tests::host::Host;
use loom_tests::world::Size;
use ownership::State;

/// Two cores bring one VM home: each page comes once, scrubbed, and one of them ends it.
#[test]
fn reclaim_against_reclaim() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(2));
        for page in 0..2 {
            host.map(a, page, page).expect("the host's page");
            assert!(host.guest_store(a, page, 7));
        }
        host.destroy(a).expect("it is there");

        let second = host.beside(move |other| other.reclaim(a, 1));
        let first = host.reclaim(a, 1);
        let second = second.join().unwrap();

        let pages = |part: Result<(u64, bool), Status>| part.map_or(0, |(pages, _)| pages);
        let rest = host.reclaim_rest(a);
        assert_eq!(
            pages(first) + pages(second) + rest,
            2,
            "{first:?} {second:?}"
        );
        assert_eq!((host.state(0), host.state(1)), (HOST, HOST));
        assert_eq!((host.content(0), host.content(1)), (0, 0));
        host.check();
    });
}

/// Its end: two cores at the tables of a VM without pages. One of them is told that it is gone.
#[test]
fn the_last_of_a_vm_against_itself() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(1));
        host.map(a, 0, 0).expect("the host's page");
        host.destroy(a).expect("it is there");
        assert_eq!(host.reclaim(a, 1), Ok((1, false)));

        let second = host.beside(move |other| other.reclaim(a, 1));
        let first = host.reclaim(a, 1);
        let second = second.join().unwrap();

        let ends = [first, second]
            .iter()
            .filter(|part| matches!(part, Ok((_, true))))
            .count();
        assert!(ends <= 1, "{first:?} {second:?}");
        // Neither keeps the other from it: whoever is in alone goes on.
        let busy = Err(Status::Busy);
        assert!(first != busy || second != busy, "nobody got on");
        assert_eq!(host.reclaim_rest(a), 0);
        host.check();
    });
}

/// Two cores create VMs: each gets a slot of its own.
#[test]
fn create_against_create() {
    explore_engine(2, || {
        let mut host = Host::boot(TWO_VMS);

        let second = host.beside(move |other| other.create_vm());
        let first = host.create_vm().expect("a slot");
        let second = second.join().unwrap().expect("a slot");

        assert_ne!(first.slot(), second.slot());
        host.check();
    });
}

/// A VM is sealed while another core gives it its first vCPU: none joins after VM_START succeeded.
#[test]
fn start_against_building() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::with_vcpu(1));
        let vcpus = |host: &Host| host.engine().vms()[0].vcpus().count();

        let building = host.beside(move |other| other.create_vcpu(a).map(drop));
        let started = host.start(a).map(|()| vcpus(&host));
        let built = building.join().unwrap();

        assert!(matches!(built, Ok(()) | Err(Status::BadState)), "{built:?}");
        match started {
            Ok(counted) => assert_eq!(vcpus(&host), counted, "a vCPU joined a sealed VM"),
            Err(refused) => assert_eq!(refused, Status::Busy),
        }
        host.check();
    });
}

/// A VM is sealed while another core gives it a page: a VM_MAP that began before has landed when
/// VM_START succeeds, and one that comes in between is refused.
#[test]
fn start_against_map() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(1));

        let mapping = host.beside(move |other| other.map(a, 0, 0));
        let began = matches!(host.state(0), State::Claimed { .. });
        let started = host.start(a);
        if began && started.is_ok() {
            assert_eq!(host.state(0), A, "a page joined a sealed VM");
        }
        let mapped = mapping.join().unwrap();

        assert!(matches!(started, Ok(()) | Err(Status::Busy)), "{started:?}");
        assert!(
            matches!(mapped, Ok(()) | Err(Status::BadState)),
            "{mapped:?}"
        );
        assert_eq!(host.state(0), if mapped.is_ok() { A } else { HOST });
        host.check();
    });
}

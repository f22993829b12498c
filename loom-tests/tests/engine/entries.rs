//! Entries that two cores want at once, and the tables above them.

use crate::{A, HOST};
use abi::Status;
use loom_tests::explore_engine;
use loom_tests::host::{Access, Host};
use loom_tests::world::Size;

/// Two pages for one address of a VM: one gets it, the other stays the host's.
#[test]
fn two_pages_for_one_address() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(3));
        host.map(a, 2, 1)
            .expect("its neighbour, so that tables stand");

        let second = host.beside(move |other| other.map(a, 1, 0));
        let first = host.map(a, 0, 0);
        let second = second.join().unwrap();

        let refused = match (first, second) {
            (Ok(()), Err(refused)) | (Err(refused), Ok(())) => refused,
            both => panic!("both have it, or none: {both:?}"),
        };
        assert!(matches!(refused, Status::Busy | Status::AlreadyMapped));
        for (page, mapped) in [(0, first), (1, second)] {
            assert_eq!(host.state(page), if mapped.is_ok() { A } else { HOST });
        }
        host.check();
    });
}

/// Two cores of the host touch one device for the first time: neither is told that it is none.
#[test]
fn two_cores_at_one_device() {
    explore_engine(2, || {
        let mut host = Host::boot(Size::of(1));

        let second = host.beside(|other| other.access_device());
        let first = host.access_device();
        let second = second.join().unwrap();

        assert!(first != Access::Denied && second != Access::Denied);
        assert_ne!(host.access_device(), Access::Denied);
        assert!(matches!(host.access_device(), Access::Done(_)));
        host.check();
    });
}

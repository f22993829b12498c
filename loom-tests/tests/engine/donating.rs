//! VM_MAP of pages against all that wants the same page or the same tables.

use crate::TWO_VMS;
use crate::{A, HOST};
use abi::Status;
use loom_tests::explore_engine;
use loom_tests::host::{Access, Host};
use loom_tests::world::Size;

/// Two cores give one page to two VMs: one of them gets it, with what is in it.
#[test]
fn donate_against_donate() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(TWO_VMS);
        let b = host.create_vm().expect("another");
        assert!(host.store(0, 7));

        let second = host.beside(move |other| other.map(b, 0, 0));
        let first = host.map(a, 0, 0);
        let second = second.join().unwrap();

        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        assert!(matches!(
            first.and(second),
            Err(Status::Busy | Status::NotOwner)
        ));
        assert_ne!(host.state(0), HOST);
        assert_eq!(host.content(0), 7);
        host.check();
    });
}

/// Two cores give two pages to one VM, whose tables for them do not stand yet: both get in, and the
/// table that was installed too late is free again.
#[test]
fn donate_beside_donate() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(2));

        let second = host.beside(move |other| other.map(a, 1, 1));
        let first = host.map(a, 0, 0);
        let second = second.join().unwrap();

        assert_eq!((first, second), (Ok(()), Ok(())));
        assert_eq!((host.state(0), host.state(1)), (A, A));
        host.check();
    });
}

/// The host stores to a page, through whatever its TLB has, while another core gives the page away:
/// the store lands before VM_MAP returns, or never.
#[test]
fn donate_against_a_store_of_the_host() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(1));

        let storing = host.beside(move |other| other.store(0, 7));
        host.map(a, 0, 0).expect("the host's page");
        let given = host.content(0);
        let landed = storing.join().unwrap();

        assert_eq!(
            host.content(0),
            given,
            "a store of the host landed in the VM's page"
        );
        assert_eq!(given == 7, landed);
        host.check();
    });
}

/// The same where the host has to fault the page in first, as it does with a page that came home.
#[test]
fn donate_against_fault_in() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(1));
        host.map(a, 0, 0).expect("the host's page");
        assert!(host.guest_store(a, 0, 7));
        host.destroy(a).expect("it is there");
        assert_eq!(host.reclaim_rest(a), 1);
        let a = host.create_vm().expect("the same slot");

        let loading = host.beside(move |other| other.access(0, None));
        let mapped = host.map(a, 0, 0);
        let loaded = loading.join().unwrap();

        assert!(matches!(mapped, Ok(()) | Err(Status::Busy)), "{mapped:?}");
        assert_eq!(host.state(0), if mapped.is_ok() { A } else { HOST });
        assert!(
            matches!(&loaded, Access::Denied | Access::Tried) || loaded == Access::Done(vec![0]),
            "the host saw what the VM had written: {loaded:?}"
        );
        host.check();
    });
}

/// A page is given to a VM that is destroyed and brought home meanwhile: it is the VM's and comes
/// home with it, or never left.
#[test]
fn donate_against_destroy() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(1));

        let mapping = host.beside(move |other| other.map(a, 0, 0));
        host.destroy(a).expect("it is there");
        // Busy while the other core is inside; else pages, then tables, then the slot.
        let reclaimed = host.reclaim(a, 1);
        let mapped = mapping.join().unwrap();

        assert!(
            matches!(mapped, Ok(()) | Err(Status::BadState | Status::BadHandle)),
            "{mapped:?}"
        );
        let early = reclaimed.map_or(0, |(pages, _)| pages);
        let home = early + host.reclaim_rest(a);
        assert_eq!(home, u64::from(mapped.is_ok()));
        assert_eq!(host.state(0), HOST);
        host.check();
    });
}

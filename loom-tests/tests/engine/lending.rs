//! VM_LEND and VM_UNLEND: counts and leaves go together, and an address is free again only when no
//! core remembers what was there.

use crate::{HOST, TWO_VMS, lent};
use abi::Status;
use loom_tests::explore_engine;
use loom_tests::host::Host;
use loom_tests::world::Size;

/// Two cores lend one page at two addresses: each loan counts.
#[test]
fn lend_against_lend() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(2));

        let second = host.beside(move |other| other.lend(a, 0, 1));
        let first = host.lend(a, 0, 0);
        let second = second.join().unwrap();

        for lent in [first, second] {
            assert!(matches!(lent, Ok(()) | Err(Status::Busy)), "{lent:?}");
        }
        let loans = u16::from(first.is_ok()) + u16::from(second.is_ok());
        assert_ne!(loans, 0, "each gave way to the other");
        assert_eq!(host.state(0), lent(loans));
        host.check();
    });
}

/// A page is lent once more while its first loan is taken back.
#[test]
fn lend_against_unlend() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(2));
        host.lend(a, 0, 0).expect("the host's page");

        let second = host.beside(move |other| other.lend(a, 0, 1));
        let unlent = host.unlend(a, 0);
        let second = second.join().unwrap();

        for result in [unlent, second] {
            assert!(matches!(result, Ok(()) | Err(Status::Busy)), "{result:?}");
        }
        let loans = 1 - u16::from(unlent.is_ok()) + u16::from(second.is_ok());
        assert_eq!(host.state(0), if loans == 0 { HOST } else { lent(loans) });
        host.check();
    });
}

/// A loan is taken back while the same page is moved to another address: whoever takes back what
/// stands at the old address takes back that and nothing else.
#[test]
fn unlend_against_a_move() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(2));
        host.lend(a, 0, 0).expect("the host's page");

        let moving = host.beside(move |other| {
            other.unlend(a, 0)?;
            other.lend(a, 0, 1)
        });
        let unlent = host.unlend(a, 0);
        let moved = moving.join().unwrap();

        let refused = |result| {
            matches!(
                result,
                Err(Status::Busy | Status::NotMapped | Status::NotShared)
            )
        };
        assert!(unlent.is_ok() || refused(unlent), "{unlent:?}");
        assert!(moved.is_ok() || refused(moved), "{moved:?}");
        host.check();
    });
}

/// An address gets another page while the loan there is taken back: only after the guest's core has
/// forgotten the old one.
#[test]
fn unlend_against_map_there() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(2));
        host.lend(a, 0, 0).expect("the host's page");
        assert!(host.guest_store(a, 0, 7));

        let mapping = host.beside(move |other| other.map(a, 1, 0));
        let unlent = host.unlend(a, 0);
        let mapped = mapping.join().unwrap();

        assert_eq!(unlent, Ok(()));
        assert!(
            matches!(mapped, Ok(()) | Err(Status::Busy | Status::AlreadyMapped)),
            "{mapped:?}"
        );
        assert_eq!(host.state(0), HOST);
        host.check();
    });
}

/// A loan to a VM that nobody has run is taken back, and another core gives the page to the next VM and
/// then is the first to enter the one that had it: that one's walks find the page no more.
#[test]
fn unlend_against_a_first_entry() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(TWO_VMS);
        let b = host.create_vm().expect("another");
        host.lend(a, 0, 0).expect("the host's page");

        let running = host.beside(move |other| {
            let mapped = other.map(b, 0, 0);
            if mapped.is_ok() {
                assert!(other.guest_store(b, 0, 9));
                other.guest_store(a, 0, 7);
            }
            mapped
        });
        let unlent = host.unlend(a, 0);
        let mapped = running.join().unwrap();

        assert_eq!(unlent, Ok(()));
        let refused = matches!(mapped, Err(Status::Busy | Status::NotOwner));
        assert!(mapped.is_ok() || refused, "{mapped:?}");
        assert_eq!(host.content(0), if refused { 0 } else { 9 });
        host.check();
    });
}

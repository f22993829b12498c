//! 2 MiB blocks of the host's: taken whole, split, and used meanwhile.

use crate::{A, HOST};
use abi::{Status, VmHandle};
use engine::stage2::descriptor::pages_of;
use loom_tests::explore_engine;
use loom_tests::host::{Access, Host};
use loom_tests::world::Size;
use ownership::{Owner, State};

/// Pages of a block.
const BLOCK: u64 = pages_of(2);

/// A host with a block, and a VM whose tables stand down to level 2.
fn block() -> (Host, VmHandle) {
    let (mut host, vm) = Host::with_vm(Size::in_blocks(BLOCK + 1));
    host.map(vm, BLOCK, BLOCK)
        .expect("the page after the block");
    (host, vm)
}

/// A block is given to a VM whole while the engine is given its second page: one of them has that
/// page, and the host no leaf for what it lost.
#[test]
fn a_whole_block_against_one_page_of_it() {
    explore_engine(2, || {
        let (mut host, a) = block();

        let donating = host.beside(|other| other.donate(1));
        let mapped = host.map_run(a, 0, 0, BLOCK);
        let donated = donating.join().unwrap();

        for refused in [mapped.err(), donated.err()].into_iter().flatten() {
            assert!(
                matches!(refused, Status::Busy | Status::NotOwner),
                "{refused:?}"
            );
        }
        let of_vm = mapped.unwrap_or(0);
        assert!(matches!(of_vm, 0 | 1 | BLOCK), "{of_vm}");
        let second = match (of_vm, donated.is_ok()) {
            (BLOCK, false) => A,
            (0 | 1, true) => State::Owned(Owner::Engine),
            (0 | 1, false) => HOST,
            both => panic!("both have the page: {both:?}"),
        };
        assert_eq!(host.state(1), second);
        host.check();
    });
}

/// Two pages of one block are donated at once: the block is split once, and no table is lost.
#[test]
fn split_against_split() {
    explore_engine(2, || {
        let (mut host, _) = block();

        let second = host.beside(|other| other.donate(1));
        let first = host.donate(0);
        let second = second.join().unwrap();

        for (page, donated) in [(0, first), (1, second)] {
            assert!(matches!(donated, Ok(()) | Err(Status::Busy)), "{donated:?}");
            let owner = if donated.is_ok() {
                Owner::Engine
            } else {
                Owner::Host
            };
            assert_eq!(host.state(page), State::Owned(owner));
        }
        assert!(
            first.is_ok() || second.is_ok(),
            "each gave way to the other"
        );
        host.check();
    });
}

/// The host stores to a page of a block that is split for another: it may have to try again, and is
/// never refused.
#[test]
fn split_against_a_store_of_the_host() {
    explore_engine(2, || {
        let (mut host, a) = block();

        let storing = host.beside(|other| other.access(1, Some(7)));
        host.map(a, 0, 0).expect("the host's page");
        let stored = storing.join().unwrap();

        assert_ne!(stored, Access::Denied);
        assert!(stored == Access::Tried || host.content(1) == 7);
        assert_eq!(host.access(1, None), Access::Done(vec![host.content(1)]));
        host.check();
    });
}

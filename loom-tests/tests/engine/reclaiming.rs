//! A granule of a dying VM that is zeroed slice by slice: two cores at it, and somebody who wants a part.

use crate::HOST;
use abi::{Status, VmHandle};
use engine::stage2::descriptor::pages_of;
use loom_tests::explore_engine;
use loom_tests::host::Host;
use loom_tests::world::{RAM_BASE, Size};
use ownership::{Granule, GranuleSize, Op, Owner, Pfn, State, VmSlot};

/// Pages of a block: two here.
const BLOCK: u64 = pages_of(2);
/// Pages of a giant: two blocks.
const GIANT: u64 = pages_of(1);
const HALF: State = State::Scrubbing {
    vm: VmSlot::new(0).unwrap(),
    done: 1,
};

/// A dying VM of one block, written to all over, of which a page is zeroed.
fn half_zeroed() -> (Host, VmHandle) {
    let (mut host, vm) = Host::with_vm(Size::in_blocks(BLOCK));
    assert_eq!(host.map_run(vm, 0, 0, BLOCK), Ok(BLOCK));
    for page in 0..BLOCK {
        assert!(host.guest_store(vm, page, 7));
    }
    host.destroy(vm).expect("it is there");
    assert_eq!(host.reclaim(vm, 1), Ok((1, false)));
    assert_eq!((host.state(0), host.state(1)), (HALF, HALF));
    (host, vm)
}

fn pages(part: Result<(u64, bool), Status>) -> u64 {
    part.map_or(0, |(pages, _)| pages)
}

/// Two cores go on with it: one of them zeroes the rest, and nothing is lost or done twice.
#[test]
fn two_cores_at_one_half_zeroed_granule() {
    explore_engine(2, || {
        let (mut host, a) = half_zeroed();

        let second = host.beside(move |other| other.reclaim(a, 1));
        let first = host.reclaim(a, 1);
        let second = second.join().unwrap();

        let rest = host.reclaim_rest(a);
        assert_eq!(pages(first) + pages(second) + rest, BLOCK - 1);
        for page in 0..BLOCK {
            assert_eq!((host.state(page), host.content(page)), (HOST, 0));
        }
        host.check();
    });
}

/// Two cores take a block each out of one giant: one of them unfolds it, and neither block is taken apart
/// for that.
#[test]
fn two_cores_at_one_giant() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::in_blocks(GIANT));
        assert_eq!(host.map_run(a, 0, 0, GIANT), Ok(GIANT));
        host.destroy(a).expect("it is there");

        let second = host.beside(move |other| other.reclaim(a, BLOCK));
        let first = host.reclaim(a, BLOCK);
        let second = second.join().unwrap();

        let rest = host.reclaim_rest(a);
        assert_eq!(pages(first) + pages(second) + rest, GIANT);
        for page in 0..GIANT {
            assert_eq!((host.state(page), host.content(page)), (HOST, 0));
            let words = host.engine().pages();
            let (granule, _) = words.granule(Pfn::from_raw(RAM_BASE + page)).unwrap();
            assert_eq!(granule.size(), GranuleSize::Block2M);
        }
        host.check();
    });
}

/// The engine is offered its second page meanwhile: it gets it after all is home, zero, or not at all.
#[test]
fn a_reclaimer_against_a_claimer_of_a_part() {
    explore_engine(2, || {
        let (mut host, a) = half_zeroed();

        let donating = host.beside(|other| other.donate(1));
        let done = host.reclaim(a, 1);
        let donated = donating.join().unwrap();

        assert_eq!(done, Ok((1, false)));
        let second = match donated {
            Ok(()) => State::Owned(Owner::Engine),
            Err(Status::Busy | Status::NotOwner) => HOST,
            other => panic!("{other:?}"),
        };
        assert_eq!((host.state(0), host.state(1)), (HOST, second));
        assert_eq!(host.reclaim_rest(a), 0);
        host.check();
    });
}

/// The same while it is the VM's still: the offer never finds the page the host's.
#[test]
fn the_first_slice_against_a_claimer_of_a_part() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::in_blocks(BLOCK));
        assert_eq!(host.map_run(a, 0, 0, BLOCK), Ok(BLOCK));
        host.destroy(a).expect("it is there");

        let donating = host.beside(|other| other.donate(1));
        let done = host.reclaim(a, 1);
        let donated = donating.join().unwrap();

        assert!(
            matches!(done, Ok((0 | 1, false)) | Err(Status::Busy)),
            "{done:?}"
        );
        assert!(
            matches!(donated, Err(Status::Busy | Status::NotOwner)),
            "{donated:?}"
        );
        assert_eq!(pages(done) + host.reclaim_rest(a), BLOCK);
        assert_eq!((host.state(0), host.state(1)), (HOST, HOST));
        host.check();
    });
}

/// Two cores go on with it while a third has it for a moment: whoever takes the note where it was left
/// puts it back, and whoever ends the stage meanwhile does not end the VM.
#[test]
fn what_is_put_back_is_not_forgotten() {
    explore_engine(2, || {
        let (mut host, a) = half_zeroed();
        let world = host.world();
        let block = Granule::new(GranuleSize::Block2M, Pfn::from_raw(RAM_BASE)).expect("aligned");
        let claimed = world
            .engine()
            .pages()
            .claim(block, Op::Reclaim, 2, |_| true);
        let third = claimed.expect("nobody has it");
        // No call of the specification's.
        host.machine().history().leave_out();

        let second = host.beside(move |other| other.reclaim(a, 1));
        let first = host.reclaim(a, 1);
        let second = second.join().unwrap();

        for part in [first, second] {
            assert!(
                matches!(part, Ok((0, false)) | Err(Status::Busy)),
                "{part:?}"
            );
        }
        drop(third);
        assert_eq!(host.reclaim_rest(a), BLOCK - 1);
        host.check();
    });
}

//! Areas of the host's that become blocks again, against all that wants a page of them; and batches
//! that overlap. Blocks of both sizes are small here: two pages, and two of these.

use crate::{A, HOST};
use abi::{Status, VmHandle};
use engine::stage2::descriptor::pages_of;
use loom_tests::explore_engine;
use loom_tests::host::{Access, Host};
use loom_tests::world::{Size, World};
use ownership::{Owner, State};

/// Pages of the smaller block.
const BLOCK: u64 = pages_of(2);
/// Pages of the larger.
const GIANT: u64 = pages_of(1);

/// A host whose first page is home again after it was a VM's, and mapped no more; and a VM.
fn one_page_home() -> (Host, VmHandle) {
    one_page_home_on(Size::in_blocks(BLOCK))
}

/// The same on a machine of this size.
fn one_page_home_on(size: Size) -> (Host, VmHandle) {
    let (mut host, vm) = Host::with_vm(size);
    host.map(vm, 0, 0).expect("the host's page");
    host.destroy(vm).expect("nobody is inside");
    assert_eq!(host.reclaim_rest(vm), 1);
    let vm = host.create_vm().expect("the slot again");
    (host, vm)
}

/// Leaves of the host's.
fn leaves(world: &World) -> usize {
    let hardware = world.machine().peek();
    let host = engine::vm::HOST_VMID;
    hardware.tree(host, hardware.host_root()).leaves.len()
}

/// The host touches the page that came home, which makes the area a block, while the other page is
/// given away: the host loses that page, and is never refused its own.
#[test]
fn join_against_donate() {
    explore_engine(2, || {
        let (mut host, vm) = one_page_home();

        let touching = host.beside(|other| other.access(0, Some(7)));
        let given = host.map(vm, 1, 1);
        let touched = touching.join().unwrap();

        assert_ne!(touched, Access::Denied);
        assert!(touched == Access::Tried || host.content(0) == 7);
        assert!(matches!(given, Ok(()) | Err(Status::Busy)), "{given:?}");
        assert_eq!(host.state(1), if given.is_ok() { A } else { HOST });
        host.check();
        if given.is_ok() {
            assert_eq!(host.access(1, None), Access::Denied);
        }
    });
}

/// The same page is given away that the host touches.
#[test]
fn touch_against_donate_of_that_page() {
    explore_engine(2, || {
        let (mut host, vm) = one_page_home();

        let touching = host.beside(|other| other.access(0, Some(7)));
        let given = host.map(vm, 0, 0);
        let touched = touching.join().unwrap();

        if touched == Access::Denied {
            assert_eq!(host.state(0), A);
        }
        assert!(matches!(given, Ok(()) | Err(Status::Busy)), "{given:?}");
        assert_eq!(host.state(0), if given.is_ok() { A } else { HOST });
        host.check();
    });
}

/// A store to the page that was mapped all the time, through whatever the TLB has, while the area
/// becomes a block: it lands, at once or when it is tried again.
#[test]
fn join_against_a_store_beside_it() {
    explore_engine(2, || {
        let (mut host, _) = one_page_home();

        let storing = host.beside(|other| other.access(1, Some(7)));
        let touched = host.access(0, None);
        let stored = storing.join().unwrap();

        assert_ne!(touched, Access::Denied);
        assert_ne!(stored, Access::Denied);
        assert!(stored == Access::Tried || host.content(1) == 7);
        assert_eq!(host.access(0, None), Access::Done(vec![host.content(0)]));
        host.set_doorbell();
        assert_eq!(leaves(&host), 1, "all of it is the host's");
        host.check();
    });
}

/// The same where the area becomes a block without an invalid entry in between: both sizes translate
/// alike, but no walk goes on in the table that stood there.
#[test]
fn join_in_place_against_a_store_beside_it() {
    explore_engine(2, || {
        let size = Size {
            resize_in_place: true,
            ..Size::in_blocks(BLOCK)
        };
        let (mut host, _) = one_page_home_on(size);

        let storing = host.beside(|other| other.access(1, Some(7)));
        let touched = host.access(0, None);
        host.set_doorbell();
        let stored = storing.join().unwrap();

        assert_eq!(touched, Access::Done(vec![0]));
        assert!(matches!(stored, Access::Done(_)), "{stored:?}");
        assert_eq!(host.content(1), 7);
        host.set_doorbell();
        assert_eq!(leaves(&host), 1, "all of it is the host's");
        host.check();
    });
}

/// A host whose two pages are home again after they were a VM's, and mapped no more.
fn both_pages_home() -> Host {
    let (mut host, vm) = Host::with_vm(Size::in_blocks(BLOCK));
    host.map(vm, 0, 0).expect("the host's page");
    host.map(vm, 1, 1).expect("the host's page");
    host.destroy(vm).expect("nobody is inside");
    assert_eq!(host.reclaim_rest(vm), 2);
    host
}

/// Two cores have touched a page each: whichever was the last, the area is a block in the end.
fn assert_joined(mut host: Host) {
    for page in [0, 1] {
        assert_eq!(host.access(page, None), Access::Done(vec![0]));
    }
    // What was changing when its time came is looked at when a core comes back.
    host.set_doorbell();
    host.beside(|other| {
        other.stop_time(false);
        other.set_doorbell();
    })
    .join()
    .unwrap();
    assert_eq!(leaves(&host), 1);
    host.check();
}

/// Both pages are home, and two cores touch one each; one core makes the area a block while the other
/// still maps its page.
#[test]
fn a_join_against_the_last_touch() {
    explore_engine(2, || {
        let mut host = both_pages_home();

        let touching = host.beside(|other| {
            other.stop_time(true);
            other.access(1, None)
        });
        let first = host.access(0, None);
        let second = touching.join().unwrap();

        assert!(first != Access::Denied && second != Access::Denied);
        assert_joined(host);
    });
}

/// One page was touched, the other is now, and both cores find that the area can be a block.
#[test]
fn a_join_against_a_touch_and_its_join() {
    explore_engine(2, || {
        let mut host = both_pages_home();
        host.stop_time(true);
        assert_eq!(host.access(0, None), Access::Done(vec![0]));
        host.stop_time(false);

        let touching = host.beside(|other| other.access(1, None));
        host.set_doorbell();
        let touched = touching.join().unwrap();

        assert_ne!(touched, Access::Denied);
        assert_joined(host);
    });
}

/// A block of blocks: it becomes whole while a page of its other half is given away.
#[test]
fn join_of_a_giant_against_donate() {
    explore_engine(2, || {
        let (mut host, vm) = Host::with_vm(Size::in_blocks(GIANT));
        host.map_run(vm, 0, 0, BLOCK).expect("the host's pages");
        host.destroy(vm).expect("nobody is inside");
        assert_eq!(host.reclaim_rest(vm), BLOCK);
        let vm = host.create_vm().expect("the slot again");

        let touching = host.beside(|other| other.access(0, None));
        let given = host.map(vm, GIANT - 1, 0);
        let touched = touching.join().unwrap();

        assert_ne!(touched, Access::Denied);
        assert!(matches!(given, Ok(()) | Err(Status::Busy)), "{given:?}");
        assert_eq!(host.state(GIANT - 1), if given.is_ok() { A } else { HOST });
        host.check();
    });
}

/// Two runs overlap in a page: it goes to one VM, and at least one of the calls gets on.
#[test]
fn of_overlapping_runs_one_progresses() {
    explore_engine(2, || {
        let size = Size {
            vms: 2,
            ..Size::of(3)
        };
        let (mut host, a) = Host::with_vm(size);
        let b = host.create_vm().expect("another");

        let second = host.beside(move |other| other.map_run(b, 1, 1, 2));
        let first = host.map_run(a, 0, 0, 2);
        let second = second.join().unwrap();

        let done = |outcome: Result<u64, Status>| outcome.unwrap_or(0);
        assert!(done(first) + done(second) > 0, "{first:?} {second:?}");
        for refused in [first.err(), second.err()].into_iter().flatten() {
            assert!(matches!(refused, Status::Busy | Status::NotOwner));
        }
        let given = (0..3).filter(|page| host.state(*page) != HOST).count() as u64;
        assert_eq!(given, done(first) + done(second));
        host.check();
    });
}

/// A giant as one entry of a VM's against one page out of it, which the engine is given.
#[test]
fn a_whole_giant_against_one_page_of_it() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::in_blocks(GIANT));

        let donating = host.beside(|other| other.donate(GIANT - 1));
        let whole = host.map_run(a, 0, 0, GIANT);
        let donated = donating.join().unwrap();

        assert!(whole.is_ok() || donated.is_ok(), "{whole:?} {donated:?}");
        let of_a = whole.unwrap_or(0);
        assert!(of_a + u64::from(donated.is_ok()) <= GIANT);
        for page in 0..of_a {
            assert_eq!(host.state(page), A);
        }
        let last = match (of_a, donated.is_ok()) {
            (_, true) => State::Owned(Owner::Engine),
            (GIANT, false) => A,
            (_, false) => HOST,
        };
        assert_eq!(host.state(GIANT - 1), last);
        host.check();
    });
}

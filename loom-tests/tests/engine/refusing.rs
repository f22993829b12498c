//! I7 beside other calls: a refused call leaves nothing, whatever another core does meanwhile.
//!
//! Each story is told twice in an execution: by one core alone, which does what succeeds, and again with a second
//! core whose call has to be refused. What hosts and VMs can observe at the end is the same, or, where the first
//! core's own call had to give way (BUSY), as it was before.

use abi::{Status, VmHandle};
use loom_tests::explore_engine;
use loom_tests::host::Host;
use loom_tests::witness::Observed;
use loom_tests::world::Size;
use ownership::State;

/// One core's part.
type Part = fn(&mut Host, VmHandle) -> Result<(), Status>;

/// All that is looked at: what VMs find and pages hold, and whose the pages are.
fn look(host: &Host) -> (Observed, Vec<State>) {
    let states = (0..host.size().pages).map(|page| host.state(page));
    let states = states.collect();
    (Observed::now(&host.machine().peek()), states)
}

fn prepared(size: Size, prepare: Part) -> (Host, VmHandle) {
    let (mut host, vm) = Host::with_vm(size);
    prepare(&mut host, vm).expect("nobody else is there");
    (host, vm)
}

/// `refused`, which fails by `status` or gives way, leaves nothing beside `done`.
fn leaves_nothing(size: Size, prepare: Part, done: Part, refused: Part, status: &'static [Status]) {
    explore_engine(2, move || {
        let (mut alone, vm) = prepared(size, prepare);
        let before = look(&alone);
        done(&mut alone, vm).expect("nobody else is there");
        let after = look(&alone);
        drop(alone);

        let (mut host, vm) = prepared(size, prepare);
        let other = host.beside(move |other| refused(other, vm));
        let result = done(&mut host, vm);
        let refusal = other
            .join()
            .unwrap()
            .expect_err("a call that has to be refused");

        assert!(
            refusal == Status::Busy || status.contains(&refusal),
            "{refusal:?}"
        );
        let expected = match result {
            Ok(()) => after,
            Err(Status::Busy) => before,
            Err(other) => panic!("I7: {other:?} beside a refused call"),
        };
        assert!(look(&host) == expected, "I7: a refused call left something");
        host.check();
    });
}

/// A page that is home and in nobody's map is mapped where another is already, while the host stores to it: it
/// stays the host's, and holds what was stored.
#[test]
fn map_where_something_is_against_a_touch() {
    leaves_nothing(
        Size {
            vms: 2,
            ..Size::of(2)
        },
        |host, vm| {
            host.map(vm, 0, 0)?;
            let passing = host.create_vm()?;
            host.map(passing, 1, 1)?;
            host.destroy(passing)?;
            host.reclaim_rest(passing);
            Ok(())
        },
        |host, _| match host.store(1, 9) {
            true => Ok(()),
            false => Err(Status::Busy),
        },
        |host, vm| host.map(vm, 1, 0),
        &[Status::AlreadyMapped],
    );
}

/// A page is mapped where another is already, while it is given to the engine.
#[test]
fn map_where_something_is_against_a_donation() {
    leaves_nothing(
        Size::of(2),
        |host, vm| host.map(vm, 0, 0),
        |host, _| host.donate(1),
        |host, vm| host.map(vm, 1, 0),
        &[Status::AlreadyMapped, Status::NotOwner],
    );
}

/// A page is lent where something is already, while its loan elsewhere is taken back: it has no loan then.
#[test]
fn lend_where_something_is_against_unlend() {
    leaves_nothing(
        Size::of(3),
        |host, vm| {
            host.map(vm, 0, 0)?;
            host.lend(vm, 1, 1)
        },
        |host, vm| host.unlend(vm, 1),
        |host, vm| host.lend(vm, 1, 0),
        &[Status::AlreadyMapped],
    );
}

/// What was never lent is taken back, while another page is mapped beside it.
#[test]
fn unlend_of_what_is_private_against_a_map_beside_it() {
    leaves_nothing(
        Size::of(2),
        |host, vm| host.map(vm, 0, 0),
        |host, vm| host.map(vm, 1, 1),
        |host, vm| host.unlend(vm, 0),
        &[Status::NotShared],
    );
}

//! The engine under loom, entered where a trap enters: each story is two cores' calls, by register
//! values, and what must be true whichever came first.
//!
//! Every story ends with the oracle: words, tables and TLBs agree, and no page is lost.

#![cfg(loom)]

use abi::{Call, Status};
use loom_tests::world::{Size, World};
use loom_tests::{core, explore_engine, oracle, token};
use ownership::{Owner, State, VmSlot};

const HOST: State = State::Owned(Owner::Host);
const A: State = State::Owned(Owner::Vm(VmSlot::new(0).unwrap()));

/// Two cores give one page to two VMs: one of them gets it, with what is in it.
#[test]
fn donate_against_donate() {
    explore_engine(3, || {
        let world = World::new(Size {
            vms: 2,
            pages: 1,
            ..Size::default()
        });
        let mut zero = token(0);
        let a = world.create_vm(&mut zero).expect("a slot");
        let b = world.create_vm(&mut zero).expect("another");
        assert!(world.host_store(&mut zero, 0, 7));

        let other = world.clone();
        let second = core(move || other.map(&mut token(1), b, 0, 0));
        let first = world.map(&mut zero, a, 0, 0);
        let second = second.join().unwrap();

        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        assert!(matches!(
            first.and(second),
            Err(Status::Busy | Status::NotOwner)
        ));
        assert_ne!(world.state(0), HOST);
        assert_eq!(world.content(0), 7);
        oracle::check(&world, &mut zero);
    });
}

/// Two cores give two pages to one VM, whose tables for them do not stand yet: both get in, and the
/// table that was installed too late is free again.
#[test]
fn donate_beside_donate() {
    explore_engine(2, || {
        let world = World::new(Size::default());
        let mut zero = token(0);
        let a = world.create_vm(&mut zero).expect("a slot");

        let other = world.clone();
        let second = core(move || other.map(&mut token(1), a, 1, 1));
        let first = world.map(&mut zero, a, 0, 0);
        let second = second.join().unwrap();

        assert_eq!((first, second), (Ok(()), Ok(())));
        assert_eq!((world.state(0), world.state(1)), (A, A));
        oracle::check(&world, &mut zero);
    });
}

/// The host stores to a page, through whatever its TLB has, while another core gives the page away:
/// the store lands before VM_MAP returns, or never.
#[test]
fn donate_against_a_store_of_the_host() {
    explore_engine(3, || {
        let world = World::new(Size {
            pages: 1,
            ..Size::default()
        });
        let mut zero = token(0);
        let a = world.create_vm(&mut zero).expect("a slot");

        let other = world.clone();
        let storing = core(move || other.host_store(&mut token(1), 0, 7));
        world.map(&mut zero, a, 0, 0).expect("the host's page");
        let given = world.content(0);
        let landed = storing.join().unwrap();

        assert_eq!(
            world.content(0),
            given,
            "a store of the host landed in the VM's page"
        );
        assert_eq!(given == 7, landed);
        oracle::check(&world, &mut zero);
    });
}

/// The same where the host has to fault the page in first, as it does with a page that came home.
#[test]
fn donate_against_fault_in() {
    explore_engine(3, || {
        let world = World::new(Size {
            pages: 1,
            ..Size::default()
        });
        let mut zero = token(0);
        let a = world.create_vm(&mut zero).expect("a slot");
        world.map(&mut zero, a, 0, 0).expect("the host's page");
        assert!(world.guest_store(&mut zero, a, 0, 7));
        world.destroy(&mut zero, a).expect("it is there");
        assert_eq!(world.reclaim_rest(&mut zero, a), 1);
        let a = world.create_vm(&mut zero).expect("the same slot");

        let other = world.clone();
        let loading = core(move || other.host_load(&mut token(1), 0));
        let mapped = world.map(&mut zero, a, 0, 0);
        let loaded = loading.join().unwrap();

        assert!(matches!(mapped, Ok(()) | Err(Status::Busy)), "{mapped:?}");
        assert_eq!(world.state(0), if mapped.is_ok() { A } else { HOST });
        assert!(
            loaded.is_none_or(|seen| seen == [0]),
            "the host saw what the VM had written"
        );
        oracle::check(&world, &mut zero);
    });
}

/// A page is given to a VM that is destroyed and brought home meanwhile: it is the VM's and comes
/// home with it, or never left.
#[test]
fn donate_against_destroy() {
    explore_engine(3, || {
        let world = World::new(Size {
            pages: 1,
            ..Size::default()
        });
        let mut zero = token(0);
        let a = world.create_vm(&mut zero).expect("a slot");

        let other = world.clone();
        let mapping = core(move || other.map(&mut token(1), a, 0, 0));
        world.destroy(&mut zero, a).expect("it is there");
        // Busy while the other core is inside; else pages, then tables, then the slot.
        let reclaimed = world.reclaim(&mut zero, a, 1);
        let mapped = mapping.join().unwrap();

        assert!(
            matches!(mapped, Ok(()) | Err(Status::BadState | Status::BadHandle)),
            "{mapped:?}"
        );
        let early = reclaimed.map_or(0, |(pages, _)| pages);
        let home = early + world.reclaim_rest(&mut zero, a);
        assert_eq!(home, u64::from(mapped.is_ok()));
        assert_eq!(world.state(0), HOST);
        oracle::check(&world, &mut zero);
    });
}

/// Two cores bring one VM home: each page comes once, scrubbed, and one of them ends it.
#[test]
fn reclaim_against_reclaim() {
    explore_engine(3, || {
        let world = World::new(Size::default());
        let mut zero = token(0);
        let a = world.create_vm(&mut zero).expect("a slot");
        for page in 0..2 {
            world
                .map(&mut zero, a, page, page)
                .expect("the host's page");
            assert!(world.guest_store(&mut zero, a, page, 7));
        }
        world.destroy(&mut zero, a).expect("it is there");

        let other = world.clone();
        let second = core(move || other.reclaim(&mut token(1), a, 1));
        let first = world.reclaim(&mut zero, a, 1);
        let second = second.join().unwrap();

        let pages = |part: Result<(u64, bool), Status>| part.map_or(0, |(pages, _)| pages);
        let rest = world.reclaim_rest(&mut zero, a);
        assert_eq!(
            pages(first) + pages(second) + rest,
            2,
            "{first:?} {second:?}"
        );
        assert_eq!((world.state(0), world.state(1)), (HOST, HOST));
        assert_eq!((world.content(0), world.content(1)), (0, 0));
        oracle::check(&world, &mut zero);
    });
}

/// Its end: two cores at the tables of a VM without pages. One of them is told that it is gone.
#[test]
fn the_last_of_a_vm_against_itself() {
    explore_engine(2, || {
        let world = World::new(Size {
            pages: 1,
            ..Size::default()
        });
        let mut zero = token(0);
        let a = world.create_vm(&mut zero).expect("a slot");
        world.map(&mut zero, a, 0, 0).expect("the host's page");
        world.destroy(&mut zero, a).expect("it is there");
        assert_eq!(world.reclaim(&mut zero, a, 1), Ok((1, false)));

        let other = world.clone();
        let second = core(move || other.reclaim(&mut token(1), a, 1));
        let first = world.reclaim(&mut zero, a, 1);
        let second = second.join().unwrap();

        let ends = [first, second]
            .iter()
            .filter(|part| matches!(part, Ok((_, true))))
            .count();
        assert!(ends <= 1, "{first:?} {second:?}");
        assert_eq!(world.reclaim_rest(&mut zero, a), 0);
        oracle::check(&world, &mut zero);
    });
}

/// Two cores create VMs: each gets a slot of its own.
#[test]
fn create_against_create() {
    explore_engine(3, || {
        let world = World::new(Size {
            vms: 2,
            pages: 1,
            ..Size::default()
        });
        let mut zero = token(0);

        let other = world.clone();
        let second = core(move || other.create_vm(&mut token(1)));
        let first = world.create_vm(&mut zero).expect("a slot");
        let second = second.join().unwrap().expect("a slot");

        assert_ne!(first.slot(), second.slot());
        oracle::check(&world, &mut zero);
    });
}

/// A VM is sealed while another core gives it its first vCPU: none joins after VM_START succeeded.
#[test]
fn start_against_building() {
    explore_engine(3, || {
        let world = World::new(Size {
            vcpus: 1,
            pages: 1,
            ..Size::default()
        });
        let mut zero = token(0);
        let a = world.create_vm(&mut zero).expect("a slot");
        let vcpus = |world: &World| world.engine().vms()[0].vcpus().count();

        let other = world.clone();
        let building = core(move || other.create_vcpu(&mut token(1), a).map(drop));
        let started = world.start(&mut zero, a).map(|()| vcpus(&world));
        let built = building.join().unwrap();

        assert!(matches!(built, Ok(()) | Err(Status::BadState)), "{built:?}");
        match started {
            Ok(counted) => assert_eq!(vcpus(&world), counted, "a vCPU joined a sealed VM"),
            Err(refused) => assert_eq!(refused, Status::Busy),
        }
        oracle::check(&world, &mut zero);
    });
}

/// A VM is sealed while another core gives it a page: a VM_MAP that began before has landed when
/// VM_START succeeds, and one that comes in between is refused.
#[test]
fn start_against_map() {
    explore_engine(3, || {
        let world = World::new(Size {
            pages: 1,
            ..Size::default()
        });
        let mut zero = token(0);
        let a = world.create_vm(&mut zero).expect("a slot");

        let other = world.clone();
        let mapping = core(move || other.map(&mut token(1), a, 0, 0));
        let began = matches!(world.state(0), State::Claimed { .. });
        let started = world.start(&mut zero, a);
        if began && started.is_ok() {
            assert_eq!(world.state(0), A, "a page joined a sealed VM");
        }
        let mapped = mapping.join().unwrap();

        assert!(matches!(started, Ok(()) | Err(Status::Busy)), "{started:?}");
        assert!(
            matches!(mapped, Ok(()) | Err(Status::BadState)),
            "{mapped:?}"
        );
        assert_eq!(world.state(0), if mapped.is_ok() { A } else { HOST });
        oracle::check(&world, &mut zero);
    });
}

/// A vCPU is queued on a core while that core takes it off: it runs there, or it is parked.
#[test]
fn enqueue_against_dequeue() {
    explore_engine(3, || {
        let world = World::new(Size {
            vcpus: 1,
            pages: 1,
            ..Size::default()
        });
        let mut zero = token(0);
        let a = world.create_vm(&mut zero).expect("a slot");
        let vcpu = world.create_vcpu(&mut zero, a).expect("a slot");
        world.start(&mut zero, a).expect("nobody is building");

        let other = world.clone();
        let taking_off = core(move || {
            let arguments = [vcpu.raw(), 0, 0, 0, 0, 0];
            other
                .call(&mut token(1), Call::VcpuDequeue, arguments)
                .map(drop)
        });
        world
            .call(&mut zero, Call::VcpuEnqueue, [vcpu.raw(), 1, 0, 0, 0, 0])
            .expect("a parked vCPU of a running VM");
        let taken_off = taking_off.join().unwrap();
        let mut one = token(1);

        assert!(
            matches!(taken_off, Ok(()) | Err(Status::BadState | Status::Busy)),
            "{taken_off:?}"
        );
        let budget = [8, 0, 0, 0, 0, 0];
        world
            .call(&mut one, Call::CpuRun, budget)
            .expect("CPU_RUN always answers");
        assert_eq!(
            world.machine().runs(one.id()),
            u64::from(taken_off.is_err())
        );
        oracle::check(&world, &mut zero);
    });
}

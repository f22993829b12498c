//! vCPUs that are moved between cores: each is on one core at a time, and on none only if its host
//! has it so.

use abi::{ExitReason, Status, VcpuHandle};
use loom_tests::guest::GuestStep;
use loom_tests::host::Host;
use loom_tests::world::{Size, World};
use loom_tests::{explore_engine, explore_large_engine};
use percpu::Residence;

/// A call of a guest's that the host answers.
const FOR_HOST: u64 = 0xc600_0080;

/// A machine of three cores with a vCPU, parked.
fn three_cores(steps: &[GuestStep]) -> (Host, VcpuHandle) {
    let size = Size {
        cores: 3,
        ..Size::with_vcpu(1)
    };
    let (host, _, vcpu) = Host::with_guest_on(size, steps, |_, _| {});
    (host, vcpu)
}

/// A queued vCPU is moved by one core, taken off by another, and run by a third: where it ends is
/// where one of them left it, and its new core finds it.
#[test]
fn enqueue_against_dequeue_against_run() {
    explore_large_engine(|| {
        let (mut host, vcpu) = three_cores(&[]);
        host.enqueue(vcpu, 2).expect("it is parked");

        let taking_off = host.on(1, move |other| other.dequeue(vcpu));
        let running = host.on(2, |other| {
            other.run(4);
            other.runs()
        });
        let moved = host.enqueue(vcpu, 0);
        let taken_off = taking_off.join().unwrap();
        let ran = running.join().unwrap();

        assert!(matches!(moved, Ok(()) | Err(Status::Busy)), "{moved:?}");
        assert!(
            matches!(taken_off, Ok(()) | Err(Status::Busy | Status::BadState)),
            "{taken_off:?}"
        );
        match host.residence(vcpu) {
            Residence::Parked => assert!(taken_off.is_ok(), "nobody parked it"),
            Residence::Queued(core) => {
                let here = core.index() == 0;
                assert!(!here || moved.is_ok(), "moved by a refused call");
                let finds = host.on(core.raw(), |core| {
                    let before = core.runs();
                    core.run(8);
                    core.runs() - before
                });
                assert_eq!(finds.join().unwrap(), 1, "its core does not find it");
            }
            other => panic!("it is left {other:?}"),
        }
        assert!(ran <= 1);
        host.check();
    });
}

/// A vCPU is moved while its core runs it: refused, or it ran there before and is elsewhere now.
#[test]
fn migrate_while_running() {
    explore_engine(2, || {
        let (mut host, _, vcpu) = Host::with_guest(1, &[], |_, _| {});
        host.enqueue(vcpu, 1).expect("it is parked");

        let running = host.beside(|other| {
            let exit = other.run(4);
            (exit, other.runs())
        });
        let moved = host.enqueue(vcpu, 0);
        let (exit, ran) = running.join().unwrap();

        assert!(matches!(moved, Ok(()) | Err(Status::Busy)), "{moved:?}");
        assert!(
            moved.is_ok() || ran == 1,
            "refused, and it did not run: {exit:?}"
        );
        let home = Residence::Queued(loom_tests::cpu(u16::from(moved.is_err())));
        assert_eq!(host.residence(vcpu), home);
        let before = host.runs();
        host.run(8);
        assert_eq!(host.runs() - before, u64::from(moved.is_ok()));
        host.check();
    });
}

/// A core is handed a vCPU while it goes idle: it runs it, or it sleeps and is rung.
#[test]
fn enqueue_against_going_idle() {
    explore_engine(2, || {
        let (mut host, _, vcpu) = Host::with_guest(1, &[], |_, _| {});
        host.set_doorbell();

        let idling = host.beside(|other| (other.run(0), other.runs()));
        host.enqueue(vcpu, 1).expect("it is parked");
        let (exit, ran) = idling.join().unwrap();

        if exit == ExitReason::Idle {
            assert_eq!(ran, 0);
            assert!(host.is_rung(1), "the core sleeps, and nobody rang");
            let again = host.beside(|other| (other.run(0), other.runs()));
            assert_eq!(again.join().unwrap(), (ExitReason::HostInterrupt, 1));
        } else {
            assert_eq!((exit, ran), (ExitReason::HostInterrupt, 1));
        }
        host.check();
    });
}

/// A core is handed a vCPU while it begins to run another: the other's turn has an end, or the core is rung.
#[test]
fn enqueue_against_the_start_of_another_run() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::with_vcpus(1, 2));
        let steps = [
            GuestStep::CpuOn(1, 2),
            GuestStep::Hvc(FOR_HOST, 0),
            GuestStep::Stop,
        ];
        host.machine().guests().set_program(World::ipa(0), &steps);
        let first = host.create_vcpu(a).expect("a slot");
        let second = host.create_vcpu_at(a, 1).expect("a slot");
        host.start(a).expect("nobody is building");
        host.set_doorbell();
        host.enqueue(first, 0).expect("it is parked");
        assert_eq!(host.run(0), ExitReason::VcpuOn);
        host.dequeue(first).expect("it is queued");
        host.enqueue(first, 1).expect("it is parked");

        // The first one's call is for the host, who is told without a look at the doorbell.
        let running = host.beside(|other| other.run(0));
        host.enqueue(second, 1).expect("it was turned on");
        let exit = running.join().unwrap();

        // Otherwise the second one ran first, and its run ended with the host's timer.
        if exit == ExitReason::Call {
            let comes_to_play = host.takes_turns(1) || host.is_rung(1);
            assert!(comes_to_play, "it waits for ever, and nobody rang");
        }
        host.check();
    });
}

/// An interrupt is injected while a core takes the vCPU in, runs it, and gives it back: the guest
/// takes it now, or finds it when it runs next. Once.
#[test]
fn inject_against_entry_and_exit() {
    explore_engine(2, || {
        let (mut host, _, vcpu) = Host::with_guest(1, &[], |_, _| {});
        host.enqueue(vcpu, 1).expect("it is parked");

        let running = host.beside(|other| other.run(0));
        host.inject(vcpu).expect("the VM runs");
        assert_eq!(running.join().unwrap(), ExitReason::HostInterrupt);

        let again = host.beside(|other| other.run(0)).join().unwrap();
        assert_eq!(again, ExitReason::HostInterrupt);
        assert_eq!(host.machine().guests().taken(), 1);
        host.check();
    });
}

//! vCPUs on queues and off them, and what wakes them.

use abi::ExitReason;
use abi::Status;
use loom_tests::explore_engine;
use loom_tests::guest::GuestStep;
use loom_tests::host::Host;
use loom_tests::world::{Size, World};

/// A vCPU is queued on a core while that core takes it off: it runs there, or it is parked.
#[test]
fn enqueue_against_dequeue() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::with_vcpu(1));
        let vcpu = host.create_vcpu(a).expect("a slot");
        host.start(a).expect("nobody is building");

        let taking_off = host.beside(move |other| other.dequeue(vcpu));
        host.enqueue(vcpu, 1)
            .expect("a parked vCPU of a running VM");
        let taken_off = taking_off.join().unwrap();

        assert!(
            matches!(taken_off, Ok(()) | Err(Status::BadState | Status::Busy)),
            "{taken_off:?}"
        );
        let runs = host
            .beside(|other| {
                other.run(8);
                other.runs()
            })
            .join()
            .unwrap();
        assert_eq!(runs, u64::from(taken_off.is_err()));
        host.check();
    });
}

/// An interrupt is injected while the vCPU executes WFI and its core goes idle: the guest takes it
/// now, or the core is rung and takes it then. Once.
#[test]
fn inject_against_wfi() {
    explore_engine(2, || {
        let (mut host, _, vcpu) = Host::with_guest(1, &[GuestStep::Wfi], |_, _| {});
        host.set_doorbell();
        host.enqueue(vcpu, 1).expect("it is parked");

        let running = host.beside(|other| other.run(0));
        host.inject(vcpu).expect("the VM runs");
        let exit = running.join().unwrap();

        finds_its_interrupt(&mut host, exit);
    });
}

/// The same with a vCPU that waited before, on no queue, and is put on one meanwhile: it is the one
/// or the other core that sees both.
#[test]
fn inject_against_enqueue_of_a_waiting_vcpu() {
    explore_engine(2, || {
        let (mut host, _, vcpu) = Host::with_guest(1, &[GuestStep::Wfi], |_, _| {});
        host.set_doorbell();
        host.enqueue(vcpu, 0).expect("it is parked");
        assert_eq!(host.run(0), ExitReason::Idle);
        host.dequeue(vcpu).expect("it is queued");

        let running = host.beside(move |other| {
            other.enqueue(vcpu, 1).expect("it is parked");
            other.run(0)
        });
        host.inject(vcpu).expect("the VM runs");
        let exit = running.join().unwrap();

        finds_its_interrupt(&mut host, exit);
    });
}

/// Core 1 left the run queue with `exit`: if it sleeps on the interrupt, it was rung.
fn finds_its_interrupt(host: &mut Host, exit: ExitReason) {
    if exit == ExitReason::Idle {
        assert!(host.is_rung(1), "the core sleeps, and nobody rang");
        let again = host.beside(|other| other.run(0)).join().unwrap();
        assert_eq!(again, ExitReason::HostInterrupt);
    } else {
        assert_eq!(exit, ExitReason::HostInterrupt);
    }
    assert_eq!(host.machine().guests().taken(), 1);
    host.check();
}

/// A vCPU sends an SGI to one that is parked, while the host answers that one, which waits for no
/// answer: the answer is refused, and the host is told that the vCPU has work.
#[test]
fn sgi_against_a_refused_respond() {
    explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::with_vcpus(1, 2));
        let steps = [GuestStep::CpuOn(1, 0), GuestStep::Sgi];
        host.machine().guests().set_program(World::ipa(0), &steps);
        let sender = host.create_vcpu(a).expect("a slot");
        let other = host.create_vcpu_at(a, 1).expect("a slot");
        host.start(a).expect("nobody is building");
        host.enqueue(sender, 0).expect("it is parked");
        assert_eq!(host.run(0), ExitReason::VcpuOn);
        for vcpu in [sender, other] {
            host.enqueue(vcpu, 0).expect("it is on");
            host.dequeue(vcpu).expect("it is queued");
        }
        host.enqueue(sender, 1).expect("it is parked");

        let running = host.beside(|other| other.run(0));
        assert_eq!(host.respond(other), Err(Status::BadState));

        assert_eq!(running.join().unwrap(), ExitReason::VcpuReady);
        host.check();
    });
}

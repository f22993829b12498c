//! PSCI of guests: a vCPU is turned on once, at its entry point, whoever else turns it on or off, and
//! never once its VM has ended.

use abi::{ExitReason, Status, VcpuHandle, VmHandle, psci};
use loom_tests::guest::GuestStep;
use loom_tests::host::Host;
use loom_tests::world::{Size, World};
use loom_tests::{cpu, explore_engine};
use percpu::Residence;

/// Where the program of [`guest`] has the calls of the two vCPUs that run.
const BY_FIRST: usize = 1;
const BY_SECOND: usize = 3;

/// A VM of `vcpus` vCPUs that runs: the first, on core 0's queue, has turned on the second, which is
/// on core 1's, and goes on with `first`; the second does `second`; a third begins with `third`.
fn guest(
    vcpus: usize,
    first: GuestStep,
    second: GuestStep,
    third: GuestStep,
) -> (Host, VmHandle, Vec<VcpuHandle>) {
    let (mut host, vm) = Host::with_vm(Size::with_vcpus(1, vcpus));
    let stop = GuestStep::Stop;
    let steps = [
        GuestStep::CpuOn(1, BY_SECOND),
        first,
        stop,
        second,
        stop,
        third,
    ];
    host.machine().guests().set_program(World::ipa(0), &steps);
    let handles: Vec<_> = (0..vcpus as u64)
        .map(|affinity| host.create_vcpu_at(vm, affinity).expect("a slot"))
        .collect();
    host.start(vm).expect("nobody is building");
    host.enqueue(handles[0], 0).expect("it is on");
    assert_eq!(host.run(0), ExitReason::VcpuOn);
    host.enqueue(handles[1], 1).expect("it is on");
    (host, vm, handles)
}

/// Two vCPUs turn on a third: one of them does, the other is told that it is under way; and it begins
/// where it was told to.
#[test]
fn cpu_on_against_cpu_on() {
    explore_engine(2, || {
        const THIRD: usize = 5;
        let on = GuestStep::CpuOn(2, THIRD);
        let (mut host, _, vcpus) = guest(3, on, on, GuestStep::Hvc(psci::VERSION, 0));

        let second = host.beside(|other| other.run(0));
        let first = host.run(0);
        let exits = [first, second.join().unwrap()];
        // Whoever left with the news goes on now; the other was told already.
        for (number, exit) in exits.into_iter().enumerate() {
            if exit == ExitReason::VcpuOn {
                let going_on = host.on(number as u16, |core| core.run(0));
                assert_eq!(going_on.join().unwrap(), ExitReason::HostInterrupt);
            }
        }

        let answers = [BY_FIRST, BY_SECOND].map(|step| host.machine().guests().answer(step));
        for (exit, answer) in exits.into_iter().zip(answers) {
            let won = (ExitReason::VcpuOn, Some(psci::SUCCESS));
            let lost = (ExitReason::HostInterrupt, Some(psci::ON_PENDING));
            assert!(
                (exit, answer) == won || (exit, answer) == lost,
                "{exit:?} {answer:?}"
            );
        }
        assert_ne!(exits[0], exits[1], "both turned it on, or none");
        assert_eq!(host.residence(vcpus[2]), Residence::OnPending);
        host.dequeue(vcpus[0]).expect("it is queued");
        host.enqueue(vcpus[2], 0).expect("it is on");
        assert_eq!(host.run(0), ExitReason::HostInterrupt);
        let version = host.machine().guests().answer(THIRD);
        assert_eq!(
            version,
            Some(psci::VERSION_1_1 as i64),
            "it began elsewhere"
        );
        host.check();
    });
}

/// A vCPU turns itself off while another turns it on: it was on still, or it begins anew.
#[test]
fn cpu_on_against_cpu_off() {
    explore_engine(2, || {
        let on = GuestStep::CpuOn(1, BY_SECOND);
        let off = GuestStep::Hvc(psci::CPU_OFF, 0);
        let (mut host, _, vcpus) = guest(2, on, off, GuestStep::Stop);

        let turning_off = host.beside(|other| other.run(0));
        let exit = host.run(0);
        assert_eq!(turning_off.join().unwrap(), ExitReason::VcpuOff);

        let now = host.residence(vcpus[1]);
        if exit == ExitReason::VcpuOn {
            assert_eq!(now, Residence::OnPending);
            host.enqueue(vcpus[1], 1).expect("it is on");
            let again = host.beside(|other| other.run(0)).join().unwrap();
            assert_eq!(again, ExitReason::VcpuOff, "it went on behind its CPU_OFF");
        } else {
            assert_eq!((exit, now), (ExitReason::HostInterrupt, Residence::Off));
            let told = host.machine().guests().answer(BY_FIRST);
            assert_eq!(told, Some(psci::ALREADY_ON));
        }
        host.check();
    });
}

/// A vCPU turns on another while the host ends their VM and brings it home as far as it can: no vCPU
/// is left, on or off, and none runs.
#[test]
fn cpu_on_against_destroy() {
    explore_engine(2, || {
        let (mut host, vm) = Host::with_vm(Size::with_vcpus(1, 2));
        let steps = [GuestStep::CpuOn(1, 2), GuestStep::Stop, GuestStep::Stop];
        host.machine().guests().set_program(World::ipa(0), &steps);
        let vcpus = [0, 1].map(|mpidr| host.create_vcpu_at(vm, mpidr).expect("a slot"));
        host.start(vm).expect("nobody is building");
        host.enqueue(vcpus[0], 1).expect("it is on");

        let turning_on = host.beside(|other| other.run(0));
        let inside = host.condemn(vm).expect("it is there");
        let runs = host.machine().runs(cpu(1));
        // Busy while the other core is inside.
        let home = host.reclaim(vm, 1);
        let exit = turning_on.join().unwrap();

        assert!(
            matches!(
                exit,
                ExitReason::VcpuOn | ExitReason::HostInterrupt | ExitReason::Idle
            ),
            "{exit:?}"
        );
        assert!(matches!(home, Ok((0, _)) | Err(Status::Busy)), "{home:?}");
        if inside == 0 {
            let later = host.machine().runs(cpu(1)) - runs;
            assert_eq!(later, 0, "a vCPU of a dying VM was entered");
        }
        host.reclaim_rest(vm);
        for vcpu in vcpus {
            assert_eq!(host.residence(vcpu), Residence::Free);
        }
        host.check();
    });
}

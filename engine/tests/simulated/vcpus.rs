//! vCPUs: how they are turned on, what reaches them while they run, and what their calls say.

use crate::common::{Guest, PAGE, RAM, RWX, bury, hvc, machine, map, play, run, start};
use abi::{Call, ExitReason, Status, psci, smccc};
use engine::sim::{GuestOp, Seen, Want};
use std::sync::{Arc, Mutex};

/// Scenario 26: PSCI CPU_ON. A vCPU that turns itself on gets ALREADY_ON and nothing else changes;
/// of two CPU_ONs one succeeds, the other is told that it is under way.
#[test]
fn cpu_on_answers_as_the_standard_says() {
    let machine = machine();
    let guest = start(&machine, 2);
    let on = |affinity, entry| hvc(psci::CPU_ON_64, &[affinity, entry, 0x77]);
    let answers = |status: i64| status as u64;
    let seen = play(
        &machine,
        &guest,
        [
            on(0, RAM),
            on(9, RAM),
            on(1, RAM + 2),
            on(1, 0x1000),
            on(1 << 24, RAM),
            hvc(psci::AFFINITY_INFO_64, &[1, 0]),
        ],
    );
    let x0 = |seen: &Seen| match seen {
        Seen::Returned(x) => x[0],
        other => panic!("{other:?}"),
    };
    let expected = [
        psci::ALREADY_ON,
        psci::INVALID_PARAMETERS,
        psci::INVALID_ADDRESS,
        psci::INVALID_ADDRESS,
        psci::INVALID_PARAMETERS,
        psci::AFFINITY_OFF,
    ];
    assert_eq!(
        seen.iter().map(x0).collect::<Vec<_>>(),
        expected.map(answers)
    );

    machine.script(guest.vm, 0, [on(1, RAM + 64)]);
    let exit = run(&machine, 0);
    assert_eq!(
        (exit.reason, exit.d[0]),
        (ExitReason::VcpuOn, guest.vcpus[1])
    );
    let seen = play(
        &machine,
        &guest,
        [on(1, RAM), hvc(psci::AFFINITY_INFO_64, &[1, 0])],
    );
    let expected = [psci::SUCCESS, psci::ON_PENDING, psci::AFFINITY_ON_PENDING];
    assert_eq!(
        seen.iter().map(x0).collect::<Vec<_>>(),
        expected.map(answers)
    );
    machine
        .call(0, Call::VcpuEnqueue, &[guest.vcpus[1], 1])
        .ok();
    machine.script(guest.vm, 1, [GuestOp::Look, hvc(psci::CPU_OFF, &[])]);
    assert_eq!(run(&machine, 1).reason, ExitReason::VcpuOff);
    let log = machine.log(guest.vm, 1);
    let Seen::Registers(x) = &log[0] else {
        panic!("{log:?}")
    };
    assert!(x[0] == 0x77 && x[1..].iter().all(|value| *value == 0));
    let seen = play(&machine, &guest, [hvc(psci::AFFINITY_INFO_64, &[1, 0])]);
    assert_eq!(x0(&seen[0]), answers(psci::AFFINITY_OFF));
    assert_eq!(
        machine
            .call(0, Call::VcpuEnqueue, &[guest.vcpus[1], 1])
            .status,
        Status::BadState
    );
}

/// Scenario 17 and I8: while a vCPU is inside, nothing of its VM comes home; it is kicked out, and
/// enters no more.
#[test]
fn destroy_while_a_vcpu_is_inside() {
    let machine = machine();
    let guest = start(&machine, 1);
    map(&machine, &guest, 3, RAM, 1);
    machine.call(0, Call::EngineDoorbell, &[5]).ok();
    let (other, vm) = (machine.clone(), guest.vm);
    let done = Arc::new(Mutex::new(Vec::new()));
    let replies = done.clone();
    let elsewhere = move || {
        let mut replies = replies.lock().unwrap();
        replies.push(other.call(1, Call::VmDestroy, &[vm]));
        replies.push(other.call(1, Call::VmReclaim, &[vm, 64]));
    };
    let late = GuestOp::Store(RAM);
    machine.script(
        vm,
        0,
        [
            GuestOp::Store(RAM),
            GuestOp::Elsewhere(Box::new(elsewhere)),
            late,
        ],
    );
    assert_eq!(run(&machine, 0).reason, ExitReason::Idle);
    let replies = done.lock().unwrap().clone();
    assert_eq!((replies[0].ok(), replies[0].x[1]), (1, 0));
    assert_eq!(replies[1].status, Status::Busy);
    let stored = machine
        .log(vm, 0)
        .iter()
        .filter(|seen| matches!(seen, Seen::Stored(_)))
        .count();
    assert_eq!(stored, 1, "the vCPU went on after VM_DESTROY");
    assert_eq!(bury(&machine, vm, 2), 1);
}

/// Scenario 22 and the VM's pin: what another core does between two steps of a guest.
#[test]
fn other_cores_act_while_a_guest_runs() {
    let machine = machine();
    let guest = start(&machine, 1);
    map(&machine, &guest, 3, RAM, 2);
    let (other, vm) = (machine.clone(), guest.vm);
    let meanwhile = move || {
        let lend = [vm, other.host_page(60), RAM + 4 * PAGE, 1, RWX];
        assert_eq!(other.call(1, Call::VmLend, &lend).ok(), 1);
        assert_eq!(
            other
                .call(
                    1,
                    Call::VmMap,
                    &[vm, other.host_page(61), RAM + 5 * PAGE, 1, RWX]
                )
                .ok(),
            1
        );
        other
            .host_access(1, other.host_page(3), Want::Load)
            .unwrap_err();
    };
    let unlend = machine.clone();
    let take_back = move || {
        assert_eq!(
            unlend
                .call(1, Call::VmUnlend, &[vm, RAM + 4 * PAGE, 1])
                .ok(),
            1
        );
    };
    machine.script(
        vm,
        0,
        [
            GuestOp::Store(RAM),
            GuestOp::Elsewhere(Box::new(meanwhile)),
            GuestOp::Store(RAM + 4 * PAGE),
            GuestOp::Store(RAM + 5 * PAGE),
            GuestOp::Elsewhere(Box::new(take_back)),
            GuestOp::Store(RAM + 4 * PAGE),
        ],
    );
    let exit = run(&machine, 0);
    assert_eq!(
        (exit.reason, exit.d[0]),
        (ExitReason::RamFault, RAM + 4 * PAGE)
    );
}

/// Scenario 29: a vCPU of a slot that had another before sees none of its interrupts.
#[test]
fn a_new_vcpu_has_no_interrupt_of_its_predecessor() {
    let machine = machine();
    let guest = start(&machine, 1);
    let inject = |guest: &Guest| {
        machine
            .call(0, Call::VcpuInject, &[guest.vcpus[0], 40, 0, 0x80])
            .ok();
    };
    inject(&guest);
    let seen = play(&machine, &guest, [GuestOp::LookAtInterrupts]);
    assert!(
        matches!(&seen[0], Seen::Interrupts(lists) if lists.len() == 1),
        "{seen:x?}"
    );
    inject(&guest);
    bury(&machine, guest.vm, 1);
    let next = start(&machine, 1);
    assert_eq!(
        next.vcpus[0] & 0xffff,
        guest.vcpus[0] & 0xffff,
        "the test needs the same slot"
    );
    assert_ne!(next.vcpus[0], guest.vcpus[0]);
    let seen = play(&machine, &next, [GuestOp::LookAtInterrupts]);
    assert_eq!(seen, [Seen::Interrupts(Vec::new())]);
}

/// A forwarded call shows x0–x6 and takes x0–x3; the host's own calls are not forwarded.
#[test]
fn calls_for_the_host_are_forwarded_and_answered() {
    let machine = machine();
    let guest = start(&machine, 1);
    machine.script(guest.vm, 0, [GuestOp::Hvc([0x8600_0090, 1, 2, 3, 4, 5, 6])]);
    let exit = run(&machine, 0);
    assert_eq!(
        (exit.reason, exit.d),
        (ExitReason::Call, [0x8600_0090, 1, 2])
    );
    assert_eq!(
        machine
            .call(0, Call::VcpuEnqueue, &[guest.vcpus[0], 0])
            .status,
        Status::BadState
    );
    machine
        .call(0, Call::VcpuRespond, &[guest.vcpus[0], 10, 11, 12, 13, 0])
        .ok();
    let seen = play(
        &machine,
        &guest,
        [hvc(abi::call::VM_CREATE, &[]), hvc(smccc::VERSION, &[])],
    );
    assert_eq!(seen[0], Seen::Returned([10, 11, 12, 13]));
    assert_eq!(
        seen[1],
        Seen::Returned([smccc::NOT_SUPPORTED as u64, 0, 0, 0])
    );
    assert!(matches!(seen[2], Seen::Returned([smccc::VERSION_1_2, ..])));
}

//! VMs and vCPUs from creation to the end, again and again, on several cores.

use crate::common::{
    Guest, PAGE, RAM, RWX, SHORT, build, bury, hvc, machine, map, play, run, shape, start,
};
use abi::{Call, ExitReason, Status, VmShape, psci, smccc};
use engine::sim::{Config, GuestOp, Machine, Seen, Want};
use std::sync::{Arc, Mutex};

fn free_pages(machine: &Machine) -> u64 {
    machine.call_unchecked(0, Call::EngineInfo, &[7]).ok()
}

/// Scenarios 27 and 28: a VM that is destroyed gives everything back, a thousand times over, and
/// its vCPUs' slots begin with all registers zero but x0.
#[test]
fn created_and_destroyed_a_thousand_times_leaves_nothing_behind() {
    let machine = machine();
    let first = start(&machine, 2);
    map(&machine, &first, 0, RAM, 102);
    play(&machine, &first, []);
    bury(&machine, first.vm, 2);
    let free = free_pages(&machine);
    for round in 0..1000_u64 {
        let call = |call, arguments: &[u64]| machine.call_unchecked(0, call, arguments);
        let vm = call(Call::VmCreate, &shape(2)).ok();
        machine
            .sim()
            .drop_scripts(engine::sim::machine::vmid_of(vm));
        let vcpu = call(Call::VcpuCreate, &[vm, 0, RAM, round]).ok();
        call(Call::VcpuCreate, &[vm, 1, RAM, 0]).ok();
        assert_eq!(
            call(
                Call::VmMap,
                &[vm, machine.host_page(round % 100), RAM, 2, RWX]
            )
            .ok(),
            2
        );
        call(Call::VmStart, &[vm]).ok();
        call(Call::VcpuEnqueue, &[vcpu, round % 2]).ok();
        machine.script(vm, 0, [GuestOp::Look, GuestOp::Store(RAM + PAGE)]);
        machine
            .call_unchecked((round % 2) as usize, Call::CpuRun, &[SHORT])
            .ok();
        let log = machine.log(vm, 0);
        let Seen::Registers(x) = &log[0] else {
            panic!("{log:?}")
        };
        assert!(
            x[0] == round && x[1..].iter().all(|value| *value == 0),
            "{x:x?}"
        );
        call(Call::VmDestroy, &[vm]).ok();
        while call(Call::VmReclaim, &[vm, 64]).x[1] == 0 {}
    }
    assert_eq!(free_pages(&machine), free);
    machine
        .call(0, Call::PageInfo, &[machine.host_page(0)])
        .ok();
}

/// Scenario 28: what fails half-way leaks nothing.
#[test]
fn failed_creations_leave_nothing_behind() {
    let machine = Machine::new(Config {
        pool_pages: 56,
        vms: 4,
        vcpus: 2,
        ..Config::default()
    });
    let free = free_pages(&machine);
    let vms: Vec<_> = (0..4)
        .map(|_| machine.call(0, Call::VmCreate, &shape(4)).ok())
        .collect();
    assert_eq!(
        machine.call(0, Call::VmCreate, &shape(1)).status,
        Status::Limit
    );
    for affinity in 0..2 {
        machine
            .call(0, Call::VcpuCreate, &[vms[0], affinity, RAM, 0])
            .ok();
    }
    let full = machine.call(0, Call::VcpuCreate, &[vms[0], 2, RAM, 0]);
    assert_eq!(full.status, Status::Limit);
    for vm in vms {
        bury(&machine, vm, 2);
    }
    assert_eq!(free_pages(&machine), free);
}

/// Scenario 10: memory for tables runs out in the middle of a call.
#[test]
fn a_call_without_memory_for_tables_changes_nothing_and_works_after_a_donation() {
    let machine = Machine::new(Config {
        pool_pages: 56,
        vms: 200,
        ..Config::default()
    });
    let guest = build(&machine, 1);
    // A page and its split block first, so that there is one to donate without another table.
    let spare = machine.host_page(900);
    machine.call(0, Call::EngineDonate, &[spare, 1]).ok();
    machine.call(0, Call::EngineReclaim, &[1]).ok();
    let mut last = Status::Success;
    let mut vms = Vec::new();
    while last == Status::Success {
        let reply = machine.call(0, Call::VmCreate, &shape(1));
        last = reply.status;
        vms.extend((last == Status::Success).then_some(reply.x[0]));
    }
    assert_eq!(last, Status::NoMemory);
    let vm_map = [guest.vm, machine.host_page(10), RAM, 3, RWX];
    assert_eq!(
        machine.call(1, Call::VmMap, &vm_map).status,
        Status::NoMemory
    );
    machine.call(0, Call::EngineDonate, &[spare, 8]).ok();
    assert_eq!(machine.call(1, Call::VmMap, &vm_map).ok(), 3);
    for vm in vms {
        bury(&machine, vm, 1);
    }
}

/// Several cores bring one VM home in turns, each call a little; another VM is untouched.
#[test]
fn several_cores_reclaim_one_vm_in_turns() {
    let machine = Machine::new(Config {
        cpus: 4,
        ..Config::default()
    });
    let (guest, other) = (start(&machine, 1), start(&machine, 1));
    for (index, ipa) in [(0, RAM), (100, RAM + (4 << 20)), (700, RAM + (15 << 20))] {
        map(&machine, &guest, index, ipa, 90);
    }
    map(&machine, &other, 400, RAM, 4);
    let lend = [guest.vm, machine.host_page(300), RAM + (8 << 20), 5, RWX];
    machine.call(0, Call::VmLend, &lend).ok();
    machine.call(0, Call::VmDestroy, &[guest.vm]).ok();
    let mut home = 0;
    for turn in 0.. {
        let reply = machine.call(turn % 4, Call::VmReclaim, &[guest.vm, 1 + turn as u64 % 7]);
        home += reply.ok();
        if reply.x[1] == 1 {
            break;
        }
    }
    assert_eq!(home, 270);
    let seen = play(
        &machine,
        &other,
        [GuestOp::Store(RAM), GuestOp::Load(RAM + 3 * PAGE)],
    );
    assert_eq!(seen.len(), 2);
    assert_eq!(
        machine
            .call(0, Call::PageInfo, &[machine.host_page(300)])
            .ok(),
        1
    );
}

/// A VM of two RAM ranges, the upper one named first.
#[test]
fn two_ranges_come_home_both() {
    let machine = machine();
    let shape = VmShape {
        vcpus: 1,
        ipa_bits: 36,
        lendable: 0,
    }
    .raw();
    let (low, high) = (0x1_0000_0000, 0x2_4000_0000);
    let create = [shape, 0, high, 4 << 20, low, 3 << 20];
    let vm = machine.call(0, Call::VmCreate, &create).ok();
    for (index, ipa) in [(0, low), (10, high), (20, low + (3 << 20) - 2 * PAGE)] {
        assert_eq!(
            machine
                .call(0, Call::VmMap, &[vm, machine.host_page(index), ipa, 2, RWX])
                .ok(),
            2
        );
    }
    let between = [vm, machine.host_page(30), low + (3 << 20), 1, RWX];
    assert_eq!(
        machine.call(0, Call::VmMap, &between).status,
        Status::OutOfRange
    );
    assert_eq!(bury(&machine, vm, 2), 6);
}

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

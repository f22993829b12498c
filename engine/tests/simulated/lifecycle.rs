//! VMs from creation to the end, again and again, on several cores: nothing is lost.

use crate::common::{PAGE, RAM, RWX, SHORT, build, bury, machine, map, play, shape, start};
use abi::{Call, Status, VmShape};
use engine::sim::{Config, GuestOp, Machine, Seen};

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

/// The slot of a VM for which there is no memory is as if nobody had asked: the next one has the next generation.
#[test]
fn a_vm_without_memory_uses_up_no_generation() {
    let machine = Machine::new(Config {
        pool_pages: 56,
        vms: 200,
        ..Config::default()
    });
    let mut vms = Vec::new();
    let create = || machine.call(0, Call::VmCreate, &shape(1));
    let refused = loop {
        let reply = create();
        if reply.status != Status::Success {
            break reply;
        }
        vms.push(reply.x[0]);
    };
    assert_eq!(refused.status, Status::NoMemory);
    assert_eq!(create().status, Status::NoMemory);
    let slot = vms.len() as u64;
    bury(&machine, vms.remove(0), 1);
    assert_eq!(create().ok(), 2 << 16, "the slot that is free again");
    bury(&machine, vms.remove(0), 1);
    bury(&machine, vms.remove(0), 1);
    let handles: Vec<_> = (0..2).map(|_| create().ok()).collect();
    assert_eq!(handles, [2 << 16 | 1, 2 << 16 | 2]);
    bury(&machine, vms.remove(0), 1);
    machine
        .call(0, Call::EngineDonate, &[machine.host_page(0), 64])
        .ok();
    assert_eq!(create().ok(), 2 << 16 | 3);
    assert_eq!(create().ok(), 1 << 16 | slot, "the first one in its slot");
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

//! What guests meet: devices, faults, turns.

use crate::common::{RAM, SHORT, build, machine, map, play, run, start};
use abi::{Call, ExitReason};
use engine::sim::{GuestOp, Seen};

const DEVICE: u64 = 0x0900_0000;

#[test]
fn device_accesses_go_to_the_host_with_just_what_they_are() {
    let machine = machine();
    let guest = start(&machine, 1);
    machine.script(
        guest.vm,
        0,
        [GuestOp::StoreRaw(DEVICE + 8, 0x1234), GuestOp::Load(DEVICE)],
    );
    let exit = run(&machine, 0);
    assert_eq!(
        (exit.reason, exit.d),
        (ExitReason::MmioWrite, [DEVICE + 8, 8, 0x1234])
    );
    let exit = run(&machine, 0);
    assert_eq!((exit.reason, exit.d[0]), (ExitReason::MmioRead, DEVICE));
    machine
        .call(1, Call::VcpuRespond, &[guest.vcpus[0], 0xabcd, 0, 0, 0, 0])
        .ok();
    assert_eq!(run(&machine, 1).reason, ExitReason::Budget);
    assert_eq!(machine.log(guest.vm, 0)[1], Seen::Emulated(0xabcd));
}

#[test]
fn an_access_without_description_outside_ram_is_an_abort() {
    let machine = machine();
    let guest = start(&machine, 1);
    let seen = play(
        &machine,
        &guest,
        [GuestOp::LoadPair(DEVICE), GuestOp::Fetch(DEVICE)],
    );
    assert!(
        matches!(seen[..], [Seen::Exception(_), Seen::Exception(_)]),
        "{seen:x?}"
    );
}

#[test]
fn a_refused_device_access_is_an_abort() {
    let machine = machine();
    let guest = start(&machine, 1);
    machine.script(
        guest.vm,
        0,
        [GuestOp::Load(DEVICE), GuestOp::StoreRaw(DEVICE, 1)],
    );
    for reason in [ExitReason::MmioRead, ExitReason::MmioWrite] {
        assert_eq!(run(&machine, 0).reason, reason);
        machine
            .call(0, Call::VcpuRespond, &[guest.vcpus[0], 0, 0, 0, 0, 1])
            .ok();
    }
    assert_eq!(run(&machine, 0).reason, ExitReason::Budget);
    let log = machine.log(guest.vm, 0);
    assert!(
        matches!(log[..], [Seen::Exception(_), Seen::Exception(_)]),
        "{log:x?}"
    );
}

#[test]
fn an_interrupt_for_the_host_ends_the_run_and_stays() {
    let machine = machine();
    let guest = start(&machine, 1);
    machine.script(guest.vm, 0, [GuestOp::Interrupt]);
    assert_eq!(run(&machine, 0).reason, ExitReason::HostInterrupt);
    assert_eq!(run(&machine, 0).reason, ExitReason::HostInterrupt);
    machine.sim().set_interrupt(0, false);
    assert_eq!(run(&machine, 0).reason, ExitReason::Budget);
}

#[test]
fn an_serror_stops_its_vcpu_alone() {
    let machine = machine();
    let (guest, other) = (start(&machine, 1), start(&machine, 1));
    machine.script(guest.vm, 0, [GuestOp::SError]);
    let exit = run(&machine, 0);
    assert_eq!(
        (exit.reason, exit.vcpu),
        (ExitReason::Fault, guest.vcpus[0])
    );
    map(&machine, &other, 1, RAM, 1);
    let seen = play(&machine, &other, [GuestOp::Store(RAM)]);
    assert_eq!(seen.len(), 1);
}

/// Two vCPUs of one VM on one core: what the first left cached is dropped before the second runs.
#[test]
fn vcpus_of_one_vm_take_turns_on_a_core() {
    let machine = machine();
    let guest = build(&machine, 2);
    map(&machine, &guest, 1, RAM, 1);
    machine.call(0, Call::VmStart, &[guest.vm]).ok();
    machine
        .call(0, Call::VcpuEnqueue, &[guest.vcpus[0], 0])
        .ok();
    let on = crate::common::hvc(abi::psci::CPU_ON_64, &[1, RAM, 0]);
    machine.script(guest.vm, 0, [on]);
    assert_eq!(run(&machine, 0).reason, ExitReason::VcpuOn);
    machine
        .call(0, Call::VcpuEnqueue, &[guest.vcpus[1], 0])
        .ok();
    for _ in 0..4 {
        for affinity in 0..2 {
            machine.script(guest.vm, affinity, [GuestOp::Store(RAM)]);
        }
        machine.call(0, Call::CpuRun, &[SHORT * 1000]).ok();
    }
    for affinity in 0..2 {
        let log = machine.log(guest.vm, affinity);
        let stores = log
            .iter()
            .filter(|seen| matches!(seen, Seen::Stored(_)))
            .count();
        assert_eq!(stores, 4, "vCPU {affinity}: {log:?}");
    }
}

//! VcpuReady: every parked vCPU that got work is told to the host, and none that can't run.

use crate::common::{Guest, RAM, SHORT, build, hvc, map, run};
use abi::{Call, ExitReason, psci};
use engine::sim::{Config, GuestOp, Machine, Seen};

const DEVICE: u64 = 0x0900_0000;
/// MSR ICC_SGI1R_EL1, as the ISS of a trapped one says (Arm ARM D19.2.37).
const SEND_SGI: u32 = 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1;
/// SGI 5 to all others.
const TO_ALL_OTHERS: u64 = 1 << 40 | 5 << 24;

/// A VM whose first vCPU is on core 0's queue, the others on core 1's.
fn start(machine: &Machine, vcpus: u16) -> Guest {
    let guest = build(machine, vcpus);
    map(machine, &guest, 1, RAM, 1);
    machine.call(0, Call::VmStart, &[guest.vm]).ok();
    let enqueue = |index: usize, cpu| {
        machine
            .call(0, Call::VcpuEnqueue, &[guest.vcpus[index], cpu])
            .ok();
    };
    enqueue(0, 0);
    for index in 1..vcpus {
        let on = hvc(psci::CPU_ON_64, &[index.into(), RAM, 0]);
        machine.script(guest.vm, 0, [on]);
        assert_eq!(run(machine, 0).reason, ExitReason::VcpuOn);
        enqueue(index.into(), 1);
    }
    guest
}

fn send_sgi(machine: &Machine, guest: &Guest) {
    let ops = [
        GuestOp::StoreRaw(RAM, TO_ALL_OTHERS),
        GuestOp::Sysreg(SEND_SGI),
    ];
    machine.script(guest.vm, 0, ops);
}

/// Runs core 0: the vCPUs told to be ready.
#[track_caller]
fn told(machine: &Machine, guest: &Guest) -> Vec<u64> {
    let reply = machine.call(0, Call::CpuRun, &[SHORT]);
    assert_eq!(
        (ExitReason::from_raw(reply.ok()), reply.x[1]),
        (Some(ExitReason::VcpuReady), guest.vcpus[0])
    );
    let handles = reply.x[2..9].iter().copied();
    handles.filter(|handle| *handle != 0).collect()
}

#[test]
fn an_sgi_tells_of_every_parked_vcpu_that_can_run() {
    let machine = Machine::new(Config::default());
    let guest = start(&machine, 5);
    // The last one waits for the answer to a load.
    machine.script(guest.vm, 4, [GuestOp::Load(DEVICE)]);
    while run(&machine, 1).reason != ExitReason::MmioRead {}
    for vcpu in &guest.vcpus[1..4] {
        machine.call(0, Call::VcpuDequeue, &[*vcpu]).ok();
    }
    send_sgi(&machine, &guest);
    assert_eq!(told(&machine, &guest), guest.vcpus[1..4]);
    assert_eq!(run(&machine, 0).reason, ExitReason::Budget);
    // With its answer it runs, and has the SGI.
    let respond = [guest.vcpus[4], 0xabcd, 0, 0, 0, 0];
    machine.call(1, Call::VcpuRespond, &respond).ok();
    assert_eq!(run(&machine, 1).reason, ExitReason::Budget);
    assert_eq!(machine.log(guest.vm, 4), [Seen::Emulated(0xabcd)]);
    // Off its queue again, it is told of like the others.
    machine.call(0, Call::VcpuDequeue, &[guest.vcpus[4]]).ok();
    send_sgi(&machine, &guest);
    assert_eq!(told(&machine, &guest), guest.vcpus[1..5]);
}

#[test]
fn more_than_an_exit_holds_are_told_of_by_the_next() {
    let machine = Machine::new(Config {
        vcpus: 16,
        ..Config::default()
    });
    let guest = start(&machine, 12);
    for vcpu in &guest.vcpus[1..] {
        machine.call(0, Call::VcpuDequeue, &[*vcpu]).ok();
    }
    send_sgi(&machine, &guest);
    assert_eq!(told(&machine, &guest), guest.vcpus[1..8]);
    // What the host has put on a queue meanwhile is not told of.
    machine
        .call(0, Call::VcpuEnqueue, &[guest.vcpus[9], 1])
        .ok();
    let rest = [8, 10, 11].map(|index| guest.vcpus[index]);
    assert_eq!(told(&machine, &guest), rest);
    assert_eq!(run(&machine, 0).reason, ExitReason::Budget);
}

//! VcpuReady: every parked vCPU that got work is told to the host, and none that can't run.

use crate::common::{Guest, RAM, SHORT, build, hvc, map, run};
use abi::{Call, ExitReason, Status, VcpuHandle, psci, stats};
use engine::sim::{Config, GuestOp, Machine, Seen};
use engine::trace::Event;
use percpu::{CpuId, Residence};

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
    // Another core may be in a call: what is checked between calls is not.
    let reply = machine.call_unchecked(0, Call::CpuRun, &[SHORT]);
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

/// While a call holds a parked vCPU still, an SGI comes for it, or the host is told of one that came
/// before: the call may be refused and leave it parked, and then nobody else would tell.
#[test]
fn a_parked_vcpu_that_a_call_holds_is_told_of() {
    let machine = Machine::new(Config {
        vcpus: 16,
        ..Config::default()
    });
    let guest = start(&machine, 10);
    for vcpu in &guest.vcpus[1..] {
        machine.call(0, Call::VcpuDequeue, &[*vcpu]).ok();
    }
    // A VCPU_RESPOND of core 1's, in the middle.
    let hold = |index: usize| {
        let handle = VcpuHandle::from_raw(guest.vcpus[index]);
        let slot = &machine.engine().vcpus()[usize::from(handle.slot())];
        let core = CpuId::new(1).unwrap();
        slot.residency().hold(handle.generation(), core).unwrap()
    };
    let held = [hold(1), hold(9)];
    send_sgi(&machine, &guest);
    assert_eq!(told(&machine, &guest), guest.vcpus[1..8]);
    let meanwhile = hold(8);
    assert_eq!(told(&machine, &guest), guest.vcpus[8..10]);
    for ticket in held.into_iter().chain([meanwhile]) {
        assert_eq!(ticket.give_back(), Residence::Parked);
    }
    assert_eq!(run(&machine, 0).reason, ExitReason::Budget);
}

/// The exit is one like all others: in the trace, and counted.
#[test]
fn the_exit_is_counted_and_in_the_trace() {
    let machine = Machine::new(Config::default());
    let guest = start(&machine, 2);
    machine.call(0, Call::VcpuDequeue, &[guest.vcpus[1]]).ok();
    send_sgi(&machine, &guest);
    let counter = stats::EXITS_AT + ExitReason::VcpuReady.raw();
    let count = || machine.call(1, Call::StatsRead, &[0, counter]).ok();
    let before = count();
    assert_eq!(told(&machine, &guest), guest.vcpus[1..]);
    assert_eq!(count(), before + 1);
    let slot = VcpuHandle::from_raw(guest.vcpus[0]).slot();
    let exit = (Event::Exit as u64) << 56 | u64::from(slot) << 32 | ExitReason::VcpuReady.raw();
    let mut next = 0;
    let events = std::iter::from_fn(|| {
        let event = machine.call(1, Call::TraceRead, &[0, next]);
        next = event.x[0] + 1;
        (event.status == Status::Success && event.x[0] != 0).then_some(event.x[1])
    });
    assert_eq!(events.filter(|event| *event == exit).count(), 1);
}

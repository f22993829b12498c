//! Answers within a run: what a kick leads to while the guest keeps the core, and what ends its run.

use crate::common::{Guest, RAM, bury, machine, map, play, run, start};
use abi::{Call, Counter, ExitReason, FaultKind, InjectKind, Status};
use engine::sim::{GuestOp, Machine, Seen};
use engine::vcpu::run::SLICE_TICKS;

const SPI: u64 = 40;

/// Has core 1 inject an interrupt into the first vCPU, which core 0 plays, and then do `more`.
fn injected(
    machine: &Machine,
    guest: &Guest,
    more: impl FnOnce(&Machine) + Send + 'static,
) -> GuestOp {
    let (other, vcpu) = (machine.clone(), guest.vcpus[0]);
    GuestOp::Elsewhere(Box::new(move || {
        let edge = [vcpu, SPI, InjectKind::Edge.raw(), 0x80];
        other.call_unchecked(1, Call::VcpuInject, &edge).ok();
        more(&other);
    }))
}

/// A running VM on core 0, whose doorbell is set, with a page at `RAM`.
fn rung(machine: &Machine) -> Guest {
    let guest = start(machine, 1);
    map(machine, &guest, 3, RAM, 1);
    machine.call(0, Call::EngineDoorbell, &[5]).ok();
    guest
}

fn entries(machine: &Machine) -> u64 {
    let counter = Counter::GuestEntries.raw();
    machine.call(0, Call::StatsRead, &[0, counter]).ok()
}

fn listed(seen: &[Seen]) -> Vec<usize> {
    let lists = seen.iter().filter_map(|seen| match seen {
        Seen::Interrupts(lists) => Some(lists.len()),
        _ => None,
    });
    lists.collect()
}

#[test]
fn an_interrupt_from_elsewhere_is_delivered_within_the_run() {
    let machine = machine();
    let guest = rung(&machine);
    let before = entries(&machine);
    let seen = play(
        &machine,
        &guest,
        [
            GuestOp::LookAtInterrupts,
            injected(&machine, &guest, |_| {}),
            GuestOp::LookAtInterrupts,
        ],
    );
    assert_eq!(listed(&seen), [0, 1]);
    assert_eq!(entries(&machine), before + 1, "it was entered anew");
}

/// A vCPU that is handed to the core together with the interrupt has its turn after the first one's slice.
#[test]
fn a_kick_for_another_vcpu_too_ends_the_run() {
    let machine = machine();
    let guest = rung(&machine);
    let next = start(&machine, 1);
    let vcpu = next.vcpus[0];
    machine.call(0, Call::VcpuDequeue, &[vcpu]).ok();
    machine.script(next.vm, 0, [GuestOp::Look]);
    let handed_over = injected(&machine, &guest, move |other| {
        other.call_unchecked(1, Call::VcpuEnqueue, &[vcpu, 0]).ok();
    });
    machine.script(guest.vm, 0, [handed_over]);
    let long = machine.call(0, Call::CpuRun, &[10 * SLICE_TICKS]);
    assert_eq!(long.ok(), ExitReason::Budget.raw());
    let seen = machine.log(next.vm, 0);
    assert!(matches!(seen[..], [Seen::Registers(_)]), "{seen:?}");
}

/// An interrupt that comes with the end of its VM does not keep the vCPU on its core.
#[test]
fn a_kick_of_a_dying_vm_ends_the_run() {
    let machine = machine();
    let guest = rung(&machine);
    let vm = guest.vm;
    let destroyed = injected(&machine, &guest, move |other| {
        other.call_unchecked(1, Call::VmDestroy, &[vm]).ok();
    });
    machine.script(vm, 0, [destroyed, GuestOp::Store(RAM)]);
    assert_eq!(run(&machine, 0).reason, ExitReason::Idle);
    let seen = machine.log(vm, 0);
    let stored = |seen: &Seen| matches!(seen, Seen::Stored(_));
    assert!(!seen.iter().any(stored), "it went on: {seen:?}");
    assert_eq!(bury(&machine, vm, 2), 1);
}

/// An interrupt that comes while the host wants the vCPU off its queue does not keep it on its core.
#[test]
fn a_dequeue_ends_the_run() {
    let machine = machine();
    let guest = rung(&machine);
    let vcpu = guest.vcpus[0];
    let before = entries(&machine);
    let wanted = injected(&machine, &guest, move |other| {
        let told = other.call_unchecked(1, Call::VcpuDequeue, &[vcpu]);
        assert_eq!(told.status, Status::Busy);
    });
    // The next interrupt finds it wanted by nobody.
    play(
        &machine,
        &guest,
        [wanted, injected(&machine, &guest, |_| {}), GuestOp::Look],
    );
    assert_eq!(entries(&machine), before + 2);
}

/// An SError that EL2 finds when an exit has been answered already is told all the same.
#[test]
fn an_serror_behind_an_answer_is_told() {
    let machine = machine();
    let guest = rung(&machine);
    // To itself: answered, and it goes on after the list registers are filled.
    machine.script(guest.vm, 0, [GuestOp::LateSError, GuestOp::SendSgi(1)]);
    let exit = run(&machine, 0);
    assert_eq!(exit.reason, ExitReason::Fault);
    assert_eq!(exit.d[0], FaultKind::SError.raw());
}

/// The host's interrupt, and the end of the turn, are not put off by the guest's own.
#[test]
fn an_interrupt_of_the_host_s_ends_the_run() {
    let machine = machine();
    let guest = rung(&machine);
    let both = [
        injected(&machine, &guest, |_| {}),
        GuestOp::Interrupt,
        GuestOp::Store(RAM),
    ];
    machine.script(guest.vm, 0, both);
    assert_eq!(run(&machine, 0).reason, ExitReason::HostInterrupt);
    let seen = machine.log(guest.vm, 0);
    let stored = |seen: &Seen| matches!(seen, Seen::Stored(_));
    assert!(!seen.iter().any(stored), "it went on: {seen:?}");
}

/// A call that can't be done within the run is judged as if nothing had been tried.
#[test]
fn a_call_that_is_not_done_at_once_is_judged() {
    use crate::common::hvc;
    use abi::smccc;
    let machine = machine();
    let guest = rung(&machine);
    let refused = Seen::Returned([smccc::INVALID_PARAMETER as u64, 0, 0, 0]);
    for function in [smccc::KVM_MEM_SHARE, smccc::KVM_MEM_UNSHARE] {
        for arguments in [[RAM + 8, 0, 0], [RAM, 1, 0], [RAM, 0, 1]] {
            let seen = play(&machine, &guest, [hvc(function, &arguments)]);
            assert_eq!(
                seen,
                std::slice::from_ref(&refused),
                "{function:#x} {arguments:x?}"
            );
        }
    }
}

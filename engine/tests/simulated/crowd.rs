//! More vCPUs on a core than are looked at at once.

use crate::common::{GICR, RAM, shape};
use abi::{Call, ExitReason, InjectKind};
use engine::sim::machine::vmid_of;
use engine::sim::{Config, GuestOp, Machine, Seen, Shape};
use engine::vcpu::run::{LEAST_TURN, SLICE_TICKS};
use std::sync::{Arc, Mutex};

/// VMs of one vCPU each: two looks and some.
const VMS: u64 = 150;
/// Which of them are tried: some of each look.
const TRIED: [usize; 5] = [0, 40, 80, 120, 149];
/// How many are looked at at once.
const AT_ONCE: u64 = 64;
/// Far behind every run.
const FAR: u64 = 1 << 40;
const SPI: u64 = 40;

/// A VM and its vCPU.
#[derive(Clone, Copy)]
struct One {
    vm: u64,
    vcpu: u64,
}

/// A machine whose core 0 has `count` of them queued.
fn crowded(count: u64) -> (Machine, Vec<One>) {
    let machine = Machine::new(Config {
        vms: count as usize,
        vcpus: count as usize,
        pool_pages: 1500,
        ..Config::default()
    });
    let call = |call, arguments: &[u64]| machine.call_unchecked(0, call, arguments).ok();
    let one = |_| {
        let vm = call(Call::VmCreate, &shape(1));
        machine.sim().drop_scripts(vmid_of(vm));
        let vcpu = call(Call::VcpuCreate, &[vm, 0, RAM, 7]);
        call(Call::VmStart, &[vm]);
        call(Call::VcpuEnqueue, &[vcpu, 0]);
        One { vm, vcpu }
    };
    let all = (0..count).map(one).collect();
    (machine, all)
}

fn run(machine: &Machine) -> (ExitReason, u64, u64) {
    let reply = machine.call(0, Call::CpuRun, &[2 * VMS * SLICE_TICKS]);
    let reason = ExitReason::from_raw(reply.ok()).unwrap();
    (reason, reply.x[1], reply.x[2])
}

/// Wherever among them the earliest timer is, the host is told of it when all wait.
#[test]
fn the_earliest_timer_of_many_is_told() {
    for tried in TRIED {
        let (machine, all) = crowded(VMS);
        for (index, one) in all.iter().enumerate() {
            let at = if index == tried { FAR } else { 2 * FAR };
            machine.script(one.vm, 0, [GuestOp::SetTimer(at), GuestOp::Wfi]);
        }
        assert_eq!(run(&machine), (ExitReason::Idle, 0, FAR), "vCPU {tried}");
    }
}

/// Wherever among them the one is that has an interrupt, it has its turn.
#[test]
fn one_of_many_that_is_woken_plays() {
    let (machine, all) = crowded(VMS);
    for one in &all {
        machine.script(one.vm, 0, [GuestOp::EnableInterrupts, GuestOp::Wfi]);
    }
    assert_eq!(run(&machine), (ExitReason::Idle, 0, u64::MAX));
    for tried in TRIED {
        let One { vm, vcpu } = all[tried];
        machine.script(vm, 0, [GuestOp::Look, GuestOp::Wfi]);
        let edge = [vcpu, SPI, InjectKind::Edge.raw(), 0x80];
        machine.call_unchecked(1, Call::VcpuInject, &edge).ok();
        let (reason, ..) = run(&machine);
        assert!(
            matches!(reason, ExitReason::Idle | ExitReason::Budget),
            "{reason:?}"
        );
        let looked = |seen: &Seen| matches!(seen, Seen::Registers(_));
        assert!(machine.log(vm, 0).iter().any(looked), "vCPU {tried}");
    }
}

/// However many there are, each has its turn. Those that are in the mailbox yet when the first play come behind them.
#[test]
fn all_of_many_have_their_turns() {
    for count in [AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE - 1, 2 * AT_ONCE, VMS] {
        let (machine, all) = crowded(count);
        for one in &all {
            machine.script(one.vm, 0, [GuestOp::Look]);
        }
        // A slice each, and second ones of who played while the mailbox was emptied.
        let budget = (count + count / AT_ONCE + 1) * SLICE_TICKS;
        let reply = machine.call(0, Call::CpuRun, &[budget]);
        assert_eq!(reply.ok(), ExitReason::Budget.raw());
        for (index, one) in all.iter().enumerate() {
            let looked = |seen: &Seen| matches!(seen, Seen::Registers(_));
            let has_played = machine.log(one.vm, 0).iter().any(looked);
            assert!(has_played, "vCPU {index} of {count}");
        }
    }
}

/// Looking at many does not keep the host's interrupts waiting for longer than looking at a few.
#[test]
fn between_the_many_interrupts_are_looked_for() {
    let (machine, all) = crowded(VMS);
    for one in &all {
        machine.script(one.vm, 0, [GuestOp::Wfi]);
    }
    assert_eq!(run(&machine).0, ExitReason::Idle);
    let before = machine.sim().looks_for_interrupts(0);
    assert_eq!(run(&machine).0, ExitReason::Idle);
    let looks = machine.sim().looks_for_interrupts(0) - before;
    // Once before each look at some, and in the last round between them.
    let parts = VMS.div_ceil(AT_ONCE);
    assert_eq!(looks, parts + (parts - 1));
}

/// A guest sets its timer a little ahead and waits: whoever has the core meanwhile gets on all the same before that
/// timer ends his turn.
#[test]
fn a_timer_a_little_ahead_leaves_others_a_turn() {
    let (machine, all) = crowded(2);
    let [hasty, other] = all[..] else {
        panic!("two of them")
    };
    // So long that nothing but a timer ends the turn, and a step takes some ticks.
    const STEPS: usize = LEAST_TURN as usize;
    machine.script(other.vm, 0, (0..STEPS).map(|_| GuestOp::EnableInterrupts));
    machine.sim().advance_to(FAR - LEAST_TURN / 8);
    let (got_on, seen) = (Arc::new(Mutex::new(0)), machine.clone());
    let told = got_on.clone();
    let look = move || *told.lock().unwrap() = seen.log(other.vm, 0).len();
    let of_32_bits = Shape {
        size: 2,
        ..Shape::WORD
    };
    // GICR_ISENABLER0.
    let enable_timer = GuestOp::StorePart(GICR + 0x1_0100, of_32_bits, 1 << 27);
    let mut wait = vec![GuestOp::EnableInterrupts, enable_timer];
    wait.extend([GuestOp::SetTimer(FAR), GuestOp::Wfi]);
    wait.push(GuestOp::Elsewhere(Box::new(look)));
    machine.script(hasty.vm, 0, wait);
    let reply = machine.call(0, Call::CpuRun, &[SLICE_TICKS]);
    assert_eq!(reply.ok(), ExitReason::Budget.raw());
    let steps = *got_on.lock().unwrap();
    assert!(steps > 0 && steps < STEPS, "the timer woke nobody: {steps}");
    // What a step of the simulated machine takes.
    let ticks = steps as u64 * 11;
    assert!(ticks >= LEAST_TURN * 3 / 4, "{steps} steps");
}

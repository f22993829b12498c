//! Calls about the engine and the core that makes them.

use super::{FIRMWARE, MMIO, refuse, refuse_each};
use crate::common::{PAGE, machine, run, start};
use abi::{Call, ExitReason, Status};
use engine::sim::GuestOp;

#[test]
fn calls_that_tell() {
    use Status::OutOfRange;
    let machine = machine();
    refuse_each(
        &machine,
        Call::EngineInfo,
        &[0],
        &[(0, 11, OutOfRange), (0, u64::MAX, OutOfRange)],
    );
    let doorbell = [(0, 16, OutOfRange), (0, u64::MAX, OutOfRange)];
    refuse_each(&machine, Call::EngineDoorbell, &[15], &doorbell);
    for bad in [
        0,
        MMIO,
        FIRMWARE + machine.config().ram_pages * PAGE,
        u64::MAX,
    ] {
        refuse(&machine, Call::PageInfo, &[bad], OutOfRange);
    }
    assert_eq!(machine.call(0, Call::PageInfo, &[FIRMWARE]).ok(), 0);
    let census = [
        (1, 0, OutOfRange),
        (1, 2049, OutOfRange),
        (1, u64::MAX, OutOfRange),
        (0, 1, OutOfRange),
        (0, 2047, OutOfRange),
        (1, 1, OutOfRange),
        (1, 511, OutOfRange),
        (1, 513, OutOfRange),
    ];
    refuse_each(&machine, Call::PageCensus, &[0, 2048], &census);
    for past in [machine.config().ram_pages, u64::MAX] {
        assert_eq!(machine.call(0, Call::PageCensus, &[past, 512]).ok(), 0);
    }
    refuse(&machine, Call::TraceRead, &[2, 0], OutOfRange);
    refuse(&machine, Call::TraceRead, &[0, u64::MAX], OutOfRange);
    refuse(&machine, Call::StatsRead, &[u64::MAX, 0], OutOfRange);
    refuse(&machine, Call::StatsRead, &[0, u64::MAX], OutOfRange);
}

#[test]
fn unknown_functions_change_no_other_register() {
    let machine = machine();
    for (imm, function) in [
        (0, 0xc600_01ff),
        (0, 0x8400_0000),
        (0, 0),
        (1, abi::call::VM_CREATE),
    ] {
        let mut x = [0x77; 18];
        x[0] = function;
        machine.hypercall(0, imm, &mut x);
        assert_eq!(x[0] as i64, -1);
        assert!(x[1..].iter().all(|value| *value == 0x77));
    }
}

#[test]
fn an_empty_core_is_idle() {
    let machine = machine();
    assert_eq!(run(&machine, 1).reason, ExitReason::Idle);
    let guest = start(&machine, 1);
    machine.script(guest.vm, 0, [GuestOp::Wfi]);
    assert_eq!(run(&machine, 0).reason, ExitReason::Idle);
    assert_eq!(run(&machine, 1).reason, ExitReason::Idle);
}

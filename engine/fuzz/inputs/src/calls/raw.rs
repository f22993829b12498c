//! One HVC of the host with raw registers, and what must hold after any.

use abi::{ARGUMENT_REGISTERS, CALL_UID, Call, ExitReason, Status, smccc};
use engine::sim::snapshot::Snapshot;
use engine::sim::{Machine, check};

use super::world::{RAM, RAM_SIZE};

/// `HVC #imm` of a core with x0 to x17; everything is checked after it.
///
/// # Panics
/// If something that must hold does not.
pub fn hvc(machine: &Machine, cpu: usize, imm: u16, before: [u64; 18]) -> [u64; 18] {
    // Of one core's calls, since this takes longer than all else: which core makes a call is the input's choice.
    let is_compared = cpu == 0 && machine.is_quiet();
    let snapshot = is_compared.then(|| Snapshot::take(machine));
    let mut x = before;
    machine.hypercall(cpu, imm, &mut x);
    let function = before[0] & 0xffff_ffff;
    let call = Call::from_function_id(function).filter(|_| imm == 0);
    let context = || {
        let name = call.map_or("no call", Call::name);
        format!(
            "{name} {:x?} on core {cpu}: {x:x?}",
            &before[..=ARGUMENT_REGISTERS]
        )
    };
    check::assert_all(machine, &context);
    let Some(call) = call else {
        check_unknown(imm, function, &before, &x);
        if let Some(snapshot) = snapshot {
            snapshot.assert_unchanged(machine, &context);
        }
        return x;
    };
    let status = Status::from_raw(x[0] as i64).expect("x0 is a status");
    if status == Status::Success {
        assert!(
            x[1 + call.results()..].iter().all(|it| *it == 0),
            "{}",
            context()
        );
        if call == Call::CpuRun {
            check_exit(&x);
        }
    } else {
        assert!(x[1..].iter().all(|it| *it == 0), "{}", context());
        if let Some(snapshot) = snapshot
            && !check::may_change_when_refused(call, status)
        {
            snapshot.assert_unchanged(machine, &context);
        }
    }
    x
}

/// What is no call of the engine's leaves all but what SMCCC says as it was.
fn check_unknown(imm: u16, function: u64, before: &[u64; 18], x: &[u64; 18]) {
    let mut expected = *before;
    match (imm, function) {
        (0, smccc::VERSION) => expected[0] = smccc::VERSION_1_2,
        (0, smccc::VENDOR_HYP_CALL_UID) => {
            for (register, word) in expected.iter_mut().zip(CALL_UID) {
                *register = word.into();
            }
        }
        _ => expected[0] = smccc::NOT_SUPPORTED as u64,
    }
    assert_eq!(*x, expected, "registers after what is no call");
}

/// An exit tells what its reason says (docs/interface.md), and no more.
fn check_exit(x: &[u64; 18]) {
    let reason = ExitReason::from_raw(x[1]).expect("a reason");
    let details = &x[3..10];
    let rest = |used: usize| assert!(details[used..].iter().all(|it| *it == 0), "{x:x?}");
    match reason {
        ExitReason::RamFault => {
            assert_eq!(details[0] % 4096, 0, "more of an address than its page");
            assert!((RAM..RAM + RAM_SIZE).contains(&details[0]));
            rest(1);
        }
        ExitReason::MmioRead | ExitReason::MmioWrite => {
            assert!(!(RAM..RAM + RAM_SIZE).contains(&details[0]));
            assert!(matches!(details[1], 1 | 2 | 4 | 8));
            assert_eq!(details[2] >> 1 >> (8 * details[1] - 1), 0);
            rest(if reason == ExitReason::MmioRead { 2 } else { 3 });
        }
        ExitReason::Call | ExitReason::VcpuReady => {}
        ExitReason::PageRelinquished => {
            assert_eq!((details[0] % 4096, details[1] % 4096), (0, 0));
            rest(3);
        }
        ExitReason::HostInterrupt | ExitReason::Budget => {
            assert_eq!(x[2], 0, "a vCPU of no exit");
            rest(0);
        }
        ExitReason::Idle | ExitReason::VcpuOn | ExitReason::LevelEnded | ExitReason::Fault => {
            rest(1)
        }
        _ => rest(0),
    }
}

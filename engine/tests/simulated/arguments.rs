//! Malformed arguments of every call: the documented status, and nothing changes (which the machine
//! checks after each refusal).
//!
//! Scenario 7: a region that is no RAM (MMIO) given as memory. Scenario 8: unaligned and overflowing
//! ranges. Scenario 15: two arguments that name the same page.

use crate::common::{GICR, PAGE, RAM, RAM_SIZE, RWX, build, bury, machine, map, run, shape, start};
use abi::{Call, ExitReason, Status, VmShape};
use engine::sim::{GuestOp, Machine};

const MMIO: u64 = 0x0900_0000;
const FIRMWARE: u64 = 0x4000_0000;
const WRAPS: u64 = !0xfff;

#[track_caller]
fn refuse(machine: &Machine, call: Call, arguments: &[u64], status: Status) {
    let reply = machine.call(1, call, arguments);
    assert_eq!(reply.status, status, "{} {arguments:x?}", call.name());
}

/// Each position of `good` in turn replaced by each of the values listed for it.
fn refuse_each(machine: &Machine, call: Call, good: &[u64], bad: &[(usize, u64, Status)]) {
    for (position, value, status) in bad {
        let mut arguments = good.to_vec();
        arguments[*position] = *value;
        refuse(machine, call, &arguments, *status);
    }
    assert_eq!(
        machine.call(1, call, good).status,
        Status::Success,
        "the good one"
    );
}

#[test]
fn vm_map_and_vm_lend() {
    use Status::{AlreadyMapped, BadHandle, NotOwner, NotRam, OutOfRange, Unaligned};
    let machine = machine();
    let guest = build(&machine, 1);
    map(&machine, &guest, 9, RAM + 9 * PAGE, 1);
    let engine_page = FIRMWARE + 8 * PAGE;
    let fixed = machine.host_page(0) - PAGE;
    let last = FIRMWARE + machine.config().ram_pages * PAGE;
    for call in [Call::VmMap, Call::VmLend] {
        let at = if call == Call::VmMap {
            RAM
        } else {
            RAM + 64 * PAGE
        };
        let good = [
            guest.vm,
            machine.host_page(if call == Call::VmMap { 0 } else { 20 }),
            at,
            2,
            RWX,
        ];
        let bad = [
            (0, 0, BadHandle),
            (0, guest.vm + (1 << 16), BadHandle),
            (0, guest.vm + 1, BadHandle),
            (0, 0xffff, BadHandle),
            (0, u64::MAX, BadHandle),
            (1, machine.host_page(0) + 8, Unaligned),
            (1, 1, Unaligned),
            (1, MMIO, NotRam),
            (1, FIRMWARE, NotRam),
            (1, fixed, NotRam),
            (1, 0, NotRam),
            (1, last, NotRam),
            (1, WRAPS, OutOfRange),
            (1, engine_page, NotOwner),
            (1, machine.host_page(9), NotOwner),
            (2, RAM + 1, Unaligned),
            (2, RAM - PAGE, OutOfRange),
            (2, RAM + RAM_SIZE, OutOfRange),
            (2, RAM + RAM_SIZE - PAGE, OutOfRange),
            (2, GICR, OutOfRange),
            (2, WRAPS, OutOfRange),
            (2, RAM + 9 * PAGE, AlreadyMapped),
            (3, 0, OutOfRange),
            (3, 513, OutOfRange),
            (3, u64::MAX, OutOfRange),
            (4, 0, OutOfRange),
            (4, 2, OutOfRange),
            (4, 8 | RWX, OutOfRange),
            (4, u64::MAX, OutOfRange),
        ];
        refuse_each(&machine, call, &good, &bad);
    }
    // A run that ends past the memory is done up to there.
    let reply = machine.call(
        0,
        Call::VmMap,
        &[guest.vm, last - PAGE, RAM + 200 * PAGE, 4, RWX],
    );
    assert!(
        matches!(reply.status, Status::NotRam | Status::Success),
        "{reply:?}"
    );
    bury(&machine, guest.vm, 2);
}

#[test]
fn vm_unlend() {
    use Status::{BadHandle, NotMapped, NotShared, OutOfRange, Unaligned};
    let machine = machine();
    let guest = build(&machine, 1);
    map(&machine, &guest, 9, RAM + 9 * PAGE, 1);
    machine
        .call(
            0,
            Call::VmLend,
            &[guest.vm, machine.host_page(3), RAM, 2, RWX],
        )
        .ok();
    let bad = [
        (0, guest.vm ^ 1 << 20, BadHandle),
        (1, RAM + 4, Unaligned),
        (1, RAM + RAM_SIZE, OutOfRange),
        (1, WRAPS, OutOfRange),
        (1, RAM + 30 * PAGE, NotMapped),
        (1, RAM + 9 * PAGE, NotShared),
        (2, 0, OutOfRange),
        (2, 513, OutOfRange),
        (2, u64::MAX, OutOfRange),
    ];
    refuse_each(&machine, Call::VmUnlend, &[guest.vm, RAM, 2], &bad);
}

#[test]
fn engine_pages() {
    use Status::{NotOwner, NotRam, OutOfRange, Unaligned};
    let machine = machine();
    let lent = build(&machine, 1);
    machine
        .call(
            0,
            Call::VmLend,
            &[lent.vm, machine.host_page(3), RAM, 1, RWX],
        )
        .ok();
    map(&machine, &lent, 4, RAM + PAGE, 1);
    let bad = [
        (0, machine.host_page(0) + 1, Unaligned),
        (0, MMIO, NotRam),
        (0, FIRMWARE, NotRam),
        (0, machine.host_page(0) - PAGE, NotRam),
        (0, FIRMWARE + 8 * PAGE, NotOwner),
        (0, machine.host_page(3), NotOwner),
        (0, machine.host_page(4), NotOwner),
        (0, WRAPS, OutOfRange),
    ];
    let mut of_n = bad.to_vec();
    of_n.extend([
        (1, 0, OutOfRange),
        (1, 513, OutOfRange),
        (1, u64::MAX, OutOfRange),
    ]);
    refuse_each(
        &machine,
        Call::EngineDonate,
        &[machine.host_page(0), 3],
        &of_n,
    );
    let poison: Vec<_> = bad
        .into_iter()
        .map(|(at, value, status)| (at, value, if value == WRAPS { NotRam } else { status }))
        .collect();
    refuse_each(
        &machine,
        Call::PagePoison,
        &[machine.host_page(12)],
        &poison,
    );
    refuse(
        &machine,
        Call::PagePoison,
        &[machine.host_page(12)],
        NotOwner,
    );
    machine.host_load(0, machine.host_page(12)).unwrap_err();
    let reclaim = [
        (0, 0, OutOfRange),
        (0, 17, OutOfRange),
        (0, u64::MAX, OutOfRange),
    ];
    refuse_each(&machine, Call::EngineReclaim, &[1], &reclaim);
}

#[test]
fn vm_create() {
    use Status::{OutOfRange, Unaligned};
    let machine = machine();
    let of = |vcpus, ipa_bits| {
        VmShape {
            vcpus,
            ipa_bits,
            lendable: 0,
        }
        .raw()
    };
    let bad = [
        (0, of(0, 36), OutOfRange),
        (0, of(65, 36), OutOfRange),
        (0, of(u16::MAX, 36), OutOfRange),
        (0, of(1, 0), OutOfRange),
        (0, of(1, 31), OutOfRange),
        (0, of(1, 41), OutOfRange),
        (0, of(1, u16::MAX), OutOfRange),
        (0, of(1, 36) | 1 << 34, OutOfRange),
        (1, GICR + PAGE, Unaligned),
        (1, RAM, OutOfRange),
        (1, 1 << 36, OutOfRange),
        (1, !0xffff, OutOfRange),
        (2, RAM + 1, Unaligned),
        (2, 1 << 36, OutOfRange),
        (2, WRAPS, OutOfRange),
        (2, GICR, OutOfRange),
        (3, 0, OutOfRange),
        (3, PAGE + 1, Unaligned),
        (3, !0xfff, OutOfRange),
        (4, 1, Unaligned),
        (5, 8, Unaligned),
    ];
    refuse_each(&machine, Call::VmCreate, &shape(1), &bad);
    // Two ranges that overlap each other, or the redistributors.
    let [shape, gicr, ram, size, ..] = shape(1);
    for (ram1, size1) in [(RAM, PAGE), (RAM + RAM_SIZE - PAGE, 2 * PAGE), (GICR, PAGE)] {
        refuse(
            &machine,
            Call::VmCreate,
            &[shape, gicr, ram, size, ram1, size1],
            OutOfRange,
        );
    }
}

#[test]
fn vcpus_and_interrupts() {
    use Status::{BadHandle, BadState, Limit, OutOfRange};
    let machine = machine();
    let guest = build(&machine, 2);
    let create = |affinity, entry| [guest.vm, affinity, entry, 0];
    refuse(&machine, Call::VcpuCreate, &create(2, RAM), Limit);
    refuse(&machine, Call::VcpuEnqueue, &[guest.vcpus[0], 0], BadState);
    let other = build(&machine, 2);
    bury(&machine, other.vm, 1);
    refuse(
        &machine,
        Call::VcpuCreate,
        &[other.vm, 0, RAM, 0],
        BadHandle,
    );
    for stale in [
        0,
        other.vcpus[0],
        other.vcpus[1],
        u64::MAX,
        0xffff,
        1 << 16 | 7,
    ] {
        refuse(&machine, Call::VcpuEnqueue, &[stale, 0], BadHandle);
        refuse(&machine, Call::VcpuDequeue, &[stale], BadHandle);
        refuse(
            &machine,
            Call::VcpuRespond,
            &[stale, 0, 0, 0, 0, 0],
            BadHandle,
        );
        refuse(&machine, Call::VcpuInject, &[stale, 40, 0, 0], BadHandle);
    }
    let third = machine.call(0, Call::VmCreate, &shape(3)).ok();
    for bad in [1 << 24, 1 << 31, 1 << 40, u64::MAX] {
        refuse(
            &machine,
            Call::VcpuCreate,
            &[third, bad, RAM, 0],
            OutOfRange,
        );
    }
    for bad in [RAM + 2, RAM - 4, GICR, 0, RAM + RAM_SIZE, !3] {
        refuse(&machine, Call::VcpuCreate, &[third, 0, bad, 0], OutOfRange);
    }
    machine.call(0, Call::VcpuCreate, &[third, 5, RAM, 0]).ok();
    refuse(&machine, Call::VcpuCreate, &[third, 5, RAM, 0], OutOfRange);
    machine.call(0, Call::VmStart, &[guest.vm]).ok();
    refuse(&machine, Call::VcpuCreate, &create(1, RAM), BadState);
    let [first, second] = guest.vcpus[..] else {
        panic!()
    };
    let enqueue = [
        (1, 2, OutOfRange),
        (1, u64::MAX, OutOfRange),
        (0, second, BadState),
    ];
    refuse_each(&machine, Call::VcpuEnqueue, &[first, 1], &enqueue);
    refuse(&machine, Call::VcpuDequeue, &[second], BadState);
    refuse(
        &machine,
        Call::VcpuRespond,
        &[first, 0, 0, 0, 0, 0],
        BadState,
    );
    refuse(
        &machine,
        Call::VcpuRespond,
        &[first, 0, 0, 0, 0, 2],
        OutOfRange,
    );
    let inject = [
        (1, 31, OutOfRange),
        (1, 1020, OutOfRange),
        (1, u64::MAX, OutOfRange),
        (2, 3, OutOfRange),
        (3, 256, OutOfRange),
    ];
    refuse_each(&machine, Call::VcpuInject, &[first, 32, 0, 0x80], &inject);
}

#[test]
fn calls_that_tell() {
    use Status::OutOfRange;
    let machine = machine();
    refuse_each(
        &machine,
        Call::EngineInfo,
        &[0],
        &[(0, 10, OutOfRange), (0, u64::MAX, OutOfRange)],
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
    ];
    refuse_each(&machine, Call::PageCensus, &[0, 2048], &census);
    for past in [machine.config().ram_pages, u64::MAX] {
        assert_eq!(machine.call(0, Call::PageCensus, &[past, 1]).ok(), 0);
    }
    refuse(&machine, Call::TraceRead, &[2, 0], OutOfRange);
    refuse(&machine, Call::TraceRead, &[0, u64::MAX], OutOfRange);
    refuse(&machine, Call::StatsRead, &[u64::MAX, 0], OutOfRange);
    refuse(&machine, Call::StatsRead, &[0, u64::MAX], OutOfRange);
}

#[test]
fn wrong_phases() {
    use Status::{BadHandle, BadState, OutOfRange};
    let machine = machine();
    let guest = start(&machine, 1);
    refuse(&machine, Call::VmStart, &[guest.vm], BadState);
    refuse(&machine, Call::VmReclaim, &[guest.vm, 1], BadState);
    for max in [0, 65, u64::MAX] {
        refuse(&machine, Call::VmReclaim, &[guest.vm, max], OutOfRange);
    }
    // Scenario 18: nothing is added to a VM that is dying.
    machine.call(0, Call::VmDestroy, &[guest.vm]).ok();
    let page = machine.host_page(5);
    refuse(
        &machine,
        Call::VmMap,
        &[guest.vm, page, RAM, 1, RWX],
        BadState,
    );
    refuse(
        &machine,
        Call::VmLend,
        &[guest.vm, page, RAM, 1, RWX],
        BadState,
    );
    refuse(&machine, Call::VmMapList, &[guest.vm, page, 1], BadState);
    refuse(&machine, Call::VmUnlend, &[guest.vm, RAM, 1], BadState);
    refuse(&machine, Call::VmStart, &[guest.vm], BadState);
    refuse(&machine, Call::VcpuCreate, &[guest.vm, 0, RAM, 0], BadState);
    refuse(&machine, Call::VcpuEnqueue, &[guest.vcpus[0], 0], BadState);
    bury(&machine, guest.vm, 1);
    for call in [Call::VmStart, Call::VmDestroy] {
        refuse(&machine, call, &[guest.vm], BadHandle);
    }
    refuse(&machine, Call::VmReclaim, &[guest.vm, 1], BadHandle);
}

#[test]
fn aliased_arguments() {
    let machine = machine();
    let guest = build(&machine, 1);
    let list = machine.host_page(10);
    let write = |index: u64, pa: u64, target: u64| {
        machine.host_store_raw(0, list + index * 16, pa).unwrap();
        machine
            .host_store_raw(0, list + index * 16 + 8, target)
            .unwrap();
    };
    // One page at two addresses: the second is no longer the host's to give.
    write(0, machine.host_page(20), RAM | RWX);
    write(1, machine.host_page(20), (RAM + PAGE) | RWX);
    let reply = machine.call(0, Call::VmMapList, &[guest.vm, list, 2]);
    assert_eq!((reply.ok(), reply.x[1] as i64), (1, Status::Busy.raw()));
    // Two pages at one address.
    write(0, machine.host_page(21), (RAM + PAGE) | RWX);
    write(1, machine.host_page(22), (RAM + PAGE) | RWX);
    let reply = machine.call(0, Call::VmMapList, &[guest.vm, list, 2]);
    assert_eq!((reply.ok(), reply.x[1] as i64), (1, Status::Busy.raw()));
    // The list itself.
    write(0, list, (RAM + 2 * PAGE) | RWX);
    assert_eq!(
        machine.call(0, Call::VmMapList, &[guest.vm, list, 1]).ok(),
        1
    );
    refuse(
        &machine,
        Call::VmMapList,
        &[guest.vm, list, 1],
        Status::NotOwner,
    );
    refuse(
        &machine,
        Call::VmMapList,
        &[guest.vm, MMIO, 1],
        Status::NotRam,
    );
    refuse(
        &machine,
        Call::VmMapList,
        &[guest.vm, FIRMWARE, 1],
        Status::NotRam,
    );
    refuse(
        &machine,
        Call::VmMapList,
        &[guest.vm, list + 8, 1],
        Status::Unaligned,
    );
    for n in [0, 257, u64::MAX] {
        refuse(
            &machine,
            Call::VmMapList,
            &[guest.vm, list, n],
            Status::OutOfRange,
        );
    }
    // Entries that are wrong in themselves.
    let list = machine.host_page(11);
    let entries = [
        (
            machine.host_page(30) + 1,
            (RAM + 3 * PAGE) | RWX,
            Status::Unaligned,
        ),
        (MMIO, (RAM + 3 * PAGE) | RWX, Status::NotRam),
        (machine.host_page(30), RAM + 3 * PAGE, Status::OutOfRange),
        (
            machine.host_page(30),
            (RAM + 3 * PAGE) | 0xff8 | RWX,
            Status::OutOfRange,
        ),
        (machine.host_page(30), GICR | RWX, Status::OutOfRange),
        (machine.host_page(30), RAM | RWX, Status::AlreadyMapped),
    ];
    for (pa, target, status) in entries {
        machine.host_store_raw(0, list, pa).unwrap();
        machine.host_store_raw(0, list + 8, target).unwrap();
        refuse(&machine, Call::VmMapList, &[guest.vm, list, 1], status);
    }
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

/// What a VM was promised as its own can't be lent to it: the host would keep reading it.
#[test]
fn private_memory_takes_no_lent_pages() {
    let machine = machine();
    let [_, gicr, ram, size, ..] = shape(1);
    let private = VmShape {
        vcpus: 1,
        ipa_bits: 36,
        lendable: 0b10,
    }
    .raw();
    let window = 0x2_0000_0000;
    let create = [private, gicr, ram, size, window, PAGE];
    let vm = machine.call(0, Call::VmCreate, &create).ok();
    let page = machine.host_page(0);
    let lend = |ipa| [vm, page, ipa, 1, RWX];
    refuse(&machine, Call::VmLend, &lend(ram), Status::OutOfRange);
    let lent = machine.call(0, Call::VmLend, &lend(window)).ok();
    assert_eq!(lent, 1);
}

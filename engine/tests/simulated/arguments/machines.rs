//! VMs, vCPUs and their interrupts, and calls in the wrong phase.

use super::{WRAPS, refuse, refuse_each};
use crate::common::{GICR, PAGE, RAM, RAM_SIZE, RWX, build, bury, machine, shape, start};
use abi::{Call, Status, VmShape};

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
fn wrong_phases() {
    use Status::{BadHandle, BadState, OutOfRange};
    let machine = machine();
    let guest = start(&machine, 1);
    refuse(&machine, Call::VmStart, &[guest.vm], BadState);
    refuse(&machine, Call::VmReclaim, &[guest.vm, 1], BadState);
    for max in [0, 513, u64::MAX] {
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

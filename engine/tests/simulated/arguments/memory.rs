//! Pages and runs of pages. Scenario 15: two arguments that name the same page.

use super::{FIRMWARE, MMIO, WRAPS, refuse, refuse_each};
use crate::common::{GICR, PAGE, RAM, RAM_SIZE, RWX, build, bury, machine, map, shape};
use abi::{Call, Status, VmShape, limit};

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
        let (at, most) = if call == Call::VmMap {
            (RAM, limit::MAP_PAGES as u64)
        } else {
            (RAM + 64 * PAGE, limit::RUN_PAGES as u64)
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
            (3, most + 1, OutOfRange),
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

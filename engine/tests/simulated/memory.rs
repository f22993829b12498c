//! Pages changing hands: VM_MAP, VM_MAP_LIST, VM_LEND, VM_UNLEND and the guest's own calls.

use crate::common::{
    PAGE, RAM, RWX, build, hvc, in_full, machine, map, map_run, page_call, play, run, start,
};
use abi::{Call, ExitReason, Status, smccc};
use engine::sim::{Config, GuestOp, Machine, Seen};

#[test]
fn mapped_pages_keep_their_content_and_leave_the_host() {
    let machine = machine();
    let guest = start(&machine, 1);
    let page = machine.host_page(100);
    let value = machine.host_store(1, page).unwrap();
    map(&machine, &guest, 100, RAM, 3);
    machine.host_load(1, page).unwrap_err();
    machine.host_store(0, page + PAGE).unwrap_err();
    let seen = play(&machine, &guest, [GuestOp::Load(RAM), GuestOp::Store(RAM)]);
    assert_eq!(seen[0], Seen::Value(value));
    assert!(matches!(seen[1], Seen::Stored(_)));
    machine.host_load(0, page).unwrap_err();
}

/// The position of the first page of the host's that begins a 2 MiB block.
fn first_block(machine: &Machine) -> u64 {
    (0..512)
        .find(|index| machine.host_page(*index).is_multiple_of(2 << 20))
        .unwrap()
}

#[test]
fn an_aligned_block_is_one_entry() {
    let machine = machine();
    let guest = start(&machine, 1);
    let block = first_block(&machine);
    let free = machine.call(0, Call::EngineInfo, &[7]).ok();
    map(&machine, &guest, block, RAM, 512);
    // The guest's table of level 2; its root is of level 1, and the host's block just goes.
    assert_eq!(machine.call(0, Call::EngineInfo, &[7]).ok(), free - 1);
    let seen = play(&machine, &guest, [GuestOp::Load(RAM + 511 * PAGE)]);
    assert_eq!(seen, [Seen::Value(0)]);
    crate::common::bury(&machine, guest.vm, 1);
}

#[test]
fn a_block_that_the_guest_has_a_part_of_is_mapped_as_far_as_it_goes() {
    let machine = machine();
    let guest = build(&machine, 1);
    let block = first_block(&machine);
    map(&machine, &guest, block + 512, RAM + 100 * PAGE, 1);
    let first = machine.host_page(block);
    let done = map_run(&machine, guest.vm, first, RAM, 512);
    assert_eq!(done, (100, Status::AlreadyMapped.raw()));
    machine.host_load(0, first + 99 * PAGE).unwrap_err();
    machine.host_store(0, first + 100 * PAGE).unwrap();
}

#[test]
fn a_block_with_a_lent_page_is_mapped_up_to_it() {
    let machine = machine();
    let guest = build(&machine, 1);
    let block = first_block(&machine);
    let first = machine.host_page(block);
    let lend = [guest.vm, first + 300 * PAGE, RAM + 0x40_0000, 1, RWX];
    machine.call(0, Call::VmLend, &lend).ok();
    let done = map_run(&machine, guest.vm, first, RAM, 512);
    assert_eq!(done, (300, Status::NotOwner.raw()));
}

#[test]
fn a_block_to_an_unaligned_place_is_mapped_page_by_page() {
    let machine = machine();
    let guest = start(&machine, 1);
    let block = first_block(&machine);
    map(&machine, &guest, block, RAM + PAGE, 512);
    let seen = play(&machine, &guest, [GuestOp::Store(RAM + 512 * PAGE)]);
    assert!(matches!(seen[..], [Seen::Stored(_)]));
}

#[test]
fn lists_are_mapped_in_order_with_their_rights() {
    let machine = machine();
    let guest = start(&machine, 1);
    let list = machine.host_page(10);
    let read_only = 1;
    let entries = [
        (machine.host_page(200), (RAM + 5 * PAGE) | RWX),
        (machine.host_page(90), RAM | read_only),
        (machine.host_page(201), (RAM + PAGE) | RWX),
    ];
    for (index, (pa, target)) in entries.into_iter().enumerate() {
        machine
            .host_store_raw(0, list + index as u64 * 16, pa)
            .unwrap();
        machine
            .host_store_raw(0, list + index as u64 * 16 + 8, target)
            .unwrap();
    }
    let reply = machine.call(1, Call::VmMapList, &[guest.vm, list, 3]);
    assert_eq!((reply.ok(), reply.x[1]), (3, 0));
    let ops = [
        GuestOp::Load(RAM),
        GuestOp::Store(RAM),
        GuestOp::Fetch(RAM),
        GuestOp::Store(RAM + 5 * PAGE),
        GuestOp::Fetch(RAM + PAGE),
    ];
    let seen = play(&machine, &guest, ops);
    assert_eq!(seen[0], Seen::Value(0));
    assert!(matches!(seen[1], Seen::Exception(_)), "{:?}", seen[1]);
    assert!(matches!(seen[2], Seen::Exception(_)), "{:?}", seen[2]);
    assert!(matches!(seen[3], Seen::Stored(_)));
    assert_eq!(seen[4], Seen::Fetched);
}

#[test]
fn a_fault_in_ram_tells_the_page_and_no_more() {
    let machine = machine();
    let guest = start(&machine, 1);
    machine.script(guest.vm, 0, [GuestOp::StoreRaw(RAM + 0x2348, 0x5ec2e7)]);
    let exit = run(&machine, 0);
    assert_eq!(exit.reason, ExitReason::RamFault);
    assert_eq!((exit.vcpu, exit.d), (guest.vcpus[0], [RAM + 0x2000, 0, 0]));
    let respond = machine.call(0, Call::VcpuRespond, &[guest.vcpus[0], 1, 2, 3, 4, 0]);
    assert_eq!(respond.status, Status::BadState);
    map(&machine, &guest, 77, RAM + 0x2000, 1);
    assert_eq!(run(&machine, 0).reason, ExitReason::Budget);
    assert_eq!(machine.log(guest.vm, 0)[0], Seen::Stored(0x5ec2e7));
}

#[test]
fn lent_pages_are_both_sides_and_come_back() {
    let machine = machine();
    let guest = start(&machine, 1);
    let page = machine.host_page(50);
    let lend = |ipa| machine.call(1, Call::VmLend, &[guest.vm, page, ipa, 1, RWX]);
    assert_eq!(lend(RAM).ok(), 1);
    assert_eq!(lend(RAM + 7 * PAGE).ok(), 1);
    let info = machine.call(0, Call::PageInfo, &[page]);
    assert_eq!((info.ok(), info.x[1]), (abi::PageClass::Lent.raw(), 2));
    let seen = play(
        &machine,
        &guest,
        [GuestOp::Store(RAM), GuestOp::Load(RAM + 7 * PAGE)],
    );
    let Seen::Stored(value) = seen[0] else {
        panic!("{seen:?}")
    };
    assert_eq!(seen[1], Seen::Value(value));
    assert_eq!(machine.host_load(1, page), Ok(value));
    // Lent, it is nobody's to give.
    let refused = machine.call(0, Call::VmMap, &[guest.vm, page, RAM + PAGE, 1, RWX]);
    assert_eq!(refused.status, Status::NotOwner);
    assert_eq!(
        machine.call(0, Call::EngineDonate, &[page, 1]).status,
        Status::NotOwner
    );
    assert_eq!(
        machine.call(0, Call::PagePoison, &[page]).status,
        Status::NotOwner
    );
    assert_eq!(machine.call(1, Call::VmUnlend, &[guest.vm, RAM, 1]).ok(), 1);
    let again = machine.call(1, Call::VmUnlend, &[guest.vm, RAM, 1]);
    assert_eq!(again.status, Status::NotMapped);
    machine.script(guest.vm, 0, [GuestOp::Load(RAM)]);
    assert_eq!(run(&machine, 0).reason, ExitReason::RamFault);
    assert_eq!(
        machine
            .call(1, Call::VmUnlend, &[guest.vm, RAM + 7 * PAGE, 1])
            .ok(),
        1
    );
    assert_eq!(
        machine.call(0, Call::PageInfo, &[page]).ok(),
        abi::PageClass::Host.raw()
    );
}

#[test]
fn a_long_loan_is_taken_back() {
    let machine = machine();
    let guest = start(&machine, 1);
    let first = machine.host_page(20);
    let lent = in_full(&machine, Call::VmLend, 200, |done, left| {
        let at = done * PAGE;
        [guest.vm, first + at, RAM + at, left, RWX]
    });
    assert_eq!(lent, (200, 0));
    play(
        &machine,
        &guest,
        (0..200).map(|page| GuestOp::Store(RAM + page * PAGE)),
    );
    let back = in_full(&machine, Call::VmUnlend, 200, |done, left| {
        [guest.vm, RAM + done * PAGE, left]
    });
    assert_eq!(back, (200, 0));
}

#[test]
fn shared_pages_are_the_host_s_too_until_they_are_unshared() {
    let machine = machine();
    let guest = start(&machine, 1);
    map(&machine, &guest, 30, RAM, 4);
    let page = machine.host_page(31);
    page_call(&machine, &guest, smccc::KVM_MEM_SHARE, RAM + PAGE);
    let seen = play(&machine, &guest, [GuestOp::Store(RAM + PAGE)]);
    let Seen::Stored(value) = seen[0] else {
        panic!("{seen:?}")
    };
    assert_eq!(machine.host_load(1, page), Ok(value));
    let answer = machine.host_store(1, page).unwrap();
    machine.host_load(1, machine.host_page(30)).unwrap_err();

    // Sharing twice is refused, as is what is no memory of the guest's.
    let refused = [
        hvc(smccc::KVM_MEM_SHARE, &[RAM + PAGE]),
        hvc(smccc::KVM_MEM_SHARE, &[RAM - PAGE]),
    ];
    for seen in play(&machine, &guest, refused) {
        assert_eq!(
            seen,
            Seen::Returned([smccc::INVALID_PARAMETER as u64, 0, 0, 0])
        );
    }
    page_call(&machine, &guest, smccc::KVM_MEM_UNSHARE, RAM + PAGE);
    machine.host_load(1, page).unwrap_err();
    let seen = play(&machine, &guest, [GuestOp::Load(RAM + PAGE)]);
    assert_eq!(seen[0], Seen::Value(answer));
    let refused = play(
        &machine,
        &guest,
        [hvc(smccc::KVM_MEM_UNSHARE, &[RAM + PAGE])],
    );
    assert_eq!(
        refused,
        [Seen::Returned([smccc::INVALID_PARAMETER as u64, 0, 0, 0])]
    );
}

#[test]
fn relinquished_pages_come_home_zero_out_of_blocks_and_pages() {
    let machine = machine();
    let guest = start(&machine, 1);
    map(&machine, &guest, first_block(&machine), RAM, 512);
    map(&machine, &guest, 5, RAM + (2 << 20), 1);
    for ipa in [RAM + 17 * PAGE, RAM + (2 << 20)] {
        play(
            &machine,
            &guest,
            [GuestOp::Store(ipa), GuestOp::Store(ipa + 0xff8)],
        );
        machine.script(guest.vm, 0, [hvc(smccc::KVM_MEM_RELINQUISH, &[ipa])]);
        let exit = run(&machine, 0);
        assert_eq!(
            (exit.reason, exit.d[0]),
            (ExitReason::PageRelinquished, ipa)
        );
        assert!(machine.sim().ram.is_zero(exit.d[1] >> 12));
        assert_eq!(machine.host_load(1, exit.d[1] + 0xff8), Ok(0));
        machine.script(guest.vm, 0, [GuestOp::Load(ipa)]);
        let exit = run(&machine, 0);
        assert_eq!((exit.reason, exit.d[0]), (ExitReason::RamFault, ipa));
        map(&machine, &guest, 1500 + (ipa >> 12 & 0xff), ipa, 1);
        play(&machine, &guest, []);
    }
}

#[test]
fn what_is_lent_or_shared_is_not_given_back() {
    let machine = machine();
    let guest = start(&machine, 1);
    map(&machine, &guest, 5, RAM, 1);
    let lend = [guest.vm, machine.host_page(6), RAM + PAGE, 1, RWX];
    machine.call(0, Call::VmLend, &lend).ok();
    page_call(&machine, &guest, smccc::KVM_MEM_SHARE, RAM);
    let refused = [RAM, RAM + PAGE].map(|ipa| hvc(smccc::KVM_MEM_RELINQUISH, &[ipa]));
    for seen in &play(&machine, &guest, refused) {
        assert_eq!(
            *seen,
            Seen::Returned([smccc::INVALID_PARAMETER as u64, 0, 0, 0])
        );
    }
    let share_lent = play(&machine, &guest, [hvc(smccc::KVM_MEM_SHARE, &[RAM + PAGE])]);
    assert_eq!(
        share_lent,
        [Seen::Returned([smccc::INVALID_PARAMETER as u64, 0, 0, 0])]
    );
    crate::common::bury(&machine, guest.vm, 2);
}

#[test]
fn everything_works_from_level_0_and_without_range_invalidation() {
    let mut config = Config::default();
    config.features.pa_bits = 48;
    config.features.tlb_range = false;
    config.features.force_write_back = false;
    config.features.icache_by_hand = true;
    let machine = Machine::new(config);
    let guest = start(&machine, 1);
    map(&machine, &guest, first_block(&machine), RAM, 512);
    map(&machine, &guest, 3, RAM + (2 << 20), 20);
    let seen = play(
        &machine,
        &guest,
        [GuestOp::Store(RAM), GuestOp::Load(RAM + (2 << 20))],
    );
    assert_eq!(seen.len(), 2);
    machine.script(
        guest.vm,
        0,
        [hvc(smccc::KVM_MEM_RELINQUISH, &[RAM + 3 * PAGE])],
    );
    assert_eq!(run(&machine, 0).reason, ExitReason::PageRelinquished);
    assert_eq!(crate::common::bury(&machine, guest.vm, 2), 531);
}

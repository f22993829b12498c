//! Bugs that other engines really had, tried here: those that need a TLB to be seen. (7, 8, 15 and
//! 18 are in `arguments`; 10, 17, 22, 26 to 29 in `lifecycle`.)

use crate::common::{
    PAGE, RAM, RWX, build, bury, hvc, in_full, machine, map, page_call, play, run, start,
};
use abi::{Call, ExitReason, Status, smccc};
use engine::sim::{Config, GuestOp, Machine, Seen};

const BLOCK: u64 = 2 << 20;

/// A page of the host's in the middle of a block of its own.
fn inside_block(machine: &Machine) -> u64 {
    (600..1200)
        .find(|index| machine.host_page(*index).is_multiple_of(BLOCK))
        .unwrap()
        + 300
}

/// Scenario 1: on cores with the repeat-TLBI erratum an older store still lands after TLBI and DSB,
/// unless another broadcast follows; before a page is scrubbed, and before it is given away.
#[test]
fn no_late_store_lands_in_a_page_that_changed_hands() {
    let machine = machine();
    assert!(machine.config().features.repeat_tlbi);
    let guest = start(&machine, 1);
    for index in 0..4 {
        machine.host_store(1, machine.host_page(index)).unwrap();
    }
    map(&machine, &guest, 0, RAM, 4);
    machine.sim().land_late_stores();
    play(
        &machine,
        &guest,
        [GuestOp::Store(RAM), GuestOp::Store(RAM + PAGE)],
    );
    machine.script(guest.vm, 0, [hvc(smccc::KVM_MEM_RELINQUISH, &[RAM])]);
    assert_eq!(run(&machine, 0).reason, ExitReason::PageRelinquished);
    machine.sim().land_late_stores();
    bury(&machine, guest.vm, 2);
    machine.sim().land_late_stores();
    machine.call(0, Call::EngineInfo, &[0]).ok();
}

/// Scenario 2: the invalidation is the VM's whose page it is, whichever VM's VTTBR is in force.
#[test]
fn invalidations_name_the_right_vmid() {
    let machine = machine();
    let guest = start(&machine, 1);
    map(&machine, &guest, 0, RAM, 4);
    // Under the guest's VTTBR a page of the host's regime goes away, warm in the other core's TLB.
    page_call(&machine, &guest, smccc::KVM_MEM_SHARE, RAM);
    machine.host_store(1, machine.host_page(0)).unwrap();
    page_call(&machine, &guest, smccc::KVM_MEM_UNSHARE, RAM);
    // Under the host's VTTBR one of the guest's.
    machine
        .call(
            0,
            Call::VmLend,
            &[guest.vm, machine.host_page(9), RAM + 9 * PAGE, 1, RWX],
        )
        .ok();
    play(&machine, &guest, [GuestOp::Store(RAM + 9 * PAGE)]);
    machine
        .call(1, Call::VmUnlend, &[guest.vm, RAM + 9 * PAGE, 1])
        .ok();
}

/// Scenario 6: each side's state is checked before sharing ends or begins.
#[test]
fn both_sides_states_are_checked() {
    let machine = machine();
    let (guest, other) = (start(&machine, 1), build(&machine, 1));
    map(&machine, &guest, 0, RAM, 1);
    let lend = |vm, ipa| machine.call(0, Call::VmLend, &[vm, machine.host_page(5), ipa, 1, RWX]);
    lend(guest.vm, RAM + PAGE).ok();
    // Lent to one, it is not lent to another; what is a guest's is not lent back to it.
    assert_eq!(lend(other.vm, RAM).status, Status::NotOwner);
    let own = [guest.vm, machine.host_page(0), RAM + 2 * PAGE, 1, RWX];
    assert_eq!(machine.call(0, Call::VmLend, &own).status, Status::NotOwner);
    // The guest neither shares nor unshares what is lent to it; the host doesn't unlend its RAM.
    let refused = Seen::Returned([smccc::INVALID_PARAMETER as u64, 0, 0, 0]);
    for function in [smccc::KVM_MEM_SHARE, smccc::KVM_MEM_UNSHARE] {
        assert_eq!(
            play(&machine, &guest, [hvc(function, &[RAM + PAGE])]),
            std::slice::from_ref(&refused)
        );
    }
    assert_eq!(
        machine.call(0, Call::VmUnlend, &[guest.vm, RAM, 1]).status,
        Status::NotShared
    );
    assert_eq!(
        machine.call(0, Call::VmUnlend, &[other.vm, RAM, 1]).status,
        Status::NotMapped
    );
    // Shared by the guest, it is the host's to use and no more.
    page_call(&machine, &guest, smccc::KVM_MEM_SHARE, RAM);
    let shared = machine.host_page(0);
    machine.host_store(1, shared).unwrap();
    for call in [Call::VmMap, Call::VmLend] {
        let reply = machine.call(0, call, &[other.vm, shared, RAM, 1, RWX]);
        assert_eq!(reply.status, Status::NotOwner);
    }
    assert_eq!(
        machine.call(0, Call::EngineDonate, &[shared, 1]).status,
        Status::NotOwner
    );
    bury(&machine, guest.vm, 2);
    assert_eq!(machine.host_load(1, shared), Ok(0));
}

/// Scenarios 11 and 12: a block is taken apart by break-before-make, over the whole block, so that
/// no core keeps it; then each page goes by itself.
#[test]
fn blocks_are_split_where_they_are() {
    for tlb_range in [false, true] {
        let mut config = Config::default();
        config.features.tlb_range = tlb_range;
        let machine = Machine::new(config);
        let guest = start(&machine, 1);
        let index = inside_block(&machine);
        machine
            .host_store(1, machine.host_page(index - 300))
            .unwrap();
        machine
            .host_store(1, machine.host_page(index + 100))
            .unwrap();
        map(&machine, &guest, index, RAM, 1);
        map(&machine, &guest, index + 100, RAM + PAGE, 3);
        // A guest's own block.
        map(&machine, &guest, index - 300 + 512, RAM + BLOCK, 512);
        play(
            &machine,
            &guest,
            [
                GuestOp::Store(RAM + BLOCK),
                GuestOp::Store(RAM + 2 * BLOCK - 8),
            ],
        );
        for ipa in [RAM + 2 * BLOCK - PAGE, RAM + BLOCK] {
            machine.script(guest.vm, 0, [hvc(smccc::KVM_MEM_RELINQUISH, &[ipa])]);
            assert_eq!(run(&machine, 0).reason, ExitReason::PageRelinquished);
        }
        assert_eq!(bury(&machine, guest.vm, 2), 4 + 510);
    }
}

/// Scenario 11, one level up: 1 GiB blocks.
#[test]
fn gigabyte_blocks_are_split_twice() {
    let machine = Machine::new(Config {
        ram_pages: 3 << 18,
        ..Config::default()
    });
    let guest = build(&machine, 1);
    let index = (1 << 30 | 0x4000_0000 | 0x1234_5000_u64) - machine.host_page(0);
    assert_eq!(machine.host_page(index / PAGE), 0x5234_5000);
    map(&machine, &guest, index / PAGE, RAM, 1);
    let middle = (0x8000_0000 + 5 * BLOCK - machine.host_page(0)) / PAGE;
    map(&machine, &guest, middle, RAM + BLOCK, 512);
    map(&machine, &guest, middle + 700, RAM + PAGE, 2);
    machine.host_load(1, 0x8000_0000 + 5 * BLOCK).unwrap_err();
    machine.host_store(1, 0x8000_0000 + 4 * BLOCK).unwrap();
}

/// Scenario 13: every page of a batch is unmapped, flushed and scrubbed, not the first only.
#[test]
fn every_page_of_a_batch_is_done() {
    let machine = machine();
    let guest = start(&machine, 1);
    for index in 0..100 {
        machine.host_store(1, machine.host_page(index * 3)).unwrap();
    }
    let list = machine.host_page(500);
    let listed = in_full(&machine, Call::VmMapList, 100, |done, left| {
        for index in 0..left {
            let (entry, number) = (list + index * 16, done + index);
            let page = machine.host_page(number * 3);
            machine.host_store_raw(0, entry, page).unwrap();
            let target = (RAM + number * 7 * PAGE) | RWX;
            machine.host_store_raw(0, entry + 8, target).unwrap();
        }
        [guest.vm, list, left]
    });
    assert_eq!(listed, (100, 0));
    play(
        &machine,
        &guest,
        (0..100).map(|index| GuestOp::Store(RAM + index * 7 * PAGE + 4088)),
    );
    assert_eq!(bury(&machine, guest.vm, 2), 100);
    for index in 0..100 {
        assert_eq!(
            machine.host_load(0, machine.host_page(index * 3) + 4088),
            Ok(0)
        );
    }
}

/// Scenario 19: an entry that is unmapped is gone from the tables, whatever software keeps.
#[test]
fn nothing_valid_is_left_behind() {
    let machine = machine();
    let guest = start(&machine, 1);
    for round in 0..3 {
        let lend = [guest.vm, machine.host_page(round), RAM, 1, RWX];
        machine.call(0, Call::VmLend, &lend).ok();
        play(&machine, &guest, [GuestOp::Store(RAM)]);
        machine.call(1, Call::VmUnlend, &[guest.vm, RAM, 1]).ok();
        machine.script(guest.vm, 0, [GuestOp::Load(RAM)]);
        assert_eq!(run(&machine, 0).reason, ExitReason::RamFault);
        machine.call(0, Call::VmLend, &lend).ok();
        play(&machine, &guest, []);
        machine.call(1, Call::VmUnlend, &[guest.vm, RAM, 1]).ok();
    }
}

/// Scenario 21: counts of lent pages survive loans that end in part.
#[test]
fn partial_unlending_keeps_the_count() {
    let machine = machine();
    let guest = build(&machine, 1);
    for ipa in [RAM, RAM + 3 * PAGE, RAM + 7 * PAGE] {
        let lend = [guest.vm, machine.host_page(5), ipa, 3, RWX];
        assert_eq!(machine.call(0, Call::VmLend, &lend).ok(), 3);
    }
    // A page that is taken back twice ends the batch, and so does the hole at RAM + 6 pages.
    let unlend = |from, n| {
        let reply = machine.call(0, Call::VmUnlend, &[guest.vm, RAM + from * PAGE, n]);
        (reply.ok(), reply.x[1] as i64)
    };
    assert_eq!(unlend(1, 9), (3, Status::Busy.raw()));
    assert_eq!(unlend(4, 6), (2, Status::NotMapped.raw()));
    let info = |index| {
        machine
            .call(0, Call::PageInfo, &[machine.host_page(index)])
            .x[1]
    };
    assert_eq!([info(5), info(6), info(7)], [2, 1, 1]);
    assert_eq!(bury(&machine, guest.vm, 2), 0);
    assert_eq!([info(5), info(6), info(7)], [0; 3]);
}

/// Scenario 30: no memory of the engine's is in anybody's reach.
#[test]
fn the_engine_s_memory_is_out_of_reach() {
    let machine = machine();
    let guest = start(&machine, 1);
    let first = 0x4000_0000 + 8 * PAGE;
    for page in 0..machine.config().pool_pages + 8 {
        machine
            .host_store(page as usize % 2, first + page * PAGE)
            .unwrap_err();
        let steal = [guest.vm, first + page * PAGE, RAM, 1, RWX];
        assert_eq!(
            machine.call(0, Call::VmMap, &steal).status,
            Status::NotOwner
        );
    }
    for page in 0..8 {
        machine.host_load(0, 0x4000_0000 + page * PAGE).unwrap_err();
    }
}

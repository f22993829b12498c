//! Memory in granules: what is given as one piece is one entry, what was split becomes whole again.

use crate::common::{PAGE, RAM, RWX, bury, let_rest, map, play, reclaim_some, start};
use crate::reserve::{block, free_pages};
use abi::{Call, Counter, Status, VmShape};
use engine::sim::{Config, GuestOp, Machine, Seen};

const BLOCK: u64 = 2 << 20;
const BLOCK_PAGES: u64 = 512;
const GIB: u64 = 1 << 30;
const GIB_PAGES: u64 = GIB / PAGE;

/// A machine whose second GiB is the host's as a whole.
fn large(resize_in_place: bool) -> Machine {
    let mut config = Config {
        ram_pages: 2 * GIB_PAGES + 1024,
        ..Config::default()
    };
    config.features.resize_in_place = resize_in_place;
    Machine::new(config)
}

/// The address of that GiB.
fn whole_gib(machine: &Machine) -> u64 {
    machine.host_page(0).next_multiple_of(GIB)
}

/// A VM with so much memory from `ram` on.
pub(crate) fn vm_with(machine: &Machine, ram: u64, bytes: u64) -> u64 {
    let shape = VmShape {
        vcpus: 1,
        ipa_bits: 36,
        lendable: 0b1,
    };
    let vm_create = [shape.raw(), 0x0800_0000, ram, bytes, 0, 0];
    machine.call(0, Call::VmCreate, &vm_create).ok()
}

/// Brings a VM home; on a large machine everything is checked at the end alone.
fn bury_large(machine: &Machine, vm: u64) {
    machine.call_unchecked(0, Call::VmDestroy, &[vm]);
    bury_rest(machine, vm);
}

/// Areas rest until those that became blocks are a GiB: one step a look.
fn let_rest_often(machine: &Machine) {
    for _ in 0..4 {
        let_rest(machine);
    }
}

/// What is left of that.
fn bury_rest(machine: &Machine, vm: u64) {
    let most = abi::limit::RECLAIM_PAGES as u64;
    while machine.call_unchecked(1, Call::VmReclaim, &[vm, most]).x[1] != 1 {}
    machine.call(0, Call::EngineInfo, &[0]).ok();
}

pub(crate) use crate::common::map_run as vm_map;

/// One VM_MAP.
fn one_map(machine: &Machine, vm: u64, pa: u64, ipa: u64, n: u64) -> (u64, i64) {
    let reply = machine.call(0, Call::VmMap, &[vm, pa, ipa, n, RWX]);
    (reply.ok(), reply.x[1] as i64)
}

/// Sizes of leaves that translate something of `bytes` from `address` on, each with how many.
pub(crate) fn sizes(
    leaves: &[engine::sim::tlb::Translation],
    address: u64,
    bytes: u64,
) -> Vec<(u64, usize)> {
    let (first, end) = (address / PAGE, (address + bytes) / PAGE);
    let mut sizes = std::collections::BTreeMap::new();
    for leaf in leaves {
        if leaf.ipa_page < end && first < leaf.ipa_page + leaf.pages {
            *sizes.entry(leaf.pages).or_insert(0) += 1;
        }
    }
    sizes.into_iter().collect()
}

#[test]
fn a_gib_is_one_entry_and_one_word() {
    for in_place in [false, true] {
        let machine = large(in_place);
        let (gib, before) = (whole_gib(&machine), machine.host_leaves());
        assert_eq!(sizes(&before, gib, GIB), [(GIB_PAGES, 1)]);
        let vm = vm_with(&machine, GIB, 2 * GIB);
        let flushes = |machine: &Machine| {
            machine.counted(Counter::FlushPage) + machine.counted(Counter::FlushVm)
        };
        let flushed = flushes(&machine);
        assert_eq!(one_map(&machine, vm, gib, GIB, GIB_PAGES), (GIB_PAGES, 0));
        assert_eq!(flushes(&machine), flushed + 1, "one flush for all of it");
        assert_eq!(sizes(&machine.guest_leaves(vm), GIB, GIB), [(GIB_PAGES, 1)]);
        assert_eq!(sizes(&machine.host_leaves(), gib, GIB), []);
        machine.host_load(1, gib + 77 * PAGE).unwrap_err();
        bury_large(&machine, vm);
        // The host's first touch has a block again, and a while later all of it.
        machine.host_store(1, gib + 5 * BLOCK).unwrap();
        assert_eq!(sizes(&machine.host_leaves(), gib, GIB), [(BLOCK_PAGES, 1)]);
        let_rest_often(&machine);
        assert_eq!(sizes(&machine.host_leaves(), gib, GIB), [(GIB_PAGES, 1)]);
        assert_eq!(machine.host_leaves().len(), before.len());
    }
}

/// A GiB comes home piece by piece: the host maps a piece without memory, though others are not home.
#[test]
fn a_piece_of_a_gib_is_mapped_without_memory() {
    let machine = large(false);
    let gib = whole_gib(&machine);
    let vm = vm_with(&machine, GIB, GIB);
    assert_eq!(vm_map(&machine, vm, gib, GIB, GIB_PAGES), (GIB_PAGES, 0));
    machine.call(0, Call::VmDestroy, &[vm]).ok();
    reclaim_some(&machine, vm, 1, BLOCK_PAGES);
    let free = free_pages(&machine);
    machine.host_store(0, gib).unwrap();
    machine.host_load(1, gib + GIB - PAGE).unwrap_err();
    assert_eq!(free_pages(&machine), free, "a table was made");
    bury_rest(&machine, vm);
}

#[test]
fn a_gib_to_a_place_that_only_blocks_fit_is_blocks() {
    let machine = large(false);
    let gib = whole_gib(&machine);
    let vm = vm_with(&machine, GIB, 2 * GIB);
    let to = GIB + 3 * BLOCK;
    assert_eq!(vm_map(&machine, vm, gib, to, GIB_PAGES), (GIB_PAGES, 0));
    let blocks = (BLOCK_PAGES, 512);
    assert_eq!(sizes(&machine.guest_leaves(vm), to, GIB), [blocks]);
    bury_large(&machine, vm);
    machine.host_load(0, gib).unwrap();
    let_rest_often(&machine);
    assert_eq!(sizes(&machine.host_leaves(), gib, GIB), [(GIB_PAGES, 1)]);
}

#[test]
fn a_run_is_done_in_the_largest_pieces_and_in_calls_of_bounded_work() {
    let machine = large(false);
    let gib = whole_gib(&machine);
    let vm = vm_with(&machine, GIB, 2 * GIB);
    // From three pages before a block to two behind another.
    let (first, n) = (gib + BLOCK - 3 * PAGE, 3 + 2 * BLOCK_PAGES + 2);
    let done = vm_map(&machine, vm, first, GIB + BLOCK - 3 * PAGE, n);
    assert_eq!(done, (n, 0));
    let leaves = machine.guest_leaves(vm);
    assert_eq!(sizes(&leaves, GIB, GIB), [(1, 5), (BLOCK_PAGES, 2)]);
    // Of what can only be mapped page by page one call does a part of a table, and one behind the other does all.
    let (from, to) = (gib + 8 * BLOCK, GIB + 20 * BLOCK + PAGE);
    let (done, reason) = one_map(&machine, vm, from, to, 2000);
    assert!(
        (16..BLOCK_PAGES).contains(&done) && reason == 0,
        "{done} pages"
    );
    let at = done * PAGE;
    let rest = vm_map(&machine, vm, from + at, to + at, 2000 - done);
    assert_eq!(rest, (2000 - done, 0));
    // Of whole blocks it does more, but not as many as there are.
    let (from, to) = (gib + 40 * BLOCK, GIB + 60 * BLOCK);
    let (done, reason) = one_map(&machine, vm, from, to, 100 * BLOCK_PAGES);
    assert!(done.is_multiple_of(BLOCK_PAGES) && reason == 0);
    assert!((4..100).contains(&(done / BLOCK_PAGES)), "{done} pages");
    bury_large(&machine, vm);
}

/// Blocks that were given in pieces and came home as blocks have tables to go through: a call goes
/// through a few.
#[test]
fn tables_of_pages_under_blocks_are_work_too() {
    let machine = large(false);
    let gib = whole_gib(&machine);
    let vm = vm_with(&machine, GIB, 2 * GIB);
    for block in 0..5 {
        let at = block * BLOCK;
        let done = vm_map(&machine, vm, gib + at, GIB + at + PAGE, BLOCK_PAGES);
        assert_eq!(done, (BLOCK_PAGES, 0));
    }
    bury_large(&machine, vm);
    let vm = vm_with(&machine, GIB, 2 * GIB);
    for block in 0..5 {
        let at = block * BLOCK;
        let done = vm_map(&machine, vm, gib + at, GIB + at, BLOCK_PAGES);
        assert_eq!(done, (BLOCK_PAGES, 0));
    }
    bury_large(&machine, vm);
    let vm = vm_with(&machine, GIB, 2 * GIB);
    // One table, and not another one, a call.
    let mut at = 0;
    for _ in 0..4 {
        let (done, reason) = one_map(&machine, vm, gib + at, GIB + at, (GIB - at) / PAGE);
        assert_eq!((done, reason), (BLOCK_PAGES, 0));
        at += done * PAGE;
    }
    let rest = (GIB - at) / PAGE;
    assert_eq!(vm_map(&machine, vm, gib + at, GIB + at, rest), (rest, 0));
    bury_large(&machine, vm);
}

/// A batch stops at what it can't have, wherever that is, and tells why.
#[test]
fn a_gib_with_a_page_missing_is_mapped_up_to_it() {
    let machine = large(false);
    let gib = whole_gib(&machine);
    let vm = vm_with(&machine, GIB, 2 * GIB);
    let missing = 7 * BLOCK_PAGES + 9;
    assert_eq!(
        vm_map(&machine, vm, gib + missing * PAGE, 2 * GIB, 1),
        (1, 0)
    );
    let done = vm_map(&machine, vm, gib, GIB, GIB_PAGES);
    assert_eq!(done, (missing, Status::NotOwner.raw()));
    let leaves = machine.guest_leaves(vm);
    assert_eq!(sizes(&leaves, GIB, GIB), [(1, 9), (BLOCK_PAGES, 7)]);
    bury_large(&machine, vm);
}

#[test]
fn without_forced_write_back_a_call_takes_no_more_than_it_can_clean() {
    let mut config = Config {
        ram_pages: 4 * BLOCK_PAGES + 2048,
        ..Config::default()
    };
    config.features.force_write_back = false;
    let machine = Machine::new(config);
    let vm = vm_with(&machine, GIB, GIB);
    let first = block(&machine, 0);
    let done = one_map(&machine, vm, first, GIB, 2 * BLOCK_PAGES);
    assert_eq!(done, (BLOCK_PAGES, Status::Success.raw()));
    bury(&machine, vm, 1);
}

/// Donated, home, and donated again before the host touched it: nobody has to be told.
#[test]
fn what_the_host_did_not_touch_is_donated_without_a_broadcast() {
    let machine = crate::common::machine();
    let first = block(&machine, 1);
    let broadcasts =
        |machine: &Machine| machine.counted(Counter::FlushPage) + machine.counted(Counter::FlushVm);
    // Of a touched run the one page, of a touched block all.
    for (n, untouched) in [(1, 0), (40, 39), (BLOCK_PAGES, 0)] {
        let give = || {
            let vm = vm_with(&machine, GIB, GIB);
            let before = (
                broadcasts(&machine),
                machine.counted(Counter::PagesDonatedLazily),
            );
            assert_eq!(vm_map(&machine, vm, first, GIB, n), (n, 0));
            let told = broadcasts(&machine) - before.0;
            let lazily = machine.counted(Counter::PagesDonatedLazily) - before.1;
            bury(&machine, vm, 2);
            (told, lazily)
        };
        give();
        assert_eq!(give(), (0, n), "{n} pages");
        machine.host_store(0, first).unwrap();
        let (told, lazily) = give();
        assert!(told > 0, "{n} pages, touched");
        assert_eq!(lazily, untouched, "{n} pages, touched");
        machine.host_store(1, first).unwrap();
    }
}

/// A page that comes and goes leaves its block in pieces for as long as it does.
#[test]
fn a_page_that_comes_and_goes_splits_its_block_once() {
    let machine = crate::common::machine();
    let page = block(&machine, 1) + 9 * PAGE;
    let splits = machine.counted(Counter::HostSplits);
    for _ in 0..20 {
        let vm = vm_with(&machine, GIB, GIB);
        assert_eq!(vm_map(&machine, vm, page, GIB, 1), (1, 0));
        bury(&machine, vm, 2);
        machine.host_store(0, page).unwrap();
    }
    assert_eq!(machine.counted(Counter::HostSplits), splits + 1);
    assert_eq!(machine.counted(Counter::HostJoins), 0);
    let_rest(&machine);
    assert_eq!(machine.counted(Counter::HostJoins), 1);
}

/// Two areas that take turns rest like one.
#[test]
fn pages_that_come_and_go_in_turns_split_their_blocks_once() {
    let machine = crate::common::machine();
    let pages = [0, 1, 2].map(|n| block(&machine, n) + 9 * PAGE);
    let splits = machine.counted(Counter::HostSplits);
    for turn in 0..30 {
        let vm = vm_with(&machine, GIB, GIB);
        let page = pages[turn % pages.len()];
        machine
            .call_unchecked(0, Call::VmMap, &[vm, page, GIB, 1, RWX])
            .ok();
        bury_large(&machine, vm);
        machine.host_store(0, page).unwrap();
    }
    assert_eq!(machine.counted(Counter::HostSplits), splits + 3);
    assert_eq!(machine.counted(Counter::HostJoins), 0);
}

/// Where the words of a mapped block were taken apart, for a list that was read, they become one again.
#[test]
fn words_under_a_block_are_folded_again() {
    let machine = large(false);
    let gib = whole_gib(&machine);
    let vm = vm_with(&machine, GIB, 2 * GIB);
    let list = gib + 100 * BLOCK;
    machine.host_store_raw(0, list, gib + 7 * BLOCK).unwrap();
    machine.host_store_raw(0, list + 8, GIB | RWX).unwrap();
    machine.call(0, Call::VmMapList, &[vm, list, 1]).ok();
    bury_large(&machine, vm);
    machine.host_store(0, gib + 7 * BLOCK).unwrap();
    let_rest_often(&machine);
    assert_eq!(sizes(&machine.host_leaves(), gib, GIB), [(GIB_PAGES, 1)]);
    let vm = vm_with(&machine, GIB, 2 * GIB);
    assert_eq!(vm_map(&machine, vm, gib, GIB, GIB_PAGES), (GIB_PAGES, 0));
    bury_large(&machine, vm);
}

/// A listed page that can't be had leaves the host's block whole.
#[test]
fn a_refused_list_splits_nothing() {
    let machine = crate::common::machine();
    let vm = vm_with(&machine, GIB, GIB);
    let (list, page) = (machine.host_page(3), block(&machine, 1));
    assert_eq!(vm_map(&machine, vm, machine.host_page(5), GIB, 1), (1, 0));
    machine.host_store_raw(0, list, page).unwrap();
    machine.host_store_raw(0, list + 8, GIB | RWX).unwrap();
    let splits = machine.counted(Counter::HostSplits);
    let refused = machine.call(0, Call::VmMapList, &[vm, list, 1]);
    assert_eq!(refused.status, Status::AlreadyMapped);
    assert_eq!(machine.counted(Counter::HostSplits), splits);
}

/// Memory ends: what is before its end is given.
#[test]
fn a_run_over_the_end_of_memory_is_mapped_up_to_it() {
    let machine = crate::common::machine();
    let vm = vm_with(&machine, GIB, GIB);
    let pages = machine.config().ram_pages - machine.first_host_page();
    let first = machine.host_page(pages - 100);
    let done = vm_map(&machine, vm, first, GIB, 200);
    assert_eq!(done, (100, Status::NotRam.raw()));
}

/// A TLB conflict abort, which FEAT_BBM level 2 permits, ends with the regime's entries gone.
#[test]
fn a_tlb_conflict_is_flushed_and_tried_again() {
    let machine = large(true);
    let address = machine.host_page(3);
    let conflicts = machine.counted(Counter::TlbConflicts);
    machine.host_conflict(0, address);
    assert_eq!(machine.counted(Counter::TlbConflicts), conflicts + 1);
    machine.host_store(0, address).unwrap();

    let guest = start(&machine, 1);
    map(&machine, &guest, 5, RAM, 1);
    let ops = [GuestOp::TlbConflict(RAM), GuestOp::Load(RAM)];
    assert_eq!(play(&machine, &guest, ops), [Seen::Value(0)]);
    assert_eq!(machine.counted(Counter::TlbConflicts), conflicts + 2);
}

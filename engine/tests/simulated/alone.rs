//! Pages that come home, or become the host's to reach, alone out of a block that was given whole: the
//! host maps them though no memory is left for a table.

use crate::common::{PAGE, RAM, RWX, bury, hvc, let_rest, map, page_call, play, run, start};
use crate::granules::{sizes, vm_map, vm_with};
use crate::reserve::{block, empty_pool, small};
use abi::{Call, ExitReason, smccc};
use engine::sim::{GuestOp, Machine, Seen};

const BLOCK: u64 = 2 << 20;
const BLOCK_PAGES: u64 = 512;
const GIB: u64 = 1 << 30;

/// The guest shares one page of a block that came from the host whole: the host maps that page
/// though no memory is left.
#[test]
fn a_shared_page_is_mapped_without_memory() {
    let machine = small(48);
    let guest = start(&machine, 1);
    let page = block(&machine, 1);
    let index = (page - machine.host_page(0)) / PAGE;
    map(&machine, &guest, index, RAM, BLOCK_PAGES);
    page_call(&machine, &guest, smccc::KVM_MEM_SHARE, RAM + 3 * PAGE);
    empty_pool(&machine);
    use_up_reserve(&machine);
    machine.host_load(0, page + 3 * PAGE).unwrap();
    machine.host_load(0, page + 4 * PAGE).unwrap_err();
}

/// A page comes home alone out of a block that was given whole.
#[test]
fn a_relinquished_page_is_mapped_without_memory() {
    let machine = small(48);
    let guest = start(&machine, 1);
    let page = block(&machine, 1);
    let index = (page - machine.host_page(0)) / PAGE;
    map(&machine, &guest, index, RAM, BLOCK_PAGES);
    let call = hvc(smccc::KVM_MEM_RELINQUISH, &[RAM + 9 * PAGE]);
    machine.script(guest.vm, 0, [call]);
    assert_eq!(run(&machine, 0).reason, ExitReason::PageRelinquished);
    empty_pool(&machine);
    use_up_reserve(&machine);
    assert_eq!(machine.host_load(0, page + 9 * PAGE), Ok(0));
}

/// A page is given up out of such a block while there is memory for one table of two: the guest's block stays one, so that no
/// page of it comes home alone to a host that has no table for it.
#[test]
fn a_block_is_not_split_before_the_host_s_table_is_there() {
    let machine = small(48);
    let guest = start(&machine, 1);
    let page = block(&machine, 1);
    let index = (page - machine.host_page(0)) / PAGE;
    map(&machine, &guest, index, RAM, BLOCK_PAGES);
    let donate = |nth: u64| {
        let page = block(&machine, 2) + nth * PAGE;
        machine.call(0, Call::EngineDonate, &[page, 1]).ok();
    };
    // From here on such a donation needs no table itself.
    donate(0);
    empty_pool(&machine);
    let call = hvc(smccc::KVM_MEM_RELINQUISH, &[RAM + 9 * PAGE]);
    machine.script(guest.vm, 0, [call]);
    let mut donated = 0;
    while run(&machine, 0).reason == ExitReason::PoolEmpty {
        let leaves = machine.guest_leaves(guest.vm);
        assert_eq!(sizes(&leaves, RAM, BLOCK), [(BLOCK_PAGES, 1)]);
        donated += 1;
        donate(donated);
    }
    assert!((2..20).contains(&donated), "{donated} pages are asked for");
    use_up_reserve(&machine);
    assert_eq!(machine.host_load(0, page + 9 * PAGE), Ok(0));
}

/// A block came home whole and untouched, and one page of it is lent.
#[test]
fn a_lent_page_and_those_beside_it_are_mapped_without_memory() {
    let machine = small(48);
    let (guest, other) = (start(&machine, 1), vm_with(&machine, GIB, GIB));
    let page = block(&machine, 1);
    assert_eq!(
        vm_map(&machine, other, page, GIB, BLOCK_PAGES),
        (BLOCK_PAGES, 0)
    );
    bury(&machine, other, 1);
    let lend = [guest.vm, page + 5 * PAGE, RAM, 1, RWX];
    machine.call(0, Call::VmLend, &lend).ok();
    empty_pool(&machine);
    use_up_reserve(&machine);
    for index in [5, 6, 511] {
        machine.host_load(0, page + index * PAGE).unwrap();
    }
    let seen = play(&machine, &guest, [GuestOp::Load(RAM)]);
    assert_eq!(seen, [Seen::Value(0)]);
    // Back again, nothing keeps the area in pieces.
    machine.call(0, Call::VmUnlend, &[guest.vm, RAM, 1]).ok();
    let_rest(&machine);
    assert_eq!(
        sizes(&machine.host_leaves(), page, BLOCK),
        [(BLOCK_PAGES, 1)]
    );
}

/// Pages of the reserve that no fault of the host's takes.
const LEFT_TO_DONATIONS: u64 = 4;

/// Devices of the host's that need tables, until there is no page for one.
fn use_up_reserve(machine: &Machine) {
    let pool = machine.engine().pool();
    for device in 1.. {
        if pool.reserved() <= LEFT_TO_DONATIONS {
            break;
        }
        machine.host_load(0, device * 0x80_0000_0000).unwrap();
    }
}

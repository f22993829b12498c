//! The engine's page pool runs empty: donations still work, and the host's own accesses too.

use crate::common::{RAM, RWX, build, donate, machine, shape, take_back};
use abi::{Call, InfoIndex, Status};
use engine::sim::{Config, Machine};

const BLOCK: u64 = 2 << 20;

pub(crate) fn free_pages(machine: &Machine) -> u64 {
    let index = InfoIndex::FreePages.raw();
    machine.call(0, Call::EngineInfo, &[index]).ok()
}

/// Uses up the pool: roots first, then tables under which single pages are lent.
pub(crate) fn empty_pool(machine: &Machine) {
    let mut vms = Vec::new();
    loop {
        let reply = machine.call(0, Call::VmCreate, &shape(1));
        if reply.status != Status::Success {
            assert_eq!(reply.status, Status::NoMemory);
            break;
        }
        vms.push(reply.x[0]);
    }
    for (vm, block) in vms
        .iter()
        .flat_map(|vm| (0..8).map(move |block| (vm, block)))
    {
        if free_pages(machine) == 0 {
            return;
        }
        let lend = [*vm, machine.host_page(5), RAM + block * BLOCK, 1, RWX];
        machine.call(0, Call::VmLend, &lend);
    }
    assert_eq!(free_pages(machine), 0, "the test's VMs are too few");
}

/// Uses up what is free of it, by single pages that are lent under tables of their own: the `n`-th time.
fn empty_pool_by(machine: &Machine, vm: u64, n: u64) {
    for block in 0..8 {
        if free_pages(machine) == 0 {
            return;
        }
        let at = RAM + (n + 1) * 0x1000_0000 + block * BLOCK;
        machine.call(0, Call::VmLend, &[vm, machine.host_page(6), at, 1, RWX]);
    }
    assert_eq!(free_pages(machine), 0);
}

pub(crate) fn small(pa_bits: u8) -> Machine {
    let mut config = Config {
        pool_pages: 56,
        vms: 200,
        ..Config::default()
    };
    config.features.pa_bits = pa_bits;
    Machine::new(config)
}

/// The address of the host's `n`-th whole 2 MiB block.
pub(crate) fn block(machine: &Machine, n: u64) -> u64 {
    machine.host_page(0).next_multiple_of(BLOCK) + n * BLOCK
}

#[test]
fn an_empty_pool_takes_donations_out_of_whole_blocks() {
    let machine = small(40);
    let guest = build(&machine, 1);
    let mut large = shape(1);
    large[3] = 8 << 30;
    let hungry = machine.call(0, Call::VmCreate, &large).ok();
    empty_pool(&machine);
    let vm_map = [guest.vm, machine.host_page(10), RAM, 3, RWX];
    assert_eq!(
        machine.call(1, Call::VmMap, &vm_map).status,
        Status::NoMemory
    );
    // Two tables for one page, the host's and EL2's: that would use the reserve up. For more pages it
    // is there, and each donation pays back what it took.
    for n in 0..6 {
        let page = block(&machine, n) + 77 * 4096;
        machine.host_store(1, page).unwrap();
        empty_pool_by(&machine, hungry, n);
        let reply = machine.call(0, Call::EngineDonate, &[page, 1]);
        assert_eq!(reply.status, Status::NoMemory, "donation {n}");
        let reply = machine.call(0, Call::EngineDonate, &[page, 4]);
        assert_eq!((reply.ok(), reply.x[1]), (4, 0), "donation {n}");
        machine.host_load(1, page).unwrap_err();
        machine.host_store(0, page + 4 * 4096).unwrap();
    }
    machine
        .call(0, Call::EngineDonate, &[block(&machine, 0), 8])
        .ok();
    assert_eq!(machine.call(1, Call::VmMap, &vm_map).ok(), 3);
}

/// A donation that is refused takes nothing of the reserve with it.
#[test]
fn refused_donations_use_nothing_up() {
    let machine = small(40);
    let guest = build(&machine, 1);
    for n in 0..6 {
        let lend = [guest.vm, block(&machine, n), RAM + n * 4096, 1, RWX];
        machine.call(0, Call::VmLend, &lend).ok();
    }
    empty_pool(&machine);
    for n in 0..6 {
        let lent = machine.call(0, Call::EngineDonate, &[block(&machine, n), 1]);
        assert_eq!(lent.status, Status::NotOwner);
    }
    machine
        .call(0, Call::EngineDonate, &[block(&machine, 0) + 4096, 8])
        .ok();
}

/// A device of the host's needs a table of level 1 here: it works, and a donation after it too.
#[test]
fn an_empty_pool_does_not_take_the_host_s_devices_away() {
    let machine = small(48);
    empty_pool(&machine);
    for device in 1..=4 {
        assert_eq!(machine.host_load(0, device * 0x80_0000_0000), Ok(0));
    }
    let page = block(&machine, 1) + 4096;
    assert_eq!(donate(&machine, page, 8), (8, 0));
    assert_eq!(machine.host_load(1, 0x280_0000_0000), Ok(0));
}

/// What the host donated is returned, from the reserve too, once the engine has its own back.
#[test]
fn donated_pages_are_not_kept_in_the_reserve() {
    let machine = machine();
    let page = block(&machine, 0);
    let free = free_pages(&machine);
    assert_eq!(donate(&machine, page, 16), (16, 0));
    // One table for the host's map, one for EL2's.
    assert_eq!(free_pages(&machine), free + 16 - 2);
    assert_eq!(take_back(&machine).len(), 16);
}

/// With what donations need left over, a device is tried again until the host has donated: never an
/// abort, which would say that it is none.
#[test]
#[should_panic(expected = "hangs")]
fn a_device_without_memory_for_its_table_is_tried_again() {
    let machine = small(48);
    empty_pool(&machine);
    for device in 1..=5 {
        let _ = machine.host_load(0, device * 0x80_0000_0000);
    }
}

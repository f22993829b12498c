//! PAGE_CENSUS counts whole grains, and VM_CREATE finds a root where there is one.

use crate::common::{RAM, RWX, build, donate, shape};
use abi::{Call, InfoIndex, Status, limit};
use engine::sim::{Config, Machine};

const GRAIN: u64 = limit::CENSUS_GRAIN as u64;

/// No count, and no difference of two counts, is about fewer pages than a grain.
#[test]
fn no_total_is_about_a_single_page() {
    let odd = 100;
    let machine = Machine::new(Config {
        ram_pages: 8 * GRAIN + odd,
        ..Config::default()
    });
    let census = |first, n| machine.call(0, Call::PageCensus, &[first, n]);
    for (first, n) in [(200, 1), (0, 1), (0, GRAIN - 1), (1, GRAIN), (8, GRAIN)] {
        assert_eq!(census(first, n).status, Status::OutOfRange);
    }
    assert_eq!(census(0, GRAIN).ok(), GRAIN);
    assert_eq!(census(6 * GRAIN, GRAIN).ok(), GRAIN);
    // The odd rest is told with the last grain, never alone.
    assert_eq!(census(7 * GRAIN, GRAIN).ok(), GRAIN + odd);
    assert_eq!(census(6 * GRAIN, 2 * GRAIN).ok(), 2 * GRAIN + odd);
    assert_eq!(census(6 * GRAIN, 4 * GRAIN).ok(), 2 * GRAIN + odd);
    assert_eq!(census(8 * GRAIN, GRAIN).ok(), 0);
    assert_eq!(census(8 * GRAIN + odd, GRAIN).ok(), 0);
    let (mut first, mut total) = (0, [0; 8]);
    loop {
        let reply = census(first, 4 * GRAIN);
        if reply.ok() == 0 {
            break;
        }
        first += reply.x[0];
        for (sum, count) in total.iter_mut().zip(&reply.x[1..9]) {
            *sum += count;
        }
    }
    assert_eq!(first, 8 * GRAIN + odd);
    assert_eq!(total.iter().sum::<u64>(), first);
}

/// A concatenated root of eight pages, with the engine's own free pages scattered: a donated run that
/// is whole serves.
#[test]
fn a_root_is_found_among_donated_pages() {
    let mut config = Config {
        vms: 60,
        pool_pages: 504,
        ..Config::default()
    };
    config.features.pa_bits = 42;
    let machine = Machine::new(config);
    let create = || machine.call(0, Call::VmCreate, &shape(1));
    let mut vms = Vec::new();
    let mut next = create();
    while next.status == Status::Success {
        // Two tables between this root and the next.
        let page = machine.host_page(vms.len() as u64);
        let lend = [next.x[0], page, RAM, 1, RWX];
        machine.call(0, Call::VmLend, &lend);
        vms.push(next.x[0]);
        next = create();
    }
    assert_eq!(next.status, Status::NoMemory);
    let run = machine.host_page(0).next_multiple_of(2 << 20);
    assert_eq!(donate(&machine, run, 16), (16, 0));
    assert_eq!(create().status, Status::Success);
}

/// What the page words take is what boot clears, and a page for each granule that was ever in parts.
#[test]
fn words_are_touched_where_memory_comes_apart() {
    let config = Config {
        ram_pages: 3 << 18,
        ..Config::default()
    };
    let machine = Machine::new(config);
    let index = [InfoIndex::TableBytes.raw()];
    let bytes = || machine.call_unchecked(0, Call::EngineInfo, &index).ok();
    let (at_boot, page) = (bytes(), 2 << 30 | 5 << 12);
    // What boot clears, and the GiB and the 2 MiB that the engine's image lies in.
    assert_eq!(at_boot, 3 * 4096);
    let guest = build(&machine, 1);
    for _ in 0..2 {
        let vm_lend = [guest.vm, page, RAM, 1, RWX];
        machine.call_unchecked(0, Call::VmLend, &vm_lend).ok();
        machine
            .call_unchecked(0, Call::VmUnlend, &[guest.vm, RAM, 1])
            .ok();
        assert_eq!(bytes(), at_boot + 2 * 4096);
    }
}

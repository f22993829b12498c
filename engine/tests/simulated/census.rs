//! PAGE_CENSUS counts whole grains, and VM_CREATE finds a root where there is one.

use crate::common::{RAM, RWX, shape};
use abi::{Call, Status, limit};
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
    assert_eq!(machine.call(0, Call::EngineDonate, &[run, 16]).ok(), 16);
    assert_eq!(create().status, Status::Success);
}

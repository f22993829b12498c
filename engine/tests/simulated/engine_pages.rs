//! ENGINE_DONATE, ENGINE_RECLAIM and PAGE_POISON on the simulated machine.

use crate::common::{donate, take_back};
use abi::{Call, Status};
use engine::sim::{Config, Machine};

#[test]
fn donated_pages_come_back_zero() {
    let machine = Machine::new(Config::default());
    let (first, n) = (machine.host_page(40), 9);
    for index in 0..n {
        machine.host_store(0, first + index * 4096).unwrap();
    }
    assert_eq!(donate(&machine, first, n), (n, 0));
    for index in 0..n {
        machine.host_load(1, first + index * 4096).unwrap_err();
    }
    // The engine's use of them leaves something behind.
    for index in 0..n {
        machine.sim().ram.store((first >> 12) + index, 7, 0xdead);
    }
    let home = take_back(&machine);
    assert_eq!(home.len() as u64, n);
    for page in &home {
        assert!((first..first + n * 4096).contains(page));
        assert!(machine.sim().ram.is_zero(page >> 12));
        assert_eq!(machine.host_load(0, *page), Ok(0));
    }
    assert_eq!(machine.call(0, Call::EngineReclaim, &[1]).ok(), 0);
    assert_eq!(
        machine.call(0, Call::EngineReclaim, &[0]).status,
        Status::OutOfRange
    );
}

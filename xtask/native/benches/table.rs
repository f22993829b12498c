//! A run of pages given to a VM and taken back, on real cores: the project's table beside locks.

#[path = "sides/mod.rs"]
mod sides;

use native::page_rivals::{Global, Locked, PerBlock, PerPage};
use native::pages::{Pages, Table};
use sides::Bench;
use std::sync::{Mutex, RwLock};

fn main() {
    let mut bench = Bench::new("table");
    for workload in Pages::ALL {
        bench.measure::<Table, _>("ours", workload);
        bench.measure::<Locked<Global<Mutex<()>>>, _>("one-mutex", workload);
        bench.measure::<Locked<PerBlock<Mutex<()>>>, _>("mutex-per-2m", workload);
        bench.measure::<Locked<PerPage<spin::Mutex<()>>>, _>("spin-per-page", workload);
        bench.measure::<Locked<Global<RwLock<()>>>, _>("rwlock", workload);
    }
}

//! A vCPU woken, played and parked, on real cores: the project's residency words and mailboxes beside locks.

#[path = "sides/mod.rs"]
mod sides;

use native::queue_rivals::{Locked, OneLock, PerQueue};
use native::queues::{Mailboxes, Queues};
use sides::Bench;
use std::sync::{Mutex, RwLock};

fn main() {
    let mut bench = Bench::new("queues");
    for workload in Queues::ALL {
        bench.measure::<Mailboxes, _>("ours", workload);
        bench.measure::<Locked<OneLock<Mutex<()>>>, _>("one-mutex", workload);
        bench.measure::<Locked<PerQueue<spin::Mutex<()>>>, _>("spin-per-queue", workload);
        bench.measure::<Locked<OneLock<RwLock<()>>>, _>("rwlock", workload);
    }
}

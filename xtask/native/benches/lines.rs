//! The curve: how many cache lines travel per operation on 1 to 192 cores, by the model of `native::lines`.
//! Built with the feature `observed`; nothing is timed.

use native::lock::OneWord;
use native::measured::{Travelled, tell};
use native::page_rivals::{Global, Locked, PerBlock, PerPage};
use native::pages::{Pages, Table};
use native::queue_rivals::{self, OneLock, PerQueue};
use native::queues::{Mailboxes, Queues};
use native::random::SEED;
use native::subject::{Subject, Workload};
use native::watch::count;

const CORES: [u16; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 192];

type Mutex = OneWord<false>;
type ReadersWriter = OneWord<true>;

/// Tells the counts for each number of cores, of a fresh subject each.
fn curve<S, W>(bench: &'static str, variant: &'static str, workload: W)
where
    S: Subject + Default,
    W: Workload<Target = S::Target>,
{
    for cores in CORES {
        let counts = count(&S::default(), workload, cores);
        tell(&Travelled {
            bench,
            variant,
            workload: workload.name(),
            cores,
            lines_per_operation: counts.per_operation(),
        });
        if variant == "ours" && CORES.last() == Some(&cores) {
            for ((file, line), travelled) in counts.places {
                let share = travelled as f64 / counts.operations as f64;
                println!("{bench} {}: {share:.3} at {file}:{line}", workload.name());
            }
        }
    }
}

fn main() {
    println!("seed {SEED:#x}");
    for workload in Pages::ALL {
        let table = "table-lines";
        curve::<Table, _>(table, "ours", workload);
        curve::<Locked<Global<Mutex>>, _>(table, "one-mutex", workload);
        curve::<Locked<PerBlock<Mutex>>, _>(table, "mutex-per-2m", workload);
        curve::<Locked<PerPage<Mutex>>, _>(table, "spin-per-page", workload);
        curve::<Locked<Global<ReadersWriter>>, _>(table, "rwlock", workload);
    }
    for workload in Queues::ALL {
        let queues = "queues-lines";
        curve::<Mailboxes, _>(queues, "ours", workload);
        curve::<queue_rivals::Locked<OneLock<Mutex>>, _>(queues, "one-mutex", workload);
        curve::<queue_rivals::Locked<PerQueue<Mutex>>, _>(queues, "spin-per-queue", workload);
        curve::<queue_rivals::Locked<OneLock<ReadersWriter>>, _>(queues, "rwlock", workload);
    }
}

//! What the model of the caches says of the project's table and run queues, and of locks beside them: the claims of
//! docs/performance.md. By the crates' own accesses, so only with the feature `observed`.

use native::lock::OneWord;
use native::page_rivals::{Global, Locked, PerBlock, PerPage};
use native::pages::{Pages, Table};
use native::queue_rivals::{self, OneLock, PerQueue};
use native::queues::{Mailboxes, Queues};
use native::subject::{Subject, Workload};
use native::watch::{Counts, count};

type Mutex = OneWord<false>;
type ReadersWriter = OneWord<true>;

const CORES: [u16; 3] = [1, 2, 192];

/// The counts for each number of cores, of a fresh one each.
fn counts<S, W>(workload: W) -> [Counts; CORES.len()]
where
    S: Subject + Default,
    W: Workload<Target = S::Target>,
{
    CORES.map(|cores| count(&S::default(), workload, cores))
}

/// No line travels, whatever the number of cores.
fn travels_nothing<S, W>(workload: W) -> bool
where
    S: Subject + Default,
    W: Workload<Target = S::Target>,
{
    counts::<S, W>(workload)
        .iter()
        .all(|counts| counts.travelled == 0)
}

#[test]
fn calls_on_disjoint_pages_move_no_line() {
    for counts in counts::<Table, _>(Pages::Disjoint) {
        assert_eq!(
            (counts.travelled, counts.refused),
            (0, 0),
            "{:?}",
            counts.places
        );
    }
    assert!(travels_nothing::<Table, _>(Pages::Runs));
}

/// The control: what the model is to find where there is one lock, it finds.
#[test]
fn one_lock_travels_with_every_call() {
    assert!(!travels_nothing::<Locked<Global<Mutex>>, _>(
        Pages::Disjoint
    ));
    assert!(!travels_nothing::<Locked<Global<ReadersWriter>>, _>(
        Pages::Disjoint
    ));
    let [alone, with_others @ ..] = counts::<Locked<Global<Mutex>>, _>(Pages::Disjoint);
    assert_eq!(alone.travelled, 0);
    for counts in with_others {
        assert_eq!(counts.travelled, counts.operations, "{:?}", counts.places);
    }
}

#[test]
fn locks_of_parts_travel_only_where_parts_are_shared() {
    assert!(travels_nothing::<Locked<PerBlock<Mutex>>, _>(
        Pages::Disjoint
    ));
    assert!(travels_nothing::<Locked<PerPage<Mutex>>, _>(
        Pages::Disjoint
    ));
    assert!(!travels_nothing::<Locked<PerBlock<Mutex>>, _>(Pages::One));
}

/// Eight words of neighbours lie in one line, and so do those of eight neighbouring 2 MiB: it travels twice a call,
/// to be looked at and to be claimed.
#[test]
fn neighbours_share_a_line() {
    for workload in [Pages::Neighbours, Pages::One, Pages::Blocks] {
        let [alone, with_others @ ..] = counts::<Table, _>(workload);
        assert_eq!(alone.travelled, 0, "{workload:?}");
        for counts in with_others {
            let twice = 2 * counts.operations;
            // The last core's block may be alone in its line.
            let range = twice * 95 / 100..=twice;
            assert!(
                range.contains(&counts.travelled),
                "{workload:?}: {counts:?}"
            );
        }
    }
}

#[test]
fn a_core_s_own_queue_moves_no_line() {
    assert!(travels_nothing::<Mailboxes, _>(Queues::Own));
    assert!(!travels_nothing::<Mailboxes, _>(Queues::OneQueue));
    assert!(!travels_nothing::<queue_rivals::Locked<OneLock<Mutex>>, _>(
        Queues::Own
    ));
    assert!(travels_nothing::<queue_rivals::Locked<PerQueue<Mutex>>, _>(
        Queues::Own
    ));
}

/// Twice the same: nothing but the accesses decides.
#[test]
fn counts_are_the_same_again() {
    let twice = [(); 2].map(|()| count(&Table::default(), Pages::TenthShared, 16).travelled);
    assert_eq!(twice[0], twice[1]);
    assert!(twice[0] > 0);
}

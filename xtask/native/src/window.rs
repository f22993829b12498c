//! Threads that work side by side for a while, each as one core.
//!
//! Invariants: the clock runs from when all have begun until all have ended, and all end as soon as the end is
//! called; while a thread works it writes nothing of the bench's own that another thread reads.

use crate::measured::Latencies;
use crate::random::Random;
use crate::subject::{Outcome, Subject, Workload};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Operations between two of which the latency is taken.
const SAMPLED: u64 = 8;
/// Turns of a wait after which another thread gets the processor.
const PATIENCE: u32 = 10_000;

/// What the threads got done.
#[derive(Debug)]
pub struct Window {
    /// From the first's begin to the last's end.
    pub elapsed: Duration,
    /// Operations done, by thread.
    pub done: Vec<u64>,
    /// Operations refused, all together.
    pub refused: u64,
    /// How long those took of which that was looked at.
    pub latencies: Latencies,
    /// Of the time of all threads what they had a processor for, where the system tells: less than 1 on a machine
    /// that has other work, or fewer processors.
    pub on_core: Option<f64>,
}

struct One {
    began: Instant,
    ended: Instant,
    done: u64,
    refused: u64,
    latencies: Latencies,
    /// How long it had a processor, before and in all.
    ran: (Option<Duration>, Option<Duration>),
}

/// Each core's operations once, one core after the other, so that what only a first one does is done.
pub fn prepare<S, W>(subject: &S, workload: W, cores: u16)
where
    S: Subject,
    W: Workload<Target = S::Target>,
{
    for core in 0..cores {
        let (mut state, mut random) = (subject.core(core), Random::of_core(core));
        for _ in 0..8 {
            subject.operate(&mut state, workload.next(core, cores, &mut random));
        }
    }
}

/// `threads` threads until the first of them has done `quota`. No latencies: nothing looks at the clock meanwhile.
pub fn race<S, W>(subject: &S, workload: W, threads: u16, quota: u64) -> Window
where
    S: Subject,
    W: Workload<Target = S::Target>,
{
    let over = AtomicBool::new(false);
    side_by_side(threads, None, |core, began| {
        let mut one = One::new(began);
        let (mut state, mut random) = (subject.core(core), Random::of_core(core));
        // Relaxed: it publishes nothing; results come by joining the threads.
        while one.done < quota && !over.load(Ordering::Relaxed) {
            one.note(subject.operate(&mut state, workload.next(core, threads, &mut random)));
        }
        one.end();
        // Relaxed: as above.
        over.store(true, Ordering::Relaxed);
        one
    })
}

/// `threads` threads for so long, with the latency of every eighth operation, done or refused.
pub fn watch_for<S, W>(subject: &S, workload: W, threads: u16, length: Duration) -> Window
where
    S: Subject,
    W: Workload<Target = S::Target>,
{
    let over = AtomicBool::new(false);
    side_by_side(threads, Some((&over, length)), |core, began| {
        let mut one = One::new(began);
        let (mut state, mut random) = (subject.core(core), Random::of_core(core));
        // Relaxed: it publishes nothing; results come by joining the threads.
        while !over.load(Ordering::Relaxed) {
            let on = workload.next(core, threads, &mut random);
            let before = Instant::now();
            let outcome = subject.operate(&mut state, on);
            one.latencies.note(before.elapsed());
            one.note(outcome);
            for _ in 1..SAMPLED {
                one.note(subject.operate(&mut state, workload.next(core, threads, &mut random)));
            }
        }
        one.end();
        one
    })
}

/// How long the calling thread has had a processor: the first number of Linux's `schedstat`, in nanoseconds.
fn ran() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let ns = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(ns))
}

fn side_by_side(
    threads: u16,
    ends: Option<(&AtomicBool, Duration)>,
    work: impl Fn(u16, Instant) -> One + Sync,
) -> Window {
    let here = AtomicU16::new(0);
    let (here, work) = (&here, &work);
    let ones: Vec<One> = std::thread::scope(|scope| {
        let start = |core| {
            scope.spawn(move || {
                // Relaxed: who is here is all that they tell each other.
                here.fetch_add(1, Ordering::Relaxed);
                let mut turns = 0;
                while here.load(Ordering::Relaxed) < threads {
                    turns += 1;
                    std::hint::spin_loop();
                    if turns % PATIENCE == 0 {
                        std::thread::yield_now();
                    }
                }
                work(core, Instant::now())
            })
        };
        let started: Vec<_> = (0..threads).map(start).collect();
        if let Some((over, length)) = ends {
            std::thread::sleep(length);
            // Relaxed: it publishes nothing.
            over.store(true, Ordering::Relaxed);
        }
        let join = |thread: std::thread::ScopedJoinHandle<'_, One>| {
            thread.join().expect("no operation panics")
        };
        started.into_iter().map(join).collect()
    });
    let began = ones.iter().map(|one| one.began).min();
    let ended = ones.iter().map(|one| one.ended).max();
    let mut latencies = Latencies::default();
    ones.iter().for_each(|one| latencies.add(&one.latencies));
    Window {
        elapsed: ended
            .zip(began)
            .map_or(Duration::ZERO, |(end, begin)| end - begin),
        done: ones.iter().map(|one| one.done).collect(),
        refused: ones.iter().map(|one| one.refused).sum(),
        latencies,
        on_core: ones
            .iter()
            .map(|one| one.on_core())
            .sum::<Option<f64>>()
            .map(|sum| sum / f64::from(threads)),
    }
}

impl One {
    fn new(began: Instant) -> Self {
        Self {
            began,
            ended: began,
            done: 0,
            refused: 0,
            latencies: Latencies::default(),
            ran: (ran(), None),
        }
    }

    fn end(&mut self) {
        self.ended = Instant::now();
        self.ran.1 = ran();
    }

    /// Of its time what it had a processor for.
    fn on_core(&self) -> Option<f64> {
        let (before, after) = self.ran.0.zip(self.ran.1)?;
        let all = (self.ended - self.began).as_secs_f64();
        Some((after.checked_sub(before)?.as_secs_f64() / all).min(1.0))
    }

    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Refused => self.refused += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page_rivals::{Global, Locked};
    use crate::pages::{Pages, Table};
    use crate::queues::{Mailboxes, Queues};

    #[test]
    fn a_race_ends_with_the_first() {
        let table = Table::default();
        for workload in Pages::ALL {
            let window = race(&table, workload, 3, 50);
            assert!(window.done.contains(&50), "{workload:?}: {window:?}");
            assert!(window.done.iter().all(|done| *done <= 50));
        }
        let rival = Locked::<Global<std::sync::Mutex<()>>>::default();
        assert!(race(&rival, Pages::One, 4, 50).done.contains(&50));
        assert!(
            race(&Mailboxes::default(), Queues::OneQueue, 3, 50)
                .done
                .contains(&50)
        );
    }

    #[test]
    fn a_window_has_a_latency_of_every_eighth() {
        let queues = Mailboxes::default();
        let window = watch_for(&queues, Queues::TenthShared, 2, Duration::from_millis(20));
        let all = window.done.iter().sum::<u64>() + window.refused;
        assert_eq!(window.latencies.count() * SAMPLED, all);
        assert!(window.elapsed > Duration::ZERO && window.done.len() == 2);
        assert!(
            window
                .on_core
                .is_none_or(|share| (0.0..=1.0).contains(&share))
        );
    }
}

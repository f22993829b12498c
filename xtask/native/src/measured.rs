//! What was measured of a variant: throughput, fairness and latencies; and the line that tells it.
//!
//! Invariant: a line is [`RECORD`] and one JSON object; `cargo xtask bench --native` reads it by these names.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// How a line begins that tells something.
pub const RECORD: &str = "@native ";

/// One variant under one workload by so many threads.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// `table` or `queues`.
    pub bench: &'static str,
    /// Whose way of doing it.
    pub variant: &'static str,
    /// What was operated on.
    pub workload: &'static str,
    /// Threads.
    pub threads: u16,
    /// Operations done in a second by all together: criterion's median.
    pub per_second: f64,
    /// Of all operations those that were refused.
    pub refused_share: f64,
    /// Jain's index of the threads' shares: 1 if all got the same, 1/threads if one got all.
    pub fairness: f64,
    /// What the thread that got least did, of what the one that got most did.
    pub least_of_most: f64,
    /// Half of the operations took no longer, in nanoseconds.
    pub median_ns: u64,
    /// 99 of 100 took no longer, in nanoseconds.
    pub p99_ns: u64,
    /// Of the threads' time what they had a processor for, where the system tells.
    pub on_core: Option<f64>,
}

/// How many lines had to travel for one variant under one workload on so many cores, by the model.
#[derive(Clone, Debug, Serialize)]
pub struct Travelled {
    /// `table-lines` or `queues-lines`.
    pub bench: &'static str,
    /// Whose way of doing it.
    pub variant: &'static str,
    /// What was operated on.
    pub workload: &'static str,
    /// Cores.
    pub cores: u16,
    /// Lines that travelled, per operation.
    pub lines_per_operation: f64,
}

/// Prints the line of something measured.
pub fn tell(record: &impl Serialize) {
    let text = serde_json::to_string(record).expect("numbers and names");
    println!("{RECORD}{text}");
}

/// Jain's index of these shares; 1 if there are none.
pub fn fairness(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|share| *share as f64).sum();
    let squares: f64 = shares.iter().map(|share| (*share as f64).powi(2)).sum();
    if squares == 0.0 {
        return 1.0;
    }
    sum * sum / (shares.len() as f64 * squares)
}

/// The least of these shares, of the most; 1 if there are none.
pub fn least_of_most(shares: &[u64]) -> f64 {
    let most = shares.iter().max().copied().unwrap_or(0);
    let least = shares.iter().min().copied().unwrap_or(0);
    if most == 0 {
        1.0
    } else {
        least as f64 / most as f64
    }
}

/// How long operations took.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new(3).expect("three digits are a precision"))
    }
}

impl Latencies {
    /// One took so long.
    pub fn note(&mut self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0
            .record(ns)
            .expect("a histogram that resizes holds everything");
    }

    /// Those of another thread, too.
    pub fn add(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("a histogram that resizes holds everything");
    }

    /// How many were noted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// So many of 100 took no longer than this, in nanoseconds.
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        self.0.value_at_percentile(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness_is_one_for_all_alike_and_least_for_one_alone() {
        assert_eq!(fairness(&[5, 5, 5, 5]), 1.0);
        assert_eq!(fairness(&[8, 0, 0, 0]), 0.25);
        assert_eq!((fairness(&[]), fairness(&[0, 0])), (1.0, 1.0));
        assert_eq!(
            (least_of_most(&[2, 8]), least_of_most(&[0, 0])),
            (0.25, 1.0)
        );
    }

    #[test]
    fn percentiles_are_of_all_threads() {
        let (mut some, mut others) = (Latencies::default(), Latencies::default());
        (1..=99).for_each(|ns| some.note(Duration::from_nanos(ns)));
        others.note(Duration::from_millis(1));
        some.add(&others);
        assert_eq!(some.count(), 100);
        assert_eq!(
            (some.percentile_ns(50.0), some.percentile_ns(99.0)),
            (50, 99)
        );
        assert!(some.percentile_ns(100.0) >= 1_000_000);
    }
}

//! One variant, one workload, one number of threads after the other: what criterion makes of it, and a window beside
//! that for what criterion does not look at.
//!
//! `BULKHEAD_THREADS=1,2,16` says how many threads; else 1, 2, 4 and so on up to the processors there are.
//!
//! Invariant: criterion's iteration is one operation done, by whichever thread; so its median is the time between
//! two of them, and the throughput is that of all threads together.

use criterion::{BenchmarkId, Criterion, SamplingMode};
use native::MAX_CORES;
use native::measured::{Measured, fairness, least_of_most, tell};
use native::random::SEED;
use native::subject::{Subject, Workload};
use native::window::{Window, prepare, race, watch_for};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const WARM_UP: Duration = Duration::from_millis(50);
const MEASURED: Duration = Duration::from_millis(200);
const WATCHED: Duration = Duration::from_millis(100);

/// A benchmark under way.
pub struct Bench {
    name: &'static str,
    criterion: Criterion,
    results: PathBuf,
    threads: Vec<u16>,
}

impl Bench {
    /// A benchmark of this name.
    pub fn new(name: &'static str) -> Self {
        if cfg!(feature = "observed") {
            panic!("what is timed is not observed beside it");
        }
        let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join("criterion");
        let clock = clock_ns();
        println!("seed {SEED:#x}; {clock} ns of each latency are the clock's");
        let criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(WARM_UP)
            .measurement_time(MEASURED)
            .without_plots()
            .output_directory(&results)
            .configure_from_args();
        Self {
            name,
            criterion,
            results,
            threads: threads(),
        }
    }

    /// Measures a variant under a workload, and tells what came of it.
    pub fn measure<S, W>(&mut self, variant: &'static str, workload: W)
    where
        S: Subject + Default,
        W: Workload<Target = S::Target>,
    {
        let group_name = format!("{}-{}", self.name, workload.name());
        for &threads in &self.threads {
            let subject = S::default();
            prepare(&subject, workload, threads);
            let estimates = self.results.join(&group_name).join(variant);
            let estimates = estimates.join(format!("{threads}/new/estimates.json"));
            // What an earlier run left behind is not this run's.
            let _ = fs::remove_file(&estimates);
            let mut group = self.criterion.benchmark_group(&group_name);
            group.sampling_mode(SamplingMode::Flat);
            group.bench_function(BenchmarkId::new(variant, threads), |bencher| {
                bencher.iter_custom(|operations| {
                    let quota = operations.div_ceil(u64::from(threads));
                    let window = race(&subject, workload, threads, quota);
                    let done: u64 = window.done.iter().sum();
                    window.elapsed.mul_f64(operations as f64 / done as f64)
                });
            });
            group.finish();
            // None of one that was only listed, or left out.
            let Some(median_ns) = median_ns(&estimates) else {
                continue;
            };
            let window = watch_for(&subject, workload, threads, WATCHED);
            tell(&self.record(variant, workload.name(), threads, median_ns, &window));
        }
    }

    fn record(
        &self,
        variant: &'static str,
        workload: &'static str,
        threads: u16,
        median_ns: f64,
        window: &Window,
    ) -> Measured {
        let done: u64 = window.done.iter().sum();
        let all = done + window.refused;
        Measured {
            bench: self.name,
            variant,
            workload,
            threads,
            per_second: 1e9 / median_ns,
            refused_share: window.refused as f64 / all.max(1) as f64,
            fairness: fairness(&window.done),
            least_of_most: least_of_most(&window.done),
            median_ns: window.latencies.percentile_ns(50.0),
            p99_ns: window.latencies.percentile_ns(99.0),
            on_core: window.on_core,
        }
    }
}

/// Criterion's median of an iteration, if it measured one.
fn median_ns(estimates: &Path) -> Option<f64> {
    let text = fs::read_to_string(estimates).ok()?;
    let estimates: serde_json::Value = serde_json::from_str(&text).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

/// What two looks at the clock cost with nothing between them.
fn clock_ns() -> u128 {
    let mut looks: Vec<u128> = (0..1001)
        .map(|_| Instant::now().elapsed().as_nanos())
        .collect();
    looks.sort_unstable();
    looks[looks.len() / 2]
}

/// How many threads, each time.
fn threads() -> Vec<u16> {
    let asked = std::env::var("BULKHEAD_THREADS").ok();
    let Some(asked) = asked else {
        let all = std::thread::available_parallelism().map_or(1, |n| n.get());
        let all = u16::try_from(all).unwrap_or(MAX_CORES).min(MAX_CORES);
        let mut counts: Vec<u16> = (0..16)
            .map(|shift| 1 << shift)
            .filter(|n| *n < all)
            .collect();
        counts.push(all);
        return counts;
    };
    let number = |word: &str| {
        let number = word.trim().parse::<u16>().ok();
        number
            .filter(|n| (1..=MAX_CORES).contains(n))
            .expect("BULKHEAD_THREADS is a list of numbers from 1 to 400")
    };
    asked.split(',').map(number).collect()
}

//! The `ownership` table and the run queues on real cores, beside the same work done under locks; and a model of
//! the caches that carry their words.
//!
//! - `subject`: what is measured: operations by cores, done or refused;
//! - `pages`, `page_rivals`: a run of pages given to a VM and taken back, by claims and under locks;
//! - `queues`, `queue_rivals`: a vCPU woken, moved, played and parked, by residency words and under locks;
//! - `lock`: the locks;
//! - `random`: which page or vCPU is next, repeatable;
//! - `window`: threads that work side by side, and what each got done;
//! - `measured`: throughput, fairness and latencies of that, and how they are told;
//! - `lines`: which core holds which cache line, and when one has to travel;
//! - `watch` (feature `observed`): the crates' own accesses, as they are made, fed to that model.
//!
//! Invariants: each variant runs the same workload by the same code; what is timed is built without the feature
//! `observed`; no test asserts a time.

pub mod lines;
pub mod lock;
pub mod measured;
pub mod page_rivals;
pub mod pages;
pub mod queue_rivals;
pub mod queues;
pub mod random;
pub mod subject;
#[cfg(feature = "observed")]
pub mod watch;
pub mod window;

/// Most cores that the tables and queues have places for.
pub const MAX_CORES: u16 = 400;

/// Something in a cache line of its own, as a rival would lay out its locks too.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Line<T>(pub T);

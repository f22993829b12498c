//! What the models share. Run them with `cargo xtask loom`, or with
//! `RUSTFLAGS="--cfg loom" cargo test -p bulkhead-loom-tests --release`; without `--cfg loom` there
//! is nothing here.
//!
//! Invariants: a test asks one question with two or three threads; [`explore`] tries every order of
//! steps with no more preemptions than the search's bound (three, unless the environment says otherwise)
//! and every value that loom lets a load return, to the end: no limit cuts it short silently.
//! `xtask/mutants.toml` names the protections which, built away, make a test here fail.
//!
//! | file | what |
//! | --- | --- |
//! | `search` | how models are explored |
//! | `suites` | the models of `ownership` and `percpu`, also for other engines |
//! | `record` | what a search leaves in a folder: how far it is, where it failed |
//! | `story`, `wording` | what happened in one execution, step by step |
//! | `handing` | a word and what it hands over, for models of one word |
//! | `pages` | pages and their content, for models of ownership alone |
//! | `weakness` | what makes the hardware weak, by name |
//! | `hardware` | the memory system: plain data: walkers, TLBs, contents, vCPUs' places |
//! | `bus` | in which order cores have to do with it |
//! | `platform` | the engine's platform over it |
//! | `guest` | what guests do |
//! | `world` | an engine on that |
//! | `host`, `vcpus` | a core of its host: calls by register values, accesses |
//! | `history` | what was done when, for the specification to find an order |
//! | `witness` | what a refused call must not change |
//! | `oracle` | the invariants, after each execution |

#![cfg(loom)]

pub mod bus;
#[cfg(feature = "engine")]
pub mod guest;
pub mod handing;
#[cfg(feature = "engine")]
pub mod hardware;
#[cfg(feature = "engine")]
pub mod history;
#[cfg(feature = "engine")]
pub mod host;
#[cfg(feature = "engine")]
pub mod oracle;
pub mod pages;
#[cfg(feature = "engine")]
pub mod platform;
mod record;
mod search;
mod story;
pub mod suites;
#[cfg(feature = "engine")]
mod vcpus;
#[cfg(feature = "engine")]
pub mod weakness;
#[cfg(feature = "engine")]
pub mod witness;
#[cfg(feature = "engine")]
mod wording;
#[cfg(feature = "engine")]
pub mod world;

use percpu::{CpuId, CpuToken};

pub use loom::sync::Arc;
pub use search::{Beside, core, explore, explore_engine, explore_large_engine, preemptions, spawn};

/// A CPU's number.
pub fn cpu(raw: u16) -> CpuId {
    CpuId::new(raw).expect("a small number")
}

/// The token of a CPU: each model's thread plays one CPU, and makes its token once.
pub fn token(raw: u16) -> CpuToken {
    story::plays(raw);
    // SAFETY: the thread that asks plays this CPU, alone, until the token is dropped.
    unsafe { CpuToken::new(cpu(raw)) }
}

//! What belongs to one CPU, and how CPUs tell each other what to run.
//!
//! - `cpu`: CPU numbers, sets of them, and the token that proves on which CPU code runs;
//! - `area`: state of one CPU alone, reached by that token;
//! - `pins`: which VM a CPU is working on, so that nobody tears it down meanwhile;
//! - `residency`: where a vCPU is, the truth about who may run it;
//! - `resident`: a vCPU's content, reached by the ticket that its residency gives out;
//! - `queue`: mailboxes by which any CPU hands vCPUs to any other, and idle CPUs are woken;
//! - `order`: the order in which a CPU plays the vCPUs it was handed;
//! - `ring`: a queue in an array.
//!
//! Invariants: a CPU's token exists once; a vCPU's content is reached by one holder at a time; no
//! method waits for another CPU.

#![no_std]

mod area;
mod cpu;
mod order;
mod pins;
mod queue;
mod residency;
mod resident;
mod ring;

pub use area::{Area, PerCpu};
pub use cpu::{CpuId, CpuSet, CpuToken, MAX_CPUS};
pub use order::Order;
pub use pins::{Pin, Pins};
pub use queue::{MAILBOX_WORDS, MAX_VCPUS, Mailbox, RunQueues, Wake};
pub use residency::{Residence, Residency, RunTicket, TurnOn};
pub use resident::Resident;
pub use ring::Ring;

/// Something in cache lines of its own, so that CPUs don't disturb each other.
pub type Padded<T> = crossbeam_utils::CachePadded<T>;

//! From the boot loader's jump to every core in Rust at EL2, in an address space of its own.
//!
//! - [`mod@fdt`], [`mod@edit`], [`machine`], [`carve`], [`layout`], [`range`], [`stage1`]: pure, run
//!   and tested anywhere.
//! - [`arrival`]: who has come; modelled as well.
//! - `entry`, `regime`, `primary`, `cores`, [`record`]: the way itself, bare metal only.
//! - `console`, `crash`, `firmware`: how it ends, well or badly.
//! - `copies`: what the compiler calls for large copies.
//! - `handover`: what the engine gives and gets.
//!
//! Mutants (`--cfg mutant="name"`), each without one protective step: `boot-no-tlbi-alle1` (stale
//! entries of all VMIDs survive), `stage1-no-tlbi` (a page that left the engine stays reachable),
//! `boot-no-guard-page` (a stack overflow is noticed late), `sort-by-library` (no bound for the boot core's stack).

#![no_std]

#[cfg(test)]
extern crate std;

pub mod arrival;
mod barrier;
pub mod bulk;
pub mod carve;
pub mod edit;
pub mod error;
pub mod fdt;
pub mod heap;
pub mod layout;
pub mod machine;
mod names;
pub mod ns16550;
pub mod range;
pub mod record;
pub mod redistributors;
pub mod stack;
pub mod stage1;
mod tokens;
mod tree;
pub mod wellformed;
pub mod witness;

#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
mod copies;
#[cfg(target_os = "none")]
mod cores;
#[cfg(target_os = "none")]
pub mod crash;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
pub mod firmware;
#[cfg(target_os = "none")]
pub mod handover;
#[cfg(target_os = "none")]
mod pool;
#[cfg(target_os = "none")]
pub mod primary;
#[cfg(target_os = "none")]
mod regime;

pub use error::BootError;
#[cfg(target_os = "none")]
pub use handover::{Boot, CpuBoot, Engine, Started};
pub use heap::{BootHeap, Page};
pub use machine::{MachineInfo, Mpidr};
pub use range::PaRange;
pub use stage1::{Attr, PageError, Stage1, TableSource, Window};

//! The private half of a virtual GICv3 (Arm IHI0069): per vCPU, INTIDs 0 to 31, the interrupts in
//! list registers, and the redistributor frames. The distributor and the routing of SPIs are the
//! host's: it emulates them and hands each SPI to the vCPU that is to take it.
//!
//! A vCPU's state is in two parts. [`Shared`] is reached from any core: atomics only, each
//! operation a single read-modify-write. [`Runner`] belongs to the core that runs the vCPU, and
//! to nobody while none does.
//!
//! Invariants:
//! - Between `drain` and `fill` the list registers are empty, and every pending or active
//!   interrupt is in `Shared` or `Runner` once. Between `fill` and `drain` the interrupts in list
//!   registers are there alone, except that a level is never moved: it is sampled anew.
//! - Nothing here touches hardware; the platform loads and stores [`Ich`] around a guest's run.
//! - `reset` leaves nothing of an earlier vCPU behind.
//!
//! A core that makes something pending for another vCPU must then look at whether that vCPU runs
//! or waits, and kick it; the two sides are a store-buffering pattern. The caller puts a SeqCst
//! fence between its call here and its look at the vCPU's residency; the runner puts one between
//! publishing that it waits and [`Runner::has_deliverable`].

#![forbid(unsafe_code)]

pub mod deliver;
pub mod guard;
pub mod intid;
pub mod lr;
pub mod priority;
pub mod private;
pub mod redistributor;
pub mod sgi;
pub mod spi;

mod shortlist;

pub use deliver::{Filled, Runner, Shared};
pub use intid::{PrivateId, Spi};
pub use lr::Ich;

#[cfg(test)]
mod tests;

//! The reference host: the policy half of a small hypervisor, at EL1 under the engine.
//!
//! It decides which guests exist, where their memory comes from, which core runs which vCPU and
//! what their devices do; the engine keeps them apart. The parts that only compute ([`args`],
//! [`archive`], [`fate`], [`fdt`], [`gicd`], [`json`], [`loader`], [`pl011`], [`report`],
//! [`summary`]) build and are tested on any machine; the others exist in the bare-metal image alone.

#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod archive;
pub mod args;
pub mod fate;
pub mod fdt;
pub mod gicd;
pub mod json;
pub mod loader;
pub mod pl011;
pub mod report;
pub mod summary;

#[cfg(target_os = "none")]
mod attack;
#[cfg(target_os = "none")]
mod churn;
#[cfg(target_os = "none")]
mod doom;
#[cfg(target_os = "none")]
mod exits;
#[cfg(target_os = "none")]
pub mod host;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod ram;
#[cfg(target_os = "none")]
mod reclaim;
#[cfg(target_os = "none")]
mod run;
#[cfg(target_os = "none")]
mod stats;
#[cfg(target_os = "none")]
mod vm;

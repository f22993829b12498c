//! What the engine and the software above it must agree on, bit by bit: call numbers, argument
//! registers, status codes and exit reasons of the engine's own interface, and the standard
//! firmware calls that both sides speak.
//!
//! Invariants: nothing here has behaviour beyond packing and unpacking, depends on another crate,
//! or panics; every `from_*` is total over what a register can hold. `generated.rs` follows from
//! `interface.toml` alone and is written by `cargo xtask gen` only.

#![no_std]
#![forbid(unsafe_code)]

mod generated;
pub mod psci;
pub mod shape;
pub mod smccc;
pub mod stats;

pub use generated::*;
pub use shape::VmShape;

#[cfg(test)]
mod tests;

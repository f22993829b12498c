//! What an exception taken to EL2 means, and what the engine answers: pure functions over register
//! values, from syndrome to outcome.
//!
//! Invariants: nothing here touches hardware, shared state or another core; every function is
//! total over what a register can hold; what a table does not list is refused. Acting on an outcome
//! is the caller's business.

pub mod exception;
pub mod guest_call;
pub mod psci;
pub mod smc;
pub mod syndrome;
pub mod sysreg;

//! What the operations of the benchmark cost, told in `@bench` lines for `cargo xtask bench`.
//!
//! One test for each operation, called as the benchmark calls it. Invariants: a figure is taken in the caller,
//! between two reads of the counter with one instruction of the caller's between them, or with the host's own
//! part where the operation is the host's to answer; a test that tells a figure has seen that the operation was
//! done; what is not the operation (first tables, first touches) is done before the rounds begin, unless the
//! name says `cold`. No cost is asserted here.

mod alternating;
mod cold;
pub mod cores;
mod guest;
mod host;
pub mod longest;
mod memory;
mod random;

use crate::{
    measure::Ticks,
    outcome::{Stop, TestResult},
    runner::Test,
};
use alloc::{format, string::String};
use core::fmt::Write;
use el1::println;

/// All operations.
pub const TESTS: &[&[Test]] = &[
    host::TESTS,
    memory::TESTS,
    guest::TESTS,
    cold::TESTS,
    random::TESTS,
    alternating::TESTS,
];

/// Rounds of an operation.
const ROUNDS: u64 = 64;

/// One line for the tool: the rounds of an operation, each of which did its work on `per` things at once.
fn tell(operation: &str, per: u64, rounds: &[Ticks]) -> TestResult {
    if rounds.is_empty() {
        return Err(Stop::Fail(format!("{operation}: no rounds")));
    }
    let mut list = String::new();
    for (index, ticks) in rounds.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(list, "{comma}{ticks}");
    }
    println!("@bench {{\"op\":\"{operation}\",\"per\":{per},\"rounds\":[{list}]}}");
    Ok(())
}

/// Does something in rounds.
fn rounds(mut once: impl FnMut(u64) -> TestResult<Ticks>) -> TestResult<alloc::vec::Vec<Ticks>> {
    (0..ROUNDS).map(&mut once).collect()
}

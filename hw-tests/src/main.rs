//! Tests that run in the host's seat: a bare-metal image at EL1 with the engine beneath.
//!
//! Each file in `tests` holds its tests and the list that registers them. The command line selects
//! (`filter=WORD`, a part of the name, or `exact=NAME`; `seed=N`; `mib=N`; `seconds=N`), each test prints
//! `begin NAME` and one line `test NAME ... ok|FAILED: reason|skipped: reason`, and the last line is
//! `@hwtests passed=N failed=N skipped=N`. Without an engine beneath (plain QEMU, EL1) the tests
//! that need one are skipped.
//!
//! Invariants: no check panics; the census is taken around every test, so that a page that a test
//! lost fails that test and no later one.

#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod args;
#[cfg(target_os = "none")]
mod census;
#[cfg(target_os = "none")]
mod code;
#[cfg(target_os = "none")]
mod crew;
#[cfg(target_os = "none")]
mod events;
#[cfg(target_os = "none")]
mod guest;
#[cfg(target_os = "none")]
mod measure;
#[cfg(target_os = "none")]
mod outcome;
#[cfg(target_os = "none")]
mod paging;
#[cfg(target_os = "none")]
mod puppet;
#[cfg(target_os = "none")]
mod random;
#[cfg(target_os = "none")]
mod refusal;
#[cfg(target_os = "none")]
mod registers;
#[cfg(target_os = "none")]
mod runner;
#[cfg(target_os = "none")]
mod sysregs;
#[cfg(target_os = "none")]
mod team;
#[cfg(target_os = "none")]
mod tests;
#[cfg(target_os = "none")]
mod vm;

#[cfg(target_os = "none")]
el1::entry!(runner::main);

/// Only the bare-metal image does anything.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is a bare-metal image: `cargo xtask hw-test` builds and boots it");
}

//! What a call costs: the counter read on both sides of one HVC, and the lines that tell it.
//!
//! Around each call lie the marks of a window (`begin_window`), for whoever looks on.
//!
//! Invariants: between the two reads lie the HVC, the engine's work, the way back and one ISB, and
//! nothing of this image; what the two reads cost by themselves is taken off. Under `-icount shift=0`
//! on a processor whose counter runs at 1 GHz a tick is an instruction, so that a number is exact and
//! the same in every run; otherwise it is a time.

use crate::outcome::{Stop, TestResult};
use abi::{Call, Status};
use alloc::{format, string::String};
use core::{arch::asm, fmt::Write};
use el1::println;

/// Ticks of one call or access.
pub type Ticks = u64;

/// Ticks between two reads with nothing between them.
pub fn empty() -> Ticks {
    let (before, after): (u64, u64);
    // SAFETY: reads of a counter.
    unsafe {
        asm!(
            "isb",
            "mrs {before}, cntpct_el0",
            "isb",
            "mrs {after}, cntpct_el0",
            before = out(reg) before,
            after = out(reg) after,
            options(nostack, nomem),
        );
    }
    after - before
}

/// The counter.
pub fn now() -> Ticks {
    let now: u64;
    // SAFETY: a read of a counter.
    unsafe { asm!("isb", "mrs {}, cntpct_el0", out(reg) now, options(nostack, nomem)) };
    now
}

/// Makes a call; its ticks, and its results or the refusal.
pub fn call(call: Call, arguments: &[u64]) -> (Ticks, Result<[u64; 2], Status>) {
    let (ticks, x) = hvc(call.function_id(), arguments);
    let result = match Status::from_raw(x[0] as i64) {
        Some(Status::Success) => Ok([x[1], x[2]]),
        Some(status) => Err(status),
        None => Err(Status::NotSupported),
    };
    (ticks, result)
}

/// A function of x0 to x17 by the conduit `$instruction`, a window of the plugin's around it.
macro_rules! conduit {
    ($name:ident, $instruction:literal, $what:literal) => {
        #[doc = $what]
        pub fn $name(function: u64, arguments: &[u64]) -> (Ticks, [u64; 18]) {
            let mut x = [0; 18];
            x[0] = function;
            x[1..=arguments.len()].copy_from_slice(arguments);
            let (before, after): (u64, u64);
            // SAFETY: a call as `el1::call` makes it: x0 to x17 are its arguments and results, all else is
            // preserved; memory that it takes away is the caller's to keep out of use.
            unsafe {
                asm!(
                    "hint #112",
                    "isb",
                    "mrs {before}, cntpct_el0",
                    $instruction,
                    "isb",
                    "mrs {after}, cntpct_el0",
                    "hint #113",
                    before = out(reg) before,
                    after = out(reg) after,
                    inout("x0") x[0], inout("x1") x[1], inout("x2") x[2], inout("x3") x[3],
                    inout("x4") x[4], inout("x5") x[5], inout("x6") x[6], inout("x7") x[7],
                    inout("x8") x[8], inout("x9") x[9], inout("x10") x[10], inout("x11") x[11],
                    inout("x12") x[12], inout("x13") x[13], inout("x14") x[14], inout("x15") x[15],
                    inout("x16") x[16], inout("x17") x[17],
                    options(nostack),
                );
            }
            ((after - before).saturating_sub(empty()), x)
        }
    };
}

conduit!(hvc, "hvc #0", "HVC: its ticks, and x0 to x17 afterwards.");
conduit!(smc, "smc #0", "SMC: its ticks, and x0 to x17 afterwards.");

/// Loads a word of a page of the host's own; the load's ticks, with the engine's fault-in if the page
/// was not mapped.
pub fn touch(page: u64) -> Ticks {
    let (before, after): (u64, u64);
    // SAFETY: a load from RAM that is the host's, mapped one to one; a stage-2 fault is the engine's.
    unsafe {
        asm!(
            "isb",
            "mrs {before}, cntpct_el0",
            "ldr xzr, [{page}]",
            "isb",
            "mrs {after}, cntpct_el0",
            page = in(reg) page,
            before = out(reg) before,
            after = out(reg) after,
            options(nostack, readonly),
        );
    }
    (after - before).saturating_sub(empty())
}

pub use el1::mark::{begin_window, end_window};

/// What several calls cost together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Ticks.
    pub ticks: Ticks,
    /// Calls.
    pub calls: u64,
    /// Pages that changed hands.
    pub pages: u64,
}

/// Prints one line for the tool: what was measured, and each round of it.
pub fn tell(what: &str, rounds: &[Cost]) -> TestResult {
    if rounds.is_empty() {
        return Err(Stop::Fail(format!("{what}: no rounds")));
    }
    let mut list = String::new();
    for (index, round) in rounds.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(list, "{comma}{}", round.ticks);
    }
    let Cost { calls, pages, .. } = rounds[0];
    println!(
        "@figure {{\"what\":\"{what}\",\"pages\":{pages},\"calls\":{calls},\"rounds\":[{list}]}}"
    );
    Ok(())
}

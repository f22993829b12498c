//! The engine's count of all pages, and feeding its pool.
//!
//! Invariant: the pool is filled once, before the first test: from then on only a test can change
//! the census.

use crate::{
    outcome::{OrFail, TestResult, check, check_eq},
    vm::in_full,
};
use abi::{InfoIndex, limit};
use el1::{
    PAGE,
    call::{self, Census},
    cpu, pages,
};

/// Pages that the engine gets for its tables, and more for each core.
const POOL: u64 = 2048;
const POOL_PER_CORE: u64 = 16;

/// Gives the engine what every test together can need.
pub fn feed_engine() -> TestResult {
    let mut left = POOL + POOL_PER_CORE * cpu::all().len() as u64;
    while left > 0 {
        let n = left.min(limit::RUN_PAGES as u64);
        let start = pages::take(n, PAGE).or_fail("pages for the engine")?;
        in_full("ENGINE_DONATE", n, |done, left| {
            call::engine_donate(start + done * PAGE, left)
        })?;
        left -= n;
    }
    Ok(())
}

/// Counts all page words; nothing may be in transition.
pub fn take() -> TestResult<Census> {
    let words = call::engine_info(InfoIndex::PageWords).or_fail("ENGINE_INFO")?;
    let mut total = Census::default();
    while total.seen < words {
        let part =
            call::page_census(total.seen, limit::CENSUS_PAGES as u64).or_fail("PAGE_CENSUS")?;
        check!(
            part.seen > 0,
            "PAGE_CENSUS stops at {} of {words}",
            total.seen
        );
        total.seen += part.seen;
        total.reserved += part.reserved;
        total.host += part.host;
        total.host_fixed += part.host_fixed;
        total.engine += part.engine;
        total.vm += part.vm;
        total.shared += part.shared;
        total.claimed += part.claimed;
        total.poisoned += part.poisoned;
    }
    let known = total.reserved
        + total.host
        + total.host_fixed
        + total.engine
        + total.vm
        + total.shared
        + total.claimed
        + total.poisoned;
    check_eq!(known, total.seen, "sum of the census");
    check_eq!(total.claimed, 0, "pages in transition");
    Ok(total)
}

/// Requires that nothing changed since `before`, but that pages of the host's are poisoned now.
pub fn check_same_but_poisoned(before: &Census) -> TestResult {
    let after = take()?;
    let lost = after.poisoned - before.poisoned;
    let expected = Census {
        host: before.host - lost,
        poisoned: before.poisoned + lost,
        ..*before
    };
    check_eq!(after, expected, "census");
    Ok(())
}

/// Requires that nothing changed since `before`.
pub fn check_same(before: &Census) -> TestResult {
    let after = take()?;
    check_eq!(after, *before, "census");
    Ok(())
}

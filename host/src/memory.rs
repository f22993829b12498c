//! Pages on their way to a guest or to the engine, and back.
//!
//! Invariants: a page is written here only while it is the host's alone, taken from [`el1::pages`]
//! and known to nobody else; it is never zero when it leaves, so that zero on return proves a
//! scrub.

use abi::Status;
use core::hint;
use el1::{
    PAGE,
    call::{self, Batch},
    pages,
};

/// Pages in a 2 MiB block.
pub const BLOCK_PAGES: u64 = 512;
/// Bytes of a block.
pub const BLOCK: u64 = BLOCK_PAGES * PAGE;
/// Pages the engine gets when its pool is empty.
const ENGINE_PAGES: u64 = 256;
/// Times a call is made again after BUSY: some other core gets on each time.
const PATIENCE: u32 = 100_000;
const PATTERN: u64 = 0xb1b2_b3b4_b5b6_b7b8;

/// Takes pages in a row, every word of them non-zero.
pub fn take_patterned(count: u64, align: u64) -> Option<u64> {
    let start = pages::take(count, align)?;
    let end = start + count * PAGE;
    let mut at = start;
    while at < end {
        // SAFETY: the pages are RAM, mapped one to one, and were just taken for us alone.
        unsafe { (at as *mut u64).write(PATTERN) };
        at += 8;
    }
    Some(start)
}

/// Copies `content` to the start of pages that [`take_patterned`] returned.
///
/// # Safety
/// The pages at `pa` are still the caller's alone and hold `content.len()` bytes.
pub unsafe fn copy_in(pa: u64, content: &[u8]) {
    // SAFETY: by this function's contract; taken pages overlap nothing.
    unsafe { (pa as *mut u8).copy_from_nonoverlapping(content.as_ptr(), content.len()) };
}

/// How many of the pages are not all zero.
///
/// # Safety
/// The pages are the host's and nobody writes them.
pub unsafe fn count_dirty(start: u64, count: u64) -> u64 {
    let is_dirty = |page: &u64| {
        // SAFETY: by this function's contract.
        let words = unsafe { core::slice::from_raw_parts(*page as *const u64, 512) };
        words.iter().any(|word| *word != 0)
    };
    (0..count)
        .map(|index| start + index * PAGE)
        .filter(is_dirty)
        .count() as u64
}

/// Pages that a batch did; one that did none failed for its reason.
pub fn progress(result: Result<Batch, Status>) -> Result<u64, Status> {
    match result? {
        Batch { done: 0, reason } => Err(reason),
        Batch { done, .. } => Ok(done),
    }
}

/// Makes a call again while it answers BUSY, and with more pages for the engine when it has none
/// left.
pub fn insist<T>(mut call: impl FnMut() -> Result<T, Status>) -> Result<T, Status> {
    for _ in 0..PATIENCE {
        match call() {
            Err(Status::Busy) => hint::spin_loop(),
            Err(Status::NoMemory) => feed_engine()?,
            result => return result,
        }
    }
    Err(Status::Busy)
}

/// Gives the engine pages for its tables.
pub fn feed_engine() -> Result<(), Status> {
    // Of one block if that is to be had: what the engine needs itself for taking them in is then
    // least, and never more than they are.
    let start = take_patterned(ENGINE_PAGES, ENGINE_PAGES * PAGE)
        .or_else(|| take_patterned(ENGINE_PAGES, PAGE))
        .ok_or(Status::NoMemory)?;
    let mut done = 0;
    while done < ENGINE_PAGES {
        match progress(call::engine_donate(
            start + done * PAGE,
            ENGINE_PAGES - done,
        )) {
            Ok(taken) => done += taken,
            Err(Status::Busy) => hint::spin_loop(),
            Err(status) => {
                // SAFETY: what was not donated is still ours, and nobody else knows of it.
                unsafe { pages::give(start + done * PAGE, ENGINE_PAGES - done) };
                return Err(status);
            }
        }
    }
    Ok(())
}

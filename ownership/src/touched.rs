//! How much of the table is memory that was ever written: boot clears a little of it, the rest is
//! touched page by page as granules come apart.
//!
//! A granule's parts have a page of words, written whole when the granule is unfolded for the first
//! time. Words are never given back, so a fold does not count, and the next unfold of the same granule
//! doesn't either: a mark for each granule says that it was unfolded once.
//!
//! Invariants: only statistics: nothing is decided by them; the count is the number of marks, for who
//! sets a mark counts it. Any core may write.

use crate::addr::FAN_OUT_SHIFT;
use crate::table::PageTable;
use core::ops::Deref;
use sync::{AtomicU64, Ordering};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();
/// Bytes of a page.
const PAGE: usize = 4096;

/// The count, and a mark for each granule that can be in parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touched<'t>(&'t [AtomicU64]);

impl<'t> Touched<'t> {
    /// Words that it takes for so many granules.
    pub const fn words_for(granules: usize) -> usize {
        1 + granules.div_ceil(64)
    }

    /// Over that many words, zero at boot.
    pub fn new(words: &'t [AtomicU64]) -> Self {
        Self(words)
    }

    /// The parts of a granule have been written.
    pub fn note(self, granule: usize) {
        let Some((count, marks)) = self.0.split_first() else {
            return;
        };
        let Some(marks) = marks.get(granule / 64) else {
            return;
        };
        let mark = 1u64 << (granule % 64);
        // Relaxed, all three: a statistic. The granule's own mark is its claim's holder's alone.
        if marks.load(Ordering::Relaxed) & mark == 0 {
            marks.fetch_or(mark, Ordering::Relaxed);
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many granules were ever in parts.
    fn count(self) -> usize {
        // Relaxed: a statistic.
        self.0
            .first()
            .map_or(0, |count| count.load(Ordering::Relaxed) as usize)
    }
}

impl<S: Deref<Target = [AtomicU64]>> PageTable<S> {
    /// Bytes of the table's memory that were ever written: pages that boot cleared words of, and a page
    /// for each granule that was ever in parts.
    pub fn touched_bytes(&self) -> usize {
        let cleared = Self::words_to_clear(self.base(), self.len()).saturating_mul(WORD);
        let parts = WORD << FAN_OUT_SHIFT;
        let cleared = cleared.div_ceil(PAGE).saturating_mul(PAGE);
        cleared.saturating_add(self.tree().touched().count().saturating_mul(parts))
    }
}

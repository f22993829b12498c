//! The simulated machine's memory: pages of 64-bit words at the physical addresses of RAM.
//!
//! Invariant: a page that nobody has written reads as zero and takes no memory of ours, so a machine
//! may be as large as a test of 1 GiB blocks needs. Any thread may write any word.

use super::tables::Entries;
use ownership::Pfn;
use std::boxed::Box;
use std::sync::OnceLock;
use sync::{AtomicU64, Ordering};

/// 64-bit words of a page.
pub const WORDS: usize = 512;

type Page = OnceLock<Box<[AtomicU64; WORDS]>>;

/// Memory.
pub struct Ram {
    base: u64,
    pages: Box<[Page]>,
}

impl Ram {
    /// Memory of `pages` pages from `base` on, all zero.
    pub fn new(base: Pfn, pages: usize) -> Self {
        Self {
            base: base.raw(),
            pages: (0..pages).map(|_| OnceLock::new()).collect(),
        }
    }

    /// First page.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Number of pages.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Is there no memory at all?
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Is the page memory?
    pub fn contains(&self, page: u64) -> bool {
        self.page(page).is_some()
    }

    fn page(&self, page: u64) -> Option<&Page> {
        self.pages
            .get(usize::try_from(page.checked_sub(self.base)?).ok()?)
    }

    fn touched(&self, page: u64) -> &[AtomicU64; WORDS] {
        let page = self
            .page(page)
            .expect("the simulated machine was asked for a page it has not");
        page.get_or_init(|| Box::new(::core::array::from_fn(|_| AtomicU64::new(0))))
    }

    /// Has anybody ever written the page?
    pub fn is_touched(&self, page: u64) -> bool {
        self.page(page).is_some_and(|page| page.get().is_some())
    }

    /// All pages.
    pub fn all(&self) -> std::ops::Range<u64> {
        self.base..self.base + self.pages.len() as u64
    }

    /// Reads a word.
    pub fn load(&self, page: u64, word: usize) -> u64 {
        let cell = self.page(page).and_then(|page| page.get());
        // Acquire: pairs with the Release of `store` and `swap`.
        cell.map_or(0, |words| words[word].load(Ordering::Acquire))
    }

    /// The words of a page that are not zero, each with its place.
    pub fn nonzero(&self, page: u64) -> impl Iterator<Item = (usize, u64)> + '_ {
        let words = self.page(page).and_then(|page| page.get());
        let words = words.map_or(&[][..], |words| &words[..]);
        // Acquire: as in `load`.
        let values = words.iter().map(|word| word.load(Ordering::Acquire));
        values.enumerate().filter(|(_, value)| *value != 0)
    }

    /// Writes a word.
    pub fn store(&self, page: u64, word: usize, value: u64) {
        // Release: pairs with the Acquire of `load` and `swap`.
        self.touched(page)[word].store(value, Ordering::Release);
    }

    /// Replaces a word if it is `old`; else what it is.
    pub fn swap(&self, page: u64, word: usize, old: u64, new: u64) -> Result<(), u64> {
        let cell = &self.touched(page)[word];
        // AcqRel: pairs with itself, `load` and `store`.
        cell.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    /// Zeroes a page; had it held anything else?
    pub fn clear(&self, page: u64) -> bool {
        let Some(words) = self.page(page).and_then(|page| page.get()) else {
            return false;
        };
        // AcqRel: as in `swap`.
        words.iter().fold(false, |seen, word| {
            seen | (word.swap(0, Ordering::AcqRel) != 0)
        })
    }

    /// Does every word of the page read as zero?
    pub fn is_zero(&self, page: u64) -> bool {
        (0..WORDS).all(|word| self.load(page, word) == 0)
    }
}

impl Entries for Ram {
    fn each(&self, table: u64, mut visit: impl FnMut(u16, u64)) -> bool {
        for (index, raw) in self.nonzero(table) {
            visit(index as u16, raw);
        }
        self.contains(table)
    }
}

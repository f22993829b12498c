//! Memory for the engine's objects, handed out once and never taken back.
//!
//! Invariant: `free` is mapped, in whole pages, and in nobody's hands. Exists only on the primary
//! while it boots; [`BootHeap::seal`] ends it, and there is no other heap in the engine.

use crate::bulk;
use crate::range::{PAGE, PaRange};
use crate::stage1::{Table, TableSource};

/// A page of bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4096))]
pub struct Page(pub [u8; PAGE as usize]);

/// What is left of the engine's memory while it boots.
#[derive(Debug)]
pub struct BootHeap {
    free: PaRange,
}

impl BootHeap {
    /// A heap over `free`.
    ///
    /// # Safety
    ///
    /// `free` is whole pages, mapped readable and writable at VA == PA for good, and nobody else
    /// uses it.
    pub unsafe fn new(free: PaRange) -> Self {
        Self { free }
    }

    /// `pages` pages of zeroes; `None` if there are not so many left.
    pub fn take(&mut self, pages: usize) -> Option<&'static mut [Page]> {
        let taken = self.take_raw(pages)?;
        let first = taken.start() as usize as *mut Page;
        // SAFETY: `taken` was in `free`: mapped for good, page-aligned, `pages` long, and from now
        // on nobody's but the caller's. All bytes are written before a reference exists.
        unsafe {
            bulk::zero_pages(first, pages);
            Some(core::slice::from_raw_parts_mut(first, pages))
        }
    }

    /// `pages` pages with whatever was in them: for what is too large to be zeroed at boot or will
    /// be overwritten.
    pub fn take_raw(&mut self, pages: usize) -> Option<PaRange> {
        let bytes = (pages as u64).checked_mul(PAGE)?;
        let taken = PaRange::new(self.free.start(), bytes)?;
        if !self.free.contains(taken) {
            return None;
        }
        self.free = PaRange::between(taken.end(), self.free.end())?;
        Some(taken)
    }

    /// What is left.
    pub fn free(&self) -> PaRange {
        self.free
    }

    /// Ends the heap; what is left is the caller's.
    pub fn seal(self) -> PaRange {
        self.free
    }
}

impl TableSource for BootHeap {
    fn take_table(&mut self) -> Option<&'static Table> {
        let page = self.take(1)?.as_mut_ptr();
        // SAFETY: a page of zeroes of our own is an empty `Table`: same size, same alignment.
        Some(unsafe { &*page.cast::<Table>() })
    }

    fn give_back_table(&mut self, table: &'static Table) {
        // Only the last page that was taken can be put back; boot never gives back another.
        if table.pa() + PAGE == self.free.start() {
            self.free = PaRange::between(table.pa(), self.free.end()).unwrap_or(self.free);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;

    use super::*;

    fn heap(pages: usize) -> BootHeap {
        let memory: &'static mut [Page] =
            Box::leak(std::vec![Page([0xa5; PAGE as usize]); pages].into_boxed_slice());
        let free = PaRange::new(memory.as_ptr().addr() as u64, pages as u64 * PAGE).unwrap();
        // SAFETY: leaked memory of our own, aligned by the type.
        unsafe { BootHeap::new(free) }
    }

    #[test]
    fn gives_zeroes_once_and_no_more_than_there_is() {
        let mut heap = heap(4);
        let first = heap.take(2).unwrap();
        assert!(
            first
                .iter()
                .all(|page| page.0.iter().all(|&byte| byte == 0))
        );
        assert!(heap.take(3).is_none());
        assert!(heap.take(usize::MAX).is_none());
        let second = heap.take(1).unwrap();
        assert_eq!(first.as_ptr_range().end, second.as_ptr());
        assert_eq!(heap.seal().size(), PAGE);
    }

    #[test]
    fn takes_back_the_last_table() {
        let mut heap = heap(2);
        let table = heap.take_table().unwrap();
        let free = heap.free();
        heap.give_back_table(table);
        assert_eq!(heap.free().size(), free.size() + PAGE);
    }
}

//! The heap: a fixed part of the image behind one lock.
//!
//! Invariant: interrupt handlers never allocate, so that the lock can't be wanted on the core that
//! holds it.

use crate::Lock;
use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    ptr::{self, NonNull},
};
use linked_list_allocator::Heap;

/// Bytes of the heap: page lists, line buffers and the start records of several hundred cores, and what they note.
const SIZE: usize = 16 << 20;

#[repr(C, align(4096))]
struct Space(UnsafeCell<[u8; SIZE]>);

// SAFETY: only the allocator behind the lock hands out parts of it.
unsafe impl Sync for Space {}

#[unsafe(link_section = ".noinit")]
static SPACE: Space = Space(UnsafeCell::new([0; SIZE]));

struct LockedHeap(Lock<Heap>);

#[global_allocator]
static HEAP: LockedHeap = LockedHeap(Lock::new(Heap::empty()));

/// Gives the heap its memory; once, on the boot core.
pub(crate) fn init() {
    // SAFETY: `SPACE` is used by nobody else and lives for ever.
    unsafe { HEAP.0.lock().init(SPACE.0.get().cast(), SIZE) };
}

// SAFETY: the heap hands out disjoint blocks that honour the layout; the lock serialises it.
unsafe impl GlobalAlloc for LockedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0
            .lock()
            .allocate_first_fit(layout)
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: by `GlobalAlloc`'s contract the block came from `alloc` with this layout.
            unsafe { self.0.lock().deallocate(block, layout) };
        }
    }
}

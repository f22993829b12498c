//! The application's memory for trees and lists: its own, so that using it leaves the firmware's memory
//! map as it is.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};

use linked_list_allocator::Heap;
use spin::Mutex;

/// A tree for 512 cores takes a few hundred KiB, and a firmware's own some megabytes at most.
const BYTES: usize = 16 << 20;

struct Arena(UnsafeCell<[u8; BYTES]>);

// SAFETY: given to the heap once, under its lock; nobody else names it.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; BYTES]));

struct Allocator(Mutex<Option<Heap>>);

#[global_allocator]
static ALLOCATOR: Allocator = Allocator(Mutex::new(None));

// SAFETY: what it hands out is the arena's, once, by `Heap`'s promise.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut heap = self.0.lock();
        let heap = heap.get_or_insert_with(|| {
            // SAFETY: the arena lives for ever, and this runs once.
            unsafe { Heap::new(ARENA.0.get().cast(), BYTES) }
        });
        heap.allocate_first_fit(layout)
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let mut heap = self.0.lock();
        if let (Some(heap), Some(at)) = (heap.as_mut(), NonNull::new(at)) {
            // SAFETY: the caller's promise: it came from `alloc` with this layout.
            unsafe { heap.deallocate(at, layout) };
        }
    }
}

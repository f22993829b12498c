//! Objects in the engine's memory, made once at boot and kept for ever.

use smp_boot::{BootError, BootHeap, bulk};
use sync::AtomicU64;

/// Makes `n` objects side by side.
pub fn make<T>(
    heap: &mut BootHeap,
    n: usize,
    mut object: impl FnMut(usize) -> T,
) -> Result<&'static [T], BootError> {
    const { assert!(align_of::<T>() <= 4096) };
    let bytes = n
        .checked_mul(size_of::<T>())
        .ok_or(BootError::OutOfBootMemory)?;
    let pages = heap
        .take_raw(bytes.div_ceil(4096))
        .ok_or(BootError::OutOfBootMemory)?;
    let first = pages.start() as usize as *mut T;
    for index in 0..n {
        // SAFETY: within the pages just taken, which are mapped, page-aligned and nobody else's.
        unsafe { first.add(index).write(object(index)) };
    }
    // SAFETY: the loop wrote all `n` objects; the memory is never taken back.
    Ok(unsafe { core::slice::from_raw_parts(first, n) })
}

/// Bytes of stack that making a model may take: see [`write_model`].
const MODEL_STACK: usize = 16 << 10;

/// Fills the stack below with zeroes.
#[inline(never)]
fn clear_stack() {
    core::hint::black_box(&mut [0_u64; MODEL_STACK / 8]);
}

/// Makes one object. Not inlined, so that it is put together on the stack that [`clear_stack`] cleared: bytes that
/// no field is in, behind a variant, come along as zeroes then.
///
/// # Safety
///
/// There is room for one at `at`.
#[inline(never)]
unsafe fn write_model<T>(at: *mut T, model: impl FnOnce() -> T) {
    // SAFETY: the caller's promise.
    unsafe { at.write(model()) };
}

/// Makes `n` objects side by side, each as a new one is: [`make_like`].
pub fn make_alike<T: Default>(heap: &mut BootHeap, n: usize) -> Result<&'static [T], BootError> {
    make_like(heap, n, T::default).map(|all| &*all)
}

/// Makes `n` objects side by side, all like `model`, which owns nothing: most of their bytes are zero, and are made so
/// by blocks.
pub fn make_like<T>(
    heap: &mut BootHeap,
    n: usize,
    model: impl FnOnce() -> T,
) -> Result<&'static mut [T], BootError> {
    const { assert!(align_of::<T>() <= 4096) };
    let bytes = n
        .checked_mul(size_of::<T>())
        .ok_or(BootError::OutOfBootMemory)?;
    let pages = heap
        .take(bytes.div_ceil(4096))
        .ok_or(BootError::OutOfBootMemory)?;
    let first = pages.as_mut_ptr().cast::<T>();
    if n > 0 {
        clear_stack();
        // SAFETY: within the pages just taken, which are zero, page-aligned and nobody else's.
        unsafe {
            write_model(first, model);
            bulk::repeat_over_zeroes(first, n);
        }
    }
    // SAFETY: all `n` objects were made; the memory is never taken back.
    Ok(unsafe { core::slice::from_raw_parts_mut(first, n) })
}

/// Makes `n` words that hold whatever was in memory, without touching them.
pub fn make_untouched(heap: &mut BootHeap, n: usize) -> Result<&'static [AtomicU64], BootError> {
    let bytes = n
        .checked_mul(size_of::<AtomicU64>())
        .ok_or(BootError::OutOfBootMemory)?;
    let pages = heap
        .take_raw(bytes.div_ceil(4096))
        .ok_or(BootError::OutOfBootMemory)?;
    let first = pages.start() as usize as *const AtomicU64;
    // SAFETY: within the pages just taken, which are mapped, page-aligned and nobody else's, and
    // never taken back; any bits are an `AtomicU64`.
    Ok(unsafe { core::slice::from_raw_parts(first, n) })
}

/// Makes one object.
pub fn make_one<T>(heap: &mut BootHeap, object: T) -> Result<&'static T, BootError> {
    let mut object = Some(object);
    let made = make(heap, 1, |_| object.take())?;
    made.first()
        .and_then(Option::as_ref)
        .ok_or(BootError::OutOfBootMemory)
}

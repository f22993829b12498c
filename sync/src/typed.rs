//! A 64-bit atomic that holds one packed type and nothing else, so that no half-built number can
//! be stored where a packed word belongs.
//!
//! Invariant: the same operations on both sides; on metal they are the `atomic` crate's, which
//! compiles them to the instructions of an `AtomicU64`. Where accesses are told of they are those of
//! this crate's own.

#[cfg(any(loom, feature = "observed"))]
use crate::AtomicU64;
use crate::Ordering;
use bytemuck::NoUninit;

/// An atomic `T` of eight bytes.
#[derive(Debug)]
pub struct Typed<T: NoUninit> {
    #[cfg(not(any(loom, feature = "observed")))]
    inner: atomic::Atomic<T>,
    #[cfg(any(loom, feature = "observed"))]
    inner: AtomicU64,
    #[cfg(any(loom, feature = "observed"))]
    of: core::marker::PhantomData<T>,
}

#[cfg(not(any(loom, feature = "observed")))]
impl<T: bytemuck::Pod> Typed<T> {
    /// An atomic with this value.
    pub const fn new(value: T) -> Self {
        const { assert!(atomic::Atomic::<T>::is_lock_free() && size_of::<T>() == 8) };
        Self {
            inner: atomic::Atomic::new(value),
        }
    }

    /// Reads it.
    #[inline]
    pub fn load(&self, order: Ordering) -> T {
        self.inner.load(order)
    }

    /// Writes it.
    #[inline]
    pub fn store(&self, value: T, order: Ordering) {
        self.inner.store(value, order);
    }

    /// Replaces `old` by `new`, or says what was there instead.
    #[inline]
    pub fn compare_exchange(
        &self,
        old: T,
        new: T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<T, T> {
        self.inner.compare_exchange(old, new, success, failure)
    }
}

#[cfg(any(loom, feature = "observed"))]
impl<T: bytemuck::Pod> Typed<T> {
    /// An atomic with this value.
    pub fn new(value: T) -> Self {
        Self {
            inner: AtomicU64::new(bytemuck::cast(value)),
            of: core::marker::PhantomData,
        }
    }

    /// Reads it.
    #[track_caller]
    pub fn load(&self, order: Ordering) -> T {
        bytemuck::cast(self.inner.load(order))
    }

    /// Writes it.
    #[track_caller]
    pub fn store(&self, value: T, order: Ordering) {
        self.inner.store(bytemuck::cast(value), order);
    }

    /// Replaces `old` by `new`, or says what was there instead.
    #[track_caller]
    pub fn compare_exchange(
        &self,
        old: T,
        new: T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<T, T> {
        self.inner
            .compare_exchange(bytemuck::cast(old), bytemuck::cast(new), success, failure)
            .map(bytemuck::cast)
            .map_err(bytemuck::cast)
    }
}

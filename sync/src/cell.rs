//! `UnsafeCell` by closures: loom must know when an access begins and ends.
//!
//! Invariant: like `core`'s cell it promises nothing by itself and isn't `Sync`; whoever wraps it
//! says why accesses don't overlap. Under loom, overlapping accesses fail the model.

#[cfg(loom)]
pub use loom::cell::UnsafeCell;

/// A cell whose content is reached by raw pointers, for the length of a closure.
#[cfg(not(loom))]
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    /// A cell with this content.
    pub const fn new(content: T) -> Self {
        Self(core::cell::UnsafeCell::new(content))
    }

    /// Lends a pointer for reading.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Lends a pointer for reading and writing.
    #[inline]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

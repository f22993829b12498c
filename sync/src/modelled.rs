//! Loom's atomics, made to be explored completely, and no more than that.
//!
//! Each access tells [`Readers`] of it, so that loom finds every conflict. A thread that is alone
//! takes the value by itself, which is no step of the search.
//!
//! Invariant: neither orders anything in the model; which values a load may return is loom's decision
//! alone. A word to which a thread stored while it was not alone may have more than one last value
//! (loom knows no order of two stores that nothing orders): loom chooses there, even for a lone thread.

use crate::alone::is_alone;
use crate::observe;
use crate::readers::Readers;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool as Flag, Ordering::Relaxed};
use loom::sync::atomic::Ordering;

macro_rules! atomic {
    ($name:ident, $value:ident, $modelled:ident, $fetches:tt) => {
        #[doc = concat!("`core`'s `", stringify!($name), "`, modelled.")]
        #[derive(Debug)]
        pub struct $name {
            inner: UnsafeCell<loom::sync::atomic::$modelled>,
            readers: Readers,
            /// Was it stored to by a thread that was not alone?
            stored: Flag,
        }

        // SAFETY: the cell is changed by a lone thread only, see `alone_mut`.
        unsafe impl Sync for $name {}

        impl $name {
            /// An atomic with this value.
            #[track_caller]
            pub fn new(value: $value) -> Self {
                Self {
                    inner: UnsafeCell::new(loom::sync::atomic::$modelled::new(value.into())),
                    readers: Readers::default(),
                    stored: Flag::new(false),
                }
            }

            fn inner(&self) -> &loom::sync::atomic::$modelled {
                // SAFETY: changed by nobody who isn't alone, see `alone_mut`.
                unsafe { &*self.inner.get() }
            }

            /// The value, if the calling thread is alone and there is only one.
            fn alone(&self) -> Option<$value> {
                // Relaxed: loom's threads all run on one.
                if !is_alone() || self.stored.load(Relaxed) {
                    return None;
                }
                // SAFETY: loom has this unsafe as no other thread may change it; none is there.
                Some(to!($value, unsafe { self.inner().unsync_load() }))
            }

            /// Changes the value if `alone` found it.
            fn alone_mut(&self, value: $value) {
                // SAFETY: the thread is alone, nobody else has a reference that it will use.
                unsafe { &mut *self.inner.get() }.with_mut(|inner| *inner = value.into());
            }

            /// The access that was made conflicts with all readers'.
            fn written(&self) {
                if !is_alone() {
                    self.readers.has_written();
                }
            }

            /// Reads it.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                if let Some(value) = self.alone() {
                    return value;
                }
                let value = self.inner().load(order);
                if !is_alone() {
                    self.readers.has_read();
                }
                observe::access(self, "load", Some(value as u64), None, order);
                to!($value, value)
            }

            /// Writes it.
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                if self.alone().is_some() {
                    return self.alone_mut(value);
                }
                // Relaxed: loom's threads all run on one.
                self.stored.store(true, Relaxed);
                self.inner().store(value.into(), order);
                self.written();
                observe::access(self, "store", None, Some(value as u64), order);
            }

            /// Writes it and returns what was there.
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                if let Some(old) = self.alone() {
                    self.alone_mut(value);
                    return old;
                }
                let old = self.inner().swap(value.into(), order);
                self.written();
                observe::access(self, "swap", Some(old as u64), Some(value as u64), order);
                to!($value, old)
            }

            /// Replaces `old` by `new`, or says what was there instead.
            #[track_caller]
            pub fn compare_exchange(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                if let Some(now) = self.alone() {
                    if now != old {
                        return Err(now);
                    }
                    self.alone_mut(new);
                    return Ok(now);
                }
                let result =
                    self.inner()
                        .compare_exchange(old.into(), new.into(), success, failure);
                self.written();
                let (was, written, order) = match result {
                    Ok(was) => (was, Some(new as u64), success),
                    Err(was) => (was, None, failure),
                };
                observe::access(self, "compare_exchange", Some(was as u64), written, order);
                result
                    .map(|old| to!($value, old))
                    .map_err(|old| to!($value, old))
            }

            fetches!($value, $modelled, $fetches);
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(<$value>::default())
            }
        }
    };
}

macro_rules! to {
    (bool, $value:expr) => {
        $value != 0
    };
    ($type:ident, $value:expr) => {
        $value
    };
}

macro_rules! fetches {
    ($value:ident, $modelled:ident, [$($fetch:ident)*]) => {
        $(
            /// Changes it as its name says, and returns what was there.
            #[track_caller]
            pub fn $fetch(&self, value: $value, order: Ordering) -> $value {
                let old = self.inner().$fetch(value.into(), order);
                self.written();
                // What it is by now, had from the same operation.
                let plain = core::sync::atomic::$modelled::new(old);
                plain.$fetch(value.into(), Relaxed);
                let new = Some(plain.into_inner() as u64);
                observe::access(self, stringify!($fetch), Some(old as u64), new, order);
                to!($value, old)
            }
        )*
    };
}

atomic!(AtomicBool, bool, AtomicU8, [fetch_and fetch_or fetch_xor]);
atomic!(AtomicU8, u8, AtomicU8, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);
atomic!(AtomicU16, u16, AtomicU16, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);
atomic!(AtomicU32, u32, AtomicU32, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);
atomic!(AtomicU64, u64, AtomicU64, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);
atomic!(AtomicUsize, usize, AtomicUsize, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);

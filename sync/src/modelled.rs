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

macro_rules! fetches {
    ($name:ident, $value:ident, [$($fetch:ident)*]) => {
        $(
            /// Changes it as its name says, and returns what was there.
            #[track_caller]
            pub fn $fetch(&self, value: $value, order: Ordering) -> $value {
                let after = |old| {
                    let word = core::sync::atomic::$name::new(old);
                    word.$fetch(value, Relaxed);
                    word.into_inner()
                };
                let old = if let Some(old) = self.alone() {
                    self.set_alone(after(old));
                    old
                } else {
                    let old = self.inner().$fetch(value.into(), order);
                    self.readers.has_written();
                    plain!($value, old)
                };
                let new = Some(after(old) as u64);
                observe::access(self, stringify!($fetch), Some(old as u64), new, order);
                old
            }
        )*
    };
}

/// What loom holds, as the value that it stands for.
macro_rules! plain {
    (bool, $value:expr) => {
        $value != 0
    };
    ($type:ident, $value:expr) => {
        $value
    };
}

macro_rules! atomic {
    ($name:ident, $value:ident as $modelled:ident, $fetches:tt) => {
        #[doc = concat!("`core`'s `", stringify!($name), "`, modelled.")]
        #[derive(Debug)]
        pub struct $name {
            inner: UnsafeCell<loom::sync::atomic::$modelled>,
            readers: Readers,
            /// Was it stored to by a thread that was not alone?
            stored: Flag,
        }

        // SAFETY: the cell is changed by a lone thread only, see `set_alone`.
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
                // SAFETY: changed by nobody who isn't alone, see `set_alone`.
                unsafe { &*self.inner.get() }
            }

            /// The value, if the calling thread is alone and there is one only.
            #[track_caller]
            fn alone(&self) -> Option<$value> {
                // Relaxed: loom's threads all run on one.
                if !is_alone() || self.stored.load(Relaxed) {
                    return None;
                }
                // SAFETY: no other thread is there that could store meanwhile.
                Some(plain!($value, unsafe { self.inner().unsync_load() }))
            }

            /// Changes the value, where `alone` found one.
            #[track_caller]
            fn set_alone(&self, value: $value) {
                // SAFETY: the calling thread is alone, so nobody else has a reference in use.
                unsafe { &mut *self.inner.get() }.with_mut(|inner| *inner = value.into());
            }

            /// Reads it.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                let value = if let Some(value) = self.alone() {
                    value
                } else {
                    let value = self.inner().load(order);
                    self.readers.has_read();
                    plain!($value, value)
                };
                observe::access(self, "load", Some(value as u64), None, order);
                value
            }

            /// Writes it.
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                if self.alone().is_some() {
                    self.set_alone(value);
                } else {
                    // Relaxed: loom's threads all run on one.
                    self.stored.store(true, Relaxed);
                    self.inner().store(value.into(), order);
                    self.readers.has_written();
                }
                observe::access(self, "store", None, Some(value as u64), order);
            }

            /// Writes it and returns what was there.
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                let old = if let Some(old) = self.alone() {
                    self.set_alone(value);
                    old
                } else {
                    let old = self.inner().swap(value.into(), order);
                    self.readers.has_written();
                    plain!($value, old)
                };
                observe::access(self, "swap", Some(old as u64), Some(value as u64), order);
                old
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
                let result = match self.alone() {
                    Some(was) if was == old => {
                        self.set_alone(new);
                        Ok(was)
                    }
                    Some(was) => Err(was),
                    None => {
                        let (old, new) = (old.into(), new.into());
                        let result = self.inner().compare_exchange(old, new, success, failure);
                        self.readers.has_written();
                        let result = result.map(|was| plain!($value, was));
                        result.map_err(|was| plain!($value, was))
                    }
                };
                let (was, written, order) = match result {
                    Ok(was) => (was, Some(new as u64), success),
                    Err(was) => (was, None, failure),
                };
                observe::access(self, "compare_exchange", Some(was as u64), written, order);
                result
            }

            fetches!($name, $value, $fetches);
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(<$value>::default())
            }
        }
    };
}

// Loom's `AtomicBool` has no way to change it but by steps.
atomic!(AtomicBool, bool as AtomicU8, [fetch_and fetch_or fetch_xor]);
atomic!(AtomicU8, u8 as AtomicU8, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);
atomic!(AtomicU16, u16 as AtomicU16, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);
atomic!(AtomicU32, u32 as AtomicU32, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);
atomic!(AtomicU64, u64 as AtomicU64, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);
atomic!(AtomicUsize, usize as AtomicUsize, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);

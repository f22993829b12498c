//! Loom's atomics, made to be explored completely.
//!
//! Loom reorders two accesses only if it sees that they conflict, and for each object it remembers
//! just the last access. A thread that loads a word and then exchanges it therefore hides, by its
//! own load, an earlier load of another thread: the order "exchange, then that load" is never tried
//! (loom 0.7.2, `rt/atomic.rs`, `last_dependent_access`). Load-then-exchange is what this engine's
//! protocols are made of, so every access here first takes a turn: an exchange on a second atomic,
//! where every two accesses conflict.
//!
//! Invariant: the turn is a Relaxed read-modify-write of a word that nobody reads, so it orders
//! nothing in the model; which values a load may return is loom's decision alone.

use crate::observe;
use loom::sync::atomic::Ordering;

#[derive(Debug)]
struct Turn(loom::sync::atomic::AtomicUsize);

impl Turn {
    fn take(&self) {
        // Relaxed: see the header.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

macro_rules! atomic {
    ($name:ident, $value:ty, $($fetch:ident)*) => {
        #[doc = concat!("`core`'s `", stringify!($name), "`, modelled.")]
        #[derive(Debug)]
        pub struct $name {
            inner: loom::sync::atomic::$name,
            turn: Turn,
        }

        impl $name {
            /// An atomic with this value.
            #[track_caller]
            pub fn new(value: $value) -> Self {
                let turn = Turn(loom::sync::atomic::AtomicUsize::new(0));
                Self { inner: loom::sync::atomic::$name::new(value), turn }
            }

            /// Reads it.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                self.turn.take();
                let value = self.inner.load(order);
                observe::access(self, "load", Some(value as u64), None, order);
                value
            }

            /// Writes it.
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                self.turn.take();
                self.inner.store(value, order);
                observe::access(self, "store", None, Some(value as u64), order);
            }

            /// Writes it and returns what was there.
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.turn.take();
                let old = self.inner.swap(value, order);
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
                self.turn.take();
                let result = self.inner.compare_exchange(old, new, success, failure);
                let (was, written, order) = match result {
                    Ok(was) => (was, Some(new as u64), success),
                    Err(was) => (was, None, failure),
                };
                observe::access(self, "compare_exchange", Some(was as u64), written, order);
                result
            }

            $(
                /// Changes it as its name says, and returns what was there.
                #[track_caller]
                pub fn $fetch(&self, value: $value, order: Ordering) -> $value {
                    self.turn.take();
                    let old = self.inner.$fetch(value, order);
                    // What it is by now, had from the same operation.
                    let plain = core::sync::atomic::$name::new(old);
                    plain.$fetch(value, Ordering::Relaxed);
                    let new = Some(plain.into_inner() as u64);
                    observe::access(self, stringify!($fetch), Some(old as u64), new, order);
                    old
                }
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(<$value>::default())
            }
        }
    };
}

atomic!(AtomicBool, bool, fetch_and fetch_or fetch_xor);
atomic!(AtomicU8, u8, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);
atomic!(AtomicU16, u16, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);
atomic!(AtomicU32, u32, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);
atomic!(AtomicU64, u64, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);
atomic!(AtomicUsize, usize, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);

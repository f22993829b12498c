//! `core`'s atomics, each of whose accesses is told of: what a model of caches is fed with.
//!
//! Only with the feature `observed`, which no image and no timed build has; without it the names stand for
//! `core`'s atomics themselves.
//!
//! Invariants: each is laid out as the atomic that it stands for, so that lines are shared as they are in an
//! image; an access does and orders what `core`'s does, and is told of after it was made.

use crate::observe;
use core::sync::atomic::Ordering;

macro_rules! observed {
    ($name:ident, $value:ident, [$($fetch:ident)*]) => {
        #[doc = concat!("`core`'s `", stringify!($name), "`, observed.")]
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(core::sync::atomic::$name);

        impl $name {
            /// An atomic with this value.
            pub const fn new(value: $value) -> Self {
                Self(core::sync::atomic::$name::new(value))
            }

            /// Reads it.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                let value = self.0.load(order);
                observe::access(self, "load", Some(value as u64), None, order);
                value
            }

            /// Writes it.
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                self.0.store(value, order);
                observe::access(self, "store", None, Some(value as u64), order);
            }

            /// Writes it and returns what was there.
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                let old = self.0.swap(value, order);
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
                let result = self.0.compare_exchange(old, new, success, failure);
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
                    let old = self.0.$fetch(value, order);
                    let word = core::sync::atomic::$name::new(old);
                    word.$fetch(value, Ordering::Relaxed);
                    let new = Some(word.into_inner() as u64);
                    observe::access(self, stringify!($fetch), Some(old as u64), new, order);
                    old
                }
            )*
        }
    };
}

observed!(AtomicBool, bool, [fetch_and fetch_or fetch_xor]);
observed!(AtomicU8, u8, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);
observed!(AtomicU16, u16, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);
observed!(AtomicU32, u32, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);
observed!(AtomicU64, u64, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);
observed!(AtomicUsize, usize, [fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min]);

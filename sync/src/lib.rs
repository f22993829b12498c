//! The one switch between the machine's atomics and loom's.
//!
//! Protocol code takes every atomic, fence and interior-mutable cell from here, never from `core`,
//! so that the source which runs is the source which is model-checked: `--cfg loom` exchanges all
//! of them at once.
//!
//! Invariants:
//! - both sides have the same names and signatures; code that uses them has no `cfg(loom)`;
//! - loom's atomics can't be made in constants, so nothing may rely on a `const fn new`;
//! - with the feature `observed` each access of `core`'s atomics is told of, as loom's are; a build that is
//!   timed or that runs on metal does without it, and then it costs nothing;
//! - loom treats a SeqCst *access* as AcqRel; where sequential consistency is needed, use
//!   [`fence`], which is a step of the search there.
//!
//! [`Typed`] is where the `atomic` crate is used: a 64-bit atomic that holds one packed type and
//! nothing else.

#![no_std]

#[cfg(loom)]
pub mod alone;
mod cell;
#[cfg(loom)]
mod fences;
#[cfg(loom)]
mod modelled;
#[cfg(any(loom, feature = "observed"))]
pub mod observe;
#[cfg(all(feature = "observed", not(loom)))]
mod observed;
#[cfg(loom)]
mod readers;
mod typed;

#[cfg(all(feature = "observed", target_os = "none"))]
compile_error!("`observed` is for the development machine: an image's accesses are told to nobody");

pub use cell::UnsafeCell;
pub use typed::Typed;

#[cfg(not(loom))]
pub use core::sync::atomic::Ordering;
#[cfg(not(any(loom, feature = "observed")))]
pub use core::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, fence,
};

#[cfg(loom)]
pub use loom::sync::atomic::Ordering;
#[cfg(loom)]
pub use modelled::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize};
#[cfg(any(loom, feature = "observed"))]
pub use observe::fence;
#[cfg(all(feature = "observed", not(loom)))]
pub use observed::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize};

/// The ordering of an access, or Relaxed where a mutant builds it away:
/// `word.load(unless(cfg!(mutant = "x"), Ordering::Acquire))`.
#[inline(always)]
pub const fn unless(is_removed: bool, ordering: Ordering) -> Ordering {
    if is_removed {
        Ordering::Relaxed
    } else {
        ordering
    }
}

/// Tells the core that this is a wait (on metal), or lets other threads go on (under loom, which
/// otherwise explores the wait for ever).
///
/// A model that comes here is not complete: loom never goes back to where a thread yielded (0.7.2,
/// `rt/path.rs`, `Schedule::backtrack`), so orders are lost. Code that is model-checked must not.
pub fn spin_hint() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

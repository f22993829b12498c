//! The word by which a parked core is let go, and the order in which it is told.
//!
//! Invariants: the word is the truth, and what rings only ends a wait; the releaser stores the word
//! before it rings, the core looks at the word before each wait: whichever comes first, one of the two
//! is seen. Who may write: any core releases; the core itself takes.

use sync::{AtomicU64, Ordering};

/// Whether a core shall go on.
#[derive(Debug, Default)]
pub struct ParkWord(AtomicU64);

impl ParkWord {
    /// Lets the core go, and has `ring` end its wait. The caller has stored what it shall find.
    pub fn release(&self, ring: impl FnOnce()) {
        // Release: pairs with the Acquire in `wait`; publishes where the core is to start.
        #[cfg(not(mutant = "park-ring-first"))]
        self.0.store(1, Ordering::Release);
        ring();
        #[cfg(mutant = "park-ring-first")]
        self.0.store(1, Ordering::Release);
    }

    /// On the core itself: `sleep`s until it is let go. It may be woken for nothing, but not left
    /// asleep after what rings came.
    pub fn wait(&self, mut sleep: impl FnMut()) {
        // Acquire: pairs with the Release in `release`. Relaxed on failure: look again.
        while self
            .0
            .compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            sleep();
        }
    }
}

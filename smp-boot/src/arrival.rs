//! Whether a core that was started has come: the word between it and the core that waits for it.
//!
//! Invariants: the word leaves `SILENT` once, by whoever is first: the core, or the primary that gives
//! it up. So a core that is counted goes on, one that is not goes no further, and what a counted core
//! has set up is seen by whoever counted it.

use sync::{AtomicU32, Ordering, fence};

/// Nothing was heard of the core.
const SILENT: u32 = 0;
/// The core is in Rust, but says it is another one than was started.
const MISTAKEN: u32 = 1;
/// The core has arrived.
const ARRIVED: u32 = 2;
/// The primary has stopped waiting.
const ABANDONED: u32 = 3;

/// The word of one core.
#[derive(Debug)]
pub struct Arrival(AtomicU32);

impl Default for Arrival {
    fn default() -> Self {
        Self(AtomicU32::new(SILENT))
    }
}

impl Arrival {
    /// On the core itself: it is ready. `false` if it was given up meanwhile.
    #[must_use = "a core that was given up goes no further"]
    pub fn arrive(&self) -> bool {
        // Release: pairs with the Acquire fence in `count`; publishes all that this core has set up.
        #[cfg(not(mutant = "arrive-relaxed"))]
        const ORDER: Ordering = Ordering::Release;
        #[cfg(mutant = "arrive-relaxed")]
        const ORDER: Ordering = Ordering::Relaxed;
        // Relaxed on failure: nothing is read after it.
        self.0
            .compare_exchange(SILENT, ARRIVED, ORDER, Ordering::Relaxed)
            .is_ok()
    }

    /// On the core itself: it is not the one that was started.
    pub fn disown(&self) {
        // Relaxed: nothing is published with it.
        self.0.store(MISTAKEN, Ordering::Relaxed);
    }

    /// Has it come? To know when to stop waiting, and afterwards who is there.
    pub fn has_come(&self) -> bool {
        // Relaxed: nothing is read by it that `count` has not acquired.
        self.0.load(Ordering::Relaxed) == ARRIVED
    }

    /// Whether there is reason to wait: it has neither come, nor said that it is another one, nor been given up.
    pub fn is_awaited(&self) -> bool {
        // Relaxed: as in `has_come`.
        self.0.load(Ordering::Relaxed) == SILENT
    }

    /// Gives the core up, which the firmware did not start.
    pub fn give_up(&self) {
        let _ = self.close();
    }

    /// Gives the core up unless it has come; says whether it has.
    fn close(&self) -> bool {
        // Relaxed: whoever changes the word first decides, and nothing is published by giving up;
        // `count` acquires.
        #[cfg(not(mutant = "give-up-no-compare"))]
        let closed =
            self.0
                .compare_exchange(SILENT, ABANDONED, Ordering::Relaxed, Ordering::Relaxed);
        #[cfg(mutant = "give-up-no-compare")]
        let closed = match self.0.load(Ordering::Relaxed) {
            SILENT => {
                self.0.store(ABANDONED, Ordering::Relaxed);
                Ok(SILENT)
            }
            other => Err(other),
        };
        closed == Err(ARRIVED)
    }
}

/// How many have come; the others are given up. What those have set up is seen from here on.
pub fn count<'a>(arrivals: impl Iterator<Item = &'a Arrival>) -> usize {
    let closed = arrivals.map(|arrival| usize::from(arrival.close()));
    let arrived = closed.fold(0, usize::saturating_add);
    // Acquire: with the looks above, pairs with the Release in `arrive`, also for a core that came
    // after the primary last looked.
    #[cfg(not(mutant = "count-no-fence"))]
    fence(Ordering::Acquire);
    #[cfg(mutant = "count-no-fence")]
    let _ = fence;
    arrived
}

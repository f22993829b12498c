//! Where cores that bring a dying VM home stopped in the middle of 2 MiB of it: for whoever calls next.
//!
//! A call scrubs a bounded number of pages, and 2 MiB may be more. What is done of them says the page
//! word; here is only that there is more to do, and where.
//!
//! Invariants: a place is here once, put by a core that had it to itself and taken by one that then
//! has; only cores counted into the cursor's stage of pages put and take, so that in the stage after it
//! the list stands still.

use sync::{AtomicU64, Ordering, unless};

/// Places kept; more than these are found by looking through the whole VM again. Under loom few, as
/// each is one more word to look at.
pub const RESTS: usize = if cfg!(loom) { 1 } else { 16 };

/// The places: IPA page + 1, or 0.
#[derive(Default)]
pub struct Rests([AtomicU64; RESTS]);

impl Rests {
    /// Adds a place; `false` if there is no room.
    pub fn put(&self, ipa_page: u64) -> bool {
        let value = ipa_page.wrapping_add(1);
        // Release: pairs with the Acquire in `take`; what was done up to this place is done.
        self.0.iter().any(|cell| {
            let done = unless(cfg!(mutant = "rest-put-relaxed"), Ordering::Release);
            cell.compare_exchange(0, value, done, Ordering::Relaxed)
                .is_ok()
        })
    }

    /// Takes one, if one is seen and nobody is faster.
    pub fn take(&self) -> Option<u64> {
        self.0.iter().find_map(|cell| {
            // Relaxed: the exchange below decides.
            let seen = cell.load(Ordering::Relaxed);
            if seen == 0 {
                return None;
            }
            // Acquire: pairs with the Release in `put`. Relaxed on failure: nothing is read by it.
            let look = unless(cfg!(mutant = "rest-take-relaxed"), Ordering::Acquire);
            cell.compare_exchange(seen, 0, look, Ordering::Relaxed)
                .ok()
                .map(|taken| taken.wrapping_sub(1))
        })
    }

    /// Is there none? The answer holds for a core that knows that nobody puts any; for others it is a hint.
    pub fn is_empty(&self) -> bool {
        // Relaxed: nothing is read by a hint; where it holds, whoever put has left the cursor (Release),
        // which the caller has read (Acquire).
        self.0.iter().all(|cell| cell.load(Ordering::Relaxed) == 0)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken_once() {
        let rests = Rests::default();
        assert!(rests.is_empty() && rests.take().is_none());
        for page in 0..RESTS as u64 {
            assert!(rests.put(page));
        }
        assert!(!rests.put(99));
        let mut taken: std::vec::Vec<_> = core::iter::from_fn(|| rests.take()).collect();
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..RESTS as u64));
        assert!(rests.is_empty() && rests.put((1 << 36) - 1));
        assert_eq!(rests.take(), Some((1 << 36) - 1));
    }
}

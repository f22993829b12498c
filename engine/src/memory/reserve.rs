//! A few pages that only the filling of the pool may use, and a fault of the host's on its own map.
//!
//! Invariants: a slot holds a page number or 0, so page 0 is never in it; a page leaves its slot by one
//! exchange, so it is given once. Any core may take and put; nobody waits. Only one donation at a time
//! takes from it: what is missing then is missing for good, and not with another core for a moment.

use ownership::Pfn;
use sync::{AtomicU64, Ordering, unless};

/// Pages of a full reserve: enough for a donation and for a few devices that the host meets while
/// the pool is empty.
pub const RESERVE_PAGES: usize = 8;

/// The reserve.
#[derive(Default)]
pub struct Reserve {
    slots: [AtomicU64; RESERVE_PAGES],
    /// 1 while a donation has it.
    held: AtomicU64,
}

impl Reserve {
    /// Takes all of it for one donation; `false` while another has it.
    pub fn hold(&self) -> bool {
        // Acquire: pairs with the Release of `let_go`: what the last donation gave back is there.
        // Relaxed on failure: nothing is read.
        #[cfg(not(mutant = "donate-no-hold"))]
        return self
            .held
            .compare_exchange(
                0,
                1,
                unless(cfg!(mutant = "reserve-hold-relaxed"), Ordering::Acquire),
                Ordering::Relaxed,
            )
            .is_ok();
        #[cfg(mutant = "donate-no-hold")]
        true
    }

    /// Ends that.
    pub fn let_go(&self) {
        // Release: pairs with the Acquire of `hold`.
        let free = unless(cfg!(mutant = "reserve-let-go-relaxed"), Ordering::Release);
        self.held.store(0, free);
    }

    /// Adds a page; `false` if there is no room.
    pub fn put(&self, page: Pfn) -> bool {
        page.raw() != 0
            && self.slots.iter().any(|slot| {
                // Release: pairs with the Acquire of `take` and `swap`; the page's last use happened
                // before. Relaxed on failure: the next slot is tried.
                let given = unless(cfg!(mutant = "reserve-put-relaxed"), Ordering::Release);
                slot.compare_exchange(0, page.raw(), given, Ordering::Relaxed)
                    .is_ok()
            })
    }

    /// Takes a page, but none of the first `leaves` slots', which are filled first and emptied last.
    pub fn take(&self, leaves: usize) -> Option<Pfn> {
        self.slots.iter().skip(leaves).rev().find_map(|slot| {
            // Acquire: pairs with the Release of `put`.
            let look = unless(cfg!(mutant = "reserve-take-relaxed"), Ordering::Acquire);
            #[cfg(not(mutant = "reserve-take-in-two"))]
            let page = slot.swap(0, look);
            #[cfg(mutant = "reserve-take-in-two")]
            let page = slot.load(look);
            #[cfg(mutant = "reserve-take-in-two")]
            slot.store(0, Ordering::Release);
            (page != 0).then(|| Pfn::from_raw(page))
        })
    }

    /// Puts `page` in the place of one that is `wanted`, and gives that.
    pub fn swap(&self, page: Pfn, wanted: impl Fn(Pfn) -> bool) -> Option<Pfn> {
        if page.raw() == 0 {
            return None;
        }
        self.slots.iter().find_map(|slot| {
            // Relaxed: the exchange decides and acquires.
            let seen = slot.load(Ordering::Relaxed);
            if seen == 0 || !wanted(Pfn::from_raw(seen)) {
                return None;
            }
            // AcqRel: pairs with the Release of `put` and the Acquire of `take`, for the two pages.
            // Relaxed on failure: the page went elsewhere.
            let both = unless(cfg!(mutant = "reserve-swap-relaxed"), Ordering::AcqRel);
            slot.compare_exchange(seen, page.raw(), both, Ordering::Relaxed)
                .ok()
                .map(|_| Pfn::from_raw(seen))
        })
    }

    /// Pages in it now: only a moment's truth while others take and give.
    pub fn len(&self) -> u64 {
        // Relaxed: a statistic.
        let full = |slot: &&AtomicU64| slot.load(Ordering::Relaxed) != 0;
        self.slots.iter().filter(full).count() as u64
    }

    /// Is it empty?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

//! How much one call does before its caller has the core back.
//!
//! A call about many pages is done in bites: it does as much as one [`Bite`] pays for, says how far it came, and the
//! host calls again for the rest. So how long a core stays at EL2 is the engine's choice and not that of whoever asks.
//! `cargo xtask bench --cores longest_call` counts it.
//!
//! The unit is an instruction, and costs are what `cargo xtask bench` and `profile` count for a step at its dearest,
//! rounded up. Nothing but the length of a call depends on them. Invariants: the first step is always paid for, so that
//! each call gets on; a step that may be as dear as a whole bite is a call's first or none of it; what a call does
//! beside its steps (arguments, pins, one flush) is in none of them, and is less than [`BESIDE`].

/// The most that a call is to take: what docs/performance.md asks for.
const CALL: u32 = 20_000;
/// What of that is for no page.
const BESIDE: u32 = 3_000;

/// A page zeroed and settled, or shared and flushed for itself as well.
pub const SCRUBBED_PAGE: u32 = 2_300;
/// A page that becomes the engine's, or comes back from there.
pub const ENGINE_PAGE: u32 = 2_300;
/// A page of a list whose tables are those of the page before.
pub const LISTED_PAGE: u32 = 400;
/// What it takes more where they are not, and 2 MiB and a GiB come apart.
pub const FAR_PAGE: u32 = 1_800;
/// A page of a run: its word, and an entry on each side.
pub const RUN_PAGE: u32 = 150;
/// A page lent.
pub const LENT_PAGE: u32 = 600;
/// A lent page taken back.
pub const PAGE_BACK: u32 = 1_100;
/// 2 MiB that one word and one entry on each side stand for.
pub const BLOCK: u32 = 800;
/// 2 MiB or a GiB of which each part has a word or an entry.
pub const IN_PARTS: u32 = 15_000;
/// A table for an entry: cleared or filled, linked in, flushed.
pub const TABLE: u32 = 2_200;
/// A look at what may be work, and is none.
pub const LOOK: u32 = 60;
/// What it takes more where an entry names a page whose word says so.
pub const REFUSED_PAGE: u32 = 200;
/// Pages of 2 MiB counted by a word each, and of the last 2 MiB what is left of memory as well.
pub const COUNTED_GRAIN: u32 = 12_000;
/// A table of a dying VM that goes back to the pool.
pub const FREED_TABLE: u32 = 150;

/// What a call may still do.
#[derive(Clone, Copy, Debug)]
pub struct Bite {
    left: u32,
}

impl Default for Bite {
    fn default() -> Self {
        Self {
            left: CALL - BESIDE,
        }
    }
}

impl Bite {
    /// What a call that did a bite's work has left.
    pub const fn spent() -> Self {
        Self { left: 0 }
    }

    /// What is left when so much of it has been spent.
    pub const fn without(mut self, cost: u32) -> Self {
        self.spend(cost);
        self
    }

    /// Does what is left pay for a step of this cost?
    pub const fn affords(&self, cost: u32) -> bool {
        cfg!(mutant = "bite-all") || cost <= self.left
    }

    /// Takes the cost of a step that was done.
    pub const fn spend(&mut self, cost: u32) {
        self.left = self.left.saturating_sub(cost);
    }

    /// Takes it if what is left pays for it.
    pub const fn pay(&mut self, cost: u32) -> bool {
        let paid = self.affords(cost);
        self.spend(cost);
        paid
    }

    /// How many of `wanted` steps of this cost: one at least.
    pub const fn most(&self, cost: u32, wanted: u64) -> u64 {
        let paid = if cfg!(mutant = "bite-all") {
            wanted
        } else {
            (self.left / cost) as u64
        };
        let paid = if paid == 0 { 1 } else { paid };
        if paid < wanted { paid } else { wanted }
    }
}

/// Steps of this cost in a whole bite.
pub const fn in_one(cost: u32) -> usize {
    ((CALL - BESIDE) / cost) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bite_pays_for_so_much_and_always_for_one_step() {
        let mut bite = Bite::default();
        let whole = in_one(SCRUBBED_PAGE) as u64;
        assert!(whole > 1 && bite.affords(IN_PARTS));
        assert_eq!(bite.most(SCRUBBED_PAGE, 3), 3);
        assert_eq!(bite.most(SCRUBBED_PAGE, u64::MAX), whole);
        for _ in 0..whole {
            assert!(bite.pay(SCRUBBED_PAGE));
        }
        assert!(!bite.pay(SCRUBBED_PAGE) && !bite.affords(1));
        assert_eq!(bite.most(SCRUBBED_PAGE, 9), 1);
    }
}

//! The life of a VM: one word, changed by compare-exchange.
//!
//! ```text
//! Free -> Creating -> Building -> Sealing -> Running
//!                        \___________\__________\__> Dying -> Flushing -> Reclaiming -> Free
//! ```
//!
//! Invariants: the word holds the slot's generation with the phase, so that a stale handle fails
//! the same compare-exchange or comparison that checks the phase; the generation grows at each
//! `Free -> Creating` and is never 0 in a live slot. Who goes to `Creating` has all that the VM needs, and
//! goes on to `Building`.

use sync::{AtomicU64, Ordering, unless};

/// Where a VM is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Phase {
    /// The slot is nobody's.
    Free = 0,
    /// One core is filling the slot in; no handle exists yet.
    Creating = 1,
    /// The host gives it pages with content, and vCPUs.
    Building = 2,
    /// No new builder gets in; running ones leave.
    Sealing = 3,
    /// vCPUs may enter.
    Running = 4,
    /// No vCPU enters any more; calls and vCPUs inside leave.
    Dying = 5,
    /// One core is flushing the VM's translations.
    Flushing = 6,
    /// Pages come home.
    Reclaiming = 7,
}

impl Phase {
    const fn from_raw(raw: u64) -> Self {
        match raw & 0xff {
            1 => Self::Creating,
            2 => Self::Building,
            3 => Self::Sealing,
            4 => Self::Running,
            5 => Self::Dying,
            6 => Self::Flushing,
            7 => Self::Reclaiming,
            _ => Self::Free,
        }
    }
}

/// Generation and phase of a slot.
pub struct Life(AtomicU64);

/// Bits of a generation: what a handle can carry.
const GENERATION_MASK: u64 = (1 << 48) - 1;

const fn pack(generation: u64, phase: Phase) -> u64 {
    generation << 8 | phase as u64
}

impl Default for Life {
    fn default() -> Self {
        Self(AtomicU64::new(pack(0, Phase::Free)))
    }
}

impl Life {
    /// Generation and phase now. Acquire: pairs with the Release of [`Life::advance`]; what the
    /// slot's fields held when the phase was entered is seen.
    pub fn now(&self) -> (u64, Phase) {
        let look = unless(cfg!(mutant = "life-now-relaxed"), Ordering::Acquire);
        let word = self.0.load(look);
        (word >> 8, Phase::from_raw(word))
    }

    /// Is the slot free? A hint, for who has still to get what the VM needs.
    pub(super) fn may_begin(&self) -> bool {
        // Relaxed: the compare-exchange of `begin` decides, and acquires.
        Phase::from_raw(self.0.load(Ordering::Relaxed)) == Phase::Free
    }

    /// `Free -> Creating` under the next generation, if this core wins the slot.
    pub(super) fn begin(&self) -> Option<u64> {
        // Relaxed: the compare-exchange decides.
        let word = self.0.load(Ordering::Relaxed);
        if Phase::from_raw(word) != Phase::Free {
            return None;
        }
        let next = ((word >> 8) + 1) & GENERATION_MASK;
        let generation = if next == 0 { 1 } else { next };
        let new = pack(generation, Phase::Creating);
        #[cfg(mutant = "begin-no-compare")]
        self.0.store(new, Ordering::Release);
        // Acquire: pairs with the Release of the `advance` that freed the slot. Relaxed on failure:
        // nothing is read then.
        #[cfg(not(mutant = "begin-no-compare"))]
        {
            let won = unless(cfg!(mutant = "begin-relaxed"), Ordering::Acquire);
            self.0
                .compare_exchange(word, new, won, Ordering::Relaxed)
                .ok()?;
        }
        Some(generation)
    }

    /// Moves `generation` from one phase to another; the phase seen instead, if it is another
    /// (`Free` if even the generation is). AcqRel: pairs with itself and with [`Life::now`]; Relaxed on
    /// failure: no caller reads anything that the phase seen then would have published.
    pub fn advance(&self, generation: u64, from: Phase, to: Phase) -> Result<(), Phase> {
        let (old, new) = (pack(generation, from), pack(generation, to));
        let both = unless(cfg!(mutant = "life-advance-relaxed"), Ordering::AcqRel);
        match self.0.compare_exchange(old, new, both, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(seen) if seen >> 8 == generation => Err(Phase::from_raw(seen)),
            Err(_) => Err(Phase::Free),
        }
    }

    /// Any live phase to `Dying`. The phases before it are left at most three times while this
    /// tries, so four attempts are enough. `Err` with the phase if the VM is past living.
    pub fn condemn(&self, generation: u64) -> Result<(), Phase> {
        let mut from = Phase::Running;
        for _ in 0..4 {
            match self.advance(generation, from, Phase::Dying) {
                Ok(()) => return Ok(()),
                Err(seen @ (Phase::Building | Phase::Sealing | Phase::Running)) => from = seen,
                Err(other) => return Err(other),
            }
        }
        Err(from)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn goes_round_and_stale_generations_fail() {
        let life = Life::default();
        let first = life.begin().unwrap();
        assert!(life.begin().is_none());
        life.advance(first, Phase::Creating, Phase::Building)
            .unwrap();
        assert_eq!(
            life.advance(first, Phase::Sealing, Phase::Running),
            Err(Phase::Building)
        );
        life.condemn(first).unwrap();
        assert_eq!(life.condemn(first), Err(Phase::Dying));
        life.advance(first, Phase::Dying, Phase::Flushing).unwrap();
        life.advance(first, Phase::Flushing, Phase::Reclaiming)
            .unwrap();
        life.advance(first, Phase::Reclaiming, Phase::Free).unwrap();
        let second = life.begin().unwrap();
        assert_ne!(first, second);
        assert_eq!(
            life.advance(first, Phase::Creating, Phase::Building),
            Err(Phase::Free)
        );
        assert_eq!(life.now(), (second, Phase::Creating));
    }
}

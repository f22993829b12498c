//! One core of the host: absent, left out, parked at EL2, being released, or running.
//!
//! Invariants: a core is absent until it says itself that it is at EL2 and fit to run the host, so
//! nobody waits for one that never came up; one that the boot core gave up stays left out, however late it comes;
//! `Off -> Releasing` is won by one CPU_ON, which alone writes the entry and then
//! publishes `Released`; the core itself takes `Released -> On`, reading the entry after. Nobody
//! else writes.

use crate::trap::psci::PowerState;
use sync::{AtomicU64, Ordering, unless};

const ABSENT: u64 = 0;
const OFF: u64 = 1;
const RELEASING: u64 = 2;
const RELEASED: u64 = 3;
const ON: u64 = 4;
const LEFT_OUT: u64 = 5;

/// A host core.
#[derive(Default)]
pub struct HostCore {
    state: AtomicU64,
    entry: AtomicU64,
    context: AtomicU64,
    mpidr: AtomicU64,
}

impl HostCore {
    /// A core that has not come up yet, with its affinity.
    pub fn new(mpidr: u64) -> Self {
        let core = Self::default();
        // Relaxed: published by the core's bring-up.
        core.mpidr.store(mpidr, Ordering::Relaxed);
        #[cfg(mutant = "core-begins-off")]
        core.arrive();
        core
    }

    /// Its affinity fields.
    pub fn mpidr(&self) -> u64 {
        // Relaxed: constant since before other cores were up.
        self.mpidr.load(Ordering::Relaxed)
    }

    /// As PSCI sees it.
    pub fn power(&self) -> PowerState {
        // Relaxed: a snapshot for AFFINITY_INFO.
        match self.state.load(Ordering::Relaxed) {
            ABSENT | LEFT_OUT => PowerState::Absent,
            OFF => PowerState::Off,
            ON => PowerState::On,
            _ => PowerState::OnPending,
        }
    }

    /// Marks the boot core, which runs the host without being released.
    pub fn set_on(&self) {
        // Relaxed: before any other core runs the host.
        self.state.store(ON, Ordering::Relaxed);
    }

    /// On the core itself: it has come up, and is about to park.
    pub fn arrive(&self) {
        // Release: pairs with the Acquire in `release`; what the core set up came before. Relaxed on failure: it
        // was left out, and goes no further.
        let ready = unless(cfg!(mutant = "core-arrive-relaxed"), Ordering::Release);
        let _ = self
            .state
            .compare_exchange(ABSENT, OFF, ready, Ordering::Relaxed);
    }

    /// On the boot core, before the host runs: this core has been given up. It may be on its way still.
    pub fn leave_out(&self) {
        // Relaxed: nothing is published. An exchange, so that it comes before or after what `arrive` does at the same
        // time, and is what remains: `arrive` writes as long as the core is absent.
        #[cfg(not(mutant = "late-core-parked"))]
        self.state.swap(LEFT_OUT, Ordering::Relaxed);
    }

    /// CPU_ON: wins the core if it is off and says where it starts.
    pub fn release(&self, entry: u64, context: u64) -> Result<(), PowerState> {
        // Acquire: pairs with the Release of `turn_off` and `arrive`: the core is done with the old
        // entry. Relaxed on failure: nothing is read but what to answer.
        let look = unless(cfg!(mutant = "core-release-relaxed"), Ordering::Acquire);
        #[cfg(not(mutant = "core-on-no-compare"))]
        let won = self
            .state
            .compare_exchange(OFF, RELEASING, look, Ordering::Relaxed);
        #[cfg(mutant = "core-on-no-compare")]
        let won = match self.state.load(look) {
            OFF => Ok(OFF),
            other => Err(other),
        };
        match won {
            Ok(_) => {
                // Relaxed, both: published by the store below.
                self.entry.store(entry, Ordering::Relaxed);
                self.context.store(context, Ordering::Relaxed);
                // Release: pairs with the Acquire in `take_release`.
                let told = unless(cfg!(mutant = "core-entry-relaxed"), Ordering::Release);
                self.state.store(RELEASED, told);
                Ok(())
            }
            Err(ON) => Err(PowerState::On),
            Err(ABSENT | LEFT_OUT) => Err(PowerState::Absent),
            Err(_) => Err(PowerState::OnPending),
        }
    }

    /// On the parked core itself: where to start and with which x0, if it was released.
    pub fn take_release(&self) -> Option<(u64, u64)> {
        // Acquire: pairs with the Release in `release`.
        let look = unless(cfg!(mutant = "core-start-relaxed"), Ordering::Acquire);
        self.state
            .compare_exchange(RELEASED, ON, look, Ordering::Relaxed)
            .ok()?;
        // Relaxed, both: ordered by the Acquire above.
        Some((
            self.entry.load(Ordering::Relaxed),
            self.context.load(Ordering::Relaxed),
        ))
    }

    /// CPU_OFF, on the core itself.
    pub fn turn_off(&self) {
        // Release: pairs with the Acquire in `release`.
        let done = unless(cfg!(mutant = "core-off-relaxed"), Ordering::Release);
        self.state.store(OFF, done);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_released_once_it_has_come_up() {
        let core = HostCore::new(3);
        assert_eq!(core.power(), PowerState::Absent);
        assert_eq!(core.release(1, 2), Err(PowerState::Absent));
        assert_eq!(core.take_release(), None);
        core.arrive();
        assert_eq!((core.power(), core.mpidr()), (PowerState::Off, 3));
        assert_eq!(core.release(1, 2), Ok(()));
        assert_eq!(core.release(1, 2), Err(PowerState::OnPending));
        assert_eq!(core.take_release(), Some((1, 2)));
        assert_eq!(core.release(1, 2), Err(PowerState::On));
        core.turn_off();
        assert_eq!(core.power(), PowerState::Off);
    }

    #[test]
    fn a_core_that_was_given_up_is_absent_for_good() {
        let [early, late] = [HostCore::new(1), HostCore::new(2)];
        early.arrive();
        for core in [&early, &late] {
            core.leave_out();
            core.arrive();
            assert_eq!(core.power(), PowerState::Absent);
            assert_eq!(core.release(1, 2), Err(PowerState::Absent));
            assert_eq!(core.take_release(), None);
        }
    }
}

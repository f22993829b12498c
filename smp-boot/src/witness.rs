//! Who tells of the engine's end, and how long a console that takes nothing is waited for: the decisions of `crash`
//! and `console`, without a machine.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Polls for room for one character: at least a few milliseconds on any core.
pub const PATIENCE: u32 = 1_000_000;

/// What a core that crashes is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It is the first: it tells, and powers the machine off.
    Tell,
    /// It crashed again while it told: it powers off at once.
    PowerOff,
    /// Another core tells: it stops.
    Halt,
}

/// The first core to crash.
#[derive(Debug, Default)]
pub struct Witness(AtomicU64);

impl Witness {
    /// Nobody has crashed.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The part of the core with this MPIDR_EL1, of which bit 31 is always set.
    pub fn part(&self, mpidr: u64) -> Part {
        // Relaxed, both: says only who is first; nothing is published.
        match self.0.compare_exchange(0, mpidr, Relaxed, Relaxed) {
            Ok(_) => Part::Tell,
            Err(first) if first == mpidr => Part::PowerOff,
            Err(_) => Part::Halt,
        }
    }
}

/// The wait for a UART. Only the first is long: what did not drain in time gets no second wait until it takes a
/// byte at once.
#[derive(Debug, Default)]
pub struct Wait {
    is_stuck: bool,
}

impl Wait {
    /// Whether `is_ready` says so in time.
    pub fn until(&mut self, mut is_ready: impl FnMut() -> bool) -> bool {
        let patience = if self.is_stuck { 1 } else { PATIENCE };
        self.is_stuck = !(0..patience).any(|_| is_ready());
        !self.is_stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE_0: u64 = 1 << 31;
    const CORE_1: u64 = 1 << 31 | 1;

    #[test]
    fn the_first_core_tells_and_no_core_tells_twice() {
        let witness = Witness::new();
        assert_eq!(witness.part(CORE_1), Part::Tell);
        assert_eq!(witness.part(CORE_0), Part::Halt);
        assert_eq!(witness.part(CORE_1), Part::PowerOff);
        assert_eq!(witness.part(CORE_0), Part::Halt);
    }

    #[test]
    fn a_uart_that_never_drains_is_waited_for_once() {
        let mut wait = Wait::default();
        let mut polls = 0;
        let mut never = || {
            polls += 1;
            false
        };
        assert!(!wait.until(&mut never));
        assert!((0..1000).all(|_| !wait.until(&mut never)));
        assert_eq!(polls, PATIENCE + 1000);
    }

    #[test]
    fn a_uart_that_drains_again_has_its_time_back() {
        let mut wait = Wait::default();
        assert!(!wait.until(|| false));
        assert!(wait.until(|| true));
        let mut left = 10;
        let mut slow = || {
            left -= 1;
            left == 0
        };
        assert!(wait.until(&mut slow));
    }
}

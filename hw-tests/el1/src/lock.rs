//! A mutual exclusion whose waiters sleep.
//!
//! Invariants: held with interrupts masked, never in a handler that its own core may have
//! interrupted with the lock held. Emulated cores outnumber the ones they run on: a waiter that
//! spun would keep the holder from getting on, so after a short while it sleeps between looks.

use crate::timer;
use core::hint;
use spin::mutex::{SpinMutex, SpinMutexGuard};

/// Looks at a held lock before its waiter sleeps.
const LOOKS: u32 = 64;
/// Microseconds that it sleeps then.
const PAUSE: u64 = 200;

/// A value that one core at a time may use.
#[derive(Debug, Default)]
pub struct Lock<T>(SpinMutex<T>);

impl<T> Lock<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> Self {
        Self(SpinMutex::new(value))
    }

    /// Waits until nobody has the lock, and takes it.
    pub fn lock(&self) -> SpinMutexGuard<'_, T> {
        loop {
            for _ in 0..LOOKS {
                if let Some(guard) = self.0.try_lock() {
                    return guard;
                }
                hint::spin_loop();
            }
            timer::pause(PAUSE);
        }
    }
}

//! Pins: which VM each CPU is working on.
//!
//! A call pins a VM before it looks at the VM's state; VM_DESTROY and VM_START change the state
//! before they look at the pins. Each side stores one word and then loads the other's (a
//! store-buffering pattern), so each has a SeqCst fence between the two: either the call sees the
//! new state, or the other side sees the pin.
//!
//! Invariants: a CPU's pin is written by that CPU alone; it has at most one, since EL2 takes no
//! interrupts and every call ends before the next begins; a pin ends when its guard is dropped, so
//! no error path keeps one.

use crate::Padded;
use crate::cpu::{CpuId, CpuToken};
use core::marker::PhantomData;
use core::ops::Deref;
use sync::{AtomicU64, Ordering, fence, unless};

const NONE: u64 = 0;

/// One pin per CPU.
#[derive(Debug)]
pub struct Pins<S> {
    slots: S,
}

/// A pin that holds; it ends when this is dropped.
#[must_use = "a pin that is dropped at once protects nothing"]
#[derive(Debug)]
pub struct Pin<'p> {
    slot: &'p AtomicU64,
    stays_here: PhantomData<*const ()>,
}

impl<S: Deref<Target = [Padded<AtomicU64>]>> Pins<S> {
    /// Pins in the order of CPU numbers, all zero.
    pub fn new(slots: S) -> Self {
        Self { slots }
    }

    /// Pins `key`, not 0, for this CPU. The caller then looks at the state of what it pinned: the
    /// answer holds for as long as the pin. `None` if this CPU has a pin already, or no slot.
    pub fn pin(&self, token: &CpuToken, key: u64) -> Option<Pin<'_>> {
        let slot: &AtomicU64 = self.slots.get(token.id().index())?;
        // Relaxed: this CPU alone writes the slot.
        if key == NONE || slot.load(Ordering::Relaxed) != NONE {
            return None;
        }
        // Relaxed: publishes nothing but itself; the fence puts it before the loads that follow.
        slot.store(key, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `look`.
        #[cfg(not(mutant = "pin-no-fence"))]
        fence(Ordering::SeqCst);
        Some(Pin {
            slot,
            stays_here: PhantomData,
        })
    }

    /// How many CPUs have `key` pinned, and one of them. The caller has changed the state that
    /// those who pin look at.
    pub fn holders(&self, key: u64) -> (usize, Option<CpuId>) {
        self.look(key, None)
    }

    /// The same without counting CPU `but`: the caller's own.
    pub fn holders_but(&self, but: CpuId, key: u64) -> (usize, Option<CpuId>) {
        self.look(key, Some(but))
    }

    /// Has this CPU `key` pinned? A snapshot without the fence: after [`Pins::holders`], or for a
    /// kick that may come too late.
    pub fn holds(&self, cpu: CpuId, key: u64) -> bool {
        self.slots
            .get(cpu.index())
            .is_some_and(|slot| is_held(slot, key))
    }

    fn look(&self, key: u64, but: Option<CpuId>) -> (usize, Option<CpuId>) {
        // SeqCst: pairs with the fence in `pin`.
        #[cfg(not(mutant = "look-no-fence"))]
        fence(Ordering::SeqCst);
        let mut count = 0usize;
        let mut one = None;
        for (index, slot) in self.slots.iter().enumerate() {
            let cpu = u16::try_from(index).ok().and_then(CpuId::new);
            if (but.is_none() || cpu != but) && is_held(slot, key) {
                count = count.wrapping_add(1);
                one = cpu;
            }
        }
        (count, one)
    }
}

fn is_held(slot: &AtomicU64, key: u64) -> bool {
    // Acquire: pairs with the Release of `Pin::drop`: who finds no pin sees all that was done
    // under it.
    let look = unless(cfg!(mutant = "look-relaxed"), Ordering::Acquire);
    let now = slot.load(look);
    now == key && key != NONE
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire of `is_held`; publishes what was done under the pin.
        let done = unless(cfg!(mutant = "unpin-relaxed"), Ordering::Release);
        self.slot.store(NONE, done);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;

    #[test]
    fn a_cpu_has_one_pin_and_gives_it_back() {
        let slots: Box<[Padded<AtomicU64>]> = (0..2).map(|_| Padded::default()).collect();
        let pins = Pins::new(slots);
        let [zero, one] = [0, 1].map(|raw| CpuId::new(raw).unwrap());
        // SAFETY: one thread plays both CPUs, with one token each.
        let (token, other) = unsafe { (CpuToken::new(zero), CpuToken::new(one)) };
        assert!(pins.pin(&token, 0).is_none());
        let pin = pins.pin(&token, 7);
        assert!(pin.is_some());
        assert!(pins.pin(&token, 8).is_none());
        let second = pins.pin(&other, 7);
        assert_eq!(pins.holders(7), (2, Some(one)));
        assert_eq!(pins.holders_but(one, 7), (1, Some(zero)));
        assert_eq!(pins.holders(0).0, 0);
        drop((pin, second));
        assert_eq!(pins.holders(7), (0, None));
        let third = pins.pin(&token, 8);
        assert!(pins.holds(zero, 8) && !pins.holds(one, 8) && !pins.holds(zero, 7));
        drop(third);
        assert!(!pins.holds(zero, 8) && !pins.holds(zero, 0));
    }
}

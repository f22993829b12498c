//! Run-queue mailboxes: how any CPU hands a vCPU to any other, and wakes it.
//!
//! A mailbox is a bitmap of vCPU slots with one summary word. Who hands over sets the vCPU's
//! residency to `Queued(cpu)` first and the bit second; the owner empties the bitmap into its
//! private [`Order`](crate::Order) and asks the residency before it runs anything, so a stale bit
//! does no harm.
//!
//! Invariants:
//! - anyone sets bits, the owner alone clears them: a word's bits are cleared by the swap that reads
//!   them, so none is lost;
//! - a word's bit is set before its summary bit: whoever takes the summary bit finds the slot;
//! - going idle: publish idle, SeqCst fence, look again; handing over: set the bits, SeqCst fence,
//!   read idle (a store-buffering pattern): either the owner sees the bit or the other one sees that
//!   it must ring. The platform's doorbell follows a `DSB ISHST`, which is the engine's business.

use crate::Padded;
use crate::cpu::{CpuId, CpuToken};
use core::ops::Deref;
use sync::{AtomicBool, AtomicU64, Ordering, fence, unless};

/// Words of a mailbox's bitmap.
pub const MAILBOX_WORDS: usize = 64;
/// Most vCPU slots.
pub const MAX_VCPUS: usize = MAILBOX_WORDS * 64;

/// One CPU's mailbox.
#[derive(Debug)]
pub struct Mailbox<const WORDS: usize = MAILBOX_WORDS> {
    head: Padded<Head>,
    words: [AtomicU64; WORDS],
}

#[derive(Debug, Default)]
struct Head {
    idle: AtomicBool,
    summary: AtomicU64,
}

impl<const WORDS: usize> Default for Mailbox<WORDS> {
    fn default() -> Self {
        const { assert!(WORDS <= 64, "one summary word has one bit per word") };
        Self {
            head: Padded::default(),
            words: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// What whoever handed over a vCPU has to do.
#[must_use = "an idle CPU sleeps until it is rung"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// The CPU was idle: ring its doorbell.
    Ring,
    /// It was not, and looks into its mailbox before it becomes so.
    Nothing,
}

/// One mailbox per CPU.
#[derive(Debug)]
pub struct RunQueues<S, const WORDS: usize = MAILBOX_WORDS> {
    boxes: S,
}

impl<const WORDS: usize, S: Deref<Target = [Mailbox<WORDS>]>> RunQueues<S, WORDS> {
    /// Mailboxes in the order of CPU numbers.
    pub fn new(boxes: S) -> Self {
        Self { boxes }
    }

    /// Hands a vCPU slot to a CPU; the vCPU's residency already says so. `None` if there is no such
    /// CPU or slot. Not inlined: its instructions are looked at one by one (`cargo xtask litmus`).
    #[inline(never)]
    pub fn push(&self, to: CpuId, slot: u16) -> Option<Wake> {
        let mailbox = self.boxes.get(to.index())?;
        let index = usize::from(slot / 64);
        let word = mailbox.words.get(index)?;
        let set_bit = || {
            // Release: pairs with the Acquire of `drain`; publishes the residency, without which
            // the owner would drop the bit as stale.
            #[cfg(not(mutant = "push-relaxed"))]
            word.fetch_or(1 << (slot % 64), Ordering::Release);
            #[cfg(mutant = "push-relaxed")]
            word.fetch_or(1 << (slot % 64), Ordering::Relaxed);
        };
        #[cfg(not(mutant = "push-summary-first"))]
        set_bit();
        // Release: pairs with the Acquire of `drain`; publishes the bit above.
        let told = unless(cfg!(mutant = "push-told-relaxed"), Ordering::Release);
        mailbox.head.summary.fetch_or(1 << index, told);
        #[cfg(mutant = "push-summary-first")]
        set_bit();
        // SeqCst: pairs with the fence in `go_idle`.
        #[cfg(not(mutant = "push-no-fence"))]
        fence(Ordering::SeqCst);
        // Relaxed: nothing is read through it; the fence orders it.
        let idle = mailbox.head.idle.load(Ordering::Relaxed);
        Some(if idle { Wake::Ring } else { Wake::Nothing })
    }

    /// Is something in this CPU's mailbox? What was handed over before a doorbell that was seen is.
    pub fn has_mail(&self, token: &CpuToken) -> bool {
        // Relaxed: nothing is read through it; `drain` acquires.
        self.boxes
            .get(token.id().index())
            .is_some_and(|mailbox| mailbox.head.summary.load(Ordering::Relaxed) != 0)
    }

    /// Gives `take` the slots that were handed to this CPU before, but no more than 63 beyond `most`. `true` if some
    /// are left, which the mailbox still tells of.
    pub fn drain(&self, token: &CpuToken, most: usize, mut take: impl FnMut(u16)) -> bool {
        let Some(mailbox) = self.boxes.get(token.id().index()) else {
            return false;
        };
        // Acquire: pairs with the Release of `push` on the summary.
        let look = unless(cfg!(mutant = "drain-told-relaxed"), Ordering::Acquire);
        let mut summary = mailbox.head.summary.swap(0, look);
        let mut taken = 0_usize;
        while summary != 0 {
            if taken >= most {
                // Relaxed: this CPU has acquired what it says, and is the only one that takes it away.
                #[cfg(not(mutant = "drain-forget-rest"))]
                mailbox.head.summary.fetch_or(summary, Ordering::Relaxed);
                return true;
            }
            let index = summary.trailing_zeros() as usize;
            summary &= summary - 1;
            let Some(word) = mailbox.words.get(index) else {
                continue;
            };
            // Acquire: pairs with the Release of `push` on the word.
            let mut bits = word.swap(0, unless(cfg!(mutant = "drain-relaxed"), Ordering::Acquire));
            while bits != 0 {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                taken = taken.wrapping_add(1);
                if let Ok(slot) = u16::try_from(index * 64 + bit) {
                    take(slot);
                }
            }
        }
        false
    }

    /// Publishes that this CPU sleeps until it is rung, and looks again: `false`, and it is awake
    /// still, if something was handed over meanwhile.
    #[must_use]
    pub fn go_idle(&self, token: &CpuToken) -> bool {
        let Some(mailbox) = self.boxes.get(token.id().index()) else {
            return true;
        };
        // Relaxed: publishes nothing but itself; the fence puts it before the look.
        mailbox.head.idle.store(true, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `push`.
        #[cfg(not(mutant = "idle-no-fence"))]
        fence(Ordering::SeqCst);
        // Relaxed: nothing is read through it; `drain` acquires.
        if mailbox.head.summary.load(Ordering::Relaxed) == 0 {
            return true;
        }
        self.leave_idle(token);
        false
    }

    /// Publishes that this CPU is awake.
    pub fn leave_idle(&self, token: &CpuToken) {
        if let Some(mailbox) = self.boxes.get(token.id().index()) {
            // Relaxed: who reads the old value rings once for nothing.
            mailbox.head.idle.store(false, Ordering::Relaxed);
        }
    }

    /// Does this CPU sleep? A snapshot.
    pub fn is_idle(&self, cpu: CpuId) -> bool {
        // Relaxed: a hint; whoever must not lose a wake-up asks through `push`.
        self.boxes
            .get(cpu.index())
            .is_some_and(|mailbox| mailbox.head.idle.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;
    use super::*;
    use std::{boxed::Box, vec::Vec};

    const ZERO: CpuId = CpuId::new(0).unwrap();
    const ONE: CpuId = CpuId::new(1).unwrap();

    fn queues() -> RunQueues<Box<[Mailbox]>> {
        RunQueues::new((0..1).map(|_| Mailbox::default()).collect())
    }

    fn token(cpu: CpuId) -> CpuToken {
        // SAFETY: one thread plays the CPU, with one token.
        unsafe { CpuToken::new(cpu) }
    }

    #[test]
    fn what_is_pushed_is_drained_once() {
        let (queues, token) = (queues(), token(ZERO));
        for slot in [4095, 0, 64, 63, 0] {
            assert_eq!(queues.push(ZERO, slot), Some(Wake::Nothing));
        }
        let mut seen = Vec::new();
        assert!(!queues.drain(&token, MAX_VCPUS, |slot| seen.push(slot)));
        assert_eq!(seen, [0, 63, 64, 4095]);
        queues.drain(&token, MAX_VCPUS, |_| panic!("drained twice"));
    }

    #[test]
    fn what_is_too_much_at_once_stays() {
        let (queues, token) = (queues(), token(ZERO));
        for slot in [1, 2, 3, 70, 140] {
            assert_eq!(queues.push(ZERO, slot), Some(Wake::Nothing));
        }
        let mut seen = Vec::new();
        assert!(queues.drain(&token, 2, |slot| seen.push(slot)));
        assert_eq!(seen, [1, 2, 3], "the slots of one word come together");
        assert!(queues.has_mail(&token) && !queues.go_idle(&token));
        assert!(queues.drain(&token, 1, |slot| seen.push(slot)));
        assert!(!queues.drain(&token, 1, |slot| seen.push(slot)));
        assert_eq!(seen, [1, 2, 3, 70, 140]);
        assert!(!queues.has_mail(&token));
    }

    #[test]
    fn the_last_slot_there_is_has_a_bit() {
        let (queues, token) = (queues(), token(ZERO));
        let last = MAX_VCPUS as u16 - 1;
        assert_eq!(queues.push(ZERO, last), Some(Wake::Nothing));
        let mut seen = Vec::new();
        queues.drain(&token, 1, |slot| seen.push(slot));
        assert_eq!(seen, [last]);
    }

    #[test]
    fn mail_is_there_until_it_is_drained() {
        let queues: RunQueues<Box<[Mailbox]>> =
            RunQueues::new((0..2).map(|_| Mailbox::default()).collect());
        let (mine, other) = (token(ZERO), token(ONE));
        assert!(!queues.has_mail(&mine));
        assert_eq!(queues.push(ZERO, 70), Some(Wake::Nothing));
        assert!(queues.has_mail(&mine) && !queues.has_mail(&other));
        queues.drain(&mine, 1, |_| {});
        assert!(!queues.has_mail(&mine));
    }

    #[test]
    fn what_does_not_exist_is_not_pushed() {
        let queues = queues();
        assert_eq!(queues.push(ZERO, MAX_VCPUS as u16), None);
        assert_eq!(queues.push(ZERO, u16::MAX), None);
        assert_eq!(queues.push(ONE, 0), None);
        let stranger = token(ONE);
        queues.drain(&stranger, 1, |_| panic!("there is no such mailbox"));
    }

    #[test]
    fn an_idle_cpu_is_rung() {
        let (queues, token) = (queues(), token(ZERO));
        assert!(queues.go_idle(&token));
        assert_eq!(queues.push(ZERO, 1), Some(Wake::Ring));
        assert!(!queues.go_idle(&token) && !queues.is_idle(ZERO));
        queues.drain(&token, 1, |_| {});
        assert!(queues.go_idle(&token) && queues.is_idle(ZERO));
        queues.leave_idle(&token);
        assert!(!queues.is_idle(ZERO));
    }
}

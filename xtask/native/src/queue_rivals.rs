//! The same queues under locks: one for all, or one for each queue and each vCPU.
//!
//! Invariants: a vCPU's word is changed under its lock alone, a queue's bits under the queue's; who has a vCPU's lock
//! may take a queue's, never the other way round, and never two of a sort.

use crate::lock::Lock;
use crate::queues::{VCPUS, Wake};
use crate::subject::{Outcome, Subject};
use crate::{Line, MAX_CORES};
use sync::{AtomicU64, Ordering};

const PARKED: u64 = 0;
const RUNNING: u64 = 1;
/// On the queue of core n: this and n.
const QUEUED: u64 = 2;

// Relaxed, all accesses of this file: locks order them.
fn get(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

fn set(word: &AtomicU64, value: u64) {
    word.store(value, Ordering::Relaxed);
}

/// Which vCPUs are on a queue.
#[derive(Debug)]
#[repr(align(64))]
struct Queue {
    /// Which words of `bits` have some.
    summary: AtomicU64,
    bits: [AtomicU64; VCPUS.div_ceil(64) as usize],
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            summary: AtomicU64::new(0),
            bits: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Queue {
    fn insert(&self, vcpu: u16) {
        let (index, bit) = (usize::from(vcpu / 64), vcpu % 64);
        set(&self.bits[index], get(&self.bits[index]) | 1 << bit);
        set(&self.summary, get(&self.summary) | 1 << index);
    }

    fn remove(&self, vcpu: u16) {
        let (index, bit) = (usize::from(vcpu / 64), vcpu % 64);
        let rest = get(&self.bits[index]) & !(1 << bit);
        set(&self.bits[index], rest);
        if rest == 0 {
            set(&self.summary, get(&self.summary) & !(1 << index));
        }
    }

    fn first(&self) -> Option<u16> {
        let index = get(&self.summary).trailing_zeros();
        let bits = self.bits.get(index as usize)?;
        Some((index * 64 + get(bits).trailing_zeros()) as u16)
    }
}

/// What a scheduler does.
pub trait Scheduler: Default + Sync {
    /// Puts a vCPU that nobody plays on this queue, and off the one that it is on.
    fn wake(&self, vcpu: u16, on: u16) -> bool;

    /// Takes a vCPU off the core's queue, to play it.
    fn next(&self, core: u16) -> Option<u16>;

    /// Ends that.
    fn park(&self, vcpu: u16);
}

/// One lock for everything.
#[derive(Debug)]
pub struct OneLock<L> {
    lock: Line<L>,
    vcpus: Box<[Line<AtomicU64>]>,
    queues: Box<[Queue]>,
}

impl<L: Lock> Default for OneLock<L> {
    fn default() -> Self {
        Self {
            lock: Line::default(),
            vcpus: (0..VCPUS).map(|_| Line::default()).collect(),
            queues: (0..MAX_CORES).map(|_| Queue::default()).collect(),
        }
    }
}

impl<L: Lock> Scheduler for OneLock<L> {
    fn wake(&self, vcpu: u16, on: u16) -> bool {
        let word = &self.vcpus[usize::from(vcpu)].0;
        let may_wake = || get(word) != RUNNING;
        let looked = !L::HAS_READERS || self.lock.0.read(may_wake);
        looked
            && self.lock.0.write(|| {
                if let Some(was_on) = get(word).checked_sub(QUEUED) {
                    self.queues[was_on as usize].remove(vcpu);
                }
                may_wake() && {
                    set(word, QUEUED + u64::from(on));
                    self.queues[usize::from(on)].insert(vcpu);
                    true
                }
            })
    }

    fn next(&self, core: u16) -> Option<u16> {
        let queue = &self.queues[usize::from(core)];
        if L::HAS_READERS {
            self.lock.0.read(|| queue.first())?;
        }
        self.lock.0.write(|| {
            let vcpu = queue.first()?;
            queue.remove(vcpu);
            set(&self.vcpus[usize::from(vcpu)].0, RUNNING);
            Some(vcpu)
        })
    }

    fn park(&self, vcpu: u16) {
        self.lock
            .0
            .write(|| set(&self.vcpus[usize::from(vcpu)].0, PARKED));
    }
}

/// A lock for each queue and one for each vCPU, beside what they guard.
#[derive(Debug)]
pub struct PerQueue<L> {
    vcpus: Box<[Line<(L, AtomicU64)>]>,
    queues: Box<[(L, Queue)]>,
}

impl<L: Lock> Default for PerQueue<L> {
    fn default() -> Self {
        Self {
            vcpus: (0..VCPUS).map(|_| Line::default()).collect(),
            queues: (0..MAX_CORES).map(|_| Default::default()).collect(),
        }
    }
}

impl<L: Lock> PerQueue<L> {
    fn with_queue<R>(&self, core: u16, work: impl FnOnce(&Queue) -> R) -> R {
        let (lock, queue) = &self.queues[usize::from(core)];
        lock.write(|| work(queue))
    }
}

impl<L: Lock> Scheduler for PerQueue<L> {
    fn wake(&self, vcpu: u16, on: u16) -> bool {
        let (lock, word) = &self.vcpus[usize::from(vcpu)].0;
        lock.write(|| {
            if let Some(was_on) = get(word).checked_sub(QUEUED) {
                self.with_queue(was_on as u16, |queue| queue.remove(vcpu));
            }
            get(word) != RUNNING && {
                set(word, QUEUED + u64::from(on));
                self.with_queue(on, |queue| queue.insert(vcpu));
                true
            }
        })
    }

    fn next(&self, core: u16) -> Option<u16> {
        loop {
            let vcpu = self.with_queue(core, Queue::first)?;
            let (lock, word) = &self.vcpus[usize::from(vcpu)].0;
            let is_taken = lock.write(|| {
                // It may have gone elsewhere since.
                get(word) == QUEUED + u64::from(core) && {
                    self.with_queue(core, |queue| queue.remove(vcpu));
                    set(word, RUNNING);
                    true
                }
            });
            if is_taken {
                return Some(vcpu);
            }
        }
    }

    fn park(&self, vcpu: u16) {
        let (lock, word) = &self.vcpus[usize::from(vcpu)].0;
        lock.write(|| set(word, PARKED));
    }
}

/// A scheduler, as a subject.
#[derive(Debug, Default)]
pub struct Locked<S>(S);

impl<S: Scheduler> Subject for Locked<S> {
    type Core = u16;
    type Target = Wake;

    fn core(&self, number: u16) -> u16 {
        number
    }

    fn operate(&self, core: &mut u16, on: Wake) -> Outcome {
        let woken = self.0.wake(on.vcpu, on.on);
        if woken && on.then_home && on.on != *core {
            // Refused, it is being played where it was.
            let _ = self.0.wake(on.vcpu, *core);
        }
        while let Some(vcpu) = self.0.next(*core) {
            self.0.park(vcpu);
        }
        if woken {
            Outcome::Done
        } else {
            Outcome::Refused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plays_what_is_woken<S: Scheduler>() {
        let scheduler = S::default();
        assert!(scheduler.wake(70, 1) && scheduler.wake(3, 1) && scheduler.wake(70, 1));
        assert_eq!(scheduler.next(0), None);
        assert_eq!(
            (scheduler.next(1), scheduler.next(1), scheduler.next(1)),
            (Some(3), Some(70), None)
        );
        assert!(!scheduler.wake(3, 2), "it is being played");
        scheduler.park(3);
        assert!(scheduler.wake(3, 2) && scheduler.wake(3, 1));
        assert_eq!(
            (scheduler.next(2), scheduler.next(1)),
            (None, Some(3)),
            "it was moved"
        );
    }

    #[test]
    fn a_vcpu_is_on_one_queue_and_played_once() {
        plays_what_is_woken::<OneLock<std::sync::Mutex<()>>>();
        plays_what_is_woken::<OneLock<std::sync::RwLock<()>>>();
        plays_what_is_woken::<PerQueue<spin::Mutex<()>>>();
    }
}

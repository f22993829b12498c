//! The locks that rivals guard their words with, behind one trait.
//!
//! Invariant: `write` lets one in at a time, `read` nobody who writes; what is guarded lies beside the lock, in
//! relaxed atomics, which cost what plain words cost and can be observed.

use sync::{AtomicU32, Ordering, spin_hint};

/// A lock that guards what its owner says.
pub trait Lock: Default + Sync + Send {
    /// Does anything go on beside a `read`? If not, looking first under one is a waste.
    const HAS_READERS: bool = false;

    /// Runs `work` with nobody else in.
    fn write<R>(&self, work: impl FnOnce() -> R) -> R;

    /// Runs `look` with nobody in who writes.
    fn read<R>(&self, look: impl FnOnce() -> R) -> R {
        self.write(look)
    }
}

impl Lock for std::sync::Mutex<()> {
    fn write<R>(&self, work: impl FnOnce() -> R) -> R {
        let _guard = self.lock().expect("nobody panics inside");
        work()
    }
}

impl Lock for spin::Mutex<()> {
    fn write<R>(&self, work: impl FnOnce() -> R) -> R {
        let _guard = self.lock();
        work()
    }
}

impl Lock for std::sync::RwLock<()> {
    const HAS_READERS: bool = true;

    fn write<R>(&self, work: impl FnOnce() -> R) -> R {
        let _guard = std::sync::RwLock::write(self).expect("nobody panics inside");
        work()
    }

    fn read<R>(&self, look: impl FnOnce() -> R) -> R {
        let _guard = std::sync::RwLock::read(self).expect("nobody panics inside");
        look()
    }
}

/// A lock of one word whose accesses can be observed: taken and given back by an access each, as an uncontended
/// lock of any make is. `READERS` says whether readers go on beside each other.
#[derive(Debug, Default)]
pub struct OneWord<const READERS: bool> {
    /// How many read, or [`WRITER`].
    word: AtomicU32,
}

const WRITER: u32 = u32::MAX;

impl<const READERS: bool> OneWord<READERS> {
    /// Changes the word from what `from` makes of it, once that is to be had.
    fn take(&self, may_enter: impl Fn(u32) -> bool, enter: impl Fn(u32) -> u32) {
        let mut seen = 0;
        loop {
            if !may_enter(seen) {
                spin_hint();
                seen = 0;
            }
            // Acquire: pairs with the Release of who left; what was done inside is done.
            let taken =
                self.word
                    .compare_exchange(seen, enter(seen), Ordering::Acquire, Ordering::Relaxed);
            match taken {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}

impl<const READERS: bool> Lock for OneWord<READERS> {
    const HAS_READERS: bool = READERS;

    fn write<R>(&self, work: impl FnOnce() -> R) -> R {
        self.take(|seen| seen == 0, |_| WRITER);
        let result = work();
        // Release: pairs with the Acquire of `take`.
        self.word.store(0, Ordering::Release);
        result
    }

    fn read<R>(&self, look: impl FnOnce() -> R) -> R {
        if !READERS {
            return self.write(look);
        }
        self.take(|seen| seen != WRITER, |seen| seen + 1);
        let result = look();
        // Release: pairs with the Acquire of `take`.
        self.word.fetch_sub(1, Ordering::Release);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64 as Plain;

    fn counts_all<L: Lock>() {
        const EACH: u64 = 2_000;
        let (lock, counter) = (L::default(), Plain::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        // Relaxed: the lock orders them; two accesses, which anyone else inside would tear apart.
                        lock.write(|| {
                            counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed)
                        });
                        lock.read(|| counter.load(Ordering::Relaxed));
                    }
                });
            }
        });
        assert_eq!(counter.into_inner(), 4 * EACH);
    }

    #[test]
    fn one_at_a_time_is_let_in() {
        counts_all::<std::sync::Mutex<()>>();
        counts_all::<std::sync::RwLock<()>>();
        counts_all::<spin::Mutex<()>>();
        counts_all::<OneWord<false>>();
        counts_all::<OneWord<true>>();
    }

    #[test]
    fn readers_are_in_together_where_they_may() {
        let lock = OneWord::<true>::default();
        assert_eq!(lock.read(|| lock.read(|| 7)), 7);
    }
}

//! The same pages under locks: a word each that says whose the page is, and how much of them a lock guards.
//!
//! Invariants: a word is changed under its lock alone; a run that meets a page which is not as it should be is put
//! back as it was, and refused; locks never nest.

use crate::Line;
use crate::lock::Lock;
use crate::pages::{PAGES, PER_BLOCK, Run, Scratch, Words};
use crate::subject::{Outcome, Subject};
use sync::{AtomicU64, Ordering};

/// What a word says of the host's pages; those of the VM of core n say n + 1.
const HOST: u64 = 0;

/// Which words a lock guards.
pub trait Grain: Default + Sync {
    /// What sort of lock it is.
    type Lock: Lock;

    /// The lock of page `at`, and as many words from that one on as it guards, `most` at most.
    fn unit(&self, at: usize, most: usize) -> (&Self::Lock, &[AtomicU64]);
}

/// One lock for all pages.
#[derive(Debug)]
pub struct Global<L> {
    lock: Line<L>,
    words: Words,
}

impl<L: Lock> Default for Global<L> {
    fn default() -> Self {
        Self {
            lock: Line::default(),
            words: Words::new(PAGES),
        }
    }
}

impl<L: Lock> Grain for Global<L> {
    type Lock = L;

    fn unit(&self, at: usize, most: usize) -> (&L, &[AtomicU64]) {
        (&self.lock.0, &self.words[at..at + most])
    }
}

/// A lock for each 2 MiB.
#[derive(Debug)]
pub struct PerBlock<L> {
    locks: Box<[Line<L>]>,
    words: Words,
}

impl<L: Lock> Default for PerBlock<L> {
    fn default() -> Self {
        let blocks = PAGES / PER_BLOCK as usize;
        Self {
            locks: (0..blocks).map(|_| Line::default()).collect(),
            words: Words::new(PAGES),
        }
    }
}

impl<L: Lock> Grain for PerBlock<L> {
    type Lock = L;

    fn unit(&self, at: usize, most: usize) -> (&L, &[AtomicU64]) {
        let block = at / PER_BLOCK as usize;
        let end = (block + 1) * PER_BLOCK as usize;
        (&self.locks[block].0, &self.words[at..(at + most).min(end)])
    }
}

/// A page's lock and its word.
type Cell<L> = (L, AtomicU64);

/// A lock for each page, beside its word; four such fill a line.
#[derive(Debug)]
pub struct PerPage<L>(Box<[Line<[Cell<L>; 4]>]>);

impl<L: Lock> Default for PerPage<L> {
    fn default() -> Self {
        const { assert!(size_of::<[Cell<L>; 4]>() == 64) };
        let line = || {
            Line(std::array::from_fn(|_| {
                (L::default(), AtomicU64::new(HOST))
            }))
        };
        Self((0..PAGES / 4).map(|_| line()).collect())
    }
}

impl<L: Lock> Grain for PerPage<L> {
    type Lock = L;

    fn unit(&self, at: usize, _most: usize) -> (&L, &[AtomicU64]) {
        let (lock, word) = &self.0[at / 4].0[at % 4];
        (lock, std::slice::from_ref(word))
    }
}

/// Pages whose words are changed under locks.
#[derive(Debug, Default)]
pub struct Locked<G>(G);

impl<G: Grain> Locked<G> {
    /// Changes all words of a run, or none; `work` is done under each lock before its words change.
    fn change(&self, run: Run, from: u64, to: u64, mut work: impl FnMut()) -> bool {
        let (first, end) = (run.first as usize, (run.first + run.pages) as usize);
        let mut at = first;
        while at < end {
            let (lock, words) = self.0.unit(at, end - at);
            // Relaxed, all of them: the lock orders them.
            let is_so = || {
                words
                    .iter()
                    .all(|word| word.load(Ordering::Relaxed) == from)
            };
            let looked = !G::Lock::HAS_READERS || lock.read(is_so);
            let set_if_so = || {
                let is_right = is_so();
                if is_right {
                    work();
                    words
                        .iter()
                        .for_each(|word| word.store(to, Ordering::Relaxed));
                }
                is_right
            };
            if !(looked && lock.write(set_if_so)) {
                let back = Run {
                    pages: (at - first) as u64,
                    ..run
                };
                self.put_back(back, to, from);
                return false;
            }
            at += words.len();
        }
        true
    }

    /// Undoes what was changed of a run that could not be had.
    fn put_back(&self, run: Run, from: u64, to: u64) {
        let is_back = self.change(run, from, to, || ());
        assert!(is_back, "nobody else has them");
    }
}

impl<G: Grain> Subject for Locked<G> {
    /// What its VM's pages say, and what it zeroes.
    type Core = (u64, Scratch);
    type Target = Run;

    fn core(&self, number: u16) -> Self::Core {
        (u64::from(number) + 1, Scratch::default())
    }

    fn operate(&self, (own, scratch): &mut Self::Core, on: Run) -> Outcome {
        if !self.change(on, HOST, *own, || ()) {
            return Outcome::Refused;
        }
        let zero = || {
            if on.is_zeroed {
                scratch.zero();
            }
        };
        assert!(self.change(on, *own, HOST, zero), "one's own pages");
        Outcome::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses_what_is_given_away<G: Grain>() {
        let rival = Locked::<G>::default();
        let run = |first, pages| Run {
            first,
            pages,
            is_zeroed: false,
        };
        assert!(rival.change(run(5, 1), HOST, 9, || ()));
        let mut core = rival.core(0);
        assert_eq!(rival.operate(&mut core, run(5, 1)), Outcome::Refused);
        assert_eq!(rival.operate(&mut core, run(0, 64)), Outcome::Refused);
        assert_eq!(rival.operate(&mut core, run(0, 5)), Outcome::Done);
        assert!(rival.change(run(5, 1), 9, HOST, || ()));
        assert_eq!(rival.operate(&mut core, run(0, 64)), Outcome::Done);
    }

    #[test]
    fn a_refused_run_is_as_it_was() {
        refuses_what_is_given_away::<Global<std::sync::Mutex<()>>>();
        refuses_what_is_given_away::<Global<std::sync::RwLock<()>>>();
        refuses_what_is_given_away::<PerBlock<std::sync::Mutex<()>>>();
        refuses_what_is_given_away::<PerPage<spin::Mutex<()>>>();
    }
}

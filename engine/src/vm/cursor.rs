//! What is left of a dying VM, as one word that any number of cores take work from.
//!
//! The word holds the slot's generation (its low bits), the stage of the work, how many cores are at
//! it, and the next unit. A core takes a unit by one compare-exchange and leaves by one `fetch_sub`;
//! a stage is over when its units are used up and nobody is at it. No core waits for another: who
//! finds all units taken is told so.
//!
//! Invariants: units of a stage are given out once each; a core that still works on an old stage or
//! an old VM keeps the word from moving on, because it is counted in; a stale core's
//! compare-exchange fails on generation or stage.

use sync::{AtomicU64, Ordering, unless};

/// The stages of coming home.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd)]
#[repr(u8)]
pub enum Stage {
    /// Not begun.
    Idle = 0,
    /// Pages: unit = a run of IPA pages.
    Pages = 1,
    /// Were all pages had? No units: nobody works on pages any more, so what was left over is known.
    Check = 2,
    /// Level-3 tables: unit = a run of level-2 entries.
    Tables3 = 3,
    /// Level-2 tables: unit = a run of level-1 entries.
    Tables2 = 4,
    /// Level-1 tables: unit = a run of level-0 entries.
    Tables1 = 5,
    /// Root and vCPUs: one unit.
    Rest = 6,
}

impl Stage {
    const fn from_raw(raw: u64) -> Self {
        match raw & 0xf {
            1 => Self::Pages,
            2 => Self::Check,
            3 => Self::Tables3,
            4 => Self::Tables2,
            5 => Self::Tables1,
            6 => Self::Rest,
            _ => Self::Idle,
        }
    }

    /// The stage after this one.
    pub const fn next(self) -> Self {
        match self {
            Self::Idle => Self::Pages,
            Self::Pages => Self::Check,
            Self::Check => Self::Tables3,
            Self::Tables3 => Self::Tables2,
            Self::Tables2 => Self::Tables1,
            Self::Tables1 | Self::Rest => Self::Rest,
        }
    }
}

const NEXT_BITS: u32 = 37;
const WORKERS_SHIFT: u32 = NEXT_BITS;
const WORKERS_BITS: u32 = 11;
const STAGE_SHIFT: u32 = WORKERS_SHIFT + WORKERS_BITS;
const STAGE_BITS: u32 = 4;
const GENERATION_SHIFT: u32 = STAGE_SHIFT + STAGE_BITS;
const GENERATION_BITS: u32 = 64 - GENERATION_SHIFT;

/// One word's content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Low bits of the VM's generation.
    pub tag: u64,
    /// Stage.
    pub stage: Stage,
    /// Cores at work in it.
    pub workers: u64,
    /// Next unit not yet given out; a page number in stage `Pages`.
    pub next: u64,
}

/// The tag of a generation.
pub const fn tag_of(generation: u64) -> u64 {
    generation & ((1 << GENERATION_BITS) - 1)
}

impl Progress {
    const fn unpack(word: u64) -> Self {
        Self {
            tag: word >> GENERATION_SHIFT,
            stage: Stage::from_raw(word >> STAGE_SHIFT),
            workers: word >> WORKERS_SHIFT & ((1 << WORKERS_BITS) - 1),
            next: word & ((1 << NEXT_BITS) - 1),
        }
    }

    const fn pack(self) -> u64 {
        self.tag << GENERATION_SHIFT
            | (self.stage as u64) << STAGE_SHIFT
            | self.workers << WORKERS_SHIFT
            | self.next
    }
}

/// The word.
#[derive(Default)]
pub struct Cursor(AtomicU64);

impl Cursor {
    /// What is to do now. Acquire: pairs with the Release of [`Cursor::leave`] and
    /// [`Cursor::replace`]: the work of stages before is seen.
    pub fn now(&self) -> Progress {
        let look = unless(cfg!(mutant = "cursor-now-relaxed"), Ordering::Acquire);
        Progress::unpack(self.0.load(look))
    }

    /// Starts anew for a generation. Only by the core that flushed the VM, before the phase
    /// `Reclaiming` is published.
    pub fn begin(&self, generation: u64, first: u64) {
        let start = Progress {
            tag: tag_of(generation),
            stage: Stage::Pages,
            workers: 0,
            next: first,
        };
        // Relaxed: published by the phase. Who looks before it finds another VM's tag, or no stage.
        self.0.store(start.pack(), Ordering::Relaxed);
    }

    /// Replaces `seen` by `new` if nothing changed meanwhile. AcqRel: pairs with itself, `now` and
    /// `leave`.
    pub fn replace(&self, seen: Progress, new: Progress) -> bool {
        let both = unless(cfg!(mutant = "cursor-replace-relaxed"), Ordering::AcqRel);
        self.0
            .compare_exchange(seen.pack(), new.pack(), both, Ordering::Relaxed)
            .is_ok()
    }

    /// Counts this core out of the stage. Release: pairs with the Acquire of `now` and `replace` in
    /// whoever moves the stage on.
    pub fn leave(&self) {
        let done = unless(cfg!(mutant = "cursor-leave-relaxed"), Ordering::Release);
        self.0.fetch_sub(1 << WORKERS_SHIFT, done);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn packs_without_loss() {
        for stage in [
            Stage::Idle,
            Stage::Pages,
            Stage::Check,
            Stage::Tables3,
            Stage::Tables2,
            Stage::Tables1,
            Stage::Rest,
        ] {
            for workers in [0, 1, 513, 2047] {
                for next in [0, 1, 1 << 36, (1 << 37) - 1] {
                    let progress = Progress {
                        tag: tag_of(0xabc_def),
                        stage,
                        workers,
                        next,
                    };
                    assert_eq!(Progress::unpack(progress.pack()), progress);
                }
            }
        }
    }

    #[test]
    fn a_stale_view_takes_nothing() {
        let cursor = Cursor::default();
        cursor.begin(7, 100);
        let seen = cursor.now();
        assert!(cursor.replace(
            seen,
            Progress {
                next: 164,
                workers: 1,
                ..seen
            }
        ));
        assert!(!cursor.replace(
            seen,
            Progress {
                next: 164,
                workers: 1,
                ..seen
            }
        ));
        cursor.leave();
        assert_eq!(cursor.now().workers, 0);
        assert_eq!(cursor.now().next, 164);
    }
}

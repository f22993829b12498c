//! SPIs of one vCPU: what `VCPU_INJECT` writes from any core, and what the runner makes of it.
//!
//! [`SpiInbox`] is written by any core and emptied by the runner, without a lock. An injector
//! first changes the SPI's word, then marks the word in `dirty`; the runner first takes `dirty`,
//! then the words that were marked. Nothing is lost: if the runner's read of a word misses an
//! injector's change, then the injector's mark is not among those the runner took (had it been,
//! taking it would have acquired what the injector released before, the change included), so it
//! is still in `dirty` and the next `collect` finds it. Taking a word whose change was seen
//! already is harmless.
//!
//! [`SpiState`] is the runner's alone: SPIs that are pending or active and in no list register.

use super::intid::{Spi, places};
use super::lr::PRIORITY_MASK;
use sync::{AtomicU8, AtomicU64, Ordering, unless};

/// 64-bit words of a bitmap over all SPIs.
pub const SPI_WORDS: usize = 16;

/// What other cores have said about a vCPU's SPIs, over the first 64 * `WORDS` of them. At most
/// 64 words.
pub struct SpiInbox<const WORDS: usize> {
    /// Words whose SPIs changed since the runner last looked.
    dirty: AtomicU64,
    words: [InboxWord; WORDS],
}

struct InboxWord {
    /// Edges not collected yet.
    edges: AtomicU64,
    /// Lines that are high.
    lines: AtomicU64,
    priority: [AtomicU8; 64],
}

impl InboxWord {
    fn new() -> Self {
        Self {
            edges: AtomicU64::new(0),
            lines: AtomicU64::new(0),
            priority: core::array::from_fn(|_| AtomicU8::new(0)),
        }
    }
}

impl<const WORDS: usize> SpiInbox<WORDS> {
    /// Nothing pending, all lines low.
    pub fn new() -> Self {
        const { assert!(WORDS <= 64, "one bit of `dirty` for each word") };
        Self {
            dirty: AtomicU64::new(0),
            words: core::array::from_fn(|_| InboxWord::new()),
        }
    }

    /// Back to the state after `new`. The caller alone reaches the vCPU, and what makes it
    /// reachable for others publishes these stores.
    pub fn reset(&self) {
        // Relaxed, all of them: see above.
        self.dirty.store(0, Ordering::Relaxed);
        for word in &self.words {
            word.edges.store(0, Ordering::Relaxed);
            word.lines.store(0, Ordering::Relaxed);
            for priority in &word.priority {
                priority.store(0, Ordering::Relaxed);
            }
        }
    }

    /// The SPI becomes pending once.
    pub fn edge(&self, spi: Spi, priority: u8) {
        self.change(spi, priority, |word| {
            // Release: pairs with the Acquire in `collect`; publishes the priority, and what the
            // injector wrote before for the guest to find.
            let sent = unless(cfg!(mutant = "spi-edge-relaxed"), Ordering::Release);
            word.edges.fetch_or(spi.bit(), sent);
        });
    }

    /// The SPI's line goes high.
    pub fn assert(&self, spi: Spi, priority: u8) {
        self.change(spi, priority, |word| {
            // Release: as in `edge`.
            let sent = unless(cfg!(mutant = "spi-line-relaxed"), Ordering::Release);
            word.lines.fetch_or(spi.bit(), sent);
        });
    }

    /// The SPI's line goes low.
    pub fn deassert(&self, spi: Spi, priority: u8) {
        self.change(spi, priority, |word| {
            // Relaxed: a line that went low gives the guest nothing to find, and the mark publishes the
            // priority. Of another line that this word holds the Release goes on through this
            // read-modify-write.
            word.lines.fetch_and(!spi.bit(), Ordering::Relaxed);
        });
    }

    fn change(&self, spi: Spi, priority: u8, apply: impl FnOnce(&InboxWord)) {
        let Some(word) = self.words.get(spi.word()) else {
            return;
        };
        if let Some(known) = word.priority.get(spi.place()) {
            // Relaxed: published by the Release on the word that follows, or on the mark.
            known.store(priority & PRIORITY_MASK, Ordering::Relaxed);
        }
        #[cfg(not(mutant = "spi-mark-first"))]
        apply(word);
        // Release: pairs with the Acquire in `collect`; publishes the change to the word.
        #[cfg(not(mutant = "spi-relaxed"))]
        self.dirty.fetch_or(1 << spi.word(), Ordering::Release);
        #[cfg(mutant = "spi-relaxed")]
        self.dirty.fetch_or(1 << spi.word(), Ordering::Relaxed);
        #[cfg(mutant = "spi-mark-first")]
        apply(word);
    }

    /// The priority that came with the SPI last.
    pub(crate) fn priority(&self, spi: Spi) -> u8 {
        let priority = self
            .words
            .get(spi.word())
            .and_then(|word| word.priority.get(spi.place()));
        // Relaxed: the Acquire in `collect` came before; a newer value is as good.
        priority.map_or(0, |priority| priority.load(Ordering::Relaxed))
    }

    /// Edges not collected yet and lines that are high, of 64 SPIs: for those who compare.
    #[cfg(feature = "sim")]
    pub(crate) fn seen(&self, place: usize) -> (u64, u64) {
        // Relaxed: one thread.
        let of = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let word = self.words.get(place);
        word.map_or((0, 0), |word| (of(&word.edges), of(&word.lines)))
    }

    /// Has something changed since the runner last looked?
    pub(super) fn has_changes(&self) -> bool {
        // Relaxed: `collect` acquires; the caller saw the doorbell that was rung after the mark.
        self.dirty.load(Ordering::Relaxed) != 0
    }

    /// The runner takes over what has changed.
    #[inline]
    pub(super) fn collect(&self, state: &mut SpiState<WORDS>) {
        // Relaxed: only a hint that there is nothing; a mark that it misses is found by the next
        // call, and by the call after the fence that goes before waiting.
        if self.dirty.load(Ordering::Relaxed) != 0 {
            self.collect_changes(state);
        }
    }

    #[inline(never)]
    fn collect_changes(&self, state: &mut SpiState<WORDS>) {
        // Acquire: pairs with the Release on `dirty` in `change`; see the file's head.
        let look = unless(cfg!(mutant = "collect-mark-relaxed"), Ordering::Acquire);
        let dirty = self.dirty.swap(0, look);
        state.live |= dirty;
        let mut dirty = dirty;
        for (word, own) in self.words.iter().zip(&mut state.words) {
            let is_dirty = dirty & 1 != 0;
            dirty >>= 1;
            if is_dirty {
                // Acquire, both: pair with the Release in `edge` and `assert`.
                #[cfg(not(mutant = "spi-keep-edges"))]
                let edges = word.edges.swap(
                    0,
                    unless(cfg!(mutant = "collect-edge-relaxed"), Ordering::Acquire),
                );
                #[cfg(mutant = "spi-keep-edges")]
                let edges = word.edges.load(Ordering::Acquire);
                own.edges |= edges;
                let look = unless(cfg!(mutant = "collect-line-relaxed"), Ordering::Acquire);
                own.lines = word.lines.load(look);
            }
        }
    }
}

impl<const WORDS: usize> Default for SpiInbox<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

/// Of 64 SPIs, those that are in each state; none of them is in a list register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SpiWord {
    /// Became pending by an edge.
    pub edges: u64,
    /// Line high when last looked at.
    pub lines: u64,
    /// Active.
    pub active: u64,
    /// Of the active ones, those whose end is to be told.
    pub active_by_level: u64,
    /// Level-triggered ones that the guest ended, not told yet.
    pub ended: u64,
}

/// The runner's view of a vCPU's SPIs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiState<const WORDS: usize> {
    pub(super) words: [SpiWord; WORDS],
    /// The words that may be other than zero: most guests have SPIs in one or two of them.
    live: u64,
}

impl<const WORDS: usize> SpiState<WORDS> {
    /// Nothing pending or active.
    pub fn new() -> Self {
        Self {
            words: [SpiWord::default(); WORDS],
            live: 0,
        }
    }

    /// The word an SPI is in.
    pub(super) fn word(&mut self, spi: Spi) -> Option<&mut SpiWord> {
        let word = self.words.get_mut(spi.word())?;
        self.live |= 1 << spi.word();
        Some(word)
    }

    /// The words that may be other than zero, with their places.
    pub(super) fn live(&self) -> impl Iterator<Item = (usize, &SpiWord)> {
        places(self.live).filter_map(|place| {
            let place = place as usize;
            self.words.get(place).map(|word| (place, word))
        })
    }

    /// Is nothing pending, active or to be told? Forgets words that have become zero.
    pub(super) fn is_quiet(&mut self) -> bool {
        for place in places(self.live) {
            let word = self.words.get(place as usize);
            if word.is_none_or(|word| *word == SpiWord::default()) {
                self.live &= !(1 << place);
            }
        }
        self.live == 0
    }

    /// Is one of the level-triggered SPIs that the guest ended not told yet?
    pub(super) fn has_ended(&self) -> bool {
        self.live().any(|(_, word)| word.ended != 0)
    }

    /// One of the level-triggered SPIs that the guest ended since they were last told.
    pub(super) fn take_ended(&mut self) -> Option<Spi> {
        for place in places(self.live) {
            let place = place as usize;
            let word = self.words.get_mut(place)?;
            let bit = word.ended.trailing_zeros();
            if bit < u64::BITS {
                word.ended &= word.ended.wrapping_sub(1);
                return Spi::at(place, bit);
            }
        }
        None
    }
}

impl<const WORDS: usize> Default for SpiState<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spi(intid: u64) -> Spi {
        Spi::new(intid).unwrap()
    }

    #[test]
    fn an_edge_is_collected_once() {
        let inbox = SpiInbox::<SPI_WORDS>::new();
        let mut state = SpiState::new();
        inbox.edge(spi(1019), 0xA7);
        inbox.collect(&mut state);
        assert_eq!(state.words[15].edges, 1 << (987 - 960));
        assert_eq!(inbox.priority(spi(1019)), 0xA0, "five bits of priority");
        assert!(!state.is_quiet() && state.live().map(|(place, _)| place).eq([15]));
        state.words[15].edges = 0;
        inbox.collect(&mut state);
        assert!(state.is_quiet());
        assert_eq!(state, SpiState::new());
    }

    #[test]
    fn a_line_follows_the_last_word() {
        let inbox = SpiInbox::<SPI_WORDS>::new();
        let mut state = SpiState::new();
        inbox.assert(spi(32), 0);
        inbox.collect(&mut state);
        assert_eq!(state.words[0].lines, 1);
        inbox.deassert(spi(32), 0);
        inbox.collect(&mut state);
        assert_eq!(state.words[0].lines, 0);
    }

    #[test]
    fn a_small_inbox_ignores_what_it_has_no_room_for() {
        let inbox = SpiInbox::<1>::new();
        let mut state = SpiState::new();
        inbox.edge(spi(96), 0);
        inbox.collect(&mut state);
        assert!(state.is_quiet());
        assert_eq!(inbox.priority(spi(96)), 0);
    }

    #[test]
    fn ended_spis_come_one_by_one() {
        let mut state = SpiState::<SPI_WORDS>::new();
        for ended in [32, 34, 160].map(spi) {
            state.word(ended).unwrap().ended |= ended.bit();
        }
        let told = core::array::from_fn(|_| state.take_ended().map(Spi::raw));
        assert_eq!(told, [Some(32), Some(34), Some(160), None]);
    }
}

//! The tree of words: where the word of a page is, and how one word becomes many and many one.
//!
//! Memory has a word per 1 GiB; where one says `Split`, the words per 2 MiB of that area count, and
//! where one of those says `Split`, the words per page do. A word below one that is settled otherwise
//! holds anything, or what it last said. All words lie in one slice, so
//! that the parts of one granule fill one page of it, which no boot has to touch.
//!
//! Invariants:
//! - a part's word is read only after its whole was seen to say `Split` (Acquire), and is written
//!   before that is published (Release): what was never written is never read;
//! - only the holder of a claim on the whole *unfolds* it, only the holder of the claims on all
//!   parts *folds* them: both keep what is claimed claimed, by other words;
//! - a fold leaves the parts' words claimed, so the compare-exchange of a core that looked before fails.
//!
//! A core that looked while the whole was `Split` and is slow may claim a part after the whole was
//! folded and is being unfolded again, before `Split` is published: the part's word is complete by
//! then, so its claim is good. That is why a claim's holder looks for its own words *through* the
//! claims of other CPUs ([`Tree::find_own`]).

use crate::addr::{FAN_OUT_SHIFT, Granule, GranuleSize, Pfn};
use crate::touched::Touched;
use crate::word::{State, Word};
use sync::{AtomicU64, Ordering, fence, unless};

const FAN_OUT: usize = 1 << FAN_OUT_SHIFT;
const SPLIT: Word = Word::pack(State::Split);

/// All words, and where they begin. A plain value over borrowed words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree<'t> {
    words: &'t [AtomicU64],
    span: &'t Span,
}

/// The 1 GiB granules that a tree has words for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// First page of the first.
    origin: Pfn,
    /// How many.
    giants: usize,
    /// Which word is the first of 2 MiB.
    blocks_at: usize,
    /// Which word is the first of a page.
    pages_at: usize,
}

impl Span {
    /// Those around `pages` pages from `base` on.
    pub fn around(base: Pfn, pages: usize) -> Self {
        let giant = GranuleSize::Block1G;
        let origin = Granule::around(giant, base).base();
        // Sums and products that saturate: of a table that large no memory has the words (`PageTable::new`).
        let before = base.raw().saturating_sub(origin.raw());
        let to_end = before.saturating_add(pages as u64);
        let giants = to_end.div_ceil(giant.pages()) as usize;
        let cleared = Self::cleared(giants).div_ceil(FAN_OUT);
        let blocks_at = cleared.saturating_mul(FAN_OUT);
        Self {
            origin,
            giants,
            blocks_at,
            pages_at: blocks_at.saturating_add(giants.saturating_mul(FAN_OUT)),
        }
    }

    /// How many words their tree has.
    pub fn words(self) -> usize {
        let pages = self.giants.saturating_mul(FAN_OUT * FAN_OUT);
        self.pages_at.saturating_add(pages)
    }

    /// How many of them, from the first on, must be zero before the tree is used: those of the whole
    /// GiB, and what is said of all granules that can be in parts.
    pub fn words_to_clear(self) -> usize {
        Self::cleared(self.giants)
    }

    const fn cleared(giants: usize) -> usize {
        let granules = giants.saturating_mul(1 + FAN_OUT);
        giants.saturating_add(Touched::words_for(granules))
    }
}

/// Where a page's word was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'t> {
    /// The word.
    pub word: &'t AtomicU64,
    /// What it said.
    pub seen: Word,
    /// What it stands for.
    pub granule: Granule,
}

/// Pages from `first` on.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The first of them.
    pub first: Pfn,
    /// How many.
    pub pages: u64,
}

impl Run {
    /// The page after the last.
    #[inline]
    pub fn end(self) -> u64 {
        self.first.raw().saturating_add(self.pages)
    }

    /// Is all of the granule in it?
    fn holds(self, granule: Granule) -> bool {
        self.first <= granule.base() && end_of(granule) <= self.end()
    }

    /// How many parts of the granule, of this size, end before it.
    fn parts_before(self, granule: Granule, size: GranuleSize) -> usize {
        let pages = self.first.raw().saturating_sub(granule.base().raw());
        ((pages >> size.shift()) as usize).min(FAN_OUT)
    }

    /// How many have pages of it.
    fn parts_of(self, granule: Granule, size: GranuleSize) -> usize {
        let end = self.end().saturating_sub(granule.base().raw());
        let up_to = (end.div_ceil(size.pages()) as usize).min(FAN_OUT);
        up_to.saturating_sub(self.parts_before(granule, size))
    }
}

/// Stores the same in all of these words; many at a time, as granules have hundreds.
fn fill(words: &[AtomicU64], with: Word) {
    let rest = fill_by::<32>(words, with);
    let rest = fill_by::<4>(rest, with);
    let _ = fill_by::<1>(rest, with);
}

/// The same in as many as make whole turns; those that are left.
#[inline(always)]
fn fill_by<const TURN: usize>(words: &[AtomicU64], with: Word) -> &[AtomicU64] {
    let (turns, rest) = words.as_chunks::<TURN>();
    for turn in turns {
        for word in turn {
            // Relaxed: published by the Release of `unfold`.
            word.store(with.raw(), Ordering::Relaxed);
        }
    }
    rest
}

/// The page after a granule's last.
#[inline]
pub(crate) fn end_of(granule: Granule) -> u64 {
    granule.base().raw().wrapping_add(granule.size().pages())
}

/// The number of the first of these words that `stop` says yes of, eight at a time: granules have hundreds.
#[inline(always)]
pub(crate) fn in_eights(
    words: &[AtomicU64],
    mut stop: impl FnMut(&AtomicU64) -> bool,
) -> Option<usize> {
    let (eights, rest) = words.as_chunks::<8>();
    let mut before = 0usize;
    for eight in eights {
        for (index, word) in eight.iter().enumerate() {
            if stop(word) {
                return Some(before.wrapping_add(index));
            }
        }
        before = before.wrapping_add(eight.len());
    }
    let index = rest.iter().position(stop)?;
    Some(before.wrapping_add(index))
}

/// Do all of these words say this? Eight at a time.
pub(crate) fn all_say(words: &[AtomicU64], what: Word) -> bool {
    // Relaxed: a snapshot, or the caller's own words.
    let differs = |word: &AtomicU64| word.load(Ordering::Relaxed) ^ what.raw();
    let (eights, rest) = words.as_chunks::<8>();
    let mut eights = eights.iter();
    eights.all(|eight| eight.iter().fold(0, |all, word| all | differs(word)) == 0)
        && rest.iter().all(|word| differs(word) == 0)
}

impl<'t> Tree<'t> {
    /// The tree over `words` for the granules of `span`.
    pub fn new(words: &'t [AtomicU64], span: &'t Span) -> Self {
        Self { words, span }
    }

    /// Which of the words is a granule's.
    #[inline]
    fn index(self, granule: Granule) -> Option<usize> {
        let since = granule.base().checked_since(self.span.origin)?;
        self.index_at(granule.size(), since)
    }

    /// Which is that of the granule of this size around the page so many behind the origin, where all sizes begin.
    #[inline]
    fn index_at(self, size: GranuleSize, since: u64) -> Option<usize> {
        let before = match size {
            GranuleSize::Block1G => 0,
            GranuleSize::Block2M => self.span.blocks_at,
            GranuleSize::Page => self.span.pages_at,
        };
        before.checked_add(usize::try_from(since >> size.shift()).ok()?)
    }

    /// What was ever written of the words.
    pub fn touched(self) -> Touched<'t> {
        let all = self.span.giants..self.span.words_to_clear();
        Touched::new(self.words.get(all).unwrap_or(&[]))
    }

    /// Which granule of all that can be in parts it is.
    fn number(self, granule: Granule) -> Option<usize> {
        let index = self.index(granule)?;
        match granule.size() {
            GranuleSize::Block1G => Some(index),
            GranuleSize::Block2M => {
                let nth = index.checked_sub(self.span.blocks_at)?;
                nth.checked_add(self.span.giants)
            }
            GranuleSize::Page => None,
        }
    }

    /// The word of a granule.
    fn word(self, granule: Granule) -> Option<&'t AtomicU64> {
        self.words.get(self.index(granule)?)
    }

    /// The words of a granule's parts, in order.
    fn parts(self, granule: Granule) -> Option<(GranuleSize, &'t [AtomicU64])> {
        let size = granule.size().part()?;
        let first = self.index(Granule::around(size, granule.base()))?;
        Some((size, self.words.get(first..first.checked_add(FAN_OUT)?)?))
    }

    /// The words of a granule's parts, for who has seen that it is in parts.
    pub fn parts_of(self, granule: Granule) -> &'t [AtomicU64] {
        self.parts(granule).map_or(&[], |(_, parts)| parts)
    }

    /// The words of the granules behind this one in the same larger granule, which is in parts; none behind one of the
    /// largest.
    pub fn behind(self, granule: Granule) -> &'t [AtomicU64] {
        let size = match granule.size() {
            GranuleSize::Page => GranuleSize::Block2M,
            GranuleSize::Block2M => GranuleSize::Block1G,
            GranuleSize::Block1G => return &[],
        };
        let whole = Granule::around(size, granule.base());
        let before = (granule.base().raw() - whole.base().raw()) >> granule.size().shift();
        let parts = self.parts_of(whole);
        parts.get(before as usize + 1..).unwrap_or(&[])
    }

    /// The words of `pages` pages from `first` on.
    pub fn pages(self, run: Run) -> &'t [AtomicU64] {
        self.granules(GranuleSize::Page, run)
    }

    /// The words of the granules of this size in a run that begins with one.
    pub fn granules(self, size: GranuleSize, run: Run) -> &'t [AtomicU64] {
        let words = self
            .index(Granule::around(size, run.first))
            .and_then(|first| {
                let end = first.checked_add(usize::try_from(run.pages >> size.shift()).ok()?)?;
                self.words.get(first..end)
            });
        words.unwrap_or(&[])
    }

    /// The word that says whose a page is. It may be claimed for good, if a fold came in between: ask again.
    pub fn find(self, page: Pfn) -> Option<Place<'t>> {
        self.descend(page, |seen| seen == SPLIT)
    }

    /// The word by which the page is held by who has claimed it as `claimed`.
    pub fn find_own(self, page: Pfn, claimed: Word) -> Option<Place<'t>> {
        #[cfg(mutant = "own-stops-above")]
        let _ = claimed;
        #[cfg(mutant = "own-stops-above")]
        return self.descend(page, |seen| seen == SPLIT);
        #[cfg(not(mutant = "own-stops-above"))]
        self.descend(page, |seen| {
            seen == SPLIT || seen.is_claimed_by_other(claimed)
        })
    }

    fn descend(self, page: Pfn, ask_below: impl Fn(Word) -> bool) -> Option<Place<'t>> {
        let since = page.checked_since(self.span.origin)?;
        for size in GranuleSize::DOWNWARD {
            let word = self.words.get(self.index_at(size, since)?)?;
            // Acquire: pairs with the Release of `unfold` that published `Split`: the parts' words
            // are there. On the last word it lets what is looked up next be no older than the state.
            let look = unless(cfg!(mutant = "descend-relaxed"), Ordering::Acquire);
            let seen = Word::from_raw(word.load(look));
            if size == GranuleSize::Page || !ask_below(seen) {
                let granule = Granule::around(size, page);
                return Some(Place {
                    word,
                    seen,
                    granule,
                });
            }
        }
        None
    }

    /// Turns the word of `granule`, claimed by the caller as `claimed`, into words of its parts:
    /// those that meet `keep` stay claimed, the others say `outside`.
    pub fn unfold(self, granule: Granule, keep: Run, claimed: Word, outside: Word) {
        let (Some(whole), Some((size, parts))) = (self.word(granule), self.parts(granule)) else {
            return;
        };
        // Release: with the Relaxed stores below it pairs with the Acquire of `claim_word` by a core
        // that looked before the last fold; see the head of this file.
        #[cfg(not(mutant = "unfold-no-fence"))]
        fence(Ordering::Release);
        let (before, rest) = parts.split_at(keep.parts_before(granule, size));
        let (kept, behind) = rest.split_at(keep.parts_of(granule, size).min(rest.len()));
        fill(before, outside);
        fill(kept, claimed);
        fill(behind, outside);
        if let Some(number) = self.number(granule) {
            self.touched().note(number);
        }
        // Release: pairs with the Acquire of `descend`.
        #[cfg(not(mutant = "unfold-relaxed"))]
        whole.store(SPLIT.raw(), Ordering::Release);
        #[cfg(mutant = "unfold-relaxed")]
        whole.store(SPLIT.raw(), Ordering::Relaxed);
    }

    /// Cuts a claim at the ends of `keep`: where a word that says `claimed` stands for pages on both sides of
    /// one, it is unfolded. What is outside says `outside`.
    pub fn cut(self, keep: Run, claimed: Word, outside: Word) {
        let last = keep.first.after(keep.pages.saturating_sub(1));
        for edge in [keep.first, last] {
            for _ in GranuleSize::DOWNWARD {
                let place = self.find_own(edge, claimed);
                match place.filter(|at| at.seen == claimed && !keep.holds(at.granule)) {
                    Some(at) => self.unfold(at.granule, keep, claimed, outside),
                    None => break,
                }
            }
        }
    }

    /// Turns the words of a granule's parts, all claimed by the caller as `claimed`, into one. Where that is not to
    /// be had (a part is in parts itself) all stays as it was.
    pub fn fold(self, granule: Granule, claimed: Word) {
        let (Some(whole), Some((_, parts))) = (self.word(granule), self.parts(granule)) else {
            return;
        };
        if !all_say(parts, claimed) {
            return;
        }
        // They stay claimed, so that a slow core's compare-exchange fails; the next to write them holds the whole,
        // and has acquired what its last holder did. Whoever unfolds the whole keeps a part until `Split` is published,
        // so all parts are ours only after that, and this can't fail.
        let (split, claimed) = (SPLIT.raw(), claimed.raw());
        // Relaxed: what was done to the pages is published when the claim is settled.
        let _ = whole.compare_exchange(split, claimed, Ordering::Relaxed, Ordering::Relaxed);
    }
}

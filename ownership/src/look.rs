//! What the words say to whoever holds no claim: snapshots, each word looked at by itself.
//!
//! Invariant: nothing is changed here, and what is decided on a snapshot is decided again under a
//! claim.

use crate::addr::{Granule, GranuleSize, Pfn};
use crate::census::Census;
use crate::table::{PageTable, Refused};
use crate::tree::{Run, all_say, end_of};
use crate::word::{State, Word};
use core::ops::Deref;
use sync::{AtomicU64, Ordering};

/// Is a whole granule in one state?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Uniform {
    /// Yes, by one word or by those of its parts.
    All,
    /// Parts of it are changing; the others are.
    Changing,
    /// No; or a part is in parts itself.
    No,
}

impl<S: Deref<Target = [AtomicU64]>> PageTable<S> {
    /// Whose the page is now. A snapshot: what is decided on it must be decided again under a
    /// claim.
    pub fn state(&self, page: Pfn) -> Option<State> {
        self.granule(page).map(|(_, state)| state)
    }

    /// What has one word together with this page, and what that says: as [`PageTable::state`].
    pub fn granule(&self, page: Pfn) -> Option<(Granule, State)> {
        self.run(page, 1)?;
        let tree = self.tree();
        let place = tree.find(page)?;
        Some((place.granule, place.seen.state()))
    }

    /// The size of what has one word together with this page: as [`PageTable::state`], of one look.
    pub fn size_around(&self, page: Pfn) -> GranuleSize {
        let place = self.find(page);
        place.map_or(GranuleSize::Page, |place| place.granule.size())
    }

    /// Is all of a granule in this state, by one word or by a word for each of its parts? A snapshot,
    /// as [`PageTable::state`].
    pub fn uniformity(&self, granule: Granule, state: State) -> Uniform {
        let place = match self.run(granule.base(), granule.size().pages() as usize) {
            Some(_) => self.tree().find(granule.base()),
            None => None,
        };
        let Some(place) = place else {
            return Uniform::No;
        };
        let wanted = Word::pack(state);
        let compare = |word: Word| match word {
            _ if word == wanted => Uniform::All,
            _ if word.is_claimed() => Uniform::Changing,
            _ => Uniform::No,
        };
        if place.granule.size() >= granule.size() {
            return compare(place.seen);
        }
        let parts = self.tree().parts_of(granule);
        if all_say(parts, wanted) {
            return Uniform::All;
        }
        let mut all = Uniform::All;
        for part in parts {
            // Relaxed: whoever acts on this claims the parts, and acquires then.
            match compare(Word::from_raw(part.load(Ordering::Relaxed))) {
                Uniform::All => {}
                Uniform::Changing => all = Uniform::Changing,
                Uniform::No => return Uniform::No,
            }
        }
        all
    }

    /// The first part of a granule that is in parts itself, if the granule is in parts. A snapshot.
    pub fn first_in_parts(&self, granule: Granule) -> Option<Granule> {
        self.run(granule.base(), granule.size().pages() as usize)?;
        let size = granule.size().part()?;
        let place = self.tree().find(granule.base())?;
        if place.granule.size() >= granule.size() {
            return None;
        }
        let split = Word::pack(State::Split).raw();
        let mut parts = self.tree().parts_of(granule).iter();
        // Relaxed: as in `uniformity`.
        let index = parts.position(|part| part.load(Ordering::Relaxed) == split)? as u64;
        let base = granule.base().checked_add(index << size.shift())?;
        Granule::new(size, base)
    }

    /// Counts pages by what their words say, each word looked at once.
    pub fn count(&self, first: Pfn, pages: usize) -> Result<Census, Refused> {
        let mut census = Census::default();
        self.count_into(&mut census, first, pages)?;
        Ok(census)
    }

    /// The same, and adds them to those of `census`.
    pub fn count_into(&self, census: &mut Census, first: Pfn, pages: usize) -> Result<(), Refused> {
        let run = self.run(first, pages).ok_or(Refused::OutOfRange)?;
        let mut at = run.first;
        while at.raw() < run.end() {
            let place = self.find(at)?;
            let mut next = end_of(place.granule).min(run.end());
            if place.granule.size() == GranuleSize::Page {
                // So have the others of its block: none of these is found again.
                let block = Granule::around(GranuleSize::Block2M, at);
                next = end_of(block).min(run.end());
                let pages = next.saturating_sub(at.raw());
                census.add_each(self.tree().pages(Run { first: at, pages }));
            } else {
                census.add(place.seen.state(), next.saturating_sub(at.raw()) as usize);
            }
            at = Pfn::from_raw(next);
        }
        Ok(())
    }
}

//! Areas of the host's map that wait to become blocks again.
//!
//! A page that is given away, comes home and is touched, over and over, would have its block split
//! and made whole each time, at a hundred times the cost of the page itself. So an area in which the
//! host's touch mapped something rests for a while; the core that mapped it looks at it again when it
//! next comes to the engine after that (for more than its vectors answer), and if all of it is the host's
//! alone by then, makes it one block, and where that makes a whole GiB, one of that.
//!
//! Invariants: nothing depends on an area being joined, or when; a trap joins one at most, and none where it did
//! much else; a core's list is its own. An area that is changing when its time has come, or is one block now and may be
//! part of a GiB, waits once more; one that was pushed out by others does not.
//!
//! Words can be in parts where the host's map is not: of a page that was read from, or lent, or of
//! a call that was refused. A look makes one word of those of one 2 MiB, and then waits once more.

use super::host_fault::OF_HOST;
use super::host_map::BLOCK_LEVEL;
use crate::bite::{Bite, IN_PARTS};
use crate::engine::Engine;
use crate::platform::Platform;
use crate::stage2::MapError;
use crate::stage2::descriptor::Entry;
use ownership::{Granule, GranuleSize, Op, Pfn, Uniform};
use percpu::{CpuToken, Ring};

/// How long an area rests, in ticks of the counter: a millisecond where these are nanoseconds, 40
/// where they are 40. In models the next look at the counter is late enough.
const REST_TICKS: u64 = if cfg!(loom) { 1 } else { 1 << 20 };
/// Areas that a core remembers: as many as one VM_MAP_LIST may have pages of.
const AREAS: usize = 256;

/// An area by its first page, and from when on it is looked at.
#[derive(Clone, Copy, Default)]
struct Resting {
    area: Pfn,
    until: u64,
}

/// A core's areas, the longest resting first.
#[derive(Default)]
pub struct RestingAreas(Ring<Resting, AREAS>);

impl RestingAreas {
    /// Adds the area around a page, unless it rests already: it is looked at once in its time, however
    /// often it is touched. One that there is no more room for is given back: its time has come.
    fn add(&mut self, page: Pfn, now: u64) -> Option<Pfn> {
        let area = Granule::around(GranuleSize::Block2M, page).base();
        if self.0.iter().any(|resting| resting.area == area) {
            return None;
        }
        let first = self.0.is_full().then(|| self.0.pop_front()).flatten();
        let until = now.saturating_add(REST_TICKS);
        let _ = self.0.push_back(Resting { area, until });
        first.map(|first| first.area)
    }

    /// Takes an area that has rested long enough.
    fn take(&mut self, now: impl FnOnce() -> u64) -> Option<Pfn> {
        let first = self.0.front()?;
        if first.until > now() {
            return None;
        }
        self.0.pop_front().map(|first| first.area)
    }
}

/// What a granule is, of which one word was to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whole {
    /// It had one.
    Was,
    /// It has one now.
    Made,
    /// It has more than one, and not all say the host's.
    InParts,
}

impl<P: Platform> Engine<P> {
    /// Lets the area around a page, in which something was mapped for the host, rest. One that it pushes out is
    /// forgotten where the bite does not pay for a look at it.
    pub(crate) fn let_rest(&self, cpu: &mut CpuToken, page: Pfn, bite: &mut Bite) {
        let now = self.parts.platform.counter(cpu.id());
        let cores = &self.parts.cores;
        let pushed_out = cores.get(cpu, |core| core.areas.add(page, now)).flatten();
        if let Some(other) = pushed_out
            && bite.pay(IN_PARTS)
        {
            let _ = self.join_around(cpu, other);
        }
    }

    /// Looks at the area that has rested the longest, if it has rested enough.
    pub(crate) fn join_rested(&self, cpu: &mut CpuToken) {
        let (cores, id) = (&self.parts.cores, cpu.id());
        let now = || self.parts.platform.counter(id);
        let Some(page) = cores.get(cpu, |core| core.areas.take(now)).flatten() else {
            return;
        };
        if self.join_around(cpu, page) == Err(MapError::Busy) {
            let now = now();
            let _ = cores.get(cpu, |core| core.areas.add(page, now));
        }
    }

    /// Makes one word of those of 2 MiB that are all the host's, and one entry of the host's if some are mapped.
    pub(super) fn make_whole(&self, cpu: &CpuToken, granule: Granule) -> Whole {
        let pages = &self.parts.pages;
        if pages.size_around(granule.base()) >= granule.size() {
            return Whole::Was;
        }
        if pages.uniformity(granule, OF_HOST) != Uniform::All {
            return Whole::InParts;
        }
        let is_host = |state| state == OF_HOST;
        let Ok(claim) = pages.claim(granule, Op::HostFault, cpu.id().raw(), is_host) else {
            return Whole::InParts;
        };
        if let Ok(found) = self.find_host(cpu, granule.base(), BLOCK_LEVEL)
            && let Entry::Table(_) = found.entry()
            && !self.is_empty_table(cpu, &found)
        {
            // If it can't be had, the pages are gone through.
            let _ = self.map_for_host(cpu, granule, &found);
        }
        claim.release();
        Whole::Made
    }

    /// Makes one block of the 2 MiB around a page, and of the GiB around that, if all of it is the
    /// host's alone; `Busy` if it is changing.
    fn join_around(&self, cpu: &CpuToken, page: Pfn) -> Result<(), MapError> {
        let pages = &self.parts.pages;
        for size in [GranuleSize::Block2M, GranuleSize::Block1G] {
            let granule = Granule::around(size, page);
            if pages.granule(page).map(|(word, _)| word.size()) > Some(size) {
                // It has one word with more: that is not taken apart for this.
                continue;
            }
            match pages.uniformity(granule, OF_HOST) {
                Uniform::All => {}
                _ if size == GranuleSize::Block1G
                    && let Some(part) = pages.first_in_parts(granule) =>
                {
                    if pages.uniformity(part, OF_HOST) != Uniform::All {
                        return Ok(());
                    }
                    let _ = self.map_whole(cpu, part, part.base())?;
                    return Err(MapError::Busy);
                }
                Uniform::Changing => return Err(MapError::Busy),
                Uniform::No => return Ok(()),
            }
            if size == GranuleSize::Block1G && pages.size_around(page) < size {
                // First its word: that is work enough.
                let is_host = |state| state == OF_HOST;
                drop(pages.claim(granule, Op::HostFault, cpu.id().raw(), is_host));
                return Err(MapError::Busy);
            }
            let was_in_parts = pages.size_around(page) < size;
            if self.map_whole(cpu, granule, page)? || was_in_parts {
                // One size a look: that is work enough.
                return Err(MapError::Busy);
            }
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn page(block: u64) -> Pfn {
        Pfn::from_raw(block * GranuleSize::Block2M.pages() + 3)
    }

    #[test]
    fn areas_rest_in_turn() {
        let mut areas = RestingAreas::default();
        assert_eq!(areas.add(page(1), 10), None);
        assert_eq!(areas.add(page(2), 20), None);
        for touch in 0..2 * AREAS as u64 {
            assert_eq!(areas.add(page(1 + touch % 2), 30), None);
        }
        assert_eq!(areas.take(|| REST_TICKS + 9), None);
        let first = |block: u64| Some(Pfn::from_raw(block * GranuleSize::Block2M.pages()));
        assert_eq!(areas.take(|| REST_TICKS + 10), first(1));
        assert_eq!(areas.take(|| REST_TICKS + 10), None);
        assert_eq!(areas.take(|| u64::MAX), first(2));
        assert_eq!(areas.take(|| u64::MAX), None);
    }

    #[test]
    fn the_longest_resting_makes_room() {
        let mut areas = RestingAreas::default();
        for block in 0..AREAS as u64 {
            assert_eq!(areas.add(page(block), 0), None);
        }
        let first = Pfn::from_raw(0);
        assert_eq!(areas.add(page(AREAS as u64), 0), Some(first));
        assert_eq!(areas.add(page(AREAS as u64), 0), None);
    }
}

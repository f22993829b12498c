//! Faults of the host on its own stage-2: what it may reach is mapped when it touches it, as large as
//! the area allows, and areas that were split become blocks again.
//!
//! Invariants: a page is mapped under its claim, a block under the claims of all its pages; a fault
//! is denied on a settled state only. A join is tried by whoever maps a page when all others of its
//! area are the host's alone; that is looked at before the fault is answered, and again after its
//! claim is gone if others were changing: of two who map the last pages of an area at once, the one
//! that lets go last sees them all.

use super::host_map::may_host_reach;
use crate::engine::{Engine, PageRun};
use crate::platform::Platform;
use crate::stage2::MapError;
use crate::stage2::descriptor::{Access, Entry, LAST_LEVEL, LeafBits, Memory, level_of, pages_of};
use abi::Counter;
use ownership::{Granule, GranuleSize, Ipa, Op, Owner, Pfn, Refused, State, Uniform};
use percpu::CpuToken;

/// How a host fault on RAM ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostFault {
    /// Mapped, or changing hands right now: let the host try again.
    Retry,
    /// Not the host's: it gets the architectural fault.
    Deny,
}

/// The host's alone.
const OF_HOST: State = State::Owned(Owner::Host);

impl<P: Platform> Engine<P> {
    /// Answers a stage-2 fault of the host on `page`, which is RAM.
    pub(crate) fn host_fault(&self, cpu: &CpuToken, page: Pfn) -> HostFault {
        let block = Granule::around(GranuleSize::Block2M, page);
        let area = self.parts.pages.uniformity(block, OF_HOST);
        let outcome = match area {
            // Whoever is not the first to see that finds the block, or tries again.
            Uniform::All => self.join_around(cpu, page),
            Uniform::Changing | Uniform::No => self.map_page(cpu, page),
        };
        let counter = match outcome {
            Ok(true) => Counter::HostFaultIn,
            Ok(false) | Err(MapError::Occupied | MapError::Busy | MapError::NoMemory) => {
                Counter::HostFaultRetry
            }
            Err(MapError::OutOfRange) => return HostFault::Deny,
        };
        self.count(cpu, counter, 1);
        #[cfg(not(mutant = "fault-no-second-look"))]
        if area == Uniform::Changing {
            self.rejoin(cpu, page);
        }
        HostFault::Retry
    }

    /// Maps one page; `false` if it was mapped by now. `OutOfRange`: it is not the host's.
    fn map_page(&self, cpu: &CpuToken, page: Pfn) -> Result<bool, MapError> {
        let granule = Granule::page(page);
        let claim = self
            .parts
            .pages
            .claim(granule, Op::HostFault, cpu.id().raw(), may_host_reach);
        let claim = claim.map_err(|refused| match refused {
            Refused::Busy => MapError::Busy,
            Refused::Was(_) | Refused::OutOfRange => MapError::OutOfRange,
        })?;
        let outcome = self.map_for_host(cpu, granule);
        claim.release();
        outcome
    }

    /// Makes one block of the 2 MiB around a page, all of which were seen to be the host's alone,
    /// and where that makes a whole GiB, of that.
    pub(crate) fn join_around(&self, cpu: &CpuToken, page: Pfn) -> Result<bool, MapError> {
        let mut mapped = Ok(false);
        let word = self.parts.pages.granule(page).map(|(word, _)| word.size());
        for size in [GranuleSize::Block2M, GranuleSize::Block1G] {
            if word > Some(size) {
                // It has one word with more: that is not taken apart for this.
                continue;
            }
            let granule = Granule::around(size, page);
            if self.parts.pages.uniformity(granule, OF_HOST) != Uniform::All {
                break;
            }
            let is_host = |state| state == OF_HOST;
            let claim = self
                .parts
                .pages
                .claim(granule, Op::HostFault, cpu.id().raw(), is_host);
            let Ok(claim) = claim else {
                return mapped.and(Err(MapError::Busy));
            };
            let outcome = self.map_for_host(cpu, granule);
            claim.release();
            mapped = match (mapped, outcome) {
                (Ok(before), Ok(now)) => Ok(before | now),
                // What was mapped in the smaller size stays so.
                (Ok(true), Err(_)) => return Ok(true),
                (_, error) => error,
            };
            if mapped.is_err() {
                break;
            }
        }
        mapped
    }

    /// Makes a block again of the area around a page that others were changing, or were using too,
    /// when the host's map was last changed there. Nothing depends on whether it succeeds.
    pub(crate) fn rejoin(&self, cpu: &CpuToken, page: Pfn) {
        let block = Granule::around(GranuleSize::Block2M, page);
        if self.parts.pages.uniformity(block, OF_HOST) == Uniform::All {
            let _ = self.join_around(cpu, page);
        }
    }

    /// Maps a claimed granule for the host, joining what is in smaller pieces; `false` if it was
    /// mapped already.
    fn map_for_host(&self, cpu: &CpuToken, granule: Granule) -> Result<bool, MapError> {
        let platform = &self.parts.platform;
        let (base, level) = (granule.base(), level_of(granule.size()));
        let bits = self.ram_bits(Access::ALL);
        let found = self.find_host(cpu, base, level)?;
        match found.entry {
            Entry::Leaf { .. } => return Ok(false),
            Entry::Reserved | Entry::Splitting => return Err(MapError::Busy),
            Entry::Table(_) => {
                let kind = self.parts.host.join_block(
                    platform,
                    cpu.id(),
                    &found,
                    base,
                    bits,
                    |table| self.parts.pool.refill(table),
                )?;
                self.count_flush(cpu, kind);
                self.count(cpu, Counter::HostJoins, 1);
                return Ok(true);
            }
            Entry::Empty => {}
        }
        let ipa = Ipa::from_raw(base.pa().raw());
        let pool = self.parts.pool.for_host_fault();
        let at = self
            .parts
            .host
            .take_entry(platform, cpu.id(), &pool, ipa, level)?;
        platform.store_entry(cpu.id(), at, bits.leaf(base, level));
        self.publish_leaves(cpu);
        Ok(true)
    }

    /// Answers a stage-2 fault of the host outside RAM: devices are the host's by default, mapped
    /// on first touch in the largest block that holds no RAM and no hole. No page word is involved:
    /// whoever wins the empty entry maps it. Without a page for a table the access is tried again
    /// until the host has donated one: it is not told that its own device is none.
    pub(crate) fn host_device_fault(&self, cpu: &CpuToken, page: Pfn) -> HostFault {
        let force_write_back = self.parts.platform.features().force_write_back;
        let bits = LeafBits::new(Memory::Device, Access::DATA, force_write_back);
        for level in 1..=LAST_LEVEL {
            let pages = pages_of(level);
            let area = PageRun {
                first: Pfn::from_raw(page.raw() & !(pages - 1)),
                pages,
            };
            let mut taken = self.parts.ram.iter().chain(&self.parts.holes);
            let mut guarded = self.parts.guarded.iter();
            let is_guarded = guarded.any(|run| {
                run.meets(area) && (level < LAST_LEVEL || !run.leaves_to_host(page.pa().raw()))
            });
            if is_guarded || taken.any(|other| other.overlaps(area)) {
                continue;
            }
            let platform = &self.parts.platform;
            let ipa = Ipa::from_raw(area.first.pa().raw());
            let pool = self.parts.pool.for_host_fault();
            return match self
                .parts
                .host
                .take_entry(platform, cpu.id(), &pool, ipa, level)
            {
                Ok(at) => {
                    platform.store_entry(cpu.id(), at, bits.leaf(area.first, level));
                    self.publish_leaves(cpu);
                    self.count(cpu, Counter::HostFaultIn, 1);
                    HostFault::Retry
                }
                // A table stands here: a smaller block, then.
                Err(MapError::Occupied) if level < LAST_LEVEL => continue,
                Err(MapError::Occupied | MapError::Busy | MapError::NoMemory) => {
                    self.count(cpu, Counter::HostFaultRetry, 1);
                    HostFault::Retry
                }
                Err(MapError::OutOfRange) => HostFault::Deny,
            };
        }
        HostFault::Deny
    }
}

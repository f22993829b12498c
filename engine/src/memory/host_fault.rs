//! Faults of the host on its own stage-2: what it may reach is mapped when it touches it, all that has
//! one word with it at once.
//!
//! Invariants: a page is mapped under its claim, a block under the claims of all its pages; a fault
//! is denied on a settled state only. Where a table stands for a page alone, it is mapped in that; its
//! area becomes a block later, if it stays the host's (`rejoin`).

use super::host_map::{BLOCK_LEVEL, may_host_reach};
use crate::engine::{Engine, PageRun};
use crate::platform::{EntryAt, Platform};
use crate::stage2::descriptor::{
    Access, ENTRIES, Entry, LAST_LEVEL, LeafBits, Memory, level_of, pages_of, table_of,
};
use crate::stage2::{Found, MapError};
use abi::Counter;
use ownership::{Granule, GranuleSize, Ipa, Op, Owner, Pfn, Refused, State, Uniform};
use percpu::CpuToken;

/// How a host fault on RAM ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostFault {
    /// Mapped now: let the host try again.
    Mapped,
    /// The same, with all of 2 MiB or more.
    MappedWhole,
    /// Mapped by another core, or changing hands right now: the same.
    Retry,
    /// Not the host's: it gets the architectural fault.
    Deny,
}

/// The host's alone.
pub(super) const OF_HOST: State = State::Owned(Owner::Host);

impl<P: Platform> Engine<P> {
    /// Answers a stage-2 fault of the host on `page`, which is RAM.
    pub(crate) fn host_fault(&self, cpu: &CpuToken, page: Pfn) -> HostFault {
        let outcome = match self.parts.pages.granule(page) {
            Some((whole, OF_HOST)) if whole.size() != GranuleSize::Page => self
                .map_whole(cpu, whole, page)
                .map(|done| done.then_some(HostFault::MappedWhole)),
            _ => self.map_page(cpu, page),
        };
        let (counter, answer) = match outcome {
            Ok(Some(mapped)) => (Counter::HostFaultIn, mapped),
            Err(MapError::OutOfRange) => return HostFault::Deny,
            Ok(None) | Err(MapError::Occupied | MapError::Busy | MapError::NoMemory) => {
                (Counter::HostFaultRetry, HostFault::Retry)
            }
        };
        self.count(cpu, counter, 1);
        answer
    }

    /// Maps all of a granule that was seen to be the host's alone; `false` if it was mapped by now. Of a GiB with tables
    /// for some of its 2 MiB only one of these is mapped: that of `page`, or if it is mapped the first with a table.
    pub(super) fn map_whole(
        &self,
        cpu: &CpuToken,
        granule: Granule,
        page: Pfn,
    ) -> Result<bool, MapError> {
        let is_host = |state| state == OF_HOST;
        #[cfg(not(mutant = "join-one-claim"))]
        let claimed = granule;
        #[cfg(mutant = "join-one-claim")]
        let claimed = Granule::page(granule.base());
        let claim = self
            .parts
            .pages
            .claim(claimed, Op::HostFault, cpu.id().raw(), is_host)
            // If some of it is another's by now, the next look says so.
            .map_err(|_| MapError::Busy)?;
        let level = level_of(granule.size());
        let mut found = self.find_host(cpu, granule.base(), level)?;
        let mut part = granule;
        if level < BLOCK_LEVEL
            && let Some(first) = self.first_table_in(cpu, &found)
        {
            found = self.find_host(cpu, page, BLOCK_LEVEL)?;
            part = Granule::around(GranuleSize::Block2M, page);
            if let Entry::Leaf { .. } = found.entry() {
                part = Granule::around(GranuleSize::Block2M, granule.base().after(first));
                found = self.find_host(cpu, part.base(), BLOCK_LEVEL)?;
            }
        }
        let outcome = self.map_for_host(cpu, part, &found);
        claim.release();
        outcome
    }

    /// Of a claimed GiB whose entry was found, the first of its pages that have a table of their own.
    fn first_table_in(&self, cpu: &CpuToken, found: &Found) -> Option<u64> {
        let Entry::Table(table) = found.entry() else {
            return None;
        };
        let mut entries = 0..ENTRIES;
        let index = entries.find(|index| {
            let index = *index as u16;
            let raw = self
                .parts
                .platform
                .entry(cpu.id(), EntryAt { table, index });
            table_of(raw, BLOCK_LEVEL).is_some()
        })?;
        Some(index * pages_of(BLOCK_LEVEL))
    }

    /// Maps one page that the host may reach; `None` if it was mapped by now. `OutOfRange`: it may
    /// not.
    fn map_page(&self, cpu: &CpuToken, page: Pfn) -> Result<Option<HostFault>, MapError> {
        let granule = Granule::page(page);
        let claim = self
            .parts
            .pages
            .claim_page(page, Op::HostFault, cpu.id().raw(), may_host_reach)
            .map_err(|refused| match refused {
                Refused::Busy => MapError::Busy,
                Refused::Was(_) | Refused::OutOfRange => MapError::OutOfRange,
            })?;
        let found = self.find_host(cpu, page, LAST_LEVEL)?;
        let block = Granule::around(GranuleSize::Block2M, page);
        let has_table = found.entry() != Entry::Empty || found.level == LAST_LEVEL;
        // Without one all of the 2 MiB is the host's, but for what is changing just now.
        if has_table || self.parts.pages.uniformity(block, OF_HOST) == Uniform::No {
            let outcome = self.map_for_host(cpu, granule, &found);
            claim.release();
            return outcome.map(|done| done.then_some(HostFault::Mapped));
        }
        claim.release();
        let outcome = self.map_whole(cpu, block, page);
        outcome.map(|done| done.then_some(HostFault::MappedWhole))
    }

    /// Maps a claimed granule for the host, joining what is in smaller pieces; `false` if it was
    /// mapped already. `found` is where a walk to it ended, under the claim.
    pub(super) fn map_for_host(
        &self,
        cpu: &CpuToken,
        granule: Granule,
        found: &Found,
    ) -> Result<bool, MapError> {
        let platform = &self.parts.platform;
        let (base, level) = (granule.base(), level_of(granule.size()));
        let bits = self.ram_bits(Access::ALL);
        match found.entry() {
            Entry::Leaf { .. } => return Ok(false),
            Entry::Reserved | Entry::Splitting => return Err(MapError::Busy),
            Entry::Table(_) => {
                let kind =
                    self.parts
                        .host
                        .join_block(platform, cpu.id(), found, base, bits, |table| {
                            self.parts.pool.refill(table)
                        })?;
                self.count_flush(cpu, kind);
                self.count(cpu, Counter::HostJoins, 1);
                return Ok(true);
            }
            Entry::Empty => {}
        }
        let at = if found.level == level {
            found.at
        } else {
            let ipa = Ipa::from_raw(base.pa().raw());
            let pool = self.parts.pool.for_host_fault();
            let host = self.parts.host;
            host.take_entry(platform, cpu.id(), &pool, ipa, level)?
        };
        platform.store_entry(cpu.id(), at, bits.leaf(base, level));
        #[cfg(not(mutant = "fault-no-dsb"))]
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
                    #[cfg(not(mutant = "device-no-dsb"))]
                    self.publish_leaves(cpu);
                    self.count(cpu, Counter::HostFaultIn, 1);
                    HostFault::Retry
                }
                // A table stands here: a smaller block, then.
                Err(MapError::Occupied) if level < LAST_LEVEL => continue,
                #[cfg(mutant = "device-deny-busy")]
                Err(MapError::Busy) => HostFault::Deny,
                #[cfg(mutant = "device-no-retry")]
                Err(MapError::NoMemory) => HostFault::Deny,
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

//! The host's own stage-2: an identity map that loses what the host gives away and regains it when
//! the host touches what came home.
//!
//! Invariants: the host's leaf of page *p* is written only under *p*'s claim, the fault handler's
//! included, so a fault can't bring back a page that is just being donated; where a page was ever
//! unmapped a level-3 table stands, so mapping it again needs no memory; host tables are never
//! freed. A page that came home is mapped lazily: donated again before the host touched it, it
//! costs no broadcast.

use super::runs::Runs;
use super::tlb::FlushKind;
use crate::engine::{Engine, PageRun};
use crate::memory::pool::TablePages;
use crate::platform::Platform;
use crate::stage2::descriptor::{Access, Entry, LAST_LEVEL, LeafBits, Memory, pages_of};
use crate::stage2::{Fill, Found, MapError};
use abi::Counter;
use ownership::{Flushed, Granule, Ipa, Op, Owner, Pfn, Refused, State};
use percpu::CpuToken;

/// The level of 2 MiB blocks.
const BLOCK_LEVEL: u8 = 2;

/// How a host fault on RAM ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostFault {
    /// Mapped, or changing hands right now: let the host try again.
    Retry,
    /// Not the host's: it gets the architectural fault.
    Deny,
}

impl<P: Platform> Engine<P> {
    fn find_host(&self, cpu: &CpuToken, page: Pfn, depth: u8) -> Result<Found, MapError> {
        let ipa = Ipa::from_raw(page.pa().raw());
        self.parts
            .host
            .walk(&self.parts.platform, cpu.id(), ipa, depth)
    }

    pub(crate) fn count_flush(&self, cpu: &CpuToken, kind: FlushKind) {
        let counter = match kind {
            FlushKind::Pages => Counter::FlushPage,
            FlushKind::Vm => Counter::FlushVm,
        };
        self.count(cpu, counter, 1);
    }

    /// Splits the host's blocks around `n` pages from `first` on, so that these can be unmapped one
    /// by one, with tables from `tables`; a block that is wanted whole stays. Returns how many pages
    /// are ready.
    pub(crate) fn prepare_host(
        &self,
        cpu: &CpuToken,
        first: Pfn,
        n: u64,
        tables: &impl TablePages,
    ) -> (u64, Option<MapError>) {
        let mut ready = 0;
        while ready < n {
            let page = Pfn::from_raw(first.raw() + ready);
            let found = match self.find_host(cpu, page, LAST_LEVEL) {
                Ok(found) => found,
                Err(error) => return (ready, Some(error)),
            };
            let span = pages_of(found.level.max(BLOCK_LEVEL));
            let to_end_of_span = span - (page.raw() & (span - 1));
            match found.entry {
                Entry::Leaf { .. } if found.level < LAST_LEVEL => {
                    let whole = found.level == BLOCK_LEVEL && to_end_of_span == span;
                    if whole && n - ready >= span {
                        ready += span;
                        continue;
                    }
                    if let Err(error) = self.split_host(cpu, page, &found, Fill::Children, tables) {
                        return (ready, Some(error));
                    }
                }
                Entry::Reserved | Entry::Splitting => return (ready, Some(MapError::Busy)),
                Entry::Leaf { .. } | Entry::Empty | Entry::Table(_) => {
                    // A level-3 table stands here, or nothing at all: all of this span is ready.
                    ready = n.min(ready + to_end_of_span);
                }
            }
        }
        (ready, None)
    }

    fn split_host(
        &self,
        cpu: &CpuToken,
        page: Pfn,
        found: &Found,
        fill: Fill,
        tables: &impl TablePages,
    ) -> Result<Flushed, MapError> {
        let ipa = Ipa::from_raw(page.pa().raw());
        let (flushed, kind) = self.parts.host.split_block(
            &self.parts.platform,
            cpu.id(),
            tables,
            ipa,
            found,
            fill,
        )?;
        self.count_flush(cpu, kind);
        Ok(flushed)
    }

    /// Takes `n` claimed pages from `first` on out of the host's stage-2 and flushes. Can fail,
    /// with nothing changed, only where [`Engine::prepare_host`] left a whole block standing.
    pub(crate) fn unmap_from_host(
        &self,
        cpu: &CpuToken,
        first: Pfn,
        n: u64,
    ) -> Result<Flushed, MapError> {
        let found = self.find_host(cpu, first, LAST_LEVEL)?;
        #[cfg(not(mutant = "host-ignore-splitting"))]
        if matches!(found.entry, Entry::Reserved | Entry::Splitting) {
            // The block was left whole, and another core splits it now, for a page that it will not
            // get: its table is about to name these pages, and must not be overlooked.
            return Err(MapError::Busy);
        }
        if let (Entry::Leaf { .. }, true) = (found.entry, found.level < LAST_LEVEL) {
            let whole = found.level == BLOCK_LEVEL && n == pages_of(BLOCK_LEVEL);
            let fill = if whole {
                Fill::Nothing
            } else {
                return Err(MapError::Busy);
            };
            return self.split_host(cpu, first, &found, fill, &self.parts.pool);
        }
        let mut runs = Runs::default();
        self.collect_unmapped(cpu, first, n, &mut runs);
        Ok(self.flush_host(cpu, &runs))
    }

    /// Unmaps `n` claimed pages, noting which had been mapped; the caller flushes.
    pub(crate) fn collect_unmapped(&self, cpu: &CpuToken, first: Pfn, n: u64, runs: &mut Runs) {
        for page in first.raw()..first.raw() + n {
            let Ok(found) = self.find_host(cpu, Pfn::from_raw(page), LAST_LEVEL) else {
                continue;
            };
            if let (Entry::Leaf { .. }, LAST_LEVEL) = (found.entry, found.level) {
                #[cfg(not(mutant = "host-keep-leaf"))]
                self.parts.platform.store_entry(cpu.id(), found.at, 0);
                runs.add(page);
            }
        }
    }

    /// Flushes `runs` of the host's regime.
    pub(crate) fn flush_host(&self, cpu: &CpuToken, runs: &Runs) -> Flushed {
        let regime = self.parts.host.regime();
        #[cfg(not(mutant = "host-no-flush"))]
        let (flushed, kind) = runs.flush(&self.parts.platform, cpu.id(), regime);
        #[cfg(mutant = "host-no-flush")]
        let (flushed, kind) = (super::tlb::nothing_to_flush(regime), None::<FlushKind>);
        #[cfg(mutant = "host-no-flush")]
        let _ = runs;
        if let Some(kind) = kind {
            self.count_flush(cpu, kind);
        }
        flushed
    }

    /// Answers a stage-2 fault of the host on `page`, which is RAM.
    pub(crate) fn host_fault(&self, cpu: &CpuToken, page: Pfn) -> HostFault {
        match self.find_host(cpu, page, LAST_LEVEL) {
            Ok(found) => match found.entry {
                // Valid by now, or changing: the access decides anew.
                Entry::Leaf { .. } | Entry::Reserved | Entry::Splitting => {
                    self.count(cpu, Counter::HostFaultRetry, 1);
                    return HostFault::Retry;
                }
                Entry::Empty | Entry::Table(_) => {}
            },
            Err(_) => return HostFault::Deny,
        }
        let claim = self.parts.pages.claim(
            Granule::page(page),
            Op::HostFault,
            cpu.id().raw(),
            may_host_reach,
        );
        match claim {
            Ok(claim) => {
                let outcome = self.map_for_host(cpu, page);
                claim.release();
                match outcome {
                    Ok(()) => {
                        self.count(cpu, Counter::HostFaultIn, 1);
                        HostFault::Retry
                    }
                    Err(MapError::Occupied | MapError::Busy | MapError::NoMemory) => {
                        self.count(cpu, Counter::HostFaultRetry, 1);
                        HostFault::Retry
                    }
                    Err(MapError::OutOfRange) => HostFault::Deny,
                }
            }
            Err(Refused::Busy) => {
                self.count(cpu, Counter::HostFaultRetry, 1);
                HostFault::Retry
            }
            Err(Refused::Was(_) | Refused::OutOfRange) => HostFault::Deny,
        }
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

    /// Maps a claimed page for the host.
    pub(crate) fn map_for_host(&self, cpu: &CpuToken, page: Pfn) -> Result<(), MapError> {
        let platform = &self.parts.platform;
        let ipa = Ipa::from_raw(page.pa().raw());
        let pool = self.parts.pool.for_host_fault();
        let at = self
            .parts
            .host
            .take_entry(platform, cpu.id(), &pool, ipa, LAST_LEVEL)?;
        platform.store_entry(
            cpu.id(),
            at,
            self.ram_bits(Access::ALL).leaf(page, LAST_LEVEL),
        );
        self.publish_leaves(cpu);
        Ok(())
    }
}

/// May the host reach a page in this state?
pub fn may_host_reach(state: State) -> bool {
    match state {
        State::HostFixed | State::Owned(Owner::Host) => true,
        State::Shared {
            owner, borrower, ..
        } => owner == Owner::Host || borrower == Owner::Host,
        _ => false,
    }
}

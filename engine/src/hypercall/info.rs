//! Calls that tell: ENGINE_INFO, PAGE_INFO, PAGE_CENSUS, TRACE_READ, STATS_READ; and the doorbell.
//!
//! Invariants: nothing here changes a page or a VM; of pages that are not the host's only totals
//! are told, and those of many pages together.

use super::arguments::pages;
use super::{Answer, Outcome};
use crate::bite::{Bite, COUNTED_GRAIN, LOOK};
use crate::engine::Engine;
use crate::platform::Platform;
use abi::{
    ARGUMENT_REGISTERS, EngineDoorbellArgs, EngineInfoArgs, InfoIndex, PageCensusArgs, PageClass,
    PageInfoArgs, StatsReadArgs, Status, TraceReadArgs, limit,
};
use ownership::{Census, GranuleSize, Owner, Pa, State};
use percpu::CpuToken;

/// Pages that PAGE_CENSUS counts together: of fewer a total would tell a page's state.
const CENSUS_GRAIN: u64 = limit::CENSUS_GRAIN as u64;

/// Of ENGINE_INFO's indices those below this are constants, and there.
#[cfg(target_os = "none")]
pub(crate) const QUICK_INFOS: u64 = InfoIndex::FreePages as u64;

/// How far ENGINE_INFO counts free pages: enough to decide on a donation, and bounded.
const FREE_PAGES_COUNTED: u64 = 4096;

impl<P: Platform> Engine<P> {
    pub(super) fn call_engine_info(
        &self,
        cpu: &CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Outcome {
        let index = InfoIndex::from_raw(EngineInfoArgs::from_registers(x).index);
        let value = self.info(cpu, index.ok_or(Status::OutOfRange)?);
        Ok(Answer::with(&[value]))
    }

    /// ENGINE_INFO of what is constant, as the vectors hand it on; of what has to be counted, and of what there
    /// is not, it tells nothing: that takes the long way.
    #[cfg(target_os = "none")]
    pub(crate) fn quick_info(&self, cpu: &CpuToken, index: u64) -> (Status, u64) {
        match InfoIndex::from_raw(index) {
            Some(known) if index < QUICK_INFOS => (Status::Success, self.info(cpu, known)),
            _ => (Status::OutOfRange, 0),
        }
    }

    #[inline(always)]
    fn info(&self, cpu: &CpuToken, index: InfoIndex) -> u64 {
        match index {
            InfoIndex::Version => {
                u64::from(abi::VERSION_MAJOR) << 16 | u64::from(abi::VERSION_MINOR)
            }
            InfoIndex::Features => 0,
            InfoIndex::Cpus => self.cpus() as u64,
            InfoIndex::PageWords => self.parts.pages.len() as u64,
            InfoIndex::MaxVms => self.parts.vms.len() as u64,
            InfoIndex::MaxVcpus => self.parts.vcpus.len() as u64,
            InfoIndex::IpaBits => u64::from(self.parts.host.geometry().ipa_bits),
            InfoIndex::FreePages => self.parts.pool.free_up_to(FREE_PAGES_COUNTED),
            InfoIndex::ThisCpu => u64::from(cpu.id().raw()),
            InfoIndex::RamBase => self.parts.pages.base().pa().raw(),
            InfoIndex::TableBytes => self.parts.pages.touched_bytes() as u64,
        }
    }

    pub(super) fn call_engine_doorbell(&self, x: &[u64; ARGUMENT_REGISTERS]) -> Outcome {
        let sgi = EngineDoorbellArgs::from_registers(x).sgi;
        let sgi = u8::try_from(sgi)
            .ok()
            .filter(|sgi| *sgi < 16 || cfg!(mutant = "doorbell-any"))
            .ok_or(Status::OutOfRange)?;
        self.set_doorbell(sgi);
        Ok(Answer::DONE)
    }

    pub(super) fn call_page_info(&self, x: &[u64; ARGUMENT_REGISTERS]) -> Outcome {
        let page = Pa::from_raw(PageInfoArgs::from_registers(x).pa).pfn();
        let (granule, seen) = self.parts.pages.granule(page).ok_or(Status::OutOfRange)?;
        let state = match seen {
            // It has one word with others, and most likely the operation is about one of these: so
            // far it is whose it was.
            State::Claimed { from, .. } if granule.size() != GranuleSize::Page => from.state(),
            seen => seen,
        };
        let (class, count) = match state {
            State::Owned(Owner::Host) => (PageClass::Host, 0),
            State::HostFixed => (PageClass::HostFixed, 0),
            State::Shared {
                owner: Owner::Host,
                count,
                ..
            } => (PageClass::Lent, count),
            State::Shared {
                borrower: Owner::Host,
                ..
            } => (PageClass::SharedByVm, 0),
            _ => (PageClass::NotYours, 0),
        };
        Ok(Answer::with(&[class.raw(), u64::from(count)]))
    }

    pub(super) fn call_page_census(&self, x: &[u64; ARGUMENT_REGISTERS]) -> Outcome {
        let PageCensusArgs { first, n } = PageCensusArgs::from_registers(x);
        let n = pages(n, limit::CENSUS_PAGES)?;
        let words = self.parts.pages.len() as u64;
        if first >= words {
            return Ok(Answer::with(&[0]));
        }
        #[cfg(not(mutant = "census-any-range"))]
        if !first.is_multiple_of(CENSUS_GRAIN) || !n.is_multiple_of(CENSUS_GRAIN) {
            return Err(Status::OutOfRange);
        }
        // The last grain takes in what is left behind it, which alone may be a single page.
        let last = (words / CENSUS_GRAIN)
            .saturating_sub(1)
            .saturating_mul(CENSUS_GRAIN);
        if first > last {
            return Ok(Answer::with(&[0]));
        }
        let (mut census, mut bite, mut at) = (Census::default(), Bite::default(), first);
        let end = first.saturating_add(n);
        while at <= last && at < end && bite.affords(COUNTED_GRAIN) {
            let grain = if at == last {
                words.saturating_sub(at)
            } else {
                CENSUS_GRAIN
            };
            let page = self.parts.pages.base().checked_add(at);
            let page = page.ok_or(Status::OutOfRange)?;
            let is_one =
                grain == CENSUS_GRAIN && self.parts.pages.size_around(page) != GranuleSize::Page;
            self.parts
                .pages
                .count_into(&mut census, page, grain as usize)
                .map_err(|_| Status::OutOfRange)?;
            bite.spend(if is_one { 4 * LOOK } else { COUNTED_GRAIN });
            at = at.saturating_add(grain);
        }
        let seen = at.saturating_sub(first);
        Ok(Answer::with(&[
            seen,
            census.reserved as u64,
            census.host as u64,
            census.host_fixed as u64,
            census.engine as u64,
            census.vm as u64,
            census.shared as u64,
            census.claimed as u64,
            census.poisoned as u64,
        ]))
    }

    pub(super) fn call_trace_read(&self, x: &[u64; ARGUMENT_REGISTERS]) -> Outcome {
        let TraceReadArgs { cpu, sequence } = TraceReadArgs::from_registers(x);
        let ring = usize::try_from(cpu)
            .ok()
            .and_then(|cpu| self.parts.rings.get(cpu));
        let record = ring
            .ok_or(Status::OutOfRange)?
            .read(sequence)
            .ok_or(Status::OutOfRange)?;
        Ok(Answer::with(&[record.sequence, record.event, record.time]))
    }

    pub(super) fn call_stats_read(&self, x: &[u64; ARGUMENT_REGISTERS]) -> Outcome {
        let StatsReadArgs { cpu, index } = StatsReadArgs::from_registers(x);
        let cpu = self.cpu(cpu).ok_or(Status::OutOfRange)?;
        let value = self.counters(cpu).and_then(|counters| counters.read(index));
        Ok(Answer::with(&[value.ok_or(Status::OutOfRange)?]))
    }
}

//! VM_RECLAIM: the memory of a dying VM comes home, on as many cores as the host likes.
//!
//! The first caller that finds nobody inside flushes the whole VM once; from then on no translation
//! of it exists and no page needs a flush of its own. Cores take units of work from the VM's
//! [`cursor`](crate::vm::cursor): its pages first (`pages`), then its tables from the deepest level
//! up, then its vCPU slots, root and the slot itself. Who finds nothing to take is told `BUSY` at once.
//!
//! Invariants: a core reads the VM's tables only while it is counted into the cursor, and tables of
//! a level are given back only in a stage that begins when nobody is left in the one before; what was
//! busy (the host touching a shared page) or left half-done is noted, as a place or, where there is no
//! room, by the flag `leftover`, and done before the tables go, by whoever calls.

mod pages;

use super::tlb::{flush_vm, flushed_before_reclaiming};
use crate::bite::{Bite, FREED_TABLE, LOOK};
use crate::engine::Engine;
use crate::platform::Platform;
use crate::stage2::descriptor::{Entry, pages_of};
use crate::vm::Vm;
use crate::vm::cursor::{Progress, Stage, tag_of};
use crate::vm::life::Phase;
use abi::{Counter, Status, VmHandle};
use ownership::{Flushed, Ipa, VmSlot};
use percpu::CpuToken;

/// Units that one call looks at before it returns, found empty or not.
const UNITS_PER_CALL: u32 = 16;
/// Entries in one unit of a table stage.
const ENTRIES_PER_UNIT: u64 = 32;
/// What a unit costs beside its entries.
const UNIT: u32 = 4 * LOOK;
/// vCPU slots and root are freed at once.
const REST: u32 = 6_000;

/// Attempts at being counted in, of which each fails only because another core changed the cursor.
const ATTEMPTS: u32 = if cfg!(loom) { 1 } else { 4 };

/// What one VM_RECLAIM did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reclaimed {
    /// Pages that came home, or were zeroed in a granule that follows as a whole.
    pub pages: u64,
    /// The slot is free.
    pub finished: bool,
}

/// A VM whose cursor this core is counted into.
struct AtWork<'e> {
    vm: &'e Vm,
    slot: VmSlot,
    generation: u64,
    flushed: Flushed,
}

impl<P: Platform> Engine<P> {
    /// One call's share of bringing the VM home.
    pub(crate) fn reclaim_vm(
        &self,
        cpu: &CpuToken,
        handle: VmHandle,
        max: u64,
    ) -> Result<Reclaimed, Status> {
        let (vm, slot, phase) = self.find_vm(handle)?;
        let generation = handle.generation();
        match phase {
            Phase::Dying => self.flush_dying(cpu, vm, slot, generation)?,
            Phase::Reclaiming => {}
            Phase::Flushing => return Err(Status::Busy),
            _ => return Err(Status::BadState),
        }
        self.count_in(vm, generation)?;
        let regime = vm.regime(slot, self.parts.host.geometry());
        // SAFETY: the phase read was `Reclaiming`, or `flush_dying` moved it there; `now` is an
        // Acquire load that came after.
        let flushed = unsafe { flushed_before_reclaiming(regime) };
        let work = AtWork {
            vm,
            slot,
            generation,
            flushed,
        };
        let mut outcome = Err(Status::Busy);
        let mut source = Source::All;
        let mut bite = Bite::default();
        for _ in 0..UNITS_PER_CALL {
            if !bite.pay(UNIT) {
                break;
            }
            match self.work_once(cpu, &work, max, source, &mut bite) {
                Step::Pages(pages) => {
                    outcome = Ok(Reclaimed {
                        pages,
                        finished: false,
                    });
                    if pages > 0 {
                        break;
                    }
                }
                Step::Nothing => outcome = Ok(Reclaimed::default()),
                Step::Stop => {
                    outcome = Ok(Reclaimed::default());
                    break;
                }
                Step::Busy => source = Source::New,
                Step::Parted => (outcome, source) = (Ok(Reclaimed::default()), Source::New),
                Step::Crowded => break,
                Step::Finished => {
                    return Ok(Reclaimed {
                        pages: 0,
                        finished: true,
                    });
                }
            }
        }
        vm.cursor.leave();
        outcome
    }

    /// `Dying -> Flushing -> Reclaiming`, if nobody is inside any more.
    fn flush_dying(
        &self,
        cpu: &CpuToken,
        vm: &Vm,
        slot: VmSlot,
        generation: u64,
    ) -> Result<(), Status> {
        #[cfg(not(mutant = "reclaim-ignore-pins"))]
        if self.pinned_elsewhere(cpu, slot).0 != 0 {
            return Err(Status::Busy);
        }
        vm.life
            .advance(generation, Phase::Dying, Phase::Flushing)
            .map_err(|_| Status::Busy)?;
        let regime = vm.regime(slot, self.parts.host.geometry());
        #[cfg(not(mutant = "reclaim-no-flush"))]
        {
            let _ = flush_vm(&self.parts.platform, cpu.id(), regime);
            self.count(cpu, Counter::FlushVm, 1);
        }
        #[cfg(mutant = "reclaim-no-flush")]
        let _ = (regime, flush_vm::<P>);
        self.forget_code(cpu);
        vm.cursor.begin(generation, vm.plan().ram[0].first);
        vm.life
            .advance(generation, Phase::Flushing, Phase::Reclaiming)
            .map_err(|_| Status::Busy)
    }

    /// Takes one unit and does it, or moves the stage on.
    fn work_once(
        &self,
        cpu: &CpuToken,
        work: &AtWork<'_>,
        max: u64,
        source: Source,
        bite: &mut Bite,
    ) -> Step {
        let seen = work.vm.cursor.now();
        match seen.stage {
            Stage::Idle | Stage::Rest => Step::Crowded,
            Stage::Pages => self.work_on_pages(cpu, work, seen, max, source, bite),
            Stage::Check => self.end_stage(cpu, work, seen, bite),
            Stage::Tables3 | Stage::Tables2 | Stage::Tables1 => {
                let parent = parent_of(seen.stage);
                if parent < self.parts.host.geometry().start_level {
                    return self.end_stage(cpu, work, seen, bite);
                }
                let entries = bite.most(LOOK + FREED_TABLE, ENTRIES_PER_UNIT);
                let most = (1 << entries.ilog2()) * pages_of(parent);
                let Some(unit) = self.next_unit(cpu, work, seen.next, parent, most) else {
                    return self.end_stage(cpu, work, seen, bite);
                };
                if !work.vm.cursor.replace(
                    seen,
                    Progress {
                        next: unit.end,
                        ..seen
                    },
                ) {
                    return Step::Nothing;
                }
                self.free_tables(cpu, work, unit, parent, bite);
                Step::Nothing
            }
        }
    }

    /// The next unit from IPA page `next` on: a run inside one RAM range (widened to whole entries
    /// of `level`), at most `most` pages long. `None` when the stage's units are used up.
    fn next_unit(
        &self,
        cpu: &CpuToken,
        work: &AtWork<'_>,
        next: u64,
        level: u8,
        most: u64,
    ) -> Option<Unit> {
        let (first, end) = next_in_ram(work.vm, next, pages_of(level))?;
        let stage2 = work.vm.stage2(work.slot, self.parts.host.geometry());
        let ipa = Ipa::from_raw(first << 12);
        let found = stage2
            .walk(&self.parts.platform, cpu.id(), ipa, level)
            .ok()?;
        // Nothing below: jump over all of it at once. A single empty entry is no jump.
        let empty = found.entry() == Entry::Empty && found.level < level;
        let until = if empty {
            next_multiple(first, pages_of(found.level))
        } else {
            next_multiple(first, most)
        };
        Some(Unit {
            first,
            end: until.min(end),
            empty,
        })
    }

    /// Gives the tables under the entries of level `parent` in a unit back to the pool.
    fn free_tables(
        &self,
        cpu: &CpuToken,
        work: &AtWork<'_>,
        unit: Unit,
        parent: u8,
        bite: &mut Bite,
    ) {
        if unit.empty {
            return;
        }
        let platform = &self.parts.platform;
        let stage2 = work.vm.stage2(work.slot, self.parts.host.geometry());
        let mut page = unit.first;
        while page < unit.end {
            let Ok(found) = stage2.walk(platform, cpu.id(), Ipa::from_raw(page << 12), parent)
            else {
                return;
            };
            let span = pages_of(found.level);
            bite.spend(LOOK);
            if let (true, Entry::Table(table)) = (found.level == parent, found.entry()) {
                // Two ranges may meet in one entry: whoever empties it frees the table.
                if platform
                    .swap_entry(cpu.id(), found.at, found.raw, 0)
                    .is_ok()
                {
                    self.parts.pool.put(table);
                    bite.spend(FREED_TABLE);
                }
            }
            page = next_multiple(page, span);
        }
    }

    /// Moves the stage on, if this core is the last one in it.
    fn end_stage(
        &self,
        cpu: &CpuToken,
        work: &AtWork<'_>,
        seen: Progress,
        bite: &mut Bite,
    ) -> Step {
        #[cfg(not(mutant = "reclaim-ignore-workers"))]
        if seen.workers != 1 {
            return Step::Crowded;
        }
        // Tables are found from the whole entries around a range: begin at the very bottom.
        let (stage, next) = match seen.stage {
            Stage::Check => self.after_pages(work, seen),
            // Kept for the check.
            Stage::Pages => (Stage::Check, seen.next),
            stage => (stage.next(), 0),
        };
        if stage == Stage::Rest && !(bite.pay(REST) && self.free_vcpus(work)) {
            return Step::Stop;
        }
        if !work.vm.cursor.replace(
            seen,
            Progress {
                stage,
                next,
                ..seen
            },
        ) {
            // The check lets nobody in who could change the cursor; were one there, look again.
            #[cfg(not(mutant = "reclaim-lose-leftover"))]
            if seen.stage == Stage::Check {
                work.vm.note_leftover();
            }
            return Step::Crowded;
        }
        if stage != Stage::Rest {
            return Step::Nothing;
        }
        self.free_rest(cpu, work);
        Step::Finished
    }

    /// Where to go from the check: on, or back to what was left.
    fn after_pages(&self, work: &AtWork<'_>, seen: Progress) -> (Stage, u64) {
        // First: a second look at everything would find these too, and put them back twice.
        #[cfg(not(mutant = "reclaim-forget-rests"))]
        if !work.vm.rests.is_empty() {
            return (Stage::Pages, seen.next);
        }
        if work.vm.take_leftover() {
            return (Stage::Pages, work.vm.plan().ram[0].first);
        }
        (Stage::Check.next(), 0)
    }

    /// Frees the VM's vCPU slots; `false` if one is held by a core that looks through its queue, or
    /// by a VCPU_DEQUEUE: those that were freed stay so, and the next call tries the others again.
    fn free_vcpus(&self, work: &AtWork<'_>) -> bool {
        let vm = VmHandle::new(work.slot.raw(), work.generation);
        let slots = work.vm.vcpus();
        let vcpus = slots.filter_map(|slot| self.parts.vcpus.get(usize::from(slot)));
        // All of them, whatever comes of the first.
        let mut is_all = true;
        vcpus.for_each(|vcpu| is_all &= vcpu.free_of(vm));
        is_all
    }

    /// Frees root and slot. Only by the core that moved the cursor to `Rest`.
    fn free_rest(&self, cpu: &CpuToken, work: &AtWork<'_>) {
        self.give_root(work.vm.plan().root);
        self.trace_phase(cpu, work.slot, Phase::Free);
        // The generation and phase are this core's alone now: nobody else moves `Reclaiming` on.
        let _ = work
            .vm
            .life
            .advance(work.generation, Phase::Reclaiming, Phase::Free);
    }

    /// Counts this core into the cursor of the VM that has this generation. Not beside others where
    /// nothing is left to take: a stage ends by a core that is alone in it, so whoever is inside then
    /// must not be kept from that by those who come and go.
    fn count_in(&self, vm: &Vm, generation: u64) -> Result<(), Status> {
        for _ in 0..ATTEMPTS {
            let seen = vm.cursor.now();
            if seen.tag != tag_of(generation) {
                return Err(Status::BadHandle);
            }
            if seen.stage == Stage::Rest {
                return Err(Status::Busy);
            }
            #[cfg(not(mutant = "reclaim-crowd-in"))]
            if seen.workers != 0 && !self.may_have_units(vm, seen) {
                return Err(Status::Busy);
            }
            #[cfg(mutant = "reclaim-crowd-in")]
            let _ = Self::may_have_units;
            let new = Progress {
                workers: seen.workers + 1,
                ..seen
            };
            if vm.cursor.replace(seen, new) {
                return Ok(());
            }
        }
        Err(Status::Busy)
    }

    /// Is there something to take in this stage? By the plan alone, as this core may not walk yet.
    fn may_have_units(&self, vm: &Vm, seen: Progress) -> bool {
        match seen.stage {
            Stage::Pages => next_in_ram(vm, seen.next, 1).is_some() || !vm.rests.is_empty(),
            Stage::Idle | Stage::Check | Stage::Rest => false,
            stage => {
                let parent = parent_of(stage);
                parent >= self.parts.host.geometry().start_level
                    && next_in_ram(vm, seen.next, pages_of(parent)).is_some()
            }
        }
    }
}

/// The level of the entries that name the tables of a stage.
const fn parent_of(stage: Stage) -> u8 {
    match stage {
        Stage::Tables3 => 2,
        Stage::Tables2 => 1,
        _ => 0,
    }
}

/// A run of IPA pages that one core works on.
#[derive(Clone, Copy, Debug)]
struct Unit {
    first: u64,
    end: u64,
    empty: bool,
}

/// From where units are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// First from what other calls left.
    All,
    /// From the cursor alone: what was left is busy.
    New,
}

/// How one attempt at a unit ended.
enum Step {
    /// This many pages are done.
    Pages(u64),
    /// Go on.
    Nothing,
    /// Something was done, and no more can be just now.
    Stop,
    /// Another core has what was taken: go on with what is new.
    Busy,
    /// The same, but lent pages are gone of it.
    Parted,
    /// What is left is in other cores' hands.
    Crowded,
    /// The VM is gone.
    Finished,
}

/// From `next` on, the first IPA page in a RAM range of the VM, and the end of that range, both
/// widened to multiples of `span` pages.
fn next_in_ram(vm: &Vm, next: u64, span: u64) -> Option<(u64, u64)> {
    vm.plan().ram.into_iter().find_map(|range| {
        let first = range.first & !span.wrapping_sub(1);
        let last = range.first.wrapping_add(range.pages).wrapping_sub(1);
        let end = next_multiple(last, span);
        (range.pages != 0 && next < end).then_some((first.max(next), end))
    })
}

/// The first multiple of `step`, a power of two, behind `page`.
const fn next_multiple(page: u64, step: u64) -> u64 {
    (page & !step.wrapping_sub(1)).saturating_add(step)
}

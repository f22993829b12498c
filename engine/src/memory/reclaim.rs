//! VM_RECLAIM: the memory of a dying VM comes home, on as many cores as the host likes.
//!
//! The first caller that finds nobody inside flushes the whole VM once; from then on no translation
//! of it exists and no page needs a flush of its own. Cores take units of work from the VM's
//! [`cursor`](crate::vm::cursor): runs of pages first, then its tables from the deepest level up,
//! then its vCPU slots, root and the slot itself.
//!
//! Invariants: a core reads the VM's tables only while it is counted into the cursor, and tables of
//! a level are given back only in a stage that begins when nobody is left in the one before; a page
//! that was busy (the host touching a shared page) is not forgotten: the stage runs again; every
//! page the VM owned is scrubbed before its word says `Owned(Host)`.

use super::runs::Runs;
use super::settled;
use super::tlb::{flush_vm, flushed_before_reclaiming};
use crate::engine::Engine;
use crate::platform::Platform;
use crate::stage2::descriptor::{Entry, LAST_LEVEL, pages_of};
use crate::vm::Vm;
use crate::vm::cursor::{Progress, Stage, tag_of};
use crate::vm::life::Phase;
use abi::{Counter, Status, VmHandle};
use ownership::{Flushed, Ipa, Op, Owner, Pfn, State, VmSlot};
use percpu::CpuToken;

/// Units that one call looks at before it returns, found empty or not.
const UNITS_PER_CALL: u32 = 16;
/// Entries in one unit of a table stage.
const ENTRIES_PER_UNIT: u64 = 64;

/// What one VM_RECLAIM did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reclaimed {
    /// Pages that came home.
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
        let seen = vm.cursor.now();
        if seen.tag != tag_of(generation) {
            return Err(Status::BadHandle);
        }
        if seen.stage == Stage::Rest {
            return Ok(Reclaimed::default());
        }
        if !vm.cursor.replace(
            seen,
            Progress {
                workers: seen.workers + 1,
                ..seen
            },
        ) {
            return Err(Status::Busy);
        }
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
        let mut total = Reclaimed::default();
        for _ in 0..UNITS_PER_CALL {
            match self.work_once(cpu, &work, max) {
                Step::Pages(pages) => total.pages += pages,
                Step::Nothing => {}
                Step::Crowded => break,
                Step::Finished => {
                    return Ok(Reclaimed {
                        finished: true,
                        ..total
                    });
                }
            }
            if total.pages > 0 {
                break;
            }
        }
        vm.cursor.leave();
        Ok(total)
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
    fn work_once(&self, cpu: &CpuToken, work: &AtWork<'_>, max: u64) -> Step {
        let seen = work.vm.cursor.now();
        match seen.stage {
            Stage::Idle | Stage::Rest => Step::Crowded,
            Stage::Pages => {
                let Some(unit) = self.next_unit(cpu, work, seen.next, LAST_LEVEL, max) else {
                    return self.end_stage(cpu, work, seen);
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
                Step::Pages(self.bring_home(cpu, work, unit))
            }
            Stage::Tables3 | Stage::Tables2 | Stage::Tables1 => {
                let parent = match seen.stage {
                    Stage::Tables3 => 2,
                    Stage::Tables2 => 1,
                    _ => 0,
                };
                if parent < self.parts.host.geometry().start_level {
                    return self.end_stage(cpu, work, seen);
                }
                let most = ENTRIES_PER_UNIT * pages_of(parent);
                let Some(unit) = self.next_unit(cpu, work, seen.next, parent, most) else {
                    return self.end_stage(cpu, work, seen);
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
                self.free_tables(cpu, work, unit, parent);
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
        let span = pages_of(level);
        let range = work.vm.plan().ram.into_iter().find_map(|range| {
            let first = range.first & !(span - 1);
            let end = (range.first + range.pages).next_multiple_of(span);
            (range.pages != 0 && next < end).then_some((first.max(next), end))
        })?;
        let (first, end) = range;
        let stage2 = work.vm.stage2(work.slot, self.parts.host.geometry());
        let ipa = Ipa::from_raw(first << 12);
        let found = stage2
            .walk(&self.parts.platform, cpu.id(), ipa, level)
            .ok()?;
        // Nothing below: jump over all of it at once. A single empty entry is no jump.
        let empty = found.entry == Entry::Empty && found.level < level;
        let skip = if empty {
            pages_of(found.level)
        } else {
            most.max(span)
        };
        let until = (first & !(skip_mask(skip))) + skip;
        Some(Unit {
            first,
            end: until.min(end),
            empty,
        })
    }

    /// Brings a unit's pages home; how many came.
    fn bring_home(&self, cpu: &CpuToken, work: &AtWork<'_>, unit: Unit) -> u64 {
        if unit.empty {
            return 0;
        }
        let stage2 = work.vm.stage2(work.slot, self.parts.host.geometry());
        let mut home = 0;
        for page in unit.first..unit.end {
            let ipa = Ipa::from_raw(page << 12);
            match self.claim_leaf(cpu, stage2, ipa, Op::Reclaim, |state| {
                is_of(state, work.slot)
            }) {
                Ok((claim, found)) => {
                    let page = claim.pfn();
                    if let State::Shared {
                        owner: Owner::Host, ..
                    } = claim.from()
                    {
                        // Leaf and count go together, so that a second look finds neither.
                        self.parts.platform.store_entry(cpu.id(), found.at, 0);
                        settled(claim.return_lent(&work.flushed));
                        continue;
                    }
                    #[cfg(not(mutant = "reclaim-keep-shared"))]
                    if let State::Shared { .. } = claim.from() {
                        let mut runs = Runs::default();
                        self.collect_unmapped(cpu, page, 1, &mut runs);
                        let _ = self.flush_host(cpu, &runs);
                    }
                    let scrubbed = self.scrub_page(cpu, page, &work.flushed);
                    settled(claim.return_to_host(scrubbed));
                    home += 1;
                }
                Err(super::lend::LeafRefusal::Busy) => work.vm.note_leftover(),
                Err(_) => {}
            }
        }
        self.count(cpu, Counter::PagesReclaimed, home);
        home
    }

    /// Gives the tables under the entries of level `parent` in a unit back to the pool.
    fn free_tables(&self, cpu: &CpuToken, work: &AtWork<'_>, unit: Unit, parent: u8) {
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
            if let (true, Entry::Table(table)) = (found.level == parent, found.entry) {
                // Two ranges may meet in one entry: whoever empties it frees the table.
                if platform
                    .swap_entry(cpu.id(), found.at, found.raw, 0)
                    .is_ok()
                {
                    self.parts.pool.put(table);
                }
            }
            page = (page & !(span - 1)) + span;
        }
    }

    /// Moves the stage on, if this core is the last one in it.
    fn end_stage(&self, cpu: &CpuToken, work: &AtWork<'_>, seen: Progress) -> Step {
        #[cfg(not(mutant = "reclaim-ignore-workers"))]
        if seen.workers != 1 {
            return Step::Crowded;
        }
        let first = work.vm.plan().ram[0].first;
        let stage = match seen.stage {
            Stage::Pages if work.vm.take_leftover() => Stage::Pages,
            stage => stage.next(),
        };
        if stage == Stage::Rest && !self.free_vcpus(work) {
            return Step::Crowded;
        }
        // Tables are found from the whole entries around a range: begin at the very bottom.
        let next = if stage == Stage::Pages { first } else { 0 };
        if !work.vm.cursor.replace(
            seen,
            Progress {
                stage,
                next,
                ..seen
            },
        ) {
            if seen.stage == Stage::Pages {
                // Whether or not something was left over: look again.
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

    /// Frees the VM's vCPU slots; `false` if one is held by a core that looks through its queue, or
    /// by a VCPU_DEQUEUE: those that were freed stay so, and the next call tries the others again.
    fn free_vcpus(&self, work: &AtWork<'_>) -> bool {
        let vm = VmHandle::new(work.slot.raw(), work.generation);
        let slots = work.vm.vcpus();
        let vcpus = slots.filter_map(|slot| self.parts.vcpus.get(usize::from(slot)));
        vcpus.filter(|vcpu| !vcpu.free_of(vm)).count() == 0
    }

    /// Frees root and slot. Only by the core that moved the cursor to `Rest`.
    fn free_rest(&self, cpu: &CpuToken, work: &AtWork<'_>) {
        let root = work.vm.plan().root;
        for page in 0..u64::from(self.parts.host.geometry().root_pages) {
            self.parts.pool.put(Pfn::from_raw(root.raw() + page));
        }
        self.trace_phase(cpu, work.slot, Phase::Free);
        // The generation and phase are this core's alone now: nobody else moves `Reclaiming` on.
        let _ = work
            .vm
            .life
            .advance(work.generation, Phase::Reclaiming, Phase::Free);
    }
}

/// A run of IPA pages that one core works on.
#[derive(Clone, Copy, Debug)]
struct Unit {
    first: u64,
    end: u64,
    empty: bool,
}

/// How one attempt at a unit ended.
enum Step {
    /// This many pages came home.
    Pages(u64),
    /// Go on.
    Nothing,
    /// What is left is in other cores' hands.
    Crowded,
    /// The VM is gone.
    Finished,
}

/// For a power of two, the bits below it; otherwise none: units start where they are.
const fn skip_mask(skip: u64) -> u64 {
    if skip.is_power_of_two() { skip - 1 } else { 0 }
}

/// Is the page in this state the dying VM's, or lent to it?
fn is_of(state: State, slot: VmSlot) -> bool {
    let vm = Owner::Vm(slot);
    match state {
        State::Owned(owner) => owner == vm,
        State::Shared {
            owner, borrower, ..
        } => owner == vm || borrower == vm,
        _ => false,
    }
}

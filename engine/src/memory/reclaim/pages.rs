//! The pages of a dying VM: 2 MiB by 2 MiB where one entry of its tables maps them, page by page else.
//!
//! A unit lies in 2 MiB of IPA. Where a block maps these, and the pages are all the VM's alone, they are
//! one *granule*: claimed by one word, zeroed as far as the call may go, and settled, `Scrubbing` or the
//! host's. What the call did not get to goes into the VM's `rests`, from where the next call takes it
//! before it takes a new unit: so as few granules as cores are half-done at any time.
//!
//! Invariants: a unit is one core's until it puts the rest of it back, which it does before it leaves
//! the cursor; every page the VM owned is scrubbed before its word says `Owned(Host)`, and none twice;
//! a call zeroes at most `max` pages. Leaves stay as they are, but those of lent pages: no core walks the
//! VM's tables but to reclaim, and nothing writes a block entry of it any more.

use super::{AtWork, Step, next_in_ram, next_multiple};
use crate::engine::Engine;
use crate::memory::lend::LeafRefusal;
use crate::memory::runs::Runs;
use crate::memory::settled;
use crate::platform::Platform;
use crate::stage2::descriptor::{Entry, LAST_LEVEL, pages_of};
use crate::vm::cursor::Progress;
use abi::Counter;
use ownership::{Claim, Granule, GranuleSize, Ipa, Op, Owner, Refused, State, VmSlot};
use percpu::CpuToken;

/// Pages of a granule.
const GRANULE: u64 = GranuleSize::Block2M.pages();

/// IPA pages of which one core has to bring home what is there.
#[derive(Clone, Copy)]
struct Unit {
    first: u64,
    end: u64,
    kind: Kind,
}

/// How a unit is mapped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Not at all.
    Empty,
    /// By entries for pages.
    Pages,
    /// By a block, which may be larger.
    Block,
}

/// How the attempt at a whole granule ended.
enum Whole {
    /// There is nothing to do page by page; this many pages are done.
    Done(u64),
    /// Page by page, then.
    InParts,
}

impl<P: Platform> Engine<P> {
    /// Takes what another call left half-done, or else a new unit, and works on it.
    pub(super) fn work_on_pages(
        &self,
        cpu: &CpuToken,
        work: &AtWork<'_>,
        seen: Progress,
        max: u64,
    ) -> Step {
        if let Some(first) = work.vm.rests.take() {
            let rest = Unit {
                first,
                end: next_multiple(first, GRANULE),
                kind: Kind::Block,
            };
            return Step::Pages(self.bring_home(cpu, work, rest, max));
        }
        let Some(unit) = self.next_pages(cpu, work, seen.next, max) else {
            return self.end_stage(cpu, work, seen);
        };
        let taken = Progress {
            next: unit.end,
            ..seen
        };
        if !work.vm.cursor.replace(seen, taken) {
            return Step::Nothing;
        }
        Step::Pages(self.bring_home(cpu, work, unit, max))
    }

    /// The next unit from IPA page `next` on. `None` when they are used up.
    fn next_pages(&self, cpu: &CpuToken, work: &AtWork<'_>, next: u64, max: u64) -> Option<Unit> {
        let (first, end) = next_in_ram(work.vm, next, 1)?;
        let stage2 = work.vm.stage2(work.slot, self.parts.host.geometry());
        let ipa = Ipa::from_raw(first << 12);
        let found = stage2
            .walk(&self.parts.platform, cpu.id(), ipa, LAST_LEVEL)
            .ok()?;
        let (kind, until) = match found.entry {
            // Jump over all of it at once.
            Entry::Empty if found.level < LAST_LEVEL => {
                (Kind::Empty, next_multiple(first, pages_of(found.level)))
            }
            _ if found.level < LAST_LEVEL => (Kind::Block, next_multiple(first, GRANULE)),
            // Not into 2 MiB that a block may map.
            _ => (
                Kind::Pages,
                next_multiple(first, pages_of(LAST_LEVEL - 1)).min(first + max),
            ),
        };
        Some(Unit {
            first,
            end: until.min(end),
            kind,
        })
    }

    /// Brings a unit's pages home, at most `max` of them; how many are done.
    fn bring_home(&self, cpu: &CpuToken, work: &AtWork<'_>, unit: Unit, max: u64) -> u64 {
        if unit.kind == Kind::Empty {
            return 0;
        }
        if unit.kind == Kind::Block
            && let Whole::Done(pages) = self.bring_granule(cpu, work, unit, max)
        {
            return pages;
        }
        let stop = unit.end.min(unit.first + max);
        let mut home = 0;
        for page in unit.first..stop {
            home += self.bring_page(cpu, work, Ipa::from_raw(page << 12));
        }
        self.count(cpu, Counter::PagesReclaimed, home);
        if stop < unit.end {
            self.leave_rest(work, stop);
        }
        home
    }

    /// Zeroes the next pages of a granule that has one word.
    fn bring_granule(&self, cpu: &CpuToken, work: &AtWork<'_>, unit: Unit, max: u64) -> Whole {
        let ipa = Ipa::from_raw(unit.first << 12);
        let stage2 = work.vm.stage2(work.slot, self.parts.host.geometry());
        let found = stage2.walk(&self.parts.platform, cpu.id(), ipa, LAST_LEVEL);
        let granule = found
            .ok()
            .filter(|found| found.level < LAST_LEVEL && unit.end - unit.first == GRANULE)
            .and_then(|found| Granule::new(GranuleSize::Block2M, found.page(ipa)?));
        let Some(granule) = granule else {
            return Whole::InParts;
        };
        let claimed = self
            .parts
            .pages
            .claim(granule, Op::Reclaim, cpu.id().raw(), |state| match state {
                State::Owned(owner) => owner == Owner::Vm(work.slot),
                State::Scrubbing { vm, .. } => vm == work.slot,
                _ => false,
            });
        // A granule with a poison mark is claimed by the words of its pages.
        let claim = match claimed {
            Ok(claim) => claim,
            Err(Refused::Busy | Refused::Was(_)) => return self.look_at_refused(work, granule),
            Err(Refused::OutOfRange) => return Whole::InParts,
        };
        match claim.zeroed() {
            Some(done) => Whole::Done(self.zero_slice(cpu, work, unit, (claim, done), max)),
            None => Whole::InParts,
        }
    }

    /// A whole granule could not be claimed: is there anything to do for its pages?
    fn look_at_refused(&self, work: &AtWork<'_>, granule: Granule) -> Whole {
        let Some((place, seen)) = self.parts.pages.granule(granule.base()) else {
            return Whole::InParts;
        };
        if place.size() < granule.size() {
            return Whole::InParts;
        }
        let (from, busy) = match seen {
            State::Claimed { from, .. } => (from.state(), true),
            state => (state, false),
        };
        match (is_of(from, work.slot), busy) {
            // What is not the VM's is not given to it any more.
            (false, _) => Whole::Done(0),
            (true, true) => {
                work.vm.note_leftover();
                Whole::Done(0)
            }
            (true, false) => Whole::InParts,
        }
    }

    /// Zeroes at most `max` pages behind the `done` first ones of a claimed granule, and settles it.
    fn zero_slice(
        &self,
        cpu: &CpuToken,
        work: &AtWork<'_>,
        unit: Unit,
        (claim, done): (Claim<'_>, u64),
        max: u64,
    ) -> u64 {
        let Some(first) = claim.pfn().checked_add(done) else {
            return 0;
        };
        let wanted = max.min(GRANULE - done);
        let run = self.scrub_run(cpu, first, wanted, &work.flushed);
        let zeroed = run.proof.as_ref().map_or(0, |proof| proof.pages());
        let now = done + zeroed;
        let home = match run.proof {
            proof if run.met_error => {
                settled(claim.lose_page(proof, &work.flushed));
                if let Some(lost) = first.checked_add(zeroed) {
                    self.note_poisoned(cpu, lost);
                }
                now
            }
            Some(proof) => {
                settled(claim.scrub_on(proof));
                if now == GRANULE { now } else { 0 }
            }
            None => 0,
        };
        self.count(cpu, Counter::PagesReclaimed, home);
        // Behind a lost page the others go on one by one.
        let rest = unit.first + if run.met_error { now + 1 } else { 0 };
        if rest < unit.end && now < GRANULE {
            self.leave_rest(work, rest);
        }
        zeroed
    }

    /// Brings the page at `ipa` home; 1 if it came.
    fn bring_page(&self, cpu: &CpuToken, work: &AtWork<'_>, ipa: Ipa) -> u64 {
        let stage2 = work.vm.stage2(work.slot, self.parts.host.geometry());
        let of_vm = |state| is_of(state, work.slot);
        let (claim, found) = match self.claim_leaf(cpu, stage2, ipa, Op::Reclaim, of_vm) {
            Ok(claimed) => claimed,
            Err(LeafRefusal::Busy) => {
                work.vm.note_leftover();
                return 0;
            }
            Err(_) => return 0,
        };
        let page = claim.pfn();
        if let State::Shared {
            owner: Owner::Host, ..
        } = claim.from()
        {
            // Leaf and count go together, so that a second look finds neither.
            self.parts.platform.store_entry(cpu.id(), found.at, 0);
            settled(claim.return_lent(&work.flushed));
            return 0;
        }
        #[cfg(not(mutant = "reclaim-keep-shared"))]
        let of_host = matches!(claim.from(), State::Shared { .. }).then(|| {
            let mut runs = Runs::default();
            self.collect_unmapped(cpu, page, 1, &mut runs);
            self.flush_host(cpu, &runs)
        });
        #[cfg(mutant = "reclaim-keep-shared")]
        let of_host = None;
        match self.scrub_page(cpu, page, &work.flushed) {
            Ok(scrubbed) => {
                settled(claim.return_to_host(scrubbed));
                1
            }
            Err(_) => {
                let of_vm = &work.flushed;
                self.lose_broken(cpu, claim, &[of_vm, of_host.as_ref().unwrap_or(of_vm)]);
                0
            }
        }
    }

    /// Whoever calls next goes on from IPA page `first`, up to the end of its 2 MiB.
    fn leave_rest(&self, work: &AtWork<'_>, first: u64) {
        #[cfg(mutant = "reclaim-no-rest")]
        let _ = first;
        #[cfg(not(mutant = "reclaim-no-rest"))]
        if !work.vm.rests.put(first) {
            // No room: it is found when all is looked through again.
            work.vm.note_leftover();
        }
    }
}

/// Is the page in this state the dying VM's, or lent to it?
fn is_of(state: State, slot: VmSlot) -> bool {
    let vm = Owner::Vm(slot);
    match state {
        State::Owned(owner) => owner == vm,
        State::Shared {
            owner, borrower, ..
        } => owner == vm || borrower == vm,
        State::Scrubbing { vm, .. } => vm == slot,
        _ => false,
    }
}

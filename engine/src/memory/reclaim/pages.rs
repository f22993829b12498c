//! The pages of a dying VM: 2 MiB by 2 MiB where one entry of its tables maps them, page by page else.
//!
//! A unit lies in 2 MiB of IPA. Where a block maps these, and the pages are all the VM's alone, they are
//! one *granule*: claimed by one word, zeroed as far as the call may go, and settled, `Scrubbing` or the
//! host's. What the call did not get to, or what another core has at that moment, goes into the VM's
//! `rests`, from where the next call takes it before it takes a new unit. There is room for `RESTS` of them;
//! beyond that the `leftover` flag has all looked through again, which finds what is half-done by its word.
//!
//! Invariants: a unit is one core's until it puts the rest of it back, which it does before it leaves
//! the cursor; every page the VM owned is scrubbed before its word says `Owned(Host)`, and none twice;
//! a call zeroes at most `max` pages, lost ones included, and no more than its bite pays for. Leaves stay as they are, but those of lent pages: no core walks the
//! VM's tables but to reclaim, and nothing writes a block entry of it any more.

use super::{AtWork, Source, Step, next_in_ram, next_multiple};
use crate::bite::{Bite, LOOK, PAGE_BACK, REFUSED_PAGE, SCRUBBED_PAGE};
use crate::engine::Engine;
use crate::memory::lend::LeafRefusal;
use crate::memory::runs::Runs;
use crate::memory::settled;
use crate::platform::Platform;
use crate::stage2::Found;
use crate::stage2::descriptor::{Entry, LAST_LEVEL, pages_of};
use crate::vm::cursor::Progress;
use abi::Counter;
use ownership::{Granule, GranuleSize, Ipa, Op, Owner, Refused, RunClaim, State, VmSlot};
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

impl Unit {
    fn pages(&self) -> u64 {
        self.end.saturating_sub(self.first)
    }
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

/// What came of a unit.
#[derive(Clone, Copy, Default)]
struct Outcome {
    /// Pages that are done.
    done: u64,
    /// Pages lost to memory errors: the work is the same.
    lost: u64,
    /// Lent pages that it lost: some work as well.
    back: u64,
    /// Pages that it could not claim: a look at their words.
    refused: u64,
    /// Another core has one of them just now.
    met_busy: bool,
}

/// What came of a page.
enum Page {
    /// It came home.
    Home,
    /// No entry names one.
    None,
    /// It is none of the VM's alone, or not any more.
    Foreign,
    /// The VM has it no longer, to which it was lent.
    Back,
    /// It could not be zeroed, and is out of circulation.
    Lost,
    /// Another core has it.
    Busy,
}

/// How the attempt at a whole granule ended.
enum Whole {
    /// There is nothing to do page by page.
    Done(Outcome),
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
        source: Source,
        bite: &mut Bite,
    ) -> Step {
        let max = bite.most(SCRUBBED_PAGE, max);
        let rest = match source {
            Source::All => work.vm.rests.take(),
            Source::New => None,
        };
        let unit = match rest {
            Some(first) => Unit {
                first,
                end: next_multiple(first, GRANULE),
                kind: Kind::Block,
            },
            None => {
                let Some(unit) = self.next_pages(cpu, work, seen.next, max) else {
                    return match source {
                        Source::All => self.end_stage(cpu, work, seen, bite),
                        // There is a rest, which this call has met already.
                        Source::New => Step::Stop,
                    };
                };
                let taken = Progress {
                    next: unit.end,
                    ..seen
                };
                if !work.vm.cursor.replace(seen, taken) {
                    return Step::Nothing;
                }
                unit
            }
        };
        if unit.kind != Kind::Empty {
            bite.spend((max as u32).saturating_mul(LOOK));
        }
        let outcome = self.bring_home(cpu, work, unit, max);
        bite.spend((outcome.back as u32).saturating_mul(PAGE_BACK));
        bite.spend((outcome.refused as u32).saturating_mul(REFUSED_PAGE));
        match outcome {
            #[cfg(not(mutant = "reclaim-busy-with-loans"))]
            Outcome {
                done: 0,
                lost: 0,
                back: 1..,
                met_busy: true,
                ..
            } => Step::Parted,
            Outcome {
                done: 0,
                lost: 0,
                met_busy: true,
                ..
            } => Step::Busy,
            #[cfg(not(mutant = "reclaim-lost-are-free"))]
            Outcome {
                done: 0, lost: 1.., ..
            } => Step::Stop,
            outcome => Step::Pages(outcome.done),
        }
    }

    /// The next unit from IPA page `next` on. `None` when they are used up.
    fn next_pages(&self, cpu: &CpuToken, work: &AtWork<'_>, next: u64, max: u64) -> Option<Unit> {
        let (first, end) = next_in_ram(work.vm, next, 1)?;
        let stage2 = work.vm.stage2(work.slot, self.parts.host.geometry());
        let ipa = Ipa::from_raw(first << 12);
        let found = stage2
            .walk(&self.parts.platform, cpu.id(), ipa, LAST_LEVEL)
            .ok()?;
        let (kind, until) = match found.entry() {
            // Jump over all of it at once.
            Entry::Empty if found.level < LAST_LEVEL => {
                (Kind::Empty, next_multiple(first, pages_of(found.level)))
            }
            _ if found.level < LAST_LEVEL => (Kind::Block, next_multiple(first, GRANULE)),
            // Not into 2 MiB that a block may map.
            _ => (
                Kind::Pages,
                next_multiple(first, pages_of(LAST_LEVEL - 1)).min(first.saturating_add(max)),
            ),
        };
        Some(Unit {
            first,
            end: until.min(end),
            kind,
        })
    }

    /// Brings a unit's pages home, at most `max` of them, up to one that another core has.
    fn bring_home(&self, cpu: &CpuToken, work: &AtWork<'_>, unit: Unit, max: u64) -> Outcome {
        if unit.kind == Kind::Empty {
            return Outcome::default();
        }
        if unit.kind == Kind::Block
            && let Whole::Done(outcome) = self.bring_granule(cpu, work, unit, max)
        {
            return outcome;
        }
        let stage2 = work.vm.stage2(work.slot, self.parts.host.geometry());
        let platform = &self.parts.platform;
        let mut outcome = Outcome::default();
        let mut stop = unit.end.min(unit.first.saturating_add(max));
        let mut last: Option<Found> = None;
        for page in unit.first..stop {
            let ipa = Ipa::from_raw(page << 12);
            // Only single pages lie beside each other: a block's entry stands for many.
            last = last
                .filter(|last| last.level == LAST_LEVEL || cfg!(mutant = "reclaim-beside-block"))
                .and_then(|last| stage2.beside(platform, cpu.id(), &last))
                .or_else(|| stage2.walk(platform, cpu.id(), ipa, LAST_LEVEL).ok());
            let came = last.map_or(Page::None, |found| self.bring_page(cpu, work, &found, ipa));
            match came {
                Page::Home => outcome.done = outcome.done.wrapping_add(1),
                Page::None => {}
                Page::Foreign => outcome.refused = outcome.refused.wrapping_add(1),
                Page::Back => outcome.back = outcome.back.wrapping_add(1),
                Page::Lost => outcome.lost = outcome.lost.wrapping_add(1),
                Page::Busy => {
                    outcome.met_busy = true;
                    outcome.refused = outcome.refused.wrapping_add(1);
                    if unit.end.is_multiple_of(GRANULE) {
                        stop = page;
                        break;
                    }
                    // What is behind the unit is another's: no place to go on from.
                    work.vm.note_leftover();
                }
            }
        }
        self.count(cpu, Counter::PagesReclaimed, outcome.done);
        if stop < unit.end {
            self.leave_rest(work, stop);
        }
        outcome
    }

    /// Zeroes the next pages of a granule that has one word.
    fn bring_granule(&self, cpu: &CpuToken, work: &AtWork<'_>, unit: Unit, max: u64) -> Whole {
        let ipa = Ipa::from_raw(unit.first << 12);
        let stage2 = work.vm.stage2(work.slot, self.parts.host.geometry());
        let found = stage2.walk(&self.parts.platform, cpu.id(), ipa, LAST_LEVEL);
        let granule = found
            .ok()
            .filter(|found| found.level < LAST_LEVEL && unit.pages() == GRANULE)
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
        let claim = match claimed {
            Ok(claim) => claim,
            Err(Refused::Busy | Refused::Was(_)) => {
                return self.look_at_refused(work, unit, granule);
            }
            Err(Refused::OutOfRange) => return Whole::InParts,
        };
        match claim.zeroed() {
            Some(zero) => Whole::Done(self.zero_slice(cpu, work, unit, (claim, zero), max)),
            None => Whole::InParts,
        }
    }

    /// A whole granule could not be claimed: is there anything to do for its pages?
    fn look_at_refused(&self, work: &AtWork<'_>, unit: Unit, granule: Granule) -> Whole {
        let Some((place, seen)) = self.parts.pages.granule(granule.base()) else {
            return Whole::InParts;
        };
        if place.size() < granule.size() {
            return Whole::InParts;
        }
        let (from, busy) = match seen {
            State::Claimed { from, .. } => (from.state(), true),
            // Sound, and free again: another core had it, or was unfolding the GiB above it.
            #[cfg(not(mutant = "reclaim-cut-sound"))]
            State::Owned(_) | State::Scrubbing { .. } => (seen, true),
            state => (state, false),
        };
        match (is_of(from, work.slot), busy) {
            // What is not the VM's is not given to it any more.
            (false, _) => Whole::Done(Outcome::default()),
            (true, true) => {
                self.leave_rest(work, unit.first);
                Whole::Done(Outcome {
                    met_busy: true,
                    ..Outcome::default()
                })
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
        (claim, done): (RunClaim<'_>, u64),
        max: u64,
    ) -> Outcome {
        let Some(first) = claim.pfn().checked_add(done) else {
            return Outcome::default();
        };
        let wanted = max.min(GRANULE.saturating_sub(done));
        let run = self.scrub_run(cpu, first, wanted, &work.flushed);
        let zeroed = run.proof.as_ref().map_or(0, |proof| proof.pages());
        let now = done.saturating_add(zeroed);
        // The others come home one by one: each can be mapped then, whatever the pool has.
        #[cfg(not(mutant = "lose-no-host-tables"))]
        if run.met_error && self.make_host_tables(cpu, claim.pfn()).is_err() {
            drop(claim);
            self.leave_rest(work, unit.first);
            return Outcome {
                lost: 1,
                met_busy: true,
                ..Outcome::default()
            };
        }
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
        let rest = match run.met_error {
            true => unit.first.saturating_add(now).saturating_add(1),
            false => unit.first,
        };
        if rest < unit.end && now < GRANULE {
            self.leave_rest(work, rest);
        }
        Outcome {
            done: zeroed,
            lost: u64::from(run.met_error),
            ..Outcome::default()
        }
    }

    /// Brings the page at `ipa` home, of which `found` is the leaf.
    fn bring_page(&self, cpu: &CpuToken, work: &AtWork<'_>, found: &Found, ipa: Ipa) -> Page {
        let vms_alone = State::Owned(Owner::Vm(work.slot));
        let of_vm = |state| is_of(state, work.slot);
        let claimed = match self.claim_found_in(cpu, found, ipa, Op::Reclaim, vms_alone) {
            Err(LeafRefusal::WrongState) => self.claim_found(cpu, found, ipa, Op::Reclaim, of_vm),
            claimed => claimed,
        };
        let claim = match claimed {
            Ok(claim) => claim,
            Err(LeafRefusal::Busy) => return Page::Busy,
            Err(LeafRefusal::WrongState) => return Page::Foreign,
            Err(_) => return Page::None,
        };
        let page = claim.pfn();
        let from = if claim.was(vms_alone) {
            vms_alone
        } else {
            claim.from()
        };
        if let State::Shared {
            owner: Owner::Host, ..
        } = from
        {
            // Leaf and count go together, so that a second look finds neither.
            self.parts.platform.store_entry(cpu.id(), found.at, 0);
            settled(claim.return_lent(&work.flushed));
            return Page::Back;
        }
        #[cfg(not(mutant = "reclaim-keep-shared"))]
        let of_host = matches!(from, State::Shared { .. }).then(|| {
            let mut runs = Runs::default();
            self.collect_unmapped(cpu, page, 1, &mut runs);
            self.flush_host(cpu, &runs)
        });
        #[cfg(mutant = "reclaim-keep-shared")]
        let of_host = None;
        match self.scrub_page(cpu, page, &work.flushed) {
            Ok(scrubbed) => {
                settled(claim.return_to_host(scrubbed));
                Page::Home
            }
            Err(_) => {
                let of_vm = &work.flushed;
                self.lose_broken(cpu, claim, &[of_vm, of_host.as_ref().unwrap_or(of_vm)]);
                Page::Lost
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

//! What each core's TLB may still hold, weaker than any real one.
//!
//! A core keeps *every* translation that was valid at any time since the last invalidation that
//! covers it was complete, and an access may use any of them. What is valid in the tables right now
//! needs no memory here, the tables have it; so this holds the *leftovers*: translations that went
//! away, each as a stage-2 entry (IPA to PA) and as a combined entry (stage 1 and 2 in one).
//!
//! Invariants, after the Arm ARM (D8.17):
//! - only a core that has, or had since its last full invalidation, a VM's VTTBR can hold entries of
//!   that VM;
//! - an invalidation drops what was left over when it was issued, and that only when a DSB of its
//!   issuer completes it; what is left over later survives;
//! - by-IPA invalidation drops stage-2 entries and leaves combined ones; a combined entry that is
//!   invalidated while its stage-2 entry still stands is built again from that;
//! - with the erratum CVE-2025-10263, a dropped entry's last store is still in flight until another
//!   broadcast invalidation, issued after, is complete.
//!
//! Plain data: no locks, no atomics, so that a model checker can wrap it as it likes.

pub use super::translation::Translation;
use crate::platform::Tlbi;
use std::collections::BTreeSet;
use std::vec::Vec;

/// What kind of entry a leftover is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Stage 2: IPA to PA.
    Stage2,
    /// Both stages in one.
    Combined,
}

/// One entry that a core may still use.
#[derive(Clone, Copy, Debug)]
pub struct Leftover {
    /// What it translates.
    pub translation: Translation,
    /// What kind it is.
    pub kind: Kind,
    id: u64,
}

/// An invalidation that its issuer has not completed.
struct Pending {
    /// Leftovers that it drops, and stores in flight that it waits for.
    drops: BTreeSet<u64>,
    /// VMID whose entries of both stages all go, so that no core holds any; `None` for narrower ones.
    forgets: Forgets,
    /// On this core alone.
    local: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Forgets {
    Nothing,
    Vmid(u16),
    Everything,
}

#[derive(Default)]
struct Core {
    /// VMID now in VTTBR.
    current: u16,
    /// VMID borrowed for TLB maintenance, without walks.
    borrowed: Option<u16>,
    /// VMIDs of which it may hold what is still valid.
    visited: BTreeSet<u16>,
    leftovers: Vec<Leftover>,
    pending: Vec<Pending>,
}

/// The TLBs of all cores.
pub struct Tlb {
    cores: Vec<Core>,
    repeat: bool,
    next_id: u64,
    /// Stores through dropped entries that may still land.
    in_flight: Vec<Leftover>,
}

impl Tlb {
    /// Empty TLBs; all cores are under VMID 0. `repeat`: the cores have the erratum.
    pub fn new(cores: usize, repeat: bool) -> Self {
        let core = || Core {
            visited: BTreeSet::from([0]),
            ..Core::default()
        };
        Self {
            cores: (0..cores).map(|_| core()).collect(),
            repeat,
            next_id: 0,
            in_flight: Vec::new(),
        }
    }

    /// VTTBR of a core changes.
    pub fn enter(&mut self, core: usize, vmid: u16) {
        self.cores[core].current = vmid;
        self.cores[core].visited.insert(vmid);
    }

    /// The VMID that a core's accesses go under.
    pub fn current(&self, core: usize) -> u16 {
        self.cores[core].current
    }

    /// A core names another VMID for maintenance, with its walks switched off.
    pub fn borrow(&mut self, core: usize, vmid: u16) -> Option<u16> {
        self.cores[core].borrowed.replace(vmid)
    }

    /// It ends that.
    pub fn end_borrow(&mut self, core: usize, before: Option<u16>) {
        self.cores[core].borrowed = before;
    }

    /// May a core hold entries of a VM, what is valid in its tables included?
    pub fn may_hold(&self, core: usize, vmid: u16) -> bool {
        self.cores[core].current == vmid || self.cores[core].visited.contains(&vmid)
    }

    /// May any?
    pub fn any_may_hold(&self, vmid: u16) -> bool {
        (0..self.cores.len()).any(|core| self.may_hold(core, vmid))
    }

    /// A translation is no longer in the tables that walkers see: whoever may have it keeps it.
    pub fn retire(&mut self, translation: Translation) {
        for core in 0..self.cores.len() {
            if !self.may_hold(core, translation.vmid) {
                continue;
            }
            for kind in [Kind::Stage2, Kind::Combined] {
                let id = self.next_id;
                self.next_id += 1;
                self.cores[core].leftovers.push(Leftover {
                    translation,
                    kind,
                    id,
                });
            }
        }
    }

    /// What a core may still use.
    pub fn leftovers(&self, core: usize) -> &[Leftover] {
        &self.cores[core].leftovers
    }

    /// What any core may still use, with the core's number.
    pub fn all_leftovers(&self) -> impl Iterator<Item = (usize, &Leftover)> {
        let cores = self.cores.iter().enumerate();
        cores.flat_map(|(number, core)| core.leftovers.iter().map(move |entry| (number, entry)))
    }

    /// Stores that may still land.
    pub fn in_flight(&self) -> &[Leftover] {
        &self.in_flight
    }

    /// Lets the stores in flight land: who had issued them has no more.
    pub fn land(&mut self) -> Vec<Leftover> {
        std::mem::take(&mut self.in_flight)
    }

    /// A core issues an invalidation.
    pub fn issue(&mut self, core: usize, op: Tlbi) {
        let vmid = self.cores[core]
            .borrowed
            .unwrap_or(self.cores[core].current);
        let local = op == Tlbi::Vmalle1;
        let mut drops = BTreeSet::new();
        for (number, other) in self.cores.iter().enumerate() {
            if !local || number == core {
                let covered = other
                    .leftovers
                    .iter()
                    .filter(|entry| other.drops(op, vmid, entry));
                drops.extend(covered.map(|entry| entry.id));
            }
        }
        if !local {
            drops.extend(self.in_flight.iter().map(|entry| entry.id));
        }
        let forgets = match op {
            Tlbi::Vmalls12e1is => Forgets::Vmid(vmid),
            Tlbi::Alle1is => Forgets::Everything,
            _ => Forgets::Nothing,
        };
        self.cores[core].pending.push(Pending {
            drops,
            forgets,
            local,
        });
    }

    /// A core's `DSB ISH` completes what it has issued; `DSB NSH` (`local`) only what is local.
    pub fn complete(&mut self, core: usize, local: bool) {
        let (done, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.cores[core].pending)
            .into_iter()
            .partition(|pending| pending.local || !local);
        self.cores[core].pending = later;
        for pending in done {
            self.in_flight
                .retain(|entry| !pending.drops.contains(&entry.id));
            let Self {
                cores,
                in_flight,
                repeat,
                next_id,
            } = self;
            for core in cores {
                core.leftovers.retain(|entry| {
                    let drop = pending.drops.contains(&entry.id);
                    if drop && *repeat && entry.translation.write {
                        in_flight.push(Leftover {
                            id: *next_id,
                            ..*entry
                        });
                        *next_id += 1;
                    }
                    !drop
                });
                match pending.forgets {
                    Forgets::Nothing => {}
                    Forgets::Vmid(vmid) => core.visited.retain(|other| *other != vmid),
                    Forgets::Everything => core.visited.clear(),
                }
            }
        }
    }
}

impl Core {
    /// Does `op`, issued now under `vmid`, drop this entry?
    fn drops(&self, op: Tlbi, vmid: u16, entry: &Leftover) -> bool {
        let this = &entry.translation;
        match (op, entry.kind) {
            (Tlbi::Alle1is, _) => true,
            (Tlbi::Ipas2e1is { ipa_page }, Kind::Stage2) => this.overlaps(vmid, ipa_page, 1),
            (Tlbi::Ripas2e1is { ipa_page, pages }, Kind::Stage2) => {
                this.overlaps(vmid, ipa_page, pages)
            }
            (Tlbi::Vmalls12e1is, _) => this.vmid == vmid,
            (Tlbi::Vmalle1is | Tlbi::Vmalle1, Kind::Combined) => {
                // Built again from the stage-2 entry, if that still stands.
                this.vmid == vmid && !self.has_stage2(this)
            }
            _ => false,
        }
    }

    fn has_stage2(&self, translation: &Translation) -> bool {
        let mut all = self.leftovers.iter();
        all.any(|other| other.kind == Kind::Stage2 && other.translation == *translation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Translation = Translation {
        vmid: 3,
        ipa_page: 7,
        pages: 1,
        page: 99,
        write: true,
        execute: true,
    };

    fn with_leftover(repeat: bool) -> Tlb {
        let mut tlb = Tlb::new(2, repeat);
        tlb.enter(1, 3);
        tlb.retire(PAGE);
        tlb.borrow(0, 3);
        tlb
    }

    #[test]
    fn only_who_was_there_keeps_it() {
        let tlb = with_leftover(false);
        assert!(tlb.leftovers(0).is_empty());
        assert_eq!(tlb.leftovers(1).len(), 2);
    }

    #[test]
    fn by_ipa_leaves_the_combined_entry() {
        let mut tlb = with_leftover(false);
        tlb.issue(0, Tlbi::Ipas2e1is { ipa_page: 7 });
        assert_eq!(tlb.leftovers(1).len(), 2, "not complete before the DSB");
        tlb.complete(0, true);
        assert_eq!(
            tlb.leftovers(1).len(),
            2,
            "a DSB NSH completes nothing elsewhere"
        );
        tlb.complete(0, false);
        assert_eq!(tlb.leftovers(1).len(), 1);
        tlb.issue(0, Tlbi::Vmalle1is);
        tlb.complete(0, false);
        assert!(tlb.leftovers(1).is_empty());
    }

    #[test]
    fn the_combined_entry_comes_back_while_stage_2_stands() {
        for dsb_between in [false, true] {
            let mut tlb = with_leftover(false);
            tlb.issue(0, Tlbi::Vmalle1is);
            if dsb_between {
                tlb.complete(0, false);
            }
            tlb.issue(0, Tlbi::Ipas2e1is { ipa_page: 7 });
            tlb.complete(0, false);
            assert_eq!(tlb.leftovers(1).len(), 1);
        }
        let mut tlb = with_leftover(false);
        tlb.issue(0, Tlbi::Ipas2e1is { ipa_page: 7 });
        tlb.issue(0, Tlbi::Vmalle1is);
        tlb.complete(0, false);
        assert_eq!(
            tlb.leftovers(1).len(),
            1,
            "a DSB must stand between the two"
        );
    }

    #[test]
    fn the_wrong_vmid_drops_nothing() {
        let mut tlb = with_leftover(false);
        tlb.end_borrow(0, None);
        tlb.issue(0, Tlbi::Vmalls12e1is);
        tlb.complete(0, false);
        assert_eq!(tlb.leftovers(1).len(), 2);
    }

    #[test]
    fn the_erratum_needs_a_second_broadcast() {
        let mut tlb = with_leftover(true);
        tlb.issue(0, Tlbi::Vmalls12e1is);
        tlb.complete(0, false);
        assert!(tlb.leftovers(1).is_empty());
        assert!(!tlb.in_flight().is_empty());
        tlb.issue(0, Tlbi::Vmalle1is);
        tlb.complete(0, false);
        assert!(tlb.in_flight().is_empty());
    }

    #[test]
    fn what_is_left_over_after_the_issue_survives() {
        let mut tlb = with_leftover(false);
        tlb.issue(0, Tlbi::Vmalls12e1is);
        tlb.retire(Translation {
            ipa_page: 8,
            ..PAGE
        });
        tlb.complete(0, false);
        assert_eq!(tlb.leftovers(1).len(), 2);
    }
}

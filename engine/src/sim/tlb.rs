//! What each core's TLB may still hold, weaker than any real one.
//!
//! A core keeps *every* translation that was valid at any time since the last invalidation that
//! covers it was complete, and an access may use any of them. What is valid in the tables right now
//! needs no memory here, the tables have it; so this holds the *leftovers*: translations that went
//! away, each as a stage-2 entry (IPA to PA) and as a combined entry (stage 1 and 2 in one); and, for walk
//! caches, links to tables that stand there no more. No access goes by a link: what it leads to is for
//! others to judge.
//!
//! Invariants, after the Arm ARM (D8.17):
//! - only a core that has, or had since its last full invalidation, a VM's VTTBR can hold entries of
//!   that VM;
//! - an invalidation drops what was left over when it was issued, and that only when a DSB of its
//!   issuer completes it; what is left over later survives;
//! - by-IPA invalidation drops stage-2 entries and leaves combined ones; a combined entry that is
//!   invalidated while its stage-2 entry still stands is built again from that;
//! - a link is dropped with the stage-2 entries of the addresses that it is for, last level or not;
//! - with the erratum CVE-2025-10263, a dropped entry's last store is still in flight until another
//!   broadcast invalidation, issued after, is complete.
//!
//! Each of these weaknesses can be left out ([`Model`]), to see what depends on it.
//!
//! Plain data: no locks, no atomics, so that a model checker can wrap it as it likes.

pub use super::translation::{Link, Translation};
use crate::platform::Tlbi;
use std::collections::BTreeSet;
use std::vec::Vec;

/// How weak the TLBs are: each weakness by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Model {
    /// The cores have the erratum.
    pub late_stores: bool,
    /// What went away is kept at all, until it is invalidated.
    pub leftovers: bool,
    /// Stage-2 entries are kept beside combined ones.
    pub stage2: bool,
    /// Combined entries are kept beside stage-2 ones.
    pub combined: bool,
    /// A combined entry is built again from a stage-2 entry that stands.
    pub refill: bool,
    /// Links to tables are kept.
    pub walk_caches: bool,
    /// A core keeps what it has of a VMID when it goes to another.
    pub other_vmids: bool,
    /// An invalidation is for one VMID; without this, for all.
    pub one_vmid: bool,
    /// An invalidation is done when a DSB of its issuer is; without this, at once.
    pub late_invalidation: bool,
}

impl Model {
    /// All that the architecture allows, on cores without the erratum.
    pub const WEAKEST: Self = Self {
        late_stores: false,
        leftovers: true,
        stage2: true,
        combined: true,
        refill: true,
        walk_caches: true,
        other_vmids: true,
        one_vmid: true,
        late_invalidation: true,
    };
}

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
    /// VMIDs whose entries of both stages all go, so that no core holds any.
    forgets: Forgets,
    /// Cores and VMIDs that it need not have taken away: there since it was issued.
    spares: BTreeSet<(usize, u16)>,
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
    /// Links to tables that stand there no more, by number.
    links: Vec<(u64, Link)>,
    pending: Vec<Pending>,
}

/// The TLBs of all cores.
pub struct Tlb {
    cores: Vec<Core>,
    model: Model,
    next_id: u64,
    /// Stores through dropped entries that may still land.
    in_flight: Vec<Leftover>,
}

impl Tlb {
    /// Empty TLBs; all cores are under VMID 0. `repeat`: the cores have the erratum.
    pub fn new(cores: usize, repeat: bool) -> Self {
        let model = Model {
            late_stores: repeat,
            ..Model::WEAKEST
        };
        Self::of_model(cores, model)
    }

    /// The same, as weak as `model` says.
    pub fn of_model(cores: usize, model: Model) -> Self {
        let core = || Core {
            visited: BTreeSet::from([0]),
            ..Core::default()
        };
        Self {
            cores: (0..cores).map(|_| core()).collect(),
            model,
            next_id: 0,
            in_flight: Vec::new(),
        }
    }

    /// How weak they are.
    pub fn model(&self) -> Model {
        self.model
    }

    /// VTTBR of a core changes.
    pub fn enter(&mut self, core: usize, vmid: u16) {
        let keep_others = self.model.other_vmids;
        let pending = self.cores.iter_mut().flat_map(|core| &mut core.pending);
        for pending in pending {
            pending.spares.insert((core, vmid));
        }
        let core = &mut self.cores[core];
        core.current = vmid;
        core.visited.insert(vmid);
        if !keep_others {
            core.visited.retain(|other| *other == vmid);
            core.leftovers
                .retain(|entry| entry.translation.vmid == vmid);
            core.links.retain(|(_, link)| link.vmid == vmid);
        }
    }

    /// The VMID that a core's accesses go under.
    pub fn current(&self, core: usize) -> u16 {
        self.cores[core].current
    }

    /// The VMID that its invalidations are for.
    pub fn maintained(&self, core: usize) -> u16 {
        let core = &self.cores[core];
        core.borrowed.unwrap_or(core.current)
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
        let model = self.model;
        let kinds = [
            (Kind::Stage2, model.stage2),
            (Kind::Combined, model.combined),
        ];
        for core in 0..self.cores.len() {
            if !model.leftovers || !self.may_hold(core, translation.vmid) {
                continue;
            }
            for (kind, _) in kinds.into_iter().filter(|(_, kept)| *kept) {
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

    /// A table no longer stands where walkers came by it: whoever may go on with it does.
    pub fn unlink(&mut self, link: Link) {
        let keeps = self.model.leftovers && self.model.walk_caches;
        for core in 0..self.cores.len() {
            if keeps && self.may_hold(core, link.vmid) {
                self.cores[core].links.push((self.next_id, link));
                self.next_id += 1;
            }
        }
    }

    /// Links that walks of some core may still go by.
    pub fn links(&self) -> impl Iterator<Item = Link> {
        let links = self.cores.iter().flat_map(|core| &core.links);
        links.map(|(_, link)| *link)
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
        let vmid = self.maintained(core);
        let only = self.model.one_vmid.then_some(vmid);
        let local = op == Tlbi::Vmalle1;
        let mut drops = BTreeSet::new();
        for (number, other) in self.cores.iter().enumerate() {
            if !local || number == core {
                let covered = other
                    .leftovers
                    .iter()
                    .filter(|entry| other.drops(op, only, self.model.refill, entry));
                drops.extend(covered.map(|entry| entry.id));
                let links = other.links.iter();
                let covered = links.filter(|(_, link)| drops_link(op, only, link));
                drops.extend(covered.map(|(id, _)| id));
            }
        }
        if !local {
            drops.extend(self.in_flight.iter().map(|entry| entry.id));
        }
        let forgets = match op {
            Tlbi::Vmalls12e1is => only.map_or(Forgets::Everything, Forgets::Vmid),
            Tlbi::Alle1is => Forgets::Everything,
            _ => Forgets::Nothing,
        };
        let there = self.cores.iter().map(|core| core.current).enumerate();
        let pending = Pending {
            drops,
            forgets,
            spares: there.collect(),
            local,
        };
        if self.model.late_invalidation {
            self.cores[core].pending.push(pending);
        } else {
            self.finish(&pending);
        }
    }

    /// A core's `DSB ISH` completes what it has issued; `DSB NSH` (`local`) only what is local.
    pub fn complete(&mut self, core: usize, local: bool) {
        let (done, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.cores[core].pending)
            .into_iter()
            .partition(|pending| pending.local || !local);
        self.cores[core].pending = later;
        for pending in done {
            self.finish(&pending);
        }
    }

    fn finish(&mut self, done: &Pending) {
        self.in_flight
            .retain(|entry| !done.drops.contains(&entry.id));
        let Self {
            cores,
            in_flight,
            model,
            next_id,
        } = self;
        for (number, core) in cores.iter_mut().enumerate() {
            core.leftovers.retain(|entry| {
                let drop = done.drops.contains(&entry.id);
                if drop && model.late_stores && entry.translation.write {
                    in_flight.push(Leftover {
                        id: *next_id,
                        ..*entry
                    });
                    *next_id += 1;
                }
                !drop
            });
            core.links.retain(|(id, _)| !done.drops.contains(id));
            core.visited.retain(|vmid| {
                let forgets = match done.forgets {
                    Forgets::Nothing => false,
                    Forgets::Vmid(other) => other == *vmid,
                    Forgets::Everything => true,
                };
                !forgets || done.spares.contains(&(number, *vmid))
            });
        }
    }
}

impl Core {
    /// Does `op`, issued now for VMID `only`, or for all, drop this entry?
    fn drops(&self, op: Tlbi, only: Option<u16>, refill: bool, entry: &Leftover) -> bool {
        let this = &entry.translation;
        let vmid = only.unwrap_or(this.vmid);
        match (op, entry.kind) {
            (Tlbi::Alle1is, _) => true,
            (Tlbi::Ipas2e1is { ipa_page }, Kind::Stage2) => this.overlaps(vmid, ipa_page, 1),
            (Tlbi::Ripas2e1is { ipa_page, pages }, Kind::Stage2) => {
                this.overlaps(vmid, ipa_page, pages)
            }
            (Tlbi::Vmalls12e1is, _) => this.vmid == vmid,
            (Tlbi::Vmalle1is | Tlbi::Vmalle1, Kind::Combined) => {
                // Built again from the stage-2 entry, if that still stands.
                this.vmid == vmid && !(refill && self.has_stage2(this))
            }
            _ => false,
        }
    }

    fn has_stage2(&self, translation: &Translation) -> bool {
        let mut all = self.leftovers.iter();
        all.any(|other| other.kind == Kind::Stage2 && other.translation == *translation)
    }
}

/// Does `op`, issued for VMID `only`, or for all, drop this link?
fn drops_link(op: Tlbi, only: Option<u16>, link: &Link) -> bool {
    let vmid = only.unwrap_or(link.vmid);
    match op {
        Tlbi::Alle1is => true,
        Tlbi::Vmalls12e1is => link.vmid == vmid,
        Tlbi::Ipas2e1is { ipa_page } => link.overlaps(vmid, ipa_page, 1),
        Tlbi::Ripas2e1is { ipa_page, pages } => link.overlaps(vmid, ipa_page, pages),
        Tlbi::Vmalle1is | Tlbi::Vmalle1 => false,
    }
}

#[cfg(test)]
#[path = "tlb_tests.rs"]
mod tests;

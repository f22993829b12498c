//! Whom a change lets reach what: judged at the moment a table entry changes, a page is scrubbed, or a
//! store lands late.
//!
//! Invariants: a valid entry is replaced by way of an invalid one; nothing is mapped beside an older
//! translation of the same address, but one that agrees with it where sizes may change in place; a page that changes hands is out of its former owner's reach
//! before the next one's leaf is there.

use super::hardware::{Inner, Sim};
use super::tables::{Below, Descriptor, span};
use super::tlb::{Link, Translation};
use crate::platform::EntryAt;
use crate::vm::HOST_VMID;
use ownership::{Op, Pfn, State};
use percpu::CpuId;
use std::format;
use std::string::String;

impl Sim {
    /// Lets all stores in flight land now, as the erratum allows: in each page that an old
    /// translation led to.
    pub fn land_late_stores(&self) {
        let mut inner = self.inner();
        for entry in inner.tlb.land() {
            let this = entry.translation;
            for page in this.page..this.page + this.pages {
                if !self.ram.contains(page) {
                    continue;
                }
                if !self.is_allowed(this.vmid, page) {
                    let state = self.state(page);
                    inner.violation(format!(
                        "a late store under VMID {} landed in page {page:#x}, which is {state:?}",
                        this.vmid
                    ));
                }
            }
        }
    }

    /// The engine uses a page as a table: EL2 must reach it.
    pub(super) fn check_el2(&self, inner: &mut Inner, table: Pfn) {
        if !inner.el2.contains(&table.raw()) {
            inner.violation(format!(
                "EL2 used {:#x} as a table without having it",
                table.raw()
            ));
        }
    }

    /// After an entry changed: what walkers may see from now on, and what they may still see.
    pub(super) fn entry_changed(
        &self,
        inner: &mut Inner,
        cpu: CpuId,
        at: EntryAt,
        old: u64,
        new: u64,
    ) {
        if old == new {
            return;
        }
        let Some(place) = inner.walkers.place(at.table.raw()) else {
            return;
        };
        let Inner { tlb, walkers, .. } = inner;
        let is_live = |vmid| tlb.any_may_hold(vmid);
        let after = walkers.store(&self.ram, cpu.index(), at, old, new, is_live);
        // FEAT_BBM level 2: another size, the same translation of all that had one.
        let may_stand_beside =
            |old: &Translation, new: &Translation| self.features.resize_in_place && old.agrees(new);
        let was = Descriptor::read(old, place.level);
        let before = Below::entry(&self.ram, at.table.raw(), place, at.index, old);
        let pages = |leaves: &[Translation]| leaves.iter().map(|leaf| leaf.pages).sum::<u64>();
        let agree = pages(&before.leaves) <= pages(&after.leaves)
            && before.leaves.iter().all(|old| {
                let mut leaves = after.leaves.iter();
                leaves.all(|leaf| may_stand_beside(old, leaf))
            });
        let is_valid = was.is_valid() && Descriptor::read(new, place.level).is_valid();
        if is_valid && !(self.features.resize_in_place && agree) {
            inner.violation(format!(
                "a valid entry was replaced by another: {at:?} at {place:?}"
            ));
        }
        if Descriptor::read(new, place.level).is_valid() {
            let (ipa_page, pages) = (place.page_of(at.index), span(place.level));
            let meets = |link: &Link| link.overlaps(place.vmid, ipa_page, pages);
            let link = inner.tlb.links().find(meets);
            if let Some(link) = link {
                inner.violation(format!(
                    "{at:?} at {place:?} was written while walks may still go by {link:?}"
                ));
            }
        }
        for leaf in &after.leaves {
            let beside = inner
                .tlb
                .all_leftovers()
                .find(|(_, entry)| {
                    let old = &entry.translation;
                    old.overlaps(leaf.vmid, leaf.ipa_page, leaf.pages)
                        && !may_stand_beside(old, leaf)
                })
                .map(|(core, entry)| (core, *entry));
            let unseen = inner
                .walkers
                .unseen()
                .find(|old| {
                    old.overlaps(leaf.vmid, leaf.ipa_page, leaf.pages)
                        && !may_stand_beside(old, leaf)
                })
                .copied();
            if let Some(old) = unseen {
                inner.violation(format!(
                    "{leaf:?} was written while walkers may still find {old:?}"
                ));
            }
            if let Some((core, entry)) = beside {
                inner.violation(format!(
                    "{leaf:?} was written while core {core} keeps {entry:?}"
                ));
            }
            self.check_new_leaf(inner, leaf.vmid, leaf.page, leaf.pages);
        }
    }

    /// A page that changes hands must be out of its former owner's reach before the next one's leaf
    /// is there.
    fn check_new_leaf(&self, inner: &mut Inner, vmid: u16, page: u64, pages: u64) {
        let Some(State::Claimed {
            op: Op::VmMap | Op::HostFault,
            from,
            ..
        }) = self.state(page)
        else {
            return;
        };
        if matches!(from.state(), State::Shared { .. }) {
            return;
        }
        for page in page..page + pages {
            if let Some(who) = self.reached_by_other(inner, vmid, page) {
                inner.violation(format!(
                    "VMID {vmid} was given page {page:#x}, which {who} can still reach"
                ));
                return;
            }
        }
    }

    /// Who but `vmid` can reach a page, through the host's tables or any old translation?
    pub(super) fn reached_by_other(&self, inner: &Inner, vmid: u16, page: u64) -> Option<String> {
        if let Some((core, entry)) = inner
            .tlb
            .all_leftovers()
            .find(|(_, entry)| entry.translation.vmid != vmid && entry.translation.reaches(page))
        {
            return Some(format!("core {core} through {entry:?}"));
        }
        if let Some(entry) = inner
            .tlb
            .in_flight()
            .iter()
            .find(|entry| entry.translation.vmid != vmid && entry.translation.reaches(page))
        {
            return Some(format!("a store in flight through {entry:?}"));
        }
        let mut unseen = inner.walkers.unseen();
        if let Some(entry) = unseen.find(|entry| entry.vmid != vmid && entry.reaches(page)) {
            return Some(format!("a walker through {entry:?}"));
        }
        let walk = inner.walkers.walk(&self.ram, HOST_VMID, page);
        (vmid != HOST_VMID && walk.is_ok()).then(|| "the host through its tables".into())
    }
}

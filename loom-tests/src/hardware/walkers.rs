//! Tables as walkers find them, at any time between a store to an entry and a DSB of its core.
//!
//! Until then a walker may find what the entry said before or what it says now: a translation that
//! went away still leads there, one that is new may be missed, and a walk faults for nothing. A table
//! that was filled and not completed holds anything.
//!
//! Invariants, which panic where they break: a table is linked only when walkers must see what is in
//! it, and reused only when no change of a link to it is incomplete. What walk caches keep of it after that
//! the TLBs know. A VM that no core walks for has such old entries too: a core may enter it before the DSB.

use super::changes::{Change, Changes, Gone};
use crate::weakness::{Weakness, Without};
use engine::platform::EntryAt;
use engine::sim::tables::{Below, Descriptor, Entries, Place, span};
use engine::sim::tlb::Translation;
use engine::stage2::Geometry;
use engine::stage2::descriptor::{ENTRIES, LAST_LEVEL, ROOT_PAGE_ENTRIES};
use engine::vm::HOST_VMID;
use std::collections::{BTreeMap, BTreeSet};

/// What a change of an entry that stands in a tree took away, and what it leads to.
#[derive(Default)]
pub struct Changed {
    /// What is gone already: no walker may find it any more.
    pub gone: Gone,
    /// Leaves that are found from now on, and were not before.
    pub new: Vec<Translation>,
}

/// Where walks of an IPA page may end.
#[derive(Default)]
pub struct Found {
    /// Pages.
    pub pages: BTreeSet<u64>,
    /// What the entries say now may be missed. That what they said before may be missed is told
    /// nowhere: such a walk might have come later.
    pub missed: bool,
}

/// See the header.
pub struct Walkers {
    geometry: Geometry,
    /// Sizes may change without an invalid entry in between.
    resize_in_place: bool,
    without: Without,
    /// Roots of the VMIDs there are.
    roots: BTreeMap<u16, u64>,
    /// Nonzero entries, by table page and index.
    entries: BTreeMap<(u64, u16), u64>,
    unseen: Changes,
    /// Tables that stand nowhere yet, and the cores that have not completed what they put there.
    unfilled: BTreeMap<u64, BTreeSet<usize>>,
    /// Tables that were linked since they were cleared.
    linked: BTreeSet<u64>,
}

impl Walkers {
    /// The host's root and nothing below.
    pub fn new(geometry: Geometry, root: u64, resize_in_place: bool, without: Without) -> Self {
        Self {
            geometry,
            resize_in_place,
            without,
            roots: BTreeMap::from([(HOST_VMID, root)]),
            entries: BTreeMap::new(),
            unseen: Changes::default(),
            unfilled: BTreeMap::new(),
            linked: BTreeSet::new(),
        }
    }

    /// What an entry says.
    pub fn entry(&self, at: EntryAt) -> u64 {
        let at = (at.table.raw(), at.index);
        self.entries.get(&at).copied().unwrap_or(0)
    }

    /// Says where the tables of a VMID are, for which there are walks if it `is_walked`.
    pub fn know(&mut self, vmid: u16, root: u64, is_walked: bool) {
        self.assert_filled(root);
        let before = self.roots.insert(vmid, root);
        if before.is_some_and(|before| before != root) && !is_walked {
            self.unseen.forget(vmid);
        }
    }

    /// Do walks of this VMID start there?
    pub fn is_root(&self, vmid: u16, root: u64) -> bool {
        self.roots.get(&vmid) == Some(&root)
    }

    /// Root of a VMID.
    pub fn root(&self, vmid: u16) -> u64 {
        self.roots[&vmid]
    }

    /// The VMIDs there are, with their roots.
    pub fn roots(&self) -> impl Iterator<Item = (u16, u64)> {
        self.roots.iter().map(|(vmid, root)| (*vmid, *root))
    }

    /// The tree of a VMID below `root`, as its entries stand.
    pub fn tree(&self, vmid: u16, root: u64) -> Below {
        Below::root(self, self.geometry, vmid, root)
    }

    /// A table may be linked by this change of an entry, which is about to be: others find it, and
    /// fill it like any that stands.
    pub fn link(&mut self, at: EntryAt, new: u64) {
        let Some(place) = self.place(at.table.raw()) else {
            return;
        };
        for (table, _) in Below::entry(self, at.table.raw(), place, at.index, new).tables {
            self.assert_filled(table);
            self.linked.insert(table);
        }
    }

    /// Core `core` changes an entry; `is_walked` says for which VMIDs there are walks.
    pub fn change(
        &mut self,
        core: usize,
        at: EntryAt,
        new: u64,
        is_walked: impl Fn(u16) -> bool,
    ) -> Changed {
        let (old, table) = (self.entry(at), at.table.raw());
        let Some(place) = self.place(table) else {
            // Nobody looks before it is linked.
            if !self.linked.contains(&table) {
                self.fill(table, core);
            }
            self.entries.insert((table, at.index), new);
            return Changed::default();
        };
        let before = Below::entry(self, table, place, at.index, old);
        let after = Below::entry(self, table, place, at.index, new);
        let valid = |raw| Descriptor::read(raw, place.level).is_valid();
        let in_place = self.resize_in_place && is_same(&before, &after);
        assert!(
            !(valid(old) && valid(new)) || in_place,
            "{at:?} went from {old:#x} to {new:#x} at once"
        );
        self.entries.insert((table, at.index), new);
        let mut changed = Changed::default();
        if !in_place {
            changed.new = after.leaves;
        }
        let may_be_found = self.without.has(Weakness::FirstEntries) || is_walked(place.vmid);
        let reached = match may_be_found {
            true => Gone {
                links: before.links().collect(),
                leaves: before.leaves,
            },
            false => Gone::default(),
        };
        let is_late = match valid(old) {
            true => self.without.has(Weakness::StaleWalks) && may_be_found,
            false => self.without.has(Weakness::LateLinks) && valid(new),
        };
        if is_late {
            self.unseen.add(Change {
                core,
                at: (table, at.index),
                vmid: place.vmid,
                old,
                reached,
            });
        } else {
            changed.gone = reached;
        }
        changed
    }

    /// A table page that nobody can see is filled with zeroes.
    pub fn clear_table(&mut self, core: usize, table: u64, is_walked: impl Fn(u16) -> bool) {
        let place = self.place(table);
        let leads_there = |change: &Change| {
            let mut links = change.reached.links.iter();
            is_walked(change.vmid) && links.any(|link| link.table == table)
        };
        let may_be_in_it =
            place.is_some_and(|place| is_walked(place.vmid)) || self.unseen.iter().any(leads_there);
        assert!(
            !may_be_in_it,
            "table {table:#x} was cleared under the walkers"
        );
        // What was a root before is none any more.
        let unseen = &mut self.unseen;
        self.roots.retain(|vmid, root| {
            if *root == table && !is_walked(*vmid) {
                unseen.forget(*vmid);
            }
            *root != table
        });
        self.entries.retain(|(other, _), _| *other != table);
        self.unfilled.remove(&table);
        self.linked.remove(&table);
        self.fill(table, core);
    }

    fn fill(&mut self, table: u64, core: usize) {
        if self.without.has(Weakness::LateTables) {
            self.unfilled.entry(table).or_default().insert(core);
        }
    }

    fn assert_filled(&self, table: u64) {
        assert!(
            self.unfilled.get(&table).is_none_or(BTreeSet::is_empty),
            "table {table:#x} is linked, and walkers may find in it what its page held before"
        );
    }

    /// Does a DSB of `core` take anything away?
    pub fn has_to_complete(&self, core: usize) -> bool {
        self.unseen.has_to_complete(core)
    }

    /// A DSB of `core`; what no walker may find any more.
    pub fn complete(&mut self, core: usize) -> Gone {
        for cores in self.unfilled.values_mut() {
            cores.remove(&core);
        }
        self.unseen.complete(core)
    }

    /// Translations that are gone, and that walkers may still find.
    pub fn unseen(&self) -> impl Iterator<Item = Translation> {
        let all = self.unseen.iter();
        all.flat_map(|change| change.reached.leaves.iter().copied())
    }

    /// An entry that `core` changed, so that something is found by it, and that walkers need not see
    /// yet.
    pub fn unpublished(&self, core: usize) -> Option<(u64, u16)> {
        let mut stores = self.unseen.iter();
        let late = stores.find(|store| store.core == core && self.leads(store.at));
        late.map(|store| store.at)
    }

    fn leads(&self, at: (u64, u16)) -> bool {
        let raw = self.entries.get(&at).copied().unwrap_or(0);
        self.place(at.0)
            .is_some_and(|place| Descriptor::read(raw, place.level).is_valid())
    }

    /// Where walks of `ipa_page` may end, whichever changes they see.
    pub fn walk(&self, vmid: u16, ipa_page: u64) -> Found {
        let mut found = Found::default();
        self.walk_from(
            self.root(vmid),
            self.geometry.start_level,
            ipa_page,
            &mut found,
        );
        found
    }

    fn walk_from(&self, table: u64, level: u8, ipa_page: u64, found: &mut Found) {
        let entries = if level == self.geometry.start_level {
            ROOT_PAGE_ENTRIES
        } else {
            ENTRIES
        };
        let at = (table, (ipa_page / span(level) % entries) as u16);
        let now = self.entries.get(&at).copied().unwrap_or(0);
        let is_there = Descriptor::read(now, level).is_valid();
        let unseen = self
            .unseen
            .iter()
            .filter(|store| store.at == at)
            .map(|store| store.old);
        for raw in unseen.chain([now]) {
            match Descriptor::read(raw, level) {
                Descriptor::Invalid => found.missed |= is_there,
                Descriptor::Table(next) => self.walk_from(next, level + 1, ipa_page, found),
                Descriptor::Leaf { page, .. } => {
                    found.pages.insert(page + ipa_page % span(level));
                }
            }
        }
    }

    /// Does a table page stand in any tree?
    pub fn stands(&self, table: u64) -> bool {
        self.place(table).is_some()
    }

    /// Where a table page stands.
    pub fn place(&self, table: u64) -> Option<Place> {
        let level = self.geometry.start_level;
        self.roots.iter().find_map(|(vmid, root)| {
            let top = Place {
                vmid: *vmid,
                level,
                ipa_page: 0,
            };
            self.find(table, *root, top)
        })
    }

    /// The place of `table` at or below the table `from`, which stands at `place`.
    fn find(&self, table: u64, from: u64, place: Place) -> Option<Place> {
        if table == from {
            return Some(place);
        }
        if place.level == LAST_LEVEL {
            return None;
        }
        let mut entries = self.entries.range((from, 0)..=(from, u16::MAX));
        entries.find_map(
            |((_, index), raw)| match Descriptor::read(*raw, place.level) {
                Descriptor::Table(next) => {
                    let below = Place {
                        level: place.level + 1,
                        ipa_page: place.page_of(*index),
                        ..place
                    };
                    self.find(table, next, below)
                }
                _ => None,
            },
        )
    }
}

/// Do the two lead to the same pages from the same addresses, whatever the sizes?
fn is_same(before: &Below, after: &Below) -> bool {
    let pages = |below: &Below| -> BTreeSet<_> {
        let leaves = below.leaves.iter();
        leaves
            .flat_map(|leaf| {
                let single = |offset| (leaf.ipa_page + offset, leaf.page + offset, leaf.write);
                (0..leaf.pages).map(single)
            })
            .collect()
    };
    pages(before) == pages(after)
}

impl Entries for Walkers {
    fn each(&self, table: u64, mut visit: impl FnMut(u16, u64)) -> bool {
        let entries = self.entries.range((table, 0)..=(table, u16::MAX));
        for ((_, index), raw) in entries.filter(|(_, raw)| **raw != 0) {
            visit(*index, *raw);
        }
        true
    }
}

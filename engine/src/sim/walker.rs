//! Translation-table walkers: the memory of which table page stands where, and of the stores that
//! they may not have seen.
//!
//! Invariants: a store to a table entry may be unseen by walkers until its core's next DSB, and may
//! be seen at once; so what an entry said stays walkable until then, and is left over after.

use super::ram::Ram;
use super::tables::{Below, Descriptor, Place, span};
use super::tlb::{Link, Translation};
use crate::platform::EntryAt;
use crate::stage2::Geometry;
use crate::stage2::descriptor::{ENTRIES, ROOT_PAGE_ENTRIES};
use std::collections::BTreeMap;
use std::vec::Vec;

/// A store to a table entry that its core has not completed.
struct Unseen {
    cpu: usize,
    at: EntryAt,
    old: u64,
    /// What could be reached through the old value.
    reached: Vec<Translation>,
    /// How walks came to the tables under it.
    links: Vec<Link>,
}

/// Why a walk found nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Miss {
    /// Level of the entry that faulted.
    pub level: u8,
}

/// The walkers' knowledge of the tables.
pub struct Walkers {
    geometry: Geometry,
    places: BTreeMap<u64, Place>,
    roots: BTreeMap<u16, u64>,
    unseen: Vec<Unseen>,
}

impl Walkers {
    /// No tables yet.
    pub fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            places: BTreeMap::new(),
            roots: BTreeMap::new(),
            unseen: Vec::new(),
        }
    }

    /// The root that a VMID was last seen with.
    pub fn root(&self, vmid: u16) -> Option<u64> {
        self.roots.get(&vmid).copied()
    }

    /// Where a table page stands, if walkers may come by it.
    pub fn place(&self, table: u64) -> Option<Place> {
        self.places.get(&table).copied()
    }

    /// A VTTBR value is used: learns the tables below. Was it new?
    pub fn learn(&mut self, ram: &Ram, vmid: u16, root: u64) -> bool {
        let before = self.roots.insert(vmid, root);
        if before == Some(root) && self.places.contains_key(&root) {
            return false;
        }
        self.places.retain(|_, place| place.vmid != vmid);
        self.places
            .extend(Below::root(ram, self.geometry, vmid, root).tables);
        true
    }

    /// An entry changed from `old` to `new`. What the new value leads to.
    pub fn store(
        &mut self,
        ram: &Ram,
        cpu: usize,
        at: EntryAt,
        old: u64,
        new: u64,
        live: impl FnOnce(u16) -> bool,
    ) -> Below {
        let Some(place) = self.place(at.table.raw()) else {
            return Below::default();
        };
        let table = at.table.raw();
        let gone = Below::entry(ram, table, place, at.index, old);
        let after = Below::entry(ram, table, place, at.index, new);
        let still = |table: &u64| after.tables.iter().any(|(other, _)| other == table);
        if let Descriptor::Table(next) = Descriptor::read(old, place.level)
            && !still(&next)
        {
            for (table, _) in &gone.tables {
                self.places.remove(table);
            }
        }
        let before = if live(place.vmid) {
            gone
        } else {
            Below::default()
        };
        self.places.extend(after.tables.iter().copied());
        self.unseen.push(Unseen {
            cpu,
            at,
            old,
            links: before.links().collect(),
            reached: before.leaves,
        });
        after
    }

    /// Is a table page one that walkers may be in?
    pub fn may_walk(&self, table: u64) -> bool {
        self.places.contains_key(&table)
            || self
                .unseen
                .iter()
                .any(|store| store.links.iter().any(|link| link.table == table))
    }

    /// A table page is filled with zeroes: it stands nowhere any more.
    pub fn forget(&mut self, table: u64) {
        self.places.remove(&table);
        self.unseen.retain(|store| store.at.table.raw() != table);
    }

    /// A core's DSB: its stores are seen, and by coherence all older ones to the same entries. What
    /// could be reached before, and how walks went.
    pub fn complete(&mut self, cpu: usize) -> (Vec<Translation>, Vec<Link>) {
        let mut entries = Vec::new();
        let (mut seen, mut later) = (Vec::new(), Vec::new());
        while let Some(store) = self.unseen.pop() {
            if store.cpu == cpu {
                entries.push(store.at);
            }
            if entries.contains(&store.at) {
                seen.push(store)
            } else {
                later.push(store)
            }
        }
        later.reverse();
        self.unseen = later;
        let mut gone = (Vec::new(), Vec::new());
        for store in seen {
            gone.0.extend(store.reached);
            gone.1.extend(store.links);
        }
        gone
    }

    /// Old translations that walkers may still find.
    pub fn unseen(&self) -> impl Iterator<Item = &Translation> {
        self.unseen.iter().flat_map(|store| &store.reached)
    }

    /// Leaves in the tables that walkers need not see yet: no DSB came after the store.
    pub fn unpublished(&self, ram: &Ram) -> Vec<Translation> {
        let leaves = self.unseen.iter().flat_map(|store| {
            let table = store.at.table.raw();
            let below = self.place(table).map(|place| {
                let raw = ram.load(table, usize::from(store.at.index));
                Below::entry(ram, table, place, store.at.index, raw)
            });
            below.map_or(Vec::new(), |below| below.leaves)
        });
        leaves.collect()
    }

    /// Walks for an IPA page, seeing no store before it must.
    pub fn walk(&self, ram: &Ram, vmid: u16, ipa_page: u64) -> Result<(Descriptor, u8, u64), Miss> {
        let root = self.root(vmid).ok_or(Miss { level: 0 })?;
        if ipa_page >> (self.geometry.ipa_bits - 12) != 0 {
            return Err(Miss { level: 0 });
        }
        let mut level = self.geometry.start_level;
        let index = ipa_page / span(level);
        let mut at = (
            root + index / ROOT_PAGE_ENTRIES,
            (index % ROOT_PAGE_ENTRIES) as usize,
        );
        loop {
            let raw = self.value(ram, at.0, at.1);
            match Descriptor::read(raw, level) {
                Descriptor::Invalid => return Err(Miss { level }),
                Descriptor::Table(table) => {
                    level += 1;
                    at = (table, (ipa_page / span(level) % ENTRIES) as usize);
                }
                leaf @ Descriptor::Leaf { page, .. } => {
                    return Ok((leaf, level, page + ipa_page % span(level)));
                }
            }
        }
    }

    fn value(&self, ram: &Ram, table: u64, index: usize) -> u64 {
        let at =
            |store: &&Unseen| store.at.table.raw() == table && usize::from(store.at.index) == index;
        self.unseen
            .iter()
            .find(at)
            .map_or_else(|| ram.load(table, index), |store| store.old)
    }
}

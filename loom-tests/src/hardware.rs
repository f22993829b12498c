//! The machine's memory system as plain data: what walkers read, what TLBs keep, what pages hold.
//!
//! Weaker than any real one. Walkers may find what an entry said until a DSB of the core that
//! changed it; TLBs keep what went away as [`Tlb`] says, the same model as the simulated machine's.
//! An access may go by any of these: a load is told every page it could have come from, a store
//! lands in all of them.
//!
//! Invariants, which panic where they break: a live entry goes from valid to valid by way of invalid
//! only; a page that gets a leaf, or is zeroed, is in nobody else's reach by then.

use engine::platform::{Barrier, EntryAt, Tlbi};
use engine::sim::tables::{Below, Descriptor, Entries, Place, span};
use engine::sim::tlb::{Leftover, Tlb, Translation};
use engine::stage2::Geometry;
use engine::stage2::descriptor::{ENTRIES, LAST_LEVEL, ROOT_PAGE_ENTRIES};
use engine::vm::HOST_VMID;
use std::collections::{BTreeMap, BTreeSet};

/// A VMID that no VM has.
const NOBODY: u16 = u16::MAX;

/// A change of an entry that its core has not completed.
struct Unseen {
    core: usize,
    at: (u64, u16),
    old: u64,
    /// What the old value led to.
    reached: Vec<Translation>,
}

/// See the header.
pub struct Hardware {
    geometry: Geometry,
    tlb: Tlb,
    /// Roots of the VMIDs there are.
    roots: BTreeMap<u16, u64>,
    /// Pages that the host and a VM may both reach.
    both: BTreeSet<u64>,
    /// Nonzero entries, by table page and index.
    entries: BTreeMap<(u64, u16), u64>,
    unseen: Vec<Unseen>,
    /// Invalidations issued and not completed, by core.
    issued: Vec<usize>,
    /// The one word that stands for a page's content.
    contents: BTreeMap<u64, u64>,
}

impl Hardware {
    /// Cores that run the host, whose root is `root`.
    pub fn new(geometry: Geometry, root: u64, cores: usize, repeat_tlbi: bool) -> Self {
        Self {
            geometry,
            tlb: Tlb::new(cores, repeat_tlbi),
            roots: BTreeMap::from([(HOST_VMID, root)]),
            both: BTreeSet::new(),
            entries: BTreeMap::new(),
            unseen: Vec::new(),
            issued: vec![0; cores],
            contents: BTreeMap::new(),
        }
    }

    /// What an entry says.
    pub fn entry(&self, at: EntryAt) -> u64 {
        self.entries
            .get(&(at.table.raw(), at.index))
            .copied()
            .unwrap_or(0)
    }

    /// Core `core` changes an entry.
    pub fn change(&mut self, core: usize, at: EntryAt, new: u64) {
        let (old, table) = (self.entry(at), at.table.raw());
        // A table that stands nowhere yet is looked at when it is linked.
        if let Some(place) = self.place(table) {
            let valid = |raw| Descriptor::read(raw, place.level).is_valid();
            assert!(
                !(valid(old) && valid(new)),
                "{at:?} went from {old:#x} to {new:#x} at once"
            );
            let reached = Below::entry(self, table, place, at.index, old).leaves;
            if !reached.is_empty() && self.tlb.any_may_hold(place.vmid) {
                self.unseen.push(Unseen {
                    core,
                    at: (table, at.index),
                    old,
                    reached,
                });
            }
            for leaf in Below::entry(self, table, place, at.index, new).leaves {
                self.assert_first(&leaf);
                if !self.both.contains(&leaf.page) {
                    self.assert_unreached(&leaf, "was given a leaf");
                }
            }
        }
        self.entries.insert((table, at.index), new);
    }

    /// A table page that nobody can see is filled with zeroes.
    pub fn clear_table(&mut self, table: u64) {
        let place = self.place(table);
        assert!(
            place.is_none_or(|place| !self.tlb.any_may_hold(place.vmid)),
            "table {table:#x} was cleared under the walkers"
        );
        // What was a root before is none any more.
        self.roots.retain(|_, root| *root != table);
        self.entries.retain(|(other, _), _| *other != table);
    }

    /// Says where the tables of a VM are that no core has run yet.
    pub fn know(&mut self, vmid: u16, root: u64) {
        self.roots.insert(vmid, root);
    }

    /// From now on the host and a VM may both reach a page.
    pub fn allow_both(&mut self, page: u64) {
        self.both.insert(page);
    }

    /// Does this barrier of `core` complete anything?
    pub fn has_to_complete(&self, core: usize, barrier: Barrier) -> bool {
        let stores = self.unseen.iter().any(|store| store.core == core);
        match barrier {
            Barrier::DsbIsh => stores || self.issued[core] != 0,
            Barrier::DsbIshst => stores,
            Barrier::DsbNsh | Barrier::Isb => false,
        }
    }

    /// It does: the core's stores are seen by walkers, and after a DSB ISH its invalidations done.
    pub fn complete(&mut self, core: usize, barrier: Barrier) {
        let (seen, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unseen)
            .into_iter()
            .partition(|store| store.core == core);
        self.unseen = later;
        for gone in seen.into_iter().flat_map(|store| store.reached) {
            self.tlb.retire(gone);
        }
        if barrier == Barrier::DsbIsh {
            self.tlb.complete(core, false);
            self.issued[core] = 0;
        }
    }

    /// A core issues an invalidation.
    pub fn issue(&mut self, core: usize, op: Tlbi) {
        self.tlb.issue(core, op);
        self.issued[core] += 1;
    }

    /// Do walks of this VMID start there?
    pub fn is_root(&self, vmid: u16, root: u64) -> bool {
        self.roots.get(&vmid) == Some(&root)
    }

    /// A core's VTTBR changes, with walks.
    pub fn enter(&mut self, core: usize, vmid: u16, root: u64) {
        self.roots.insert(vmid, root);
        self.tlb.enter(core, vmid);
    }

    /// A core names another VMID for maintenance.
    pub fn borrow(&mut self, core: usize, vmid: u16, root: u64) -> Option<u16> {
        self.roots.insert(vmid, root);
        self.tlb.borrow(core, vmid)
    }

    /// It ends that.
    pub fn end_borrow(&mut self, core: usize, before: Option<u16>) {
        self.tlb.end_borrow(core, before);
    }

    /// Root of the host's tables.
    pub fn host_root(&self) -> u64 {
        self.roots[&HOST_VMID]
    }

    /// Zeroes a page through the engine's window; had it held anything else?
    pub fn zero(&mut self, page: u64) -> bool {
        let alone = Translation {
            vmid: NOBODY,
            ipa_page: 0,
            pages: 1,
            page,
            write: false,
            execute: false,
        };
        self.assert_unreached(&alone, "was scrubbed");
        self.contents.insert(page, 0) != Some(0)
    }

    /// What a page holds.
    pub fn content(&self, page: u64) -> u64 {
        self.contents.get(&page).copied().unwrap_or(0)
    }

    /// Loads, or with a value stores, at `ipa_page` on a core under its VMID: what it loaded by each
    /// translation that it could have used. Empty if it can only fault.
    pub fn access(&mut self, core: usize, ipa_page: u64, store: Option<u64>) -> Vec<u64> {
        let vmid = self.tlb.current(core);
        let leftovers = self
            .tlb
            .leftovers(core)
            .iter()
            .map(|entry| entry.translation);
        let old = leftovers.filter(|entry| entry.vmid == vmid);
        let mut pages: BTreeSet<u64> = old.filter_map(|entry| entry.target(ipa_page)).collect();
        self.walk(
            self.roots[&vmid],
            self.geometry.start_level,
            ipa_page,
            &mut pages,
        );
        if let Some(value) = store {
            for page in &pages {
                self.contents.insert(*page, value);
            }
        }
        pages.iter().map(|page| self.content(*page)).collect()
    }

    /// Where a walk of `ipa_page` may end, whichever changes it sees.
    fn walk(&self, table: u64, level: u8, ipa_page: u64, pages: &mut BTreeSet<u64>) {
        let entries = if level == self.geometry.start_level {
            ROOT_PAGE_ENTRIES
        } else {
            ENTRIES
        };
        let at = (table, (ipa_page / span(level) % entries) as u16);
        let now = self.entries.get(&at).copied();
        let unseen = self
            .unseen
            .iter()
            .filter(|store| store.at == at)
            .map(|store| store.old);
        for raw in unseen.chain(now) {
            match Descriptor::read(raw, level) {
                Descriptor::Invalid => {}
                Descriptor::Table(next) => self.walk(next, level + 1, ipa_page, pages),
                Descriptor::Leaf { page, .. } => {
                    pages.insert(page + ipa_page % span(level));
                }
            }
        }
    }

    /// Roots of the VMIDs that some core may walk.
    fn walked(&self) -> impl Iterator<Item = (u16, u64)> {
        let roots = self.roots.iter().map(|(vmid, root)| (*vmid, *root));
        roots.filter(|(vmid, _)| self.tlb.any_may_hold(*vmid))
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

    /// The tree of a VMID below `root`, as its entries stand.
    pub fn tree(&self, vmid: u16, root: u64) -> Below {
        Below::root(self, self.geometry, vmid, root)
    }

    /// What is left over in the TLBs, with the core's number.
    pub fn leftovers(&self) -> Vec<(usize, Leftover)> {
        let all = self.tlb.all_leftovers();
        all.map(|(core, entry)| (core, *entry)).collect()
    }

    /// Everything by which some core may still reach a page though the tables say otherwise.
    pub fn remains(&self) -> Vec<Translation> {
        let kept = self.tlb.all_leftovers().map(|(_, entry)| entry.translation);
        let in_flight = self.tlb.in_flight().iter().map(|entry| entry.translation);
        let unseen = self
            .unseen
            .iter()
            .flat_map(|store| store.reached.iter().copied());
        kept.chain(in_flight).chain(unseen).collect()
    }

    /// No core has an older translation of what the new leaf translates (Arm ARM D8.17.1,
    /// break-before-make).
    fn assert_first(&self, leaf: &Translation) {
        let mut old = self.remains().into_iter();
        let old = old.find(|old| old.overlaps(leaf.vmid, leaf.ipa_page, leaf.pages));
        assert!(
            old.is_none_or(|old| old == *leaf),
            "{leaf:x?} was written while {old:x?} is not gone"
        );
    }

    /// Nobody else reaches the pages of a leaf, by an old translation or by tables that a core may
    /// walk, so that it is theirs alone.
    fn assert_unreached(&self, leaf: &Translation, what: &str) {
        let leaves = self
            .walked()
            .flat_map(|(vmid, root)| self.tree(vmid, root).leaves);
        let mut all = self.remains().into_iter().chain(leaves);
        let meets = |other: &Translation| {
            other.page < leaf.page + leaf.pages && leaf.page < other.page + other.pages
        };
        let other = all.find(|other| other.vmid != leaf.vmid && meets(other));
        assert!(
            other.is_none(),
            "page {:#x} {what} while {other:x?} leads to it",
            leaf.page
        );
    }
}

impl Entries for Hardware {
    fn each(&self, table: u64, mut visit: impl FnMut(u16, u64)) -> bool {
        let entries = self.entries.range((table, 0)..=(table, u16::MAX));
        for ((_, index), raw) in entries.filter(|(_, raw)| **raw != 0) {
            visit(*index, *raw);
        }
        true
    }
}

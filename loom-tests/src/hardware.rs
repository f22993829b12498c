//! The machine's memory system as plain data: what walkers read, what TLBs keep, what pages hold.
//!
//! Weaker than any real one; each weakness has a name and can be left out ([`Weakness`]):
//!
//! - [`Walkers`] say what may be found in tables that are being changed;
//! - TLBs keep what went away as [`Tlb`] says, the same model as the simulated machine's: as stage-2
//!   and as combined entries. Stage 1 is the identity: a stage-1 entry by itself, or a stage-1 table
//!   read by its walker, is one more access through stage 2. Only whose stage-1 entries a core has is
//!   kept, since a vCPU must not go by another's;
//! - an invalidation drops what it covers when its issuer's DSB completes. One that takes effect
//!   sooner on some core takes possibilities away, and faults are no harm: so this is no stronger
//!   than one that takes effect on each core at a time of its own;
//! - an access that was translated and is not done is one that is made later by the same translation.
//!   Until the DSB that translation is still there, so such accesses are among those that are tried;
//! - an access goes by any of these: a load is told every value that it could have found, a store
//!   lands in every page that it could have gone to, and a fault is taken where there may be one.
//!   So a choice of the hardware's needs no branch of the search;
//! - with the erratum a store is always in flight through each entry that is dropped, and lands as
//!   late as it can: after the zeroes, if the page is zeroed before the second broadcast.
//!
//! Invariants, which panic where they break: those of [`Walkers`]; a page that gets a leaf, or is
//! zeroed, is in nobody else's reach by then; nobody can load what is another's secret; no store lands
//! in what is another's by its tables; a vCPU is on one core.

pub mod changes;
pub mod contents;
pub mod places;
mod rules;
pub mod walkers;

use crate::weakness::{Weakness, Without};
use changes::Gone;
use contents::{Contents, LATE};
use engine::platform::{Barrier, EntryAt, Tlbi};
use engine::sim::tables::{Below, Place};
use engine::sim::tlb::{Leftover, Tlb, Translation};
use engine::stage2::Geometry;
use engine::vm::HOST_VMID;
use places::Places;
use std::collections::{BTreeMap, BTreeSet};
use walkers::Walkers;

/// A VMID that no VM has.
const NOBODY: u16 = u16::MAX;

/// How an access may end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Values that it may have found, or that it left where it may have stored.
    pub values: Vec<u64>,
    /// It may fault, for nothing if there are values.
    pub fault: bool,
}

/// See the header.
pub struct Hardware {
    walkers: Walkers,
    tlb: Tlb,
    /// Invalidations issued and not completed, by core.
    issued: Vec<usize>,
    contents: Contents,
    places: Places,
}

impl Hardware {
    /// Cores that run the host, whose root is `root`, without these weaknesses. `repeat_tlbi`: they
    /// have the erratum; `resize_in_place`: they need no break-before-make for a change of size.
    pub fn new(
        without: Without,
        geometry: Geometry,
        root: u64,
        cores: usize,
        repeat_tlbi: bool,
        resize_in_place: bool,
    ) -> Self {
        Self {
            walkers: Walkers::new(geometry, root, resize_in_place, without),
            tlb: Tlb::of_model(cores, without.tlb(repeat_tlbi)),
            issued: vec![0; cores],
            contents: Contents::new(without.has(Weakness::Contents)),
            places: Places::new(cores, without.has(Weakness::Stage1)),
        }
    }

    /// What an entry says.
    pub fn entry(&self, at: EntryAt) -> u64 {
        self.walkers.entry(at)
    }

    /// An entry is about to be changed.
    pub fn link(&mut self, at: EntryAt, new: u64) {
        self.walkers.link(at, new);
    }

    /// Core `core` changes an entry.
    pub fn change(&mut self, core: usize, at: EntryAt, new: u64) {
        let tlb = &self.tlb;
        let changed = self
            .walkers
            .change(core, at, new, |vmid| tlb.any_may_hold(vmid));
        self.keep(changed.gone);
        self.assert_unlinked(at, new);
        for leaf in changed.new {
            self.assert_first(&leaf);
            for page in leaf.page..leaf.page + leaf.pages {
                self.contents.give(page, leaf.vmid);
            }
            if !self.contents.is_both(leaf.page) {
                self.assert_unreached(&leaf, &self.remains(), "was given a leaf");
            }
            self.assert_no_secrets(leaf.page, leaf.pages);
        }
    }

    /// A table page that nobody can see is filled with zeroes.
    pub fn clear_table(&mut self, core: usize, table: u64) {
        let tlb = &self.tlb;
        let link = tlb.links().find(|link| link.table == table);
        assert!(
            link.is_none(),
            "a table was cleared that walks may still go on in: {link:x?}"
        );
        self.walkers
            .clear_table(core, table, |vmid| tlb.any_may_hold(vmid));
    }

    /// What walkers find no more, TLBs may keep.
    fn keep(&mut self, gone: Gone) {
        for translation in gone.leaves {
            self.tlb.retire(translation);
        }
        for link in gone.links {
            self.tlb.unlink(link);
        }
    }

    /// Says where the tables of a new VM are, that no core has run yet.
    pub fn know(&mut self, vmid: u16, root: u64) {
        self.contents.begin(vmid);
        self.know_tables(vmid, root);
    }

    /// From now on the host and a VM may both reach a page.
    pub fn allow_both(&mut self, page: u64) {
        self.contents.allow_both(page);
    }

    /// Does this barrier of `core` complete anything that another notices? What only makes a walk
    /// find a new entry does not count: a walk that missed it might have come before the entry, and
    /// nothing else of the core's lies between that and its DSB.
    pub fn has_to_complete(&self, core: usize, barrier: Barrier) -> bool {
        match barrier {
            Barrier::DsbIsh => self.walkers.has_to_complete(core) || self.issued[core] != 0,
            Barrier::DsbIshst => self.walkers.has_to_complete(core),
            Barrier::DsbNsh | Barrier::Isb => false,
        }
    }

    /// A barrier: after a DSB the core's stores are seen by walkers, after DSB ISH its invalidations
    /// are done.
    pub fn complete(&mut self, core: usize, barrier: Barrier) {
        if matches!(barrier, Barrier::DsbNsh | Barrier::Isb) {
            return;
        }
        let gone = self.walkers.complete(core);
        self.keep(gone);
        if barrier == Barrier::DsbIsh {
            self.tlb.complete(core, false);
            self.places.complete(core);
            self.issued[core] = 0;
        }
    }

    /// A core issues an invalidation.
    pub fn issue(&mut self, core: usize, op: Tlbi) {
        self.places.issue(core, self.tlb.maintained(core), op);
        self.tlb.issue(core, op);
        self.issued[core] += 1;
    }

    /// Do invalidations not wait for a DSB? One weakness less.
    pub fn invalidates_at_once(&self) -> bool {
        !self.tlb.model().late_invalidation
    }

    /// Do walks of this VMID start there?
    pub fn is_root(&self, vmid: u16, root: u64) -> bool {
        self.walkers.is_root(vmid, root)
    }

    /// A core's VTTBR changes, with walks.
    pub fn enter(&mut self, core: usize, vmid: u16, root: u64) {
        let is_first = !self.tlb.any_may_hold(vmid);
        self.know_tables(vmid, root);
        self.tlb.enter(core, vmid);
        if is_first {
            self.assert_first_entry(vmid);
        }
    }

    fn know_tables(&mut self, vmid: u16, root: u64) {
        self.walkers.know(vmid, root, self.tlb.any_may_hold(vmid));
    }

    /// A core, under its VMID by now, goes on with the vCPU of this affinity.
    pub fn run(&mut self, core: usize, affinity: u64) {
        let vmid = self.tlb.current(core);
        let vcpu = (self.contents.life(vmid), affinity);
        self.places.enter(core, vmid, vcpu);
    }

    /// A core is done with guests.
    pub fn leave(&mut self, core: usize) {
        self.places.leave(core);
        self.enter(core, HOST_VMID, self.host_root());
    }

    /// A core drops its own stage-1 translations of a VMID.
    pub fn forget_stage1(&mut self, core: usize, vmid: u16) {
        self.places.forget(core, vmid);
    }

    /// I8: no core is inside the VM of this VMID, which is taken apart.
    pub fn assert_left(&self, vmid: u16) {
        self.places.assert_left(self.contents.life(vmid));
    }

    /// A core names another VMID for maintenance.
    pub fn borrow(&mut self, core: usize, vmid: u16, root: u64) -> Option<u16> {
        self.know_tables(vmid, root);
        self.tlb.borrow(core, vmid)
    }

    /// It ends that.
    pub fn end_borrow(&mut self, core: usize, before: Option<u16>) {
        self.tlb.end_borrow(core, before);
    }

    /// Root of the host's tables.
    pub fn host_root(&self) -> u64 {
        self.walkers.root(HOST_VMID)
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
        let ways: Vec<_> = self.old_ways().collect();
        self.assert_unreached(&alone, &ways, "was scrubbed");
        let was_nonzero = self.contents.zero(page);
        let mut late = self.tlb.in_flight().iter().map(|entry| entry.translation);
        if let Some(late) = late.find(|late| late.reaches(page)) {
            self.contents.store(page, late.vmid, LATE, &[]);
        }
        was_nonzero
    }

    /// What a page holds.
    pub fn content(&self, page: u64) -> u64 {
        self.contents.value(page)
    }

    /// Loads, or with a value stores, at `ipa_page` on a core under its VMID.
    pub fn access(&mut self, core: usize, ipa_page: u64, store: Option<u64>) -> Outcome {
        let vmid = self.tlb.current(core);
        let mut found = self.walkers.walk(vmid, ipa_page);
        let old = self.tlb.leftovers(core).iter();
        let old = old
            .map(|entry| entry.translation)
            .filter(|entry| entry.vmid == vmid);
        found
            .pages
            .extend(old.filter_map(|entry| entry.target(ipa_page)));
        if let Some(value) = store {
            for page in &found.pages {
                self.store(*page, vmid, value);
            }
        }
        let load = |page: &u64| {
            self.assert_known(vmid, *page);
            self.content(*page)
        };
        Outcome {
            values: found.pages.iter().map(load).collect(),
            fault: found.missed || found.pages.is_empty(),
        }
    }

    fn store(&mut self, page: u64, vmid: u16, value: u64) {
        let mapped: BTreeSet<u16> = self.leaves_to(page).map(|leaf| leaf.vmid).collect();
        let both = self.contents.is_both(page);
        let other = mapped.iter().find(|other| **other != vmid);
        assert!(
            both || mapped.contains(&vmid) || other.is_none(),
            "a store of VMID {vmid} landed in page {page:#x}, which is VMID {other:?}'s"
        );
        let others: Vec<u16> = mapped.into_iter().filter(|_| both).collect();
        self.contents.store(page, vmid, value, &others);
        self.assert_no_secrets(page, 1);
    }

    /// Does a table page stand in any tree?
    pub fn stands(&self, table: u64) -> bool {
        self.walkers.stands(table)
    }

    /// Where a table page stands.
    pub fn place(&self, table: u64) -> Option<Place> {
        self.walkers.place(table)
    }

    /// What is left over in the TLBs, with the core's number.
    pub fn leftovers(&self) -> Vec<(usize, Leftover)> {
        let all = self.tlb.all_leftovers();
        all.map(|(core, entry)| (core, *entry)).collect()
    }

    /// The tree of a VMID below `root`, as its entries stand.
    pub fn tree(&self, vmid: u16, root: u64) -> Below {
        self.walkers.tree(vmid, root)
    }

    /// An entry that `core` made valid, and that walkers need not see yet.
    pub fn unpublished(&self, core: usize) -> Option<(u64, u16)> {
        self.walkers.unpublished(core)
    }

    /// Everything by which some core may still load from a page, or store to it, though the tables
    /// say otherwise.
    fn old_ways(&self) -> impl Iterator<Item = Translation> {
        let kept = self.tlb.all_leftovers().map(|(_, entry)| entry.translation);
        let unseen = self.walkers.unseen();
        kept.chain(unseen.filter(|old| self.tlb.any_may_hold(old.vmid)))
    }

    /// The same, and stores in flight.
    pub fn remains(&self) -> Vec<Translation> {
        let in_flight = self.tlb.in_flight().iter().map(|entry| entry.translation);
        self.old_ways().chain(in_flight).collect()
    }

    /// Leaves to a page in tables that some core may walk.
    fn leaves_to(&self, page: u64) -> impl Iterator<Item = Translation> {
        self.walked().filter(move |leaf| leaf.reaches(page))
    }

    /// All leaves of VMs, walked or not.
    pub fn vms_leaves(&self) -> impl Iterator<Item = Translation> {
        let roots = self.walkers.roots().filter(|(vmid, _)| *vmid != HOST_VMID);
        roots.flat_map(|(vmid, root)| self.tree(vmid, root).leaves)
    }

    /// What pages hold that hold something.
    pub fn contents(&self) -> BTreeMap<u64, u64> {
        self.contents.values()
    }

    /// I3, when all is quiet: tables that stand nowhere are free, and no walk goes on in one.
    pub fn assert_all_unlinked(&self) {
        let link = self.tlb.links().next();
        assert!(link.is_none(), "I3: walks may still go by {link:x?}");
    }

    /// I8, when all is quiet.
    pub fn assert_all_left(&self) {
        self.places.assert_all_left();
    }

    fn walked(&self) -> impl Iterator<Item = Translation> {
        let roots = self.walkers.roots();
        roots
            .filter(|(vmid, _)| self.tlb.any_may_hold(*vmid))
            .flat_map(|(vmid, root)| self.tree(vmid, root).leaves)
    }
}

//! What must hold of the hardware, whatever the engine does: who reaches a page, and who finds what there.
//!
//! Invariant: a rule looks at everything by which a core may go at that moment, not at what cores happen
//! to do; so nobody has to make the access that would show it.

use super::Hardware;
use engine::platform::EntryAt;
use engine::sim::tables::{Descriptor, span};
use engine::sim::tlb::Translation;
use std::collections::BTreeSet;

/// What the owner of a page writes there for nobody else.
const SECRET: u64 = 0x5ec7;

impl Hardware {
    /// I4 and I5, when all is quiet: `readers` and nobody else may know what is in a page. Of what is
    /// there now the readers are told nothing that was another's secret; a new secret of theirs is
    /// found by no other, in any way there is.
    pub fn assert_private(&mut self, page: u64, readers: &[u16]) {
        for vmid in readers {
            let secret = self.contents.secret_from(*vmid, page);
            assert!(
                secret.is_none(),
                "I4: VMID {vmid} has page {page:#x} with {secret:x?}, which nobody told it"
            );
        }
        let Some((first, others)) = readers.split_first() else {
            return;
        };
        let before = self.contents.take(page);
        self.contents.store(page, *first, SECRET, others);
        let ways = self.remains().into_iter().chain(self.walked());
        for way in ways.filter(|way| way.reaches(page)) {
            let secret = self.contents.secret_from(way.vmid, page);
            assert!(
                secret.is_none(),
                "I5: {way:x?} leads to {secret:x?} in page {page:#x}"
            );
        }
        self.contents.put_back(page, before);
    }

    /// No core has an older translation of what the new leaf translates (Arm ARM D8.17.1,
    /// break-before-make).
    pub(super) fn assert_first(&self, leaf: &Translation) {
        let mut old = self.remains().into_iter();
        let old = old.find(|old| old.overlaps(leaf.vmid, leaf.ipa_page, leaf.pages));
        assert!(
            old.is_none_or(|old| old == *leaf),
            "{leaf:x?} was written while {old:x?} is not gone"
        );
    }

    /// No walk goes by a link to a table that stood in the place of this entry, or above it.
    pub(super) fn assert_unlinked(&self, at: EntryAt, new: u64) {
        let Some(place) = self.walkers.place(at.table.raw()) else {
            return;
        };
        if !Descriptor::read(new, place.level).is_valid() {
            return;
        }
        let (ipa_page, pages) = (place.page_of(at.index), span(place.level));
        let mut links = self.tlb.links();
        let link = links.find(|link| link.overlaps(place.vmid, ipa_page, pages));
        assert!(
            link.is_none(),
            "{at:x?} was written while walks may still go by {link:x?}"
        );
    }

    /// A VM that nobody walked for is entered: what its tables said before, and a walk may find, is
    /// nobody else's by now.
    pub(super) fn assert_first_entry(&self, vmid: u16) {
        let found = self.walkers.unseen().filter(|old| old.vmid == vmid);
        for old in found.filter(|old| !self.contents.is_both(old.page)) {
            self.assert_unreached(&old, &[], "may be found by a first walk");
        }
    }

    /// Nobody else reaches the pages of a leaf, by one of these old ways or by tables that a core may
    /// walk, so that it is theirs alone.
    pub(super) fn assert_unreached(&self, leaf: &Translation, old: &[Translation], what: &str) {
        let meets = |other: &Translation| {
            other.page < leaf.page + leaf.pages && leaf.page < other.page + other.pages
        };
        let mut all = old.iter().copied().chain(self.walked());
        let other = all.find(|other| other.vmid != leaf.vmid && meets(other));
        assert!(
            other.is_none(),
            "page {:#x} {what} while {other:x?} leads to it",
            leaf.page
        );
    }

    /// Nobody could load a secret of another's from these pages just now, in any way there is.
    pub(super) fn assert_no_secrets(&self, first: u64, pages: u64) {
        let all = self.old_ways().chain(self.walked());
        let meets = |way: &Translation| way.page < first + pages && first < way.page + way.pages;
        let ways: BTreeSet<(u16, u64)> = all
            .filter(meets)
            .flat_map(|way| (way.page..way.page + way.pages).map(move |page| (way.vmid, page)))
            .collect();
        for (vmid, page) in ways {
            self.assert_known(vmid, page);
        }
    }

    pub(super) fn assert_known(&self, vmid: u16, page: u64) {
        if self.contents.is_both(page) {
            return;
        }
        let secret = self.contents.secret_from(vmid, page);
        assert!(
            secret.is_none(),
            "VMID {vmid} can load {secret:x?} from page {page:#x}, which nobody told it"
        );
    }
}

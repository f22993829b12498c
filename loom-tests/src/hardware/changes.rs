//! Changes of table entries that their cores have not completed: until a DSB of the core a walker may go
//! by what the entry said before.
//!
//! Invariant: in the order in which they were made; by coherence a DSB completes also all older changes
//! of the same entries, whoever made them.

use engine::sim::tlb::{Link, Translation};
use std::collections::BTreeSet;

/// Table page and index of an entry.
pub type Entry = (u64, u16);

/// What no walker may find any more.
#[derive(Default)]
pub struct Gone {
    /// Translations.
    pub leaves: Vec<Translation>,
    /// How walks came to tables.
    pub links: Vec<Link>,
}

impl Gone {
    /// Nothing at all.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty() && self.links.is_empty()
    }
}

/// One of them.
pub struct Change {
    /// Who made it.
    pub core: usize,
    /// Which entry.
    pub at: Entry,
    /// In whose tables.
    pub vmid: u16,
    /// What it said before.
    pub old: u64,
    /// What that led to.
    pub reached: Gone,
}

/// All of them.
#[derive(Default)]
pub struct Changes(Vec<Change>);

impl Changes {
    /// One more.
    pub fn add(&mut self, change: Change) {
        self.0.push(change);
    }

    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        self.0.iter()
    }

    /// Nobody walks these tables any more: what led there leads nowhere.
    pub fn forget(&mut self, vmid: u16) {
        self.0.retain(|change| change.vmid != vmid);
    }

    /// Does a DSB of `core` take anything away?
    pub fn has_to_complete(&self, core: usize) -> bool {
        self.0.iter().enumerate().any(|(number, change)| {
            let mut later = self.0[number..].iter();
            let is_done = later.any(|later| later.at == change.at && later.core == core);
            is_done && !change.reached.is_empty()
        })
    }

    /// A DSB of `core`.
    pub fn complete(&mut self, core: usize) -> Gone {
        // From the back: what is older goes with what is newer.
        let mut entries = BTreeSet::new();
        let (mut done, mut later) = (Vec::new(), Vec::new());
        while let Some(change) = self.0.pop() {
            if change.core == core {
                entries.insert(change.at);
            }
            match entries.contains(&change.at) {
                true => done.push(change.reached),
                false => later.push(change),
            }
        }
        later.reverse();
        self.0 = later;
        let mut gone = Gone::default();
        for mut reached in done.into_iter().rev() {
            gone.leaves.append(&mut reached.leaves);
            gone.links.append(&mut reached.links);
        }
        gone
    }
}

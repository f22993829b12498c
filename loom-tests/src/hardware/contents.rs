//! What pages hold: one value each, and who may know it.
//!
//! A value is known to whoever wrote it. The host gives what it has by letting a page be mapped; what
//! a VM wrote is another's only where it shares the page. So a secret in wrong hands is a value that
//! somebody can load and was not told, whatever the words and tables say.
//!
//! Invariants: zero is no secret; a slot's next VM is somebody else than its last; a page that two may
//! reach is looked at when no call is under way, since only then it is plain who these are.

use engine::vm::HOST_VMID;
use std::collections::{BTreeMap, BTreeSet};

/// What a store that was in flight for too long leaves behind.
pub const LATE: u64 = 0x1a7e;

/// What a page holds.
pub struct Content {
    value: u64,
    writer: u64,
    known_to: BTreeSet<u64>,
}

/// See the header.
pub struct Contents {
    pages: BTreeMap<u64, Content>,
    /// Which of all VMs there ever were lives under a VMID; 0 is the host.
    lives: BTreeMap<u16, u64>,
    last_life: u64,
    /// Pages that the host and a VM may both reach.
    both: BTreeSet<u64>,
    /// Pages hold values at all.
    kept: bool,
}

impl Contents {
    /// All pages hold zero.
    pub fn new(kept: bool) -> Self {
        Self {
            pages: BTreeMap::new(),
            lives: BTreeMap::from([(HOST_VMID, 0)]),
            last_life: 0,
            both: BTreeSet::new(),
            kept,
        }
    }

    /// A VM begins under a VMID.
    pub fn begin(&mut self, vmid: u16) {
        self.last_life += 1;
        self.lives.insert(vmid, self.last_life);
    }

    /// Who lives under a VMID: nobody before its VM is there.
    pub fn life(&self, vmid: u16) -> u64 {
        self.lives.get(&vmid).copied().unwrap_or(u64::MAX)
    }

    /// From now on the host and a VM may both reach a page.
    pub fn allow_both(&mut self, page: u64) {
        self.both.insert(page);
    }

    /// May they?
    pub fn is_both(&self, page: u64) -> bool {
        self.both.contains(&page)
    }

    /// A page's value.
    pub fn value(&self, page: u64) -> u64 {
        self.pages.get(&page).map_or(0, |content| content.value)
    }

    /// The party of `vmid` stores; who else has the page mapped sees it too.
    pub fn store(&mut self, page: u64, vmid: u16, value: u64, others: &[u16]) {
        if !self.kept {
            return;
        }
        let writer = self.life(vmid);
        let others = others.iter().map(|other| self.life(*other));
        let known_to = others.chain([writer]).collect();
        let content = Content {
            value,
            writer,
            known_to,
        };
        self.pages.insert(page, content);
    }

    /// The engine fills a page with zeroes. Had it held anything else?
    pub fn zero(&mut self, page: u64) -> bool {
        self.pages
            .remove(&page)
            .is_some_and(|content| content.value != 0)
    }

    /// A page is mapped for the party of `vmid`: what the host had in it was given with it.
    pub fn give(&mut self, page: u64, vmid: u16) {
        let (life, host) = (self.life(vmid), self.life(HOST_VMID));
        let both = self.is_both(page);
        if let Some(content) = self.pages.get_mut(&page)
            && (content.writer == host || both)
        {
            content.known_to.insert(life);
        }
    }

    /// Values of the pages that hold something.
    pub fn values(&self) -> BTreeMap<u64, u64> {
        let held = self.pages.iter().filter(|(_, content)| content.value != 0);
        held.map(|(page, content)| (*page, content.value)).collect()
    }

    /// Takes out what a page holds.
    pub fn take(&mut self, page: u64) -> Option<Content> {
        self.pages.remove(&page)
    }

    /// Puts it back.
    pub fn put_back(&mut self, page: u64, content: Option<Content>) {
        self.pages.remove(&page);
        self.pages.extend(content.map(|content| (page, content)));
    }

    /// The value of a page, if it is a secret of somebody else than the party of `vmid`.
    pub fn secret_from(&self, vmid: u16, page: u64) -> Option<u64> {
        let content = self.pages.get(&page)?;
        let known = content.value == 0 || content.known_to.contains(&self.life(vmid));
        (!known).then_some(content.value)
    }
}

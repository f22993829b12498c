//! One translation, of whatever size, as a TLB keeps it or a leaf makes it; and one link of a walk.
//!
//! Invariant: a translation's pages follow each other in both address spaces.

/// A translation of a run of IPA pages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Translation {
    /// Whose.
    pub vmid: u16,
    /// First IPA page.
    pub ipa_page: u64,
    /// Number of pages.
    pub pages: u64,
    /// First physical page.
    pub page: u64,
    /// Stores are allowed.
    pub write: bool,
    /// Fetches are allowed.
    pub execute: bool,
}

impl Translation {
    /// The physical page of an IPA page, if this translates it.
    pub fn target(&self, ipa_page: u64) -> Option<u64> {
        let offset = ipa_page.checked_sub(self.ipa_page)?;
        (offset < self.pages).then(|| self.page + offset)
    }

    /// Does it lead to this physical page?
    pub fn reaches(&self, page: u64) -> bool {
        page.checked_sub(self.page)
            .is_some_and(|offset| offset < self.pages)
    }

    /// Do the two translate alike what both translate, in entries of whatever size?
    pub fn agrees(&self, other: &Self) -> bool {
        let offset = |this: &Self| this.page.wrapping_sub(this.ipa_page);
        let rights = |this: &Self| (this.vmid, this.write, this.execute);
        offset(self) == offset(other) && rights(self) == rights(other)
    }

    /// Have the two an IPA page in common?
    pub fn overlaps(&self, vmid: u16, ipa_page: u64, pages: u64) -> bool {
        self.vmid == vmid && meet((self.ipa_page, self.pages), (ipa_page, pages))
    }
}

/// The table that a walk goes on in for a run of IPA pages, as walk caches keep it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Link {
    /// Whose.
    pub vmid: u16,
    /// First IPA page.
    pub ipa_page: u64,
    /// Number of pages.
    pub pages: u64,
    /// The table's page.
    pub table: u64,
}

impl Link {
    /// Have the two an IPA page in common?
    pub fn overlaps(&self, vmid: u16, ipa_page: u64, pages: u64) -> bool {
        self.vmid == vmid && meet((self.ipa_page, self.pages), (ipa_page, pages))
    }
}

/// Have two runs of pages, each by its first and their number, one in common?
fn meet(this: (u64, u64), other: (u64, u64)) -> bool {
    this.0 < other.0.saturating_add(other.1) && other.0 < this.0 + this.1
}

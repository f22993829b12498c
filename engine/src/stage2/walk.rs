//! Finding the entry that translates an IPA.
//!
//! Invariants: the walk is a loop over at most four levels; it follows only table descriptors, and
//! tables are freed only when nobody can walk them, so the page it reads is a table. A VM's tables go
//! when it is dying, past its last pin. A table of the host's goes when its area becomes one block,
//! by a core that holds the claims of *all* its pages: whoever walks the host's tables to a page of
//! RAM holds a claim of that page.

use super::descriptor::{
    ENTRIES, Entry, PAGE_SHIFT, ROOT_PAGE_ENTRIES, pages_of, shift_of, table_of,
};
use super::{MapError, Stage2, ipa_after};
use crate::platform::{EntryAt, Platform};
use ownership::{Ipa, Pfn};
use percpu::CpuId;

/// Where a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The entry.
    pub at: EntryAt,
    /// Its level.
    pub level: u8,
    /// What it says.
    pub entry: Entry,
    /// Its raw value, for compare-exchange.
    pub raw: u64,
}

impl Found {
    /// The page that a leaf found for `ipa` names, if a leaf was found.
    pub fn page(&self, ipa: Ipa) -> Option<Pfn> {
        let Entry::Leaf { base, .. } = self.entry else {
            return None;
        };
        let within = (ipa.raw() >> PAGE_SHIFT) & (pages_of(self.level) - 1);
        Some(Pfn::from_raw(base.raw() + within))
    }
}

impl Stage2 {
    /// The entry of `ipa` in the table at `table`, which is of `level`.
    #[inline]
    pub(super) fn place(self, table: Pfn, level: u8, ipa: Ipa) -> EntryAt {
        let index = ipa.raw() >> shift_of(level);
        if level == self.geometry().start_level {
            // A concatenated root: the index's upper bits choose the page.
            let page = Pfn::from_raw(table.raw() + index / ROOT_PAGE_ENTRIES);
            return EntryAt {
                table: page,
                index: (index % ROOT_PAGE_ENTRIES) as u16,
            };
        }
        EntryAt {
            table,
            index: (index % ENTRIES) as u16,
        }
    }

    /// Follows tables towards `ipa` down to `depth` at most; the first entry that is not a table, or
    /// the one at `depth`, is the answer.
    #[inline]
    pub fn walk<P: Platform>(
        self,
        platform: &P,
        cpu: CpuId,
        ipa: Ipa,
        depth: u8,
    ) -> Result<Found, MapError> {
        if !self.geometry().contains(ipa) {
            return Err(MapError::OutOfRange);
        }
        let mut level = self.geometry().start_level;
        let mut at = self.place(self.root(), level, ipa);
        loop {
            let raw = platform.entry(cpu, at);
            if level < depth
                && let Some(table) = table_of(raw, level)
            {
                level += 1;
                at = self.place(table, level, ipa);
                continue;
            }
            return Ok(Found {
                at,
                level,
                entry: Entry::decode(raw, level),
                raw,
            });
        }
    }

    /// The entry behind `at` in the same table of `level`, if there is one.
    pub(super) fn next_in_table(self, at: EntryAt, level: u8) -> Option<EntryAt> {
        let entries = if level == self.geometry().start_level {
            ROOT_PAGE_ENTRIES
        } else {
            ENTRIES
        };
        let index = at.index + 1;
        (u64::from(index) < entries).then_some(EntryAt { index, ..at })
    }

    /// Visits the entries where walks down to `depth` end for `n` pages from `ipa` on, in order, each
    /// with the first page of the run that it translates, counted from the run's start.
    pub fn for_entries<P: Platform>(
        self,
        platform: &P,
        cpu: CpuId,
        ipa: Ipa,
        n: u64,
        depth: u8,
        mut visit: impl FnMut(&Found, u64),
    ) {
        let mut done = 0;
        let mut last: Option<Found> = None;
        while done < n {
            let beside = last.and_then(|last: Found| {
                let at = self.next_in_table(last.at, last.level)?;
                let raw = platform.entry(cpu, at);
                let entry = Entry::decode(raw, last.level);
                // A table leads further down.
                let ends = last.level == depth || !matches!(entry, Entry::Table(_));
                ends.then_some(Found {
                    at,
                    level: last.level,
                    entry,
                    raw,
                })
            });
            let Some(here) = ipa_after(ipa, done) else {
                return;
            };
            let found = match beside {
                Some(found) => found,
                None => match self.walk(platform, cpu, here, depth) {
                    Ok(found) => found,
                    Err(_) => return,
                },
            };
            visit(&found, done);
            let span = pages_of(found.level);
            done += span - (here.page() & (span - 1));
            last = Some(found);
        }
    }
}

//! Finding the entry that translates an IPA.
//!
//! Invariants: the walk is a loop over at most four levels; it follows only table descriptors, and
//! tables are freed only when nobody can walk them (a dying VM past its last pin; host tables
//! never), so the page it reads is a table.

use super::descriptor::{Entry, LAST_LEVEL, PAGE_SHIFT};
use super::{MapError, Stage2};
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
        let within = (ipa.raw() >> PAGE_SHIFT) & (super::descriptor::pages_of(self.level) - 1);
        Some(Pfn::from_raw(base.raw() + within))
    }
}

impl Stage2 {
    /// The entry of `ipa` in the table at `table`, which is of `level`.
    pub(super) fn place(self, table: Pfn, level: u8, ipa: Ipa) -> EntryAt {
        let shift = PAGE_SHIFT + 9 * u32::from(LAST_LEVEL - level);
        let index = ipa.raw() >> shift;
        if level == self.geometry().start_level {
            // A concatenated root: the index's upper bits choose the page.
            let page = Pfn::from_raw(table.raw() + index / 512);
            return EntryAt {
                table: page,
                index: (index % 512) as u16,
            };
        }
        EntryAt {
            table,
            index: (index % 512) as u16,
        }
    }

    /// Follows tables towards `ipa` down to `depth` at most; the first entry that is not a table, or
    /// the one at `depth`, is the answer.
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
        let mut table = self.root();
        let mut level = self.geometry().start_level;
        loop {
            let at = self.place(table, level, ipa);
            let raw = platform.entry(cpu, at);
            let entry = Entry::decode(raw, level);
            match entry {
                Entry::Table(next) if level < depth => {
                    table = next;
                    level += 1;
                }
                _ => {
                    return Ok(Found {
                        at,
                        level,
                        entry,
                        raw,
                    });
                }
            }
        }
    }
}

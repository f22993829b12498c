//! Finding the entry that translates an IPA.
//!
//! Invariants: the walk is a loop over at most four levels; it follows only table descriptors, and
//! tables are freed only when nobody can walk them, so the page it reads is a table. A VM's tables go
//! when it is dying, past its last pin. A table of the host's goes when its area becomes one block,
//! by a core that holds the claims of *all* its pages: whoever walks the host's tables to a page of
//! RAM, or goes on in one that was walked to, holds a claim of a page that it translates.

use super::descriptor::{ENTRIES, Entry, PAGE_SHIFT, ROOT_PAGE_ENTRIES, pages_of, table_of};
use super::{MapError, Stage2, ipa_after};
use crate::platform::{EntryAt, Platform};
use ownership::{FAN_OUT_SHIFT, Ipa, Pfn};
use percpu::CpuId;

/// Where a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The entry.
    pub at: EntryAt,
    /// Its level.
    pub level: u8,
    /// Its raw value, for compare-exchange.
    pub raw: u64,
}

impl Found {
    /// What the entry says.
    #[inline]
    pub fn entry(&self) -> Entry {
        Entry::decode(self.raw, self.level)
    }

    /// The page that a leaf found for `ipa` names, if a leaf was found.
    pub fn page(&self, ipa: Ipa) -> Option<Pfn> {
        let Entry::Leaf { base, .. } = self.entry() else {
            return None;
        };
        let within = (ipa.raw() >> PAGE_SHIFT) & (pages_of(self.level) - 1);
        Some(Pfn::from_raw(base.raw() + within))
    }
}

impl Stage2 {
    /// The entry of `ipa` in the root, whose pages the upper bits of the index choose (concatenation).
    #[inline]
    fn place_in_root(self, ipa: Ipa) -> EntryAt {
        let index = ipa
            .raw()
            .wrapping_shr(u32::from(self.geometry().root_shift));
        EntryAt {
            table: self.root().after(index / ROOT_PAGE_ENTRIES),
            index: (index % ROOT_PAGE_ENTRIES) as u16,
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
        let mut at = self.place_in_root(ipa);
        // What of the address is still to be translated, at the top: no shift by a number of its own per level.
        let root_shift = u32::from(self.geometry().root_shift);
        let mut rest = ipa.raw().wrapping_shl(u64::BITS.wrapping_sub(root_shift));
        loop {
            let raw = platform.entry(cpu, at);
            if level < depth
                && let Some(table) = table_of(raw, level)
            {
                // Of at most `depth`: it does not wrap.
                level = level.wrapping_add(1);
                let index = (rest >> (u64::BITS - FAN_OUT_SHIFT)) as u16;
                rest <<= FAN_OUT_SHIFT;
                at = EntryAt { table, index };
                continue;
            }
            return Ok(Found { at, level, raw });
        }
    }

    /// The entry behind `at` in the same table of `level`, if there is one.
    #[inline]
    pub fn next_in_table(self, at: EntryAt, level: u8) -> Option<EntryAt> {
        let entries = if level == self.geometry().start_level {
            ROOT_PAGE_ENTRIES
        } else {
            ENTRIES
        };
        let index = at.index.wrapping_add(1);
        (u64::from(index) < entries).then_some(EntryAt { index, ..at })
    }

    /// The entry behind `last`, which is a page's, in its table, if there is one. Whoever walked to `last` may still rely on
    /// its table.
    #[inline]
    pub fn beside<P: Platform>(self, platform: &P, cpu: CpuId, last: &Found) -> Option<Found> {
        let at = self.next_in_table(last.at, last.level)?;
        let raw = platform.entry(cpu, at);
        Some(Found { at, raw, ..*last })
    }

    /// The entry for the page at `ipa`, if it is in the same table as `near`, which is that for the page at `near_ipa`.
    #[inline]
    pub fn near(near: EntryAt, near_ipa: Ipa, ipa: Ipa) -> Option<EntryAt> {
        ((near_ipa.page() ^ ipa.page()) < ENTRIES).then_some(EntryAt {
            index: (ipa.page() % ENTRIES) as u16,
            ..near
        })
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
        let mut done = 0u64;
        while done < n {
            let Some(here) = ipa_after(ipa, done) else {
                return;
            };
            let Ok(mut found) = self.walk(platform, cpu, here, depth) else {
                return;
            };
            visit(&found, done);
            let span = pages_of(found.level);
            done = done.wrapping_add(span.wrapping_sub(here.page() & (span - 1)));
            // All of a table without another walk.
            let ends = found.level == depth;
            while done < n
                && let Some(at) = self.next_in_table(found.at, found.level)
            {
                let raw = platform.entry(cpu, at);
                if !ends && table_of(raw, found.level).is_some() {
                    break;
                }
                found = Found { at, raw, ..found };
                visit(&found, done);
                done = done.wrapping_add(span);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::Geometry;
    use super::super::descriptor::{Access, LAST_LEVEL, LeafBits, Memory, table_descriptor};
    use super::*;

    const TABLE: Pfn = Pfn::from_raw(0x9_0000);

    /// Eight pages of root, of level 1.
    fn stage2() -> Stage2 {
        Stage2::new(TABLE, 1, Geometry::for_pa_bits(42))
    }

    fn at(table: u64, index: u16) -> EntryAt {
        let table = TABLE.after(table);
        EntryAt { table, index }
    }

    #[test]
    fn a_leaf_names_the_page_of_each_address_below_it() {
        let bits = LeafBits::new(Memory::Normal, Access::ALL, false);
        let base = Pfn::from_raw(0x8_0000);
        let ipa = Ipa::from_raw(0x1_4567_8abc);
        for (level, within) in [(3, 0), (2, 0x78), (1, 0x5678)] {
            let raw = bits.leaf(base, level);
            let found = Found {
                at: at(0, 0),
                level,
                raw,
            };
            let page = found.page(ipa).unwrap();
            assert_eq!(page.checked_since(base), Some(within), "{level}");
        }
        let raw = table_descriptor(TABLE);
        let table = Found {
            at: at(0, 0),
            level: 2,
            raw,
        };
        assert_eq!(table.page(ipa), None);
    }

    #[test]
    fn a_root_of_several_pages_is_one_table() {
        let place = |gib: u64| stage2().place_in_root(Ipa::from_raw((gib << 30) + 0x1234_5678));
        assert_eq!((place(0), place(511)), (at(0, 0), at(0, 511)));
        assert_eq!((place(512), place(4095)), (at(1, 0), at(7, 511)));
    }

    #[test]
    fn an_entry_has_a_next_one_up_to_the_end_of_its_page() {
        for level in 1..=LAST_LEVEL {
            let next = |index| stage2().next_in_table(at(5, index), level);
            assert_eq!((next(0), next(510)), (Some(at(5, 1)), Some(at(5, 511))));
            assert_eq!(next(511), None);
        }
    }

    #[test]
    fn pages_of_one_table_are_near_each_other() {
        let page = |page: u64| Ipa::from_page(page).unwrap();
        let near = |from, to| Stage2::near(at(3, 7), page(from), page(to));
        assert_eq!(near(0x407, 0x400), Some(at(3, 0)));
        assert_eq!(near(0x407, 0x5ff), Some(at(3, 0x1ff)));
        assert_eq!((near(0x407, 0x600), near(0x407, 0x3ff)), (None, None));
        // The same place of the next table.
        assert_eq!(near(0x407, 0x607), None);
        assert_eq!(near(0x407, 0x4_0407), None);
    }
}

//! Translation tables as hardware reads them: an own reading of the descriptor bits (Arm ARM D8.3),
//! so that a mistake in the engine's is seen, over anything that has entries.
//!
//! Invariant: nothing here knows the engine's marks; an invalid entry that is not zero is listed as
//! one, whatever it means.

use super::tlb::{Link, Translation};
use crate::stage2::Geometry;
use crate::stage2::descriptor::ROOT_PAGE_ENTRIES;
use ownership::FAN_OUT_SHIFT;
use std::vec::Vec;

/// Where table entries are.
pub trait Entries {
    /// Shows index and value of each nonzero entry of a table page, in order. `false` if there can be
    /// no table.
    fn each(&self, table: u64, visit: impl FnMut(u16, u64)) -> bool;
}

/// A descriptor, as a walker reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Descriptor {
    /// The access faults.
    Invalid,
    /// The next table's page.
    Table(u64),
    /// A block or page.
    Leaf {
        /// First physical page.
        page: u64,
        /// Loads are allowed.
        read: bool,
        /// Stores are allowed.
        write: bool,
        /// Fetches are allowed.
        execute: bool,
    },
}

/// Pages under one entry of a level.
pub const fn span(level: u8) -> u64 {
    1 << (FAN_OUT_SHIFT * (3 - level as u32))
}

impl Descriptor {
    /// Reads the descriptor `raw` of a table of `level`.
    pub fn read(raw: u64, level: u8) -> Self {
        let page = raw >> 12 & 0xf_ffff_ffff;
        match (raw & 0b11, level) {
            (0b11, 0..=2) => Self::Table(page),
            (0b11, 3) | (0b01, 1 | 2) if raw >> 10 & 1 == 1 => Self::Leaf {
                page: page & !(span(level) - 1),
                read: raw >> 6 & 1 == 1,
                write: raw >> 7 & 1 == 1,
                execute: raw >> 53 & 0b11 == 0,
            },
            _ => Self::Invalid,
        }
    }

    /// Does it lead anywhere?
    pub fn is_valid(self) -> bool {
        self != Self::Invalid
    }
}

/// Where a table page stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// In whose tables.
    pub vmid: u16,
    /// At which level.
    pub level: u8,
    /// IPA page of its first entry.
    pub ipa_page: u64,
}

impl Place {
    /// The IPA page that an entry of the table begins with.
    pub fn page_of(self, index: u16) -> u64 {
        self.ipa_page + u64::from(index) * span(self.level)
    }

    /// The link of a walk to this `table`, which stands here and is no root.
    pub fn link_to(self, table: u64) -> Link {
        Link {
            vmid: self.vmid,
            ipa_page: self.ipa_page,
            pages: span(self.level) << FAN_OUT_SHIFT,
            table,
        }
    }
}

/// All that is found below one entry, or one root.
#[derive(Default, Debug)]
pub struct Below {
    /// Leaves.
    pub leaves: Vec<Translation>,
    /// Table pages with their places, the root first.
    pub tables: Vec<(u64, Place)>,
    /// Entries that lead nowhere and are not zero: table page and index.
    pub marks: Vec<(u64, u16)>,
}

impl Below {
    /// How walks come to the tables that were found, of which none is a root.
    pub fn links(&self) -> impl Iterator<Item = Link> {
        let tables = self.tables.iter();
        tables.map(|(table, place)| place.link_to(*table))
    }

    /// What the value `raw` of the entry `index` of `table`, which stands at `place`, leads to.
    pub fn entry(entries: &impl Entries, table: u64, place: Place, index: u16, raw: u64) -> Self {
        let mut below = Self::default();
        below.add(entries, table, place, index, raw);
        below
    }

    /// Everything in the tables of one root.
    pub fn root(entries: &impl Entries, geometry: Geometry, vmid: u16, root: u64) -> Self {
        let mut below = Self::default();
        for page in 0..u64::from(geometry.root_pages) {
            let level = geometry.start_level;
            let place = Place {
                vmid,
                level,
                ipa_page: page * ROOT_PAGE_ENTRIES * span(level),
            };
            below.add_table(entries, root + page, place);
        }
        below
    }

    fn add(&mut self, entries: &impl Entries, table: u64, place: Place, index: u16, raw: u64) {
        let (level, ipa_page) = (place.level, place.page_of(index));
        match Descriptor::read(raw, level) {
            Descriptor::Invalid if raw == 0 => {}
            Descriptor::Invalid => self.marks.push((table, index)),
            Descriptor::Leaf {
                page,
                write,
                execute,
                ..
            } => self.leaves.push(Translation {
                vmid: place.vmid,
                ipa_page,
                pages: span(level),
                page,
                write,
                execute,
            }),
            Descriptor::Table(next) => {
                let place = Place {
                    level: level + 1,
                    ipa_page,
                    ..place
                };
                self.add_table(entries, next, place);
            }
        }
    }

    fn add_table(&mut self, entries: &impl Entries, table: u64, place: Place) {
        // A table that contains itself is for the checker to find.
        if self.tables.len() > 1 << 16 {
            return;
        }
        let known = self.tables.len();
        self.tables.push((table, place));
        let is_table = entries.each(table, |index, raw| {
            self.add(entries, table, place, index, raw);
        });
        if !is_table {
            self.tables.truncate(known);
        }
    }
}

//! A page of 512 entries, and where such pages come from.

use core::sync::atomic::AtomicU64;

use super::descriptor::{self, Entry};

/// A translation table. All zero: nothing is mapped.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Table([AtomicU64; 512]);

impl Table {
    /// A table that maps nothing.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }

    /// Its physical address, which is its virtual one.
    pub fn pa(&'static self) -> u64 {
        core::ptr::from_ref(self).addr() as u64
    }

    /// The entry for `va` if this is a table of `level`.
    pub fn entry(&'static self, va: u64, level: u32) -> &'static AtomicU64 {
        &self.0[descriptor::index(va, level)]
    }

    /// All entries.
    pub fn entries(&'static self) -> &'static [AtomicU64; 512] {
        &self.0
    }

    /// The table that `entry`, a value read from this address space's tables above level 3, leads
    /// to.
    pub fn below(entry: u64) -> Below {
        match descriptor::read(entry) {
            Entry::Invalid => Below::Nothing,
            Entry::Block => Below::Block,
            // SAFETY: only `descriptor::table(t.pa())` of a `&'static Table` is ever stored as a
            // table descriptor in this crate; tables are never freed and VA == PA.
            Entry::Table(pa) => Below::Table(unsafe { &*(pa as usize as *const Table) }),
        }
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

/// What lies below an entry of level 0, 1 or 2.
pub enum Below {
    /// Nothing is mapped there.
    Nothing,
    /// A block is.
    Block,
    /// One more table.
    Table(&'static Table),
}

/// Where pages for new tables come from.
pub trait TableSource {
    /// A table of zeroes that nobody else has, at VA == PA.
    fn take_table(&mut self) -> Option<&'static Table>;

    /// Takes back a table that was not needed. It is still all zeroes.
    fn give_back_table(&mut self, table: &'static Table);
}

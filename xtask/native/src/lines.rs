//! Which core's cache holds which line, and when one has to travel: a model of coherence without capacity, order or
//! distance.
//!
//! A line is held by one core that may write it, or by any number that read it. A read needs it held at all, a write
//! (a failed compare-exchange included) needs it held by nobody else; a core that has not what it needs makes the line
//! travel once. What no core held before comes from memory, which is counted apart.
//!
//! Invariant: deterministic: the same accesses in the same order give the same counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Bytes of a line, as on every core that the engine meets.
pub const LINE: usize = 64;

/// What an access needs of its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// To have it.
    Read,
    /// To have it alone.
    Write,
}

/// The caches of all cores.
#[derive(Clone, Debug)]
pub struct Caches<P> {
    /// Who holds a line; more than one only read it.
    holders: HashMap<usize, BTreeSet<u16>>,
    /// How often a line travelled, by what is to be known of the access.
    travelled: BTreeMap<P, u64>,
    fetched: u64,
}

impl<P> Default for Caches<P> {
    fn default() -> Self {
        Self {
            holders: HashMap::new(),
            travelled: BTreeMap::new(),
            fetched: 0,
        }
    }
}

impl<P: Ord> Caches<P> {
    /// Core `core` accesses what lies at `address`, at a place of the program's.
    pub fn access(&mut self, core: u16, address: usize, access: Access, place: P) {
        let holders = self.holders.entry(address / LINE).or_default();
        if holders.is_empty() {
            self.fetched += 1;
        }
        let others = holders.len() - usize::from(holders.contains(&core));
        let has_all = match access {
            Access::Read => holders.contains(&core) || others == 0,
            Access::Write => others == 0,
        };
        if !has_all {
            *self.travelled.entry(place).or_default() += 1;
        }
        if access == Access::Write {
            holders.clear();
        }
        holders.insert(core);
    }

    /// Counts from 0 on, with all lines where they are.
    pub fn forget_counts(&mut self) {
        self.travelled.clear();
        self.fetched = 0;
    }

    /// How often a line travelled between cores.
    pub fn travelled(&self) -> u64 {
        self.travelled.values().sum()
    }

    /// The same by place.
    pub fn by_place(&self) -> &BTreeMap<P, u64> {
        &self.travelled
    }

    /// How often a line came from memory.
    pub fn fetched(&self) -> u64 {
        self.fetched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Access::{Read, Write};

    /// How often lines travelled after each of these accesses.
    fn travelled(accesses: &[(u16, usize, Access)]) -> Vec<u64> {
        let mut caches = Caches::default();
        let counts = accesses.iter().map(|&(core, address, access)| {
            caches.access(core, address, access, ());
            caches.travelled()
        });
        counts.collect()
    }

    #[test]
    fn a_core_s_own_line_stays() {
        let accesses = [
            (0, 0, Read),
            (0, 8, Write),
            (0, 63, Read),
            (1, 64, Write),
            (0, 0, Write),
        ];
        assert_eq!(travelled(&accesses), [0; 5]);
    }

    #[test]
    fn readers_share_and_a_writer_takes_it_from_all() {
        let accesses = [
            (0, 0, Write),
            (1, 0, Read),
            (2, 8, Read),
            (1, 0, Read),
            (0, 0, Read),
        ];
        assert_eq!(travelled(&accesses), [0, 1, 2, 2, 2]);
        let accesses = [
            (0, 0, Read),
            (1, 0, Read),
            (1, 0, Write),
            (1, 0, Write),
            (0, 0, Read),
        ];
        assert_eq!(travelled(&accesses), [0, 1, 2, 2, 3]);
    }

    #[test]
    fn words_of_one_line_travel_together() {
        assert_eq!(
            travelled(&[(0, 0, Write), (1, 56, Write), (0, 0, Write)]),
            [0, 1, 2]
        );
    }

    #[test]
    fn what_comes_from_memory_does_not_travel() {
        let mut caches = Caches::default();
        caches.access(3, 640, Read, "a");
        assert_eq!((caches.travelled(), caches.fetched()), (0, 1));
        caches.access(4, 650, Write, "b");
        assert_eq!((caches.by_place()[&"b"], caches.fetched()), (1, 1));
        caches.forget_counts();
        assert_eq!((caches.travelled(), caches.fetched()), (0, 0));
        caches.access(4, 650, Write, "b");
        assert_eq!(caches.travelled(), 0);
    }
}

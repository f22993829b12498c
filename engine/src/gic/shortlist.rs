//! The most urgent of many interrupts: as many as there are list registers at most.
//!
//! Invariant: the list is ordered, without gaps, and holds the most urgent of all that were
//! offered; `left_out` says whether any was turned away.

use super::lr::{Group, MAX_LIST_REGISTERS, Trigger};

/// An interrupt that wants a list register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub intid: u16,
    /// Its priority: the lower, the more urgent.
    pub priority: u8,
    /// Its group.
    pub group: Group,
    /// What made it pending.
    pub trigger: Trigger,
    /// Whether the guest has its group switched off: then all others go first, or it could fill
    /// the list registers and keep out what the guest would take.
    pub blocked: bool,
}

impl Candidate {
    fn order(&self) -> (bool, u8, u16) {
        (self.blocked, self.priority, self.intid)
    }
}

/// The most urgent candidates.
pub struct Shortlist {
    entries: [Option<Candidate>; MAX_LIST_REGISTERS],
    room: usize,
    /// Whether one was turned away.
    pub left_out: bool,
}

impl Shortlist {
    /// An empty list with room for this many.
    pub const fn new(room: usize) -> Self {
        Self {
            entries: [None; MAX_LIST_REGISTERS],
            room,
            left_out: false,
        }
    }

    /// Takes the candidate in if it is urgent enough, for the least urgent one if need be.
    pub fn offer(&mut self, candidate: Candidate) {
        let mut carried = candidate;
        for entry in self.entries.iter_mut().take(self.room) {
            match entry {
                None => {
                    *entry = Some(carried);
                    return;
                }
                Some(held) if carried.order() < held.order() => core::mem::swap(held, &mut carried),
                Some(_) => {}
            }
        }
        self.left_out = true;
    }

    /// How many it holds.
    pub fn len(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    /// The candidates, the most urgent first.
    pub fn iter(&self) -> impl Iterator<Item = Candidate> + '_ {
        self.entries.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(intid: u16, priority: u8) -> Candidate {
        Candidate {
            intid,
            priority,
            group: Group::One,
            trigger: Trigger::Edge,
            blocked: priority == 0,
        }
    }

    #[test]
    fn the_most_urgent_stay_in_order() {
        let mut list = Shortlist::new(3);
        for (intid, priority) in [(40, 8), (41, 2), (42, 9), (43, 2), (44, 1)] {
            list.offer(candidate(intid, priority));
        }
        assert!(list.iter().map(|entry| entry.intid).eq([44, 41, 43]));
        assert!(list.left_out && list.len() == 3);
    }

    #[test]
    fn a_blocked_one_goes_last() {
        let mut list = Shortlist::new(2);
        list.offer(candidate(40, 0));
        list.offer(candidate(41, 200));
        assert!(list.iter().map(|entry| entry.intid).eq([41, 40]));
        assert!(!list.left_out);
    }

    #[test]
    fn no_room_turns_all_away() {
        let mut list = Shortlist::new(0);
        list.offer(candidate(40, 1));
        assert!(list.left_out && list.len() == 0);
    }
}

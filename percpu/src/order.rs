//! The order in which a CPU plays its vCPUs: first come, first served, then round and round.
//!
//! Invariants: private to its CPU; a slot is in it at most once, so it can't overflow. That a slot
//! is in it is only a hint: the vCPU's residency says whether it may run here.

use crate::queue::MAX_VCPUS;
use crate::ring::Ring;
use bitvec::array::BitArray;

/// vCPU slots in the order of play.
#[derive(Debug, Default)]
pub struct Order {
    queue: Ring<u16, MAX_VCPUS>,
    members: BitArray<[u64; MAX_VCPUS / 64]>,
}

impl Order {
    /// Puts a slot last; `false` if it is in already or there is no such slot.
    pub fn push_back(&mut self, slot: u16) -> bool {
        let Some(mut member) = self.members.get_mut(usize::from(slot)) else {
            return false;
        };
        if *member || !self.queue.push_back(slot) {
            return false;
        }
        *member = true;
        true
    }

    /// Takes the slot whose turn it is.
    pub fn pop_front(&mut self) -> Option<u16> {
        let slot = self.queue.pop_front()?;
        if let Some(mut member) = self.members.get_mut(usize::from(slot)) {
            *member = false;
        }
        Some(slot)
    }

    /// Is the slot in it?
    pub fn contains(&self, slot: u16) -> bool {
        self.members
            .get(usize::from(slot))
            .is_some_and(|member| *member)
    }

    /// Number of slots in it.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Is no slot in it?
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served_and_once() {
        let mut order = Order::default();
        assert!(order.is_empty());
        assert!(order.push_back(9) && order.push_back(3));
        assert!(!order.push_back(9) && !order.is_empty());
        assert_eq!(order.pop_front(), Some(9));
        assert!(!order.contains(9) && order.contains(3));
        assert!(order.push_back(9));
        assert_eq!(
            (order.pop_front(), order.pop_front(), order.pop_front()),
            (Some(3), Some(9), None)
        );
    }

    #[test]
    fn every_slot_fits() {
        let mut order = Order::default();
        for slot in 0..MAX_VCPUS as u16 {
            assert!(order.push_back(slot));
        }
        assert!(!order.push_back(MAX_VCPUS as u16));
        assert_eq!(order.len(), MAX_VCPUS);
    }
}

//! A vCPU's content together with its residency.
//!
//! Invariant: the content is reached through a ticket of its own residency, which exists once and is
//! borrowed exclusively meanwhile; so accesses never overlap, and each sees what the one before did.

use crate::residency::{Residency, RunTicket};
use sync::UnsafeCell;

/// A slot's residency and the content that it guards.
#[derive(Debug)]
pub struct Resident<T> {
    residency: Residency,
    content: UnsafeCell<T>,
}

// SAFETY: shared access to a `Resident` gives access to its residency, which is atomic, and through
// a ticket to the content, one thread at a time; `T: Send` because the threads change.
unsafe impl<T: Send> Sync for Resident<T> {}

impl<T> Resident<T> {
    /// A free slot.
    pub fn new(content: T) -> Self {
        Self {
            residency: Residency::default(),
            content: UnsafeCell::new(content),
        }
    }

    /// Where its vCPU is.
    pub fn residency(&self) -> &Residency {
        &self.residency
    }

    /// Lends the content to the ticket's holder; `None` if it is another slot's ticket.
    pub fn with<R>(&self, ticket: &mut RunTicket<'_>, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        if !ticket.is_of(&self.residency) {
            return None;
        }
        Some(self.content.with_mut(|content| {
            // SAFETY: the ticket is this residency's and mutably borrowed until `f` is done;
            // `hold_as` makes one at a time, and acquires what the holder before it released.
            f(unsafe { &mut *content })
        }))
    }
}

impl<T: Default> Default for Resident<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::cpu::CpuId;

    #[test]
    fn a_ticket_opens_its_own_slot_alone() {
        let cpu = CpuId::new(0).unwrap();
        let (one, other) = (Resident::new(1), Resident::new(2));
        let mut ticket = one.residency().allocate(cpu).unwrap();
        assert_eq!(
            one.with(&mut ticket, |content| core::mem::replace(content, 7)),
            Some(1)
        );
        assert_eq!(other.with(&mut ticket, |content| *content), None);
        ticket.park();
    }
}

//! INTIDs 0 to 31 of one vCPU: SGIs, which are edge-triggered, and PPIs, which are
//! level-triggered, both unchangeably.
//!
//! Who may write: any core makes interrupts pending; any vCPU of the same VM writes what the
//! redistributor frames let it write; only the runner moves interrupts into and out of list
//! registers, and drives the lines. Every field is an atomic and every operation one
//! read-modify-write, so that no two of these lose each other's bits.
//!
//! What is in the list registers of a running vCPU is not here. Its own accesses to its frames
//! come after `drain` and see all; another vCPU's access sees and changes what is here, and what
//! the guest has already been shown stays with it until it is taken.

use super::intid::PrivateId;
use super::lr::{Group, PRIORITY_MASK, Trigger};
use super::sgi::Scope;
use sync::{AtomicU8, AtomicU32, Ordering, unless};

/// SGIs.
const SGIS: u32 = 0x0000_FFFF;
/// Groups after reset: all Group 1, as guests without Group 0 handling expect.
const RESET_GROUP: u32 = u32::MAX;

/// A line's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It asks for an interrupt.
    High,
    /// It does not.
    Low,
}

/// The private interrupts of one vCPU.
pub struct Private {
    /// Made pending: SGIs sent, and PPIs set by `GICR_ISPENDR0`.
    pending: AtomicU32,
    /// Enabled.
    enabled: AtomicU32,
    /// Active and in no list register.
    active: AtomicU32,
    /// Group 1.
    group: AtomicU32,
    /// Lines of PPIs that are high.
    lines: AtomicU32,
    /// Priorities.
    priority: [AtomicU8; 32],
}

impl Private {
    /// The state after reset.
    pub fn new() -> Self {
        Self {
            pending: AtomicU32::new(0),
            enabled: AtomicU32::new(SGIS),
            active: AtomicU32::new(0),
            group: AtomicU32::new(RESET_GROUP),
            lines: AtomicU32::new(0),
            priority: core::array::from_fn(|_| AtomicU8::new(0)),
        }
    }

    /// Back to the state after reset. The caller alone reaches the vCPU, and what makes it
    /// reachable for others publishes these stores.
    pub fn reset(&self) {
        // Relaxed, all of them: see above.
        self.pending.store(0, Ordering::Relaxed);
        self.enabled.store(SGIS, Ordering::Relaxed);
        self.active.store(0, Ordering::Relaxed);
        self.group.store(RESET_GROUP, Ordering::Relaxed);
        self.lines.store(0, Ordering::Relaxed);
        for priority in &self.priority {
            // Relaxed: see above.
            priority.store(0, Ordering::Relaxed);
        }
    }

    /// Makes an SGI pending, unless the sender's register does not reach the group it is in.
    /// Says whether it did.
    pub fn raise_sgi(&self, sgi: PrivateId, scope: Scope) -> bool {
        let reached = match scope {
            Scope::BothGroups => true,
            Scope::GroupZero => self.group_of(sgi) == Group::Zero,
        };
        if reached {
            self.set_pending(sgi.bit() & SGIS);
        }
        reached
    }

    /// Drives a PPI's line. Only the runner does.
    pub fn set_line(&self, ppi: PrivateId, line: Line) {
        // Relaxed, and no read-modify-write: the runner reads its own store; others read it for `GICR_ISPENDR0` only.
        let lines = self.lines.load(Ordering::Relaxed);
        let driven = match line {
            Line::High => lines | (ppi.bit() & !SGIS),
            Line::Low => lines & !ppi.bit(),
        };
        if driven != lines {
            // Relaxed: as above.
            self.lines.store(driven, Ordering::Relaxed);
        }
    }

    /// Whether a PPI's line is high.
    pub(super) fn is_high(&self, ppi: PrivateId) -> bool {
        self.lines.load(Ordering::Relaxed) & ppi.bit() != 0
    }

    /// Pending, whether enabled or not.
    pub fn pending(&self) -> u32 {
        // Acquire: pairs with the Release in `set_pending`; the guest that takes an SGI sees what
        // its sender wrote before.
        let look = unless(cfg!(mutant = "sgi-look-relaxed"), Ordering::Acquire);
        self.pending.load(look) | self.lines.load(Ordering::Relaxed)
    }

    /// Makes interrupts pending.
    pub fn set_pending(&self, bits: u32) {
        // Release: pairs with the Acquire in `pending` and `take_pending`; publishes what the
        // sender wrote before, as an interrupt's delivery does on hardware.
        let sent = unless(cfg!(mutant = "sgi-send-relaxed"), Ordering::Release);
        self.pending.fetch_or(bits, sent);
    }

    /// Withdraws interrupts that `set_pending` made pending; a high line stays.
    pub fn clear_pending(&self, bits: u32) {
        // Relaxed: orders nothing but itself.
        self.pending.fetch_and(!bits, Ordering::Relaxed);
    }

    /// Enabled.
    pub fn enabled(&self) -> u32 {
        // Relaxed, as in all functions below: the bits stand for themselves; who changes them for
        // another vCPU kicks it, with the fence that the module's head asks for.
        self.enabled.load(Ordering::Relaxed)
    }

    /// Enables interrupts.
    pub fn enable(&self, bits: u32) {
        self.enabled.fetch_or(bits, Ordering::Relaxed);
    }

    /// Disables interrupts.
    pub fn disable(&self, bits: u32) {
        self.enabled.fetch_and(!bits, Ordering::Relaxed);
    }

    /// Active and in no list register.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Makes interrupts active.
    pub fn activate(&self, bits: u32) {
        self.active.fetch_or(bits, Ordering::Relaxed);
    }

    /// Deactivates interrupts; gives those that were active.
    pub fn deactivate(&self, bits: u32) -> u32 {
        self.active.fetch_and(!bits, Ordering::Relaxed) & bits
    }

    /// The interrupts of Group 1.
    pub fn group(&self) -> u32 {
        self.group.load(Ordering::Relaxed)
    }

    /// Says which interrupts are of Group 1.
    pub fn set_group(&self, bits: u32) {
        self.group.store(bits, Ordering::Relaxed);
    }

    /// The group of one interrupt.
    pub fn group_of(&self, id: PrivateId) -> Group {
        if self.group() & id.bit() == 0 {
            Group::Zero
        } else {
            Group::One
        }
    }

    /// The priority of one interrupt.
    pub fn priority(&self, id: PrivateId) -> u8 {
        let place = usize::from(id.raw());
        // Relaxed: one value, and nothing is read by it.
        self.priority
            .get(place)
            .map_or(0, |priority| priority.load(Ordering::Relaxed))
    }

    /// Sets the priority of one interrupt; bits that no priority has are dropped.
    pub fn set_priority(&self, id: PrivateId, value: u8) {
        if let Some(priority) = self.priority.get(usize::from(id.raw())) {
            priority.store(value & PRIORITY_MASK, Ordering::Relaxed);
        }
    }

    /// What makes an interrupt pending.
    pub const fn trigger(id: PrivateId) -> Trigger {
        if id.bit() & SGIS == 0 {
            Trigger::Level
        } else {
            Trigger::Edge
        }
    }

    /// The runner moves a pending interrupt into a list register; false if it was withdrawn, or
    /// is pending by its line alone.
    pub(super) fn take_pending(&self, id: PrivateId) -> bool {
        // Acquire: pairs with the Release in `set_pending`.
        let look = unless(cfg!(mutant = "sgi-take-relaxed"), Ordering::Acquire);
        #[cfg(not(mutant = "take-sgi-in-two"))]
        let before = self.pending.fetch_and(!id.bit(), look);
        #[cfg(mutant = "take-sgi-in-two")]
        let before = self.pending.load(look);
        #[cfg(mutant = "take-sgi-in-two")]
        self.pending.store(before & !id.bit(), Ordering::Release);
        before & id.bit() != 0
    }
}

impl Default for Private {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sgi_reaches_the_groups_its_register_may() {
        let private = Private::new();
        let sgi = PrivateId::new(3).unwrap();
        assert!(
            !private.raise_sgi(sgi, Scope::GroupZero),
            "all are Group 1 after reset"
        );
        assert_eq!(private.pending(), 0);
        assert!(private.raise_sgi(sgi, Scope::BothGroups));
        assert_eq!(private.pending(), 1 << 3);
        assert!(private.take_pending(sgi) && !private.take_pending(sgi));
        private.set_group(0);
        assert!(private.raise_sgi(sgi, Scope::GroupZero));
    }

    #[test]
    fn a_line_is_not_cleared_by_the_guest() {
        let private = Private::new();
        private.set_line(PrivateId::VIRTUAL_TIMER, Line::High);
        private.clear_pending(u32::MAX);
        assert_eq!(private.pending(), 1 << 27);
        private.set_line(PrivateId::VIRTUAL_TIMER, Line::Low);
        assert_eq!(private.pending(), 0);
    }

    #[test]
    fn sgis_have_no_lines() {
        let private = Private::new();
        private.set_line(PrivateId::new(0).unwrap(), Line::High);
        assert_eq!(private.pending(), 0);
    }
}

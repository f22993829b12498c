//! Which of a core's vCPUs plays next.
//!
//! Invariants:
//! - no more than [`LOOKS`] are looked at before the host's interrupts are looked for again;
//! - turns go round: where not all can be looked at, the look ends with the first that can run, and who stands behind
//!   it stays there. Only who waits, or all together, are passed over;
//! - a core is idle only after a look at all, each of them after it said so.

use super::run::SLICE_TICKS;
use super::slot::{VcpuSlot, VcpuState};
use crate::engine::Engine;
use crate::platform::Platform;
use percpu::{CpuId, CpuToken, Order, RunTicket};

/// vCPUs that are looked at, or taken from the mailbox, before the host's interrupts are looked for again: a core may
/// have thousands.
#[cfg(not(mutant = "look-at-all"))]
pub(crate) const LOOKS: usize = 64;
/// All.
#[cfg(mutant = "look-at-all")]
pub(crate) const LOOKS: usize = percpu::MAX_VCPUS;

/// A vCPU that may run now.
pub(super) struct Picked<'e> {
    pub slot: u16,
    pub vcpu: &'e VcpuSlot,
    pub ticket: RunTicket<'e>,
}

/// A look at some of a core's vCPUs.
pub(super) struct Look<'e> {
    /// The first that can run.
    pub found: Option<Picked<'e>>,
    /// The earliest timer among those that wait, or where another one wants to play the end of a slice.
    pub deadline: u64,
    /// How many were looked at.
    pub seen: usize,
    /// How many there were.
    pub of: usize,
}

impl<P: Platform> Engine<P> {
    /// The last look at all that wait, now that wakers see this core as idle; none if an interrupt comes first, a
    /// doorbell too, which stays for the next look.
    pub(super) fn last_look(&self, cpu: &mut CpuToken) -> Option<Look<'_>> {
        let platform = &self.parts.platform;
        let (mut passed, mut deadline) = (0_usize, u64::MAX);
        loop {
            let now = platform.counter(cpu.id());
            let mut look = self.pick(cpu, now);
            deadline = deadline.min(look.deadline);
            look.deadline = deadline;
            passed = passed.saturating_add(look.seen);
            let is_over = look.found.is_some() || passed >= look.of;
            if is_over || cfg!(mutant = "last-look-short") {
                return Some(look);
            }
            if platform.host_interrupt_pending(cpu.id(), None) {
                return None;
            }
        }
    }

    /// The next vCPU of the next few that can run.
    pub(super) fn pick(&self, cpu: &mut CpuToken, now: u64) -> Look<'_> {
        let id = cpu.id();
        let look = self
            .parts
            .cores
            .get(cpu, |core| self.pick_of(id, &mut core.order, now));
        look.unwrap_or(Look {
            found: None,
            deadline: u64::MAX,
            seen: 0,
            of: 0,
        })
    }

    /// The same of this core's order.
    #[inline]
    fn pick_of(&self, cpu: CpuId, order: &mut Order, now: u64) -> Look<'_> {
        let mut deadline = u64::MAX;
        let mut found = None;
        let of = order.len();
        let mut seen = 0_usize;
        while seen < of.min(LOOKS) {
            #[cfg(not(mutant = "look-past-found"))]
            if found.is_some() && of > LOOKS {
                break;
            }
            seen = seen.wrapping_add(1);
            let Some(slot) = order.pop_front() else { break };
            let Some(vcpu) = self.parts.vcpus.get(usize::from(slot)) else {
                continue;
            };
            // A stale entry: the vCPU went elsewhere, or away.
            let Ok(mut ticket) = vcpu.residency().take(cpu) else {
                continue;
            };
            let can_run = vcpu
                .with(&mut ticket, |state| {
                    self.can_run(vcpu, state, now, &mut deadline)
                })
                .unwrap_or(false);
            if can_run && found.is_none() {
                // It goes back to the end of the order when its turn is over.
                found = Some(Picked { slot, vcpu, ticket });
                continue;
            }
            if can_run {
                // Another one wants to play: the turn ends by then.
                deadline = deadline.min(now.saturating_add(SLICE_TICKS));
            }
            ticket.requeue(cpu);
            order.push_back(slot);
        }
        if found.is_some() && of > LOOKS {
            // One that was not looked at may want to play, or have a timer.
            deadline = deadline.min(now.saturating_add(SLICE_TICKS));
        }
        Look {
            found,
            deadline,
            seen,
            of,
        }
    }

    /// Is the vCPU more than waiting? Lowers `deadline` to its timer's if not.
    fn can_run(
        &self,
        vcpu: &VcpuSlot,
        state: &mut VcpuState,
        now: u64,
        deadline: &mut u64,
    ) -> bool {
        if !state.waiting {
            return true;
        }
        self.sample_timer(vcpu, &state.context.timer, now);
        if state.context.gic.has_deliverable(&vcpu.interrupts) {
            state.waiting = false;
            return true;
        }
        // A line that is high already and wakes nobody is nothing to wait for: the guest has masked
        // the interrupt, and as a deadline it would end every turn of this core's at once.
        let to_come = |at: &u64| cfg!(mutant = "past-deadline") || *at > now;
        if let Some(at) = state.context.timer.deadline().filter(to_come) {
            *deadline = (*deadline).min(at);
        }
        false
    }
}

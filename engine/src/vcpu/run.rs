//! CPU_RUN: a core plays the vCPUs of its queue until the host is needed.
//!
//! Invariants:
//! - a vCPU is entered only while this core holds its run ticket and a pin on its VM, and after
//!   the VM's phase was read as `Running` under that pin;
//! - ticket and pin are given back only after the host's regime is current again (EL1's registers follow only when the
//!   host does), so that whoever
//!   sees the vCPU elsewhere, or the VM without pins, knows that this core walks for it no more;
//! - a turn is long enough to get on in ([`LEAST_TURN`]), however soon the timer of another vCPU goes off;
//! - a core says that it is idle before it looks a last time, so a wake-up is never lost.

use super::context::{Frame, GuestExit};
use super::exit::{VcpuExit, Verdict, with_notices};
use super::near::Near;
use super::pick::{LOOKS, Picked};
use super::slot::{Pending, VcpuSlot, VcpuState};
use crate::engine::Engine;
use crate::platform::Platform;
use crate::trace::Event;
use crate::vm::PinnedVm;
use crate::vm::life::Phase;
use abi::{Counter, ExitReason, VcpuHandle};
use percpu::{CpuToken, RunTicket};

/// Counter ticks that a vCPU plays before the next of its core's has a turn, if one is there.
pub const SLICE_TICKS: u64 = 4_000_000;
/// Counter ticks that a turn has at least before somebody else's timer ends it: many times what the change of turns
/// takes, and little beside a slice.
pub const LEAST_TURN: u64 = 1 << 15;

/// What CPU_RUN returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunExit {
    /// Why.
    pub reason: ExitReason,
    /// Whose exit it is.
    pub vcpu: VcpuHandle,
    /// Details as the reason says.
    pub details: [u64; 7],
}

impl RunExit {
    /// Nothing to tell yet.
    pub(crate) const fn new() -> Self {
        Self::of_core(ExitReason::Idle, 0)
    }

    /// An exit of no vCPU.
    const fn of_core(reason: ExitReason, detail: u64) -> Self {
        Self {
            reason,
            vcpu: VcpuHandle::NONE,
            details: [detail, 0, 0, 0, 0, 0, 0],
        }
    }

    /// Tells of a vCPU's exit. A call is told with its first seven registers.
    fn tell(&mut self, vcpu: VcpuHandle, exit: VcpuExit, frame: &Frame) {
        let VcpuExit { reason, details } = exit;
        (self.reason, self.vcpu) = (reason, vcpu);
        self.details[..3].copy_from_slice(&details);
        if reason == ExitReason::Call {
            self.details[3..].copy_from_slice(&frame.x[3..7]);
        }
    }
}

/// How a vCPU leaves the core after its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leave {
    /// Stays on this core's queue.
    Queued,
    /// Off every queue, on.
    Parked,
    /// PSCI CPU_OFF.
    Off,
}

impl<P: Platform> Engine<P> {
    /// Runs this core's queue for at most `budget` ticks (0: no bound). Why it ended goes to `exit`.
    pub(crate) fn cpu_run(&self, cpu: &mut CpuToken, budget: u64, exit: &mut RunExit) {
        self.run_until_exit(cpu, budget, exit);
        self.parts.platform.return_to_host(cpu.id());
    }

    /// The same with the host's registers where they are, which vCPUs that take turns need not wait for.
    fn run_until_exit(&self, cpu: &mut CpuToken, budget: u64, exit: &mut RunExit) {
        let platform = &self.parts.platform;
        let start = platform.counter(cpu.id());
        let end = if budget == 0 {
            u64::MAX
        } else {
            start.saturating_add(budget)
        };
        // Looked at one after the other, and none could run.
        let mut passed = 0_usize;
        loop {
            #[cfg(mutant = "doorbell-dropped-late")]
            self.take_in(cpu);
            // A doorbell that is dropped here was rung for what is found below.
            if platform.host_interrupt_pending(cpu.id(), self.doorbell()) {
                *exit = RunExit::of_core(ExitReason::HostInterrupt, 0);
                return;
            }
            #[cfg(not(mutant = "doorbell-dropped-late"))]
            self.take_in(cpu);
            let now = platform.counter(cpu.id());
            if now >= end {
                *exit = RunExit::of_core(ExitReason::Budget, 0);
                return;
            }
            let look = self.pick(cpu, now);
            if let Some(picked) = look.found {
                passed = 0;
                if self.play(cpu, picked, end_of_turn(look.deadline, now).min(end), exit) {
                    return;
                }
                continue;
            }
            passed = passed.saturating_add(look.seen);
            if passed < look.of {
                continue;
            }
            passed = 0;
            if !self.parts.queues.go_idle(cpu) {
                continue;
            }
            let Some(look) = self.last_look(cpu) else {
                self.parts.queues.leave_idle(cpu);
                continue;
            };
            let Some(picked) = look.found else {
                *exit = RunExit::of_core(ExitReason::Idle, look.deadline);
                return;
            };
            self.parts.queues.leave_idle(cpu);
            if self.play(cpu, picked, end_of_turn(look.deadline, now).min(end), exit) {
                return;
            }
        }
    }

    /// Takes what others put in this core's mailbox into its own order; `true` if some of it is left.
    pub(crate) fn take_in(&self, cpu: &mut CpuToken) -> bool {
        self.parts.queues.leave_idle(cpu);
        let taken = self.parts.cores.get_with(cpu, |cpu, core| {
            self.parts.queues.drain(cpu, LOOKS, |slot| {
                core.order.push_back(slot);
            })
        });
        taken.unwrap_or(false)
    }

    /// Puts a vCPU that is queued on this core at the end of its order.
    pub(crate) fn put_last(&self, cpu: &mut CpuToken, slot: u16) {
        self.parts.cores.get(cpu, |core| core.order.push_back(slot));
    }

    /// One turn of a vCPU: until its slice or the budget is used, it waits, or the host is needed: `true`, and `exit`
    /// says why.
    fn play(&self, cpu: &mut CpuToken, picked: Picked<'_>, until: u64, exit: &mut RunExit) -> bool {
        let Picked {
            slot,
            vcpu,
            mut ticket,
        } = picked;
        let platform = &self.parts.platform;
        let Ok(pinned) = self.pin_vm(cpu, vcpu.vm()) else {
            ticket.park();
            return false;
        };
        let (is_exit, leave) = self.play_pinned(cpu, slot, vcpu, &mut ticket, &pinned, until, exit);
        // Before ticket and pin are given back: see the header.
        platform.leave_regime(cpu.id());
        match leave {
            Leave::Queued => {
                ticket.requeue(cpu.id());
                self.put_last(cpu, slot);
            }
            Leave::Parked => {
                #[cfg(not(mutant = "park-no-bar"))]
                vcpu.publish_bar(&mut ticket);
                ticket.park();
            }
            Leave::Off => ticket.turn_off(),
        }
        drop(pinned);
        is_exit
    }

    #[expect(clippy::too_many_arguments, reason = "all that a turn is about")]
    fn play_pinned(
        &self,
        cpu: &mut CpuToken,
        slot: u16,
        vcpu: &VcpuSlot,
        ticket: &mut RunTicket<'_>,
        pinned: &PinnedVm<'_>,
        until: u64,
        told: &mut RunExit,
    ) -> (bool, Leave) {
        let platform = &self.parts.platform;
        let handle = VcpuHandle::new(slot, ticket.generation());
        let vttbr = pinned
            .vm
            .regime(pinned.slot, self.parts.host.geometry())
            .vttbr();
        let changed = self
            .parts
            .cores
            .get(cpu, |core| core.last_vcpu.replace(pinned.slot, slot));
        if changed != Some(false) {
            #[cfg(not(mutant = "run-keep-last-vcpu"))]
            platform.forget_last_vcpu(cpu.id(), vttbr);
        }
        loop {
            // Re-read at every entry: a VM that is dying is entered no more.
            #[cfg(not(mutant = "run-ignore-phase"))]
            if pinned.vm.life.now() != (pinned.generation, Phase::Running) {
                return (false, Leave::Parked);
            }
            let verdict = if let Some(details) = self.take_ready(pinned) {
                let reason = ExitReason::VcpuReady;
                *told = RunExit {
                    reason,
                    vcpu: handle,
                    details,
                };
                Verdict::Host(VcpuExit::new(reason, [0; 3]))
            } else {
                let verdict = vcpu.with(ticket, |state| {
                    settle(state);
                    self.sample_timer(vcpu, &state.context.timer, platform.counter(cpu.id()));
                    let filled = state.context.gic.fill(&vcpu.interrupts);
                    self.count(cpu, Counter::GuestEntries, 1);
                    let mut near = Near::new(self, cpu, vcpu, pinned, until, filled);
                    let exit =
                        platform.run_guest(cpu.id(), &mut state.context, vttbr, until, |stop| {
                            near.answer(stop)
                        });
                    let (answered, filled) = near.end();
                    state.context.gic.drain(&vcpu.interrupts);
                    let verdict = match answered {
                        Some(verdict) if !is_untold_error(&exit) => {
                            with_notices(state, verdict, filled)
                        }
                        _ => self.judge(cpu, slot, vcpu, state, pinned, exit, filled),
                    };
                    if let Verdict::Host(exit) = verdict {
                        told.tell(handle, exit, &state.context.frame);
                    }
                    verdict
                });
                let Some(verdict) = verdict else {
                    return (false, Leave::Parked);
                };
                verdict
            };
            match verdict {
                Verdict::Resume => {
                    self.count(cpu, Counter::GuestTraps, 1);
                }
                Verdict::Interrupted => {
                    // The host's, a kick, or the end of the turn: the core's loop finds out.
                    return (false, Leave::Queued);
                }
                Verdict::Waiting => return (false, Leave::Queued),
                Verdict::Host(exit) => {
                    self.trace(cpu, Event::Exit, u64::from(slot) << 32 | exit.reason.raw());
                    return (true, exit.leave());
                }
            }
        }
    }
}

/// When a turn ends that begins about `now` and that others want to end by `deadline`. A guest that sets its timer a
/// little ahead and waits, over and over, would else end all others' turns as they begin.
const fn end_of_turn(deadline: u64, now: u64) -> u64 {
    // The counter does not wrap (Arm ARM D12.1.2: not in 40 years).
    let least = now.wrapping_add(LEAST_TURN);
    if deadline < least && cfg!(not(mutant = "turn-any-length")) {
        least
    } else {
        deadline
    }
}

/// Did an error come with an exit that was answered? It is told all the same, as it is told once.
const fn is_untold_error(exit: &GuestExit) -> bool {
    matches!(exit, GuestExit::SError { .. }) && cfg!(not(mutant = "near-hides-serror"))
}

/// What was left open at the last exit and the host let stand.
fn settle(state: &mut VcpuState) {
    if let Pending::MmioWrite { .. } = state.pending {
        state.context.frame.skip_instruction();
    }
    state.pending = Pending::Nothing;
    state.waiting = false;
}

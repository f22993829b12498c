//! One guest exit to one verdict.
//!
//! Invariants: an exit that the engine answers changes only the vCPU's own state; what the host is
//! told is built here and in `abort` and `calls` from the few values the exit is about, never from
//! the register frame as a whole.

use super::run::Leave;
use super::slot::{Pending, VcpuSlot, VcpuState};
use crate::engine::Engine;
use crate::gic::Filled;
use crate::gic::sgi::Scope;
use crate::platform::Platform;
use crate::trap::exception::inject_undefined;
use crate::trap::syndrome::{SysregAccess, Trap};
use crate::trap::sysreg::{SgiGroup, SysregId, SysregOutcome, guest_read, guest_write};
use crate::vcpu::context::GuestExit;
use crate::vm::PinnedVm;
use abi::{Counter, ExitReason, FaultKind};
use percpu::CpuToken;

/// What the host is told of a vCPU: why it stopped, and up to three details as the reason says. Small, so that it is
/// handed on without a copy by call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct VcpuExit {
    pub reason: ExitReason,
    pub details: [u64; 3],
}

impl VcpuExit {
    pub(crate) const fn new(reason: ExitReason, details: [u64; 3]) -> Self {
        Self { reason, details }
    }

    /// How the vCPU leaves the core with it.
    pub(crate) const fn leave(self) -> Leave {
        match self.reason {
            ExitReason::VcpuOff => Leave::Off,
            ExitReason::Fault
            | ExitReason::MmioRead
            | ExitReason::Call
            | ExitReason::SystemOff
            | ExitReason::SystemReset => Leave::Parked,
            ExitReason::RamFault
            | ExitReason::MmioWrite
            | ExitReason::VcpuOn
            | ExitReason::VcpuReady
            | ExitReason::PageRelinquished
            | ExitReason::LevelEnded
            | ExitReason::ListFull
            | ExitReason::PoolEmpty => Leave::Queued,
            // Of a core, not of a vCPU.
            ExitReason::HostInterrupt | ExitReason::Budget | ExitReason::Idle => Leave::Queued,
        }
    }
}

/// What follows an exit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The vCPU goes on.
    Resume,
    /// A physical interrupt ended the run, or another vCPU of this core shall have its turn.
    Interrupted,
    /// The vCPU waits for an interrupt.
    Waiting,
    /// The host is needed.
    Host(VcpuExit),
}

/// Does the vCPU end with this exit (DEN0022 5.10, 5.11: the calls do not return)?
const fn is_end(reason: ExitReason) -> bool {
    matches!(
        reason,
        ExitReason::Fault | ExitReason::SystemOff | ExitReason::SystemReset
    )
}

/// Ended level interrupts and full list registers become an exit where the verdict leaves room
/// for one; otherwise they wait for the next.
pub(super) fn with_notices(state: &mut VcpuState, verdict: Verdict, filled: Filled) -> Verdict {
    if matches!(verdict, Verdict::Host(..)) {
        return verdict;
    }
    if let Some(ended) = state.context.gic.take_ended() {
        state.waiting |= verdict == Verdict::Waiting;
        let intid = u64::from(ended.raw());
        let exit = VcpuExit::new(ExitReason::LevelEnded, [intid, 0, 0]);
        return Verdict::Host(exit);
    }
    if filled == Filled::ListFull && verdict == Verdict::Interrupted {
        let exit = VcpuExit::new(ExitReason::ListFull, [0; 3]);
        return Verdict::Host(exit);
    }
    verdict
}

/// How the vCPU that woke others, one of this core's among them or not, goes on.
pub(crate) const fn after_waking(is_here: bool) -> Verdict {
    if is_here {
        // It would have to wait for the end of this turn, which may be far.
        Verdict::Interrupted
    } else {
        Verdict::Resume
    }
}

/// Written by a guest that ends interrupts in two steps; traps while list registers overflow.
const ICC_DIR_EL1: SysregId = SysregId::new(3, 0, 12, 11, 1);

impl<P: Platform> Engine<P> {
    /// Judges an exit. The list registers are drained; the frame is as the guest left it.
    #[expect(clippy::too_many_arguments, reason = "all that an exit is about")]
    pub(crate) fn judge(
        &self,
        cpu: &CpuToken,
        slot: u16,
        vcpu: &VcpuSlot,
        state: &mut VcpuState,
        pinned: &PinnedVm<'_>,
        exit: GuestExit,
        filled: Filled,
    ) -> Verdict {
        let verdict = match exit {
            GuestExit::Interrupt => Verdict::Interrupted,
            GuestExit::SError { .. } => Verdict::Host(VcpuExit::new(
                ExitReason::Fault,
                [FaultKind::SError.raw(), 0, 0],
            )),
            GuestExit::Sync { esr, far, hpfar } => {
                self.judge_trap(cpu, slot, vcpu, state, pinned, esr, far, hpfar)
            }
        };
        if let Verdict::Host(exit) = verdict
            && is_end(exit.reason)
        {
            state.pending = Pending::End;
        }
        with_notices(state, verdict, filled)
    }

    #[expect(clippy::too_many_arguments, reason = "all that an exit is about")]
    fn judge_trap(
        &self,
        cpu: &CpuToken,
        slot: u16,
        vcpu: &VcpuSlot,
        state: &mut VcpuState,
        pinned: &PinnedVm<'_>,
        esr: u64,
        far: u64,
        hpfar: u64,
    ) -> Verdict {
        match Trap::decode(esr) {
            Trap::Wfx { is_wfe, is_timed } => {
                state.context.frame.skip_instruction();
                // WFE, and the timed forms, may end at once (Arm ARM D1.7.2).
                if is_wfe || is_timed {
                    return Verdict::Resume;
                }
                state.waiting = true;
                Verdict::Waiting
            }
            Trap::Hvc { imm } => self.guest_call(cpu, state, pinned, imm),
            Trap::Smc { imm } => {
                state.context.frame.skip_instruction();
                self.guest_call(cpu, state, pinned, imm)
            }
            Trap::Sysreg(access) => self.guest_sysreg(cpu, vcpu, state, pinned, access),
            Trap::Abort(abort) => self.guest_abort(cpu, slot, state, pinned, abort, far, hpfar),
            Trap::Illegal => Verdict::Host(VcpuExit::new(
                ExitReason::Fault,
                [FaultKind::Illegal.raw(), 0, 0],
            )),
            Trap::Unknown
            | Trap::FpAccess
            | Trap::PauthAccess
            | Trap::Sve
            | Trap::Sme
            | Trap::Debug(_)
            | Trap::Aarch32(_)
            | Trap::Other(_) => {
                self.count(cpu, Counter::SysregDenied, 1);
                inject_undefined(&mut state.context, self.pstate_features());
                Verdict::Resume
            }
        }
    }

    fn guest_sysreg(
        &self,
        cpu: &CpuToken,
        vcpu: &VcpuSlot,
        state: &mut VcpuState,
        pinned: &PinnedVm<'_>,
        access: SysregAccess,
    ) -> Verdict {
        if access.register == ICC_DIR_EL1 && !access.is_read {
            let intid = state.context.frame.reg(access.rt) & 0xff_ffff;
            state.context.frame.skip_instruction();
            state.context.gic.deactivate(&vcpu.interrupts, intid);
            return Verdict::Resume;
        }
        let outcome = if access.is_read {
            guest_read(access.register, &self.parts.machine.id, &state.context.el1)
        } else {
            let value = state.context.frame.reg(access.rt);
            guest_write(access.register, value, &mut state.context.el1)
        };
        match outcome {
            SysregOutcome::Read(value) => state.context.frame.set_reg(access.rt, value),
            SysregOutcome::Counter => {
                let now = self.parts.platform.counter(cpu.id());
                state.context.frame.set_reg(access.rt, now);
            }
            SysregOutcome::Written => {}
            SysregOutcome::SendSgi { value, group } => {
                state.context.frame.skip_instruction();
                let scope = match group {
                    SgiGroup::One => Scope::BothGroups,
                    SgiGroup::Zero => Scope::GroupZero,
                };
                return after_waking(self.send_guest_sgi(cpu, vcpu, pinned, value, scope));
            }
            SysregOutcome::Undefined => {
                self.count(cpu, Counter::SysregDenied, 1);
                inject_undefined(&mut state.context, self.pstate_features());
                return Verdict::Resume;
            }
        }
        state.context.frame.skip_instruction();
        Verdict::Resume
    }
}

//! HVC and SMC of guests: PSCI 1.1 in full, SMCCC discovery, the memory-sharing calls of KVM's
//! protected-guest driver, and forwarding of the rest.
//!
//! Invariants: a guest never sees `BUSY`, nor that a page which it shares or the engine's memory is
//! missing: it is rewound to its HVC, and repeats it when it runs again; a vCPU that turns itself on
//! gets ALREADY_ON and nothing else changes, because the target's residency is claimed by compare-exchange from `off` alone; standard calls preserve x4–x17.

use super::exit::{VcpuExit, Verdict};
use super::slot::{Pending, VcpuState};
use crate::engine::Engine;
use crate::memory::share::GuestPageCall;
use crate::platform::Platform;
use crate::trap::guest_call::{GuestCall, classify_guest};
use crate::trap::psci::{CpuOn, PowerState, PsciCall, affinity_info, check_suspend};
use crate::vm::PinnedVm;
use abi::{ExitReason, psci, smccc};
use ownership::Ipa;
use percpu::{CpuToken, Residence, TurnOn};

/// Affinity fields of MPIDR_EL1.
pub(crate) const AFFINITY: u64 = 0xff_00ff_ffff;

impl<P: Platform> Engine<P> {
    /// Answers `HVC #imm`; the frame's PC is behind the instruction already.
    pub(crate) fn guest_call(
        &self,
        cpu: &CpuToken,
        state: &mut VcpuState,
        pinned: &PinnedVm<'_>,
        imm: u16,
    ) -> Verdict {
        let x = &state.context.frame.x;
        let arguments = [x[0], x[1], x[2], x[3]];
        match classify_guest(imm, &arguments, &self.parts.firmware) {
            GuestCall::Psci(call) => self.guest_psci(cpu, state, pinned, call),
            GuestCall::Answer(answer) => answer_with(state, answer),
            GuestCall::Firmware(call) => {
                let mut registers = [0; 18];
                registers[..4].copy_from_slice(&call);
                self.parts.platform.smc(cpu.id(), &mut registers);
                answer_with(
                    state,
                    [registers[0], registers[1], registers[2], registers[3]],
                )
            }
            GuestCall::Share { ipa } => {
                let outcome = self.guest_share(cpu, pinned, Ipa::from_raw(ipa));
                answer_page_call(state, ipa, outcome)
            }
            GuestCall::Unshare { ipa } => {
                let outcome = self.guest_unshare(cpu, pinned, Ipa::from_raw(ipa));
                answer_page_call(state, ipa, outcome)
            }
            GuestCall::Relinquish { ipa } => {
                let outcome = self.guest_relinquish(cpu, pinned, Ipa::from_raw(ipa));
                answer_page_call(state, ipa, outcome)
            }
            GuestCall::Forward => {
                state.pending = Pending::Call;
                // And x3 to x6: `RunExit::tell`.
                let [x0, x1, x2, _] = arguments;
                let exit = VcpuExit::new(ExitReason::Call, [x0, x1, x2]);
                Verdict::Host(exit)
            }
        }
    }

    fn guest_psci(
        &self,
        cpu: &CpuToken,
        state: &mut VcpuState,
        pinned: &PinnedVm<'_>,
        call: PsciCall,
    ) -> Verdict {
        let is_ram = |address: u64| pinned.vm.ram_holds(address >> 12, 1);
        match call {
            PsciCall::Version => status(state, psci::VERSION_1_1 as i64),
            PsciCall::Features { function } => status(state, crate::trap::psci::features(function)),
            PsciCall::MigrateInfoType => status(state, psci::MIGRATION_NOT_REQUIRED),
            PsciCall::AffinityInfo { target, level } => {
                let states = pinned.vm.vcpus().filter_map(|slot| {
                    let vcpu = self.parts.vcpus.get(usize::from(slot))?;
                    Some((vcpu.mpidr(), power_state(vcpu.residency().now().1)))
                });
                let answer = affinity_info(target, level, states);
                status(state, answer)
            }
            PsciCall::CpuOn(call) => match self.guest_cpu_on(cpu, pinned, &call) {
                Ok(target) => {
                    let _ = status(state, psci::SUCCESS);
                    let details = [target.raw(), 0, 0];
                    let exit = VcpuExit::new(ExitReason::VcpuOn, details);
                    Verdict::Host(exit)
                }
                Err(error) => status(state, error),
            },
            PsciCall::CpuOff => {
                let exit = VcpuExit::new(ExitReason::VcpuOff, [0; 3]);
                Verdict::Host(exit)
            }
            PsciCall::CpuSuspend {
                power_state,
                entry,
                context,
            } => {
                match check_suspend(power_state, entry, context, is_ram) {
                    // Power-down is downgraded to standby (DEN0022 5.4.4).
                    Ok(_) => {
                        let _ = status(state, psci::SUCCESS);
                        state.waiting = true;
                        Verdict::Waiting
                    }
                    Err(error) => status(state, error),
                }
            }
            PsciCall::SystemOff => {
                let exit = VcpuExit::new(ExitReason::SystemOff, [0; 3]);
                Verdict::Host(exit)
            }
            PsciCall::SystemReset => {
                let exit = VcpuExit::new(ExitReason::SystemReset, [0; 3]);
                Verdict::Host(exit)
            }
        }
    }

    /// PSCI CPU_ON (DEN0022 5.6): the target's entry state is set by whoever wins it from `off`.
    fn guest_cpu_on(
        &self,
        cpu: &CpuToken,
        pinned: &PinnedVm<'_>,
        call: &CpuOn,
    ) -> Result<abi::VcpuHandle, i64> {
        let find = |affinity: u64| {
            pinned.vm.vcpus().find_map(|slot| {
                let vcpu = self.parts.vcpus.get(usize::from(slot))?;
                (vcpu.mpidr() & AFFINITY == affinity).then_some((slot, vcpu))
            })
        };
        let is_ram = |address: u64| pinned.vm.ram_holds(address >> 12, 1);
        let (slot, target) = call.check(find, is_ram)?;
        let residency = target.residency();
        let mut ticket = match residency.turn_on(residency.now().0, cpu.id()) {
            TurnOn::Won(ticket) => ticket,
            TurnOn::AlreadyOn => return Err(psci::ALREADY_ON),
            TurnOn::OnPending => return Err(psci::ON_PENDING),
            // The slot's vCPU lives as long as its VM, which is pinned; and a vCPU that goes on and
            // off between two looks was turned on by another call that this one lost to.
            TurnOn::Gone | TurnOn::Busy => return Err(psci::INTERNAL_FAILURE),
        };
        target.with(&mut ticket, |state| {
            state.context.restart(call.entry, call.context);
            state.pending = Pending::Nothing;
            state.waiting = false;
        });
        ticket.pend();
        Ok(target.handle(slot))
    }
}

/// VMPIDR_EL2: bit 31 is RES1.
pub(crate) const fn vmpidr(mpidr: u64) -> u64 {
    1 << 31 | mpidr & AFFINITY
}

/// Where a vCPU is, as PSCI sees it.
pub(crate) const fn power_state(residence: Residence) -> PowerState {
    match residence {
        Residence::Free | Residence::Off => PowerState::Off,
        Residence::Starting(_) | Residence::OnPending => PowerState::OnPending,
        Residence::Queued(_) | Residence::Running(_) | Residence::Held(_) | Residence::Parked => {
            PowerState::On
        }
    }
}

fn answer_with(state: &mut VcpuState, answer: [u64; 4]) -> Verdict {
    state.context.frame.x[..4].copy_from_slice(&answer);
    Verdict::Resume
}

/// Sets x0, leaving the rest as the standard calls must.
fn status(state: &mut VcpuState, value: i64) -> Verdict {
    state.context.frame.x[0] = value as u64;
    Verdict::Resume
}

/// x0 to x3 of a page call that was done.
pub(super) const DONE: [u64; 4] = [smccc::SUCCESS as u64, 0, 0, 0];

fn answer_page_call(state: &mut VcpuState, ipa: u64, outcome: GuestPageCall) -> Verdict {
    match outcome {
        GuestPageCall::Done => answer_with(state, DONE),
        GuestPageCall::Home(page) | GuestPageCall::Lost(page) => {
            let _ = answer_with(state, DONE);
            let lost = matches!(outcome, GuestPageCall::Lost(_));
            let details = [ipa, page.pa().raw(), u64::from(lost)];
            Verdict::Host(VcpuExit::new(ExitReason::PageRelinquished, details))
        }
        GuestPageCall::Refused => answer_with(state, [smccc::INVALID_PARAMETER as u64, 0, 0, 0]),
        GuestPageCall::Again => {
            repeat_call(state);
            Verdict::Resume
        }
        GuestPageCall::Absent => {
            repeat_call(state);
            state.pending = Pending::RamFault;
            let exit = VcpuExit::new(ExitReason::RamFault, [ipa, 0, 0]);
            Verdict::Host(exit)
        }
        GuestPageCall::NoMemory => {
            repeat_call(state);
            let exit = VcpuExit::new(ExitReason::PoolEmpty, [0; 3]);
            Verdict::Host(exit)
        }
    }
}

/// Back to the HVC: the guest repeats its call without knowing.
fn repeat_call(state: &mut VcpuState) {
    state.context.frame.pc = state.context.frame.pc.wrapping_sub(4);
}

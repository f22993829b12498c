//! vCPU calls: VCPU_CREATE, VCPU_ENQUEUE, VCPU_DEQUEUE, VCPU_RESPOND, VCPU_INJECT.
//!
//! Invariants: what touches a vCPU's registers holds its run ticket; an answer is accepted only for
//! the exit that waits for it, and never after a RAM fault; a vCPU that waits for an answer can't be
//! queued.

use super::{Answer, Outcome};
use crate::engine::Engine;
use crate::gic::Spi;
use crate::platform::Platform;
use crate::trap::exception::{ExternalAbort, PstateFeatures, inject_abort};
use crate::vcpu::calls::{AFFINITY, vmpidr};
use crate::vcpu::context::Context;
use crate::vcpu::slot::{Pending, VcpuSlot, VcpuState};
use crate::vm::PinnedVm;
use crate::vm::life::Phase;
use abi::{
    ARGUMENT_REGISTERS, InjectKind, Outcome as HostOutcome, Status, VcpuCreateArgs,
    VcpuDequeueArgs, VcpuEnqueueArgs, VcpuHandle, VcpuInjectArgs, VcpuRespondArgs,
};
use percpu::{CpuId, CpuToken, Residence, RunTicket};

/// A vCPU found by handle, its VM pinned.
struct FoundVcpu<'e> {
    number: u16,
    slot: &'e VcpuSlot,
    generation: u64,
    pinned: PinnedVm<'e>,
}

impl<P: Platform> Engine<P> {
    /// Finds a vCPU and pins its VM; the handle is checked again under the pin.
    fn find_vcpu(&self, cpu: &CpuToken, handle: VcpuHandle) -> Result<FoundVcpu<'_>, Status> {
        let number = handle.slot();
        let slot = self
            .parts
            .vcpus
            .get(usize::from(number))
            .ok_or(Status::BadHandle)?;
        let generation = handle.generation();
        let check = || match slot.residency().now_of(generation) {
            Residence::Free => Err(Status::BadHandle),
            _ => Ok(()),
        };
        check()?;
        let pinned = self.pin_vm(cpu, slot.vm())?;
        #[cfg(not(mutant = "vcpu-no-recheck"))]
        check()?;
        Ok(FoundVcpu {
            number,
            slot,
            generation,
            pinned,
        })
    }

    #[inline(never)]
    pub(super) fn call_vcpu_create(
        &self,
        cpu: &CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Outcome {
        let VcpuCreateArgs {
            vm,
            mpidr,
            entry,
            arg,
        } = VcpuCreateArgs::from_registers(x);
        if mpidr & !AFFINITY != 0 || entry & 0b11 != 0 {
            return Err(Status::OutOfRange);
        }
        let pinned = self.pin_vm(cpu, vm)?;
        if pinned.phase != Phase::Building && cfg!(not(mutant = "vcpu-create-late")) {
            return Err(Status::BadState);
        }
        if !pinned.vm.ram_holds(entry >> 12, 1) {
            return Err(Status::OutOfRange);
        }
        let list = pinned.vm.lock_vcpus().ok_or(Status::Busy)?;
        if !list.has_room() {
            return Err(Status::Limit);
        }
        let mut is_first = true;
        for number in pinned.vm.vcpus() {
            is_first = false;
            let other = self.parts.vcpus.get(usize::from(number));
            if other.is_some_and(|other| other.mpidr() == mpidr) {
                return Err(Status::OutOfRange);
            }
        }
        let (number, slot, mut ticket) = self.allocate_vcpu(cpu).ok_or(Status::Limit)?;
        let machine = &self.parts.machine;
        let offset = pinned.vm.counter_offset();
        let state = VcpuState {
            context: Context::new(entry, arg, vmpidr(mpidr), machine, offset),
            pending: Pending::Nothing,
            waiting: false,
        };
        slot.fill(&mut ticket, vm, mpidr, state);
        let handle = VcpuHandle::new(number, ticket.generation());
        if !list.add(number) {
            // The ticket's drop frees the slot again.
            return Err(Status::Limit);
        }
        if is_first {
            ticket.park();
        } else {
            ticket.turn_off();
        }
        Ok(Answer::with(&[handle.raw()]))
    }

    /// A free vCPU slot, held. Starts looking at a place that differs by core.
    fn allocate_vcpu(&self, cpu: &CpuToken) -> Option<(u16, &VcpuSlot, RunTicket<'_>)> {
        let slots = &self.parts.vcpus;
        let start = cpu.id().index().wrapping_mul(8);
        (0..slots.len()).find_map(|step| {
            let index = start.wrapping_add(step).checked_rem(slots.len())?;
            let slot = slots.get(index)?;
            let ticket = slot.residency().allocate(cpu.id()).ok()?;
            Some((u16::try_from(index).ok()?, slot, ticket))
        })
    }

    pub(super) fn call_vcpu_enqueue(
        &self,
        cpu: &CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Outcome {
        let VcpuEnqueueArgs { vcpu, cpu: target } = VcpuEnqueueArgs::from_registers(x);
        let target = self.cpu(target).ok_or(Status::OutOfRange)?;
        let found = self.find_vcpu(cpu, vcpu)?;
        if found.pinned.phase != Phase::Running {
            return Err(Status::BadState);
        }
        let residency = found.slot.residency();
        match residency.now_of(found.generation) {
            Residence::Parked | Residence::Queued(_) => {
                // Held still, so that what it waits for can be looked at.
                let mut ticket = residency
                    .hold(found.generation, cpu.id())
                    .map_err(|_| Status::Busy)?;
                let waits = found
                    .slot
                    .with(&mut ticket, |state| state.pending.bars_queues());
                if waits != Some(false) {
                    self.put_back(cpu, found.number, ticket);
                    return Err(Status::BadState);
                }
                ticket.requeue(target);
            }
            Residence::OnPending => {
                residency
                    .enqueue(found.generation, target)
                    .map_err(|_| Status::Busy)?;
            }
            Residence::Running(_) | Residence::Held(_) => return Err(Status::Busy),
            Residence::Off | Residence::Starting(_) => return Err(Status::BadState),
            Residence::Free => return Err(Status::BadHandle),
        }
        self.hand_over(cpu, target, found.number);
        Ok(Answer::DONE)
    }

    /// Puts a queued vCPU into its core's mailbox and rings.
    fn hand_over(&self, cpu: &CpuToken, target: CpuId, number: u16) {
        // Rung whether idle or not: a core that plays another vCPU shall give this one its turn.
        #[cfg(not(mutant = "hand-over-no-push"))]
        let _ = self.parts.queues.push(target, number);
        #[cfg(mutant = "hand-over-no-push")]
        let _ = number;
        #[cfg(not(mutant = "hand-over-no-kick"))]
        self.kick(cpu, target);
        #[cfg(mutant = "hand-over-no-kick")]
        let _ = cpu;
    }

    /// Ends a hold with the vCPU where it was.
    fn put_back(&self, cpu: &CpuToken, number: u16, ticket: RunTicket<'_>) {
        if let Residence::Queued(target) = ticket.give_back() {
            self.hand_over(cpu, target, number);
        }
    }

    pub(super) fn call_vcpu_dequeue(
        &self,
        cpu: &CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Outcome {
        let found = self.find_vcpu(cpu, VcpuDequeueArgs::from_registers(x).vcpu)?;
        match found.slot.residency().dequeue(found.generation) {
            Ok(_) => Ok(Answer::DONE),
            Err(Residence::Running(target)) => {
                #[cfg(not(mutant = "dequeue-not-told"))]
                found.slot.want();
                self.kick(cpu, target);
                Err(Status::Busy)
            }
            Err(Residence::Queued(_) | Residence::Held(_)) => Err(Status::Busy),
            Err(Residence::Free) => Err(Status::BadHandle),
            Err(_) => Err(Status::BadState),
        }
    }

    pub(super) fn call_vcpu_respond(
        &self,
        cpu: &mut CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Outcome {
        let arguments = VcpuRespondArgs::from_registers(x);
        let outcome = HostOutcome::from_raw(arguments.outcome).ok_or(Status::OutOfRange)?;
        let found = self.find_vcpu(cpu, arguments.vcpu)?;
        if found.pinned.phase != Phase::Running {
            return Err(Status::BadState);
        }
        let mut ticket = found
            .slot
            .residency()
            .hold(found.generation, cpu.id())
            .map_err(|seen| match seen {
                Residence::Running(_)
                | Residence::Held(_)
                | Residence::Queued(_)
                | Residence::Parked => Status::Busy,
                Residence::Free => Status::BadHandle,
                _ => Status::BadState,
            })?;
        let values = [arguments.x0, arguments.x1, arguments.x2, arguments.x3];
        let answered = found
            .slot
            .with(&mut ticket, |state| {
                complete(state, outcome, values, || self.pstate_features())
            })
            .unwrap_or(Err(Status::BadState));
        if let Err(status) = answered {
            self.put_back(cpu, found.number, ticket);
            return Err(status);
        }
        #[cfg(not(mutant = "respond-keep-bar"))]
        found.slot.publish_bar(&mut ticket);
        ticket.requeue(cpu.id());
        // Its own order: no mail for others to see.
        self.put_last(cpu, found.number);
        Ok(Answer::DONE)
    }

    pub(super) fn call_vcpu_inject(
        &self,
        cpu: &CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Outcome {
        let arguments = VcpuInjectArgs::from_registers(x);
        let spi = Spi::new(arguments.intid).ok_or(Status::OutOfRange)?;
        let kind = InjectKind::from_raw(arguments.kind).ok_or(Status::OutOfRange)?;
        let priority = u8::try_from(arguments.priority).map_err(|_| Status::OutOfRange)?;
        let found = self.find_vcpu(cpu, arguments.vcpu)?;
        if found.pinned.phase != Phase::Running {
            return Err(Status::BadState);
        }
        self.inject(cpu, found.slot, spi, kind, priority);
        Ok(Answer::DONE)
    }
}

/// Applies the host's answer to what the vCPU stopped at.
fn complete(
    state: &mut VcpuState,
    outcome: HostOutcome,
    values: [u64; 4],
    has: impl Fn() -> PstateFeatures,
) -> Result<(), Status> {
    let abort = |state: &mut VcpuState, is_write: bool, far: u64| {
        let external = ExternalAbort {
            is_instruction: false,
            is_write,
            is_cache_op: false,
            walk_level: None,
        };
        inject_abort(&mut state.context, &external, far, has());
    };
    match (state.pending, outcome) {
        (Pending::MmioRead { access, .. }, HostOutcome::Complete) => {
            #[cfg(not(mutant = "answer-any-width"))]
            let value = access.extend(values[0]);
            #[cfg(mutant = "answer-any-width")]
            let value = values[0];
            state.context.frame.set_reg(access.rt(), value);
            state.context.frame.skip_instruction();
        }
        (Pending::MmioRead { far, .. }, HostOutcome::Abort) => abort(state, false, far),
        (Pending::MmioWrite { .. }, HostOutcome::Complete) => {
            state.context.frame.skip_instruction();
        }
        (Pending::MmioWrite { far }, HostOutcome::Abort) => abort(state, true, far),
        (Pending::Call, HostOutcome::Complete) => {
            state.context.frame.x[..4].copy_from_slice(&values);
            #[cfg(mutant = "answer-more-registers")]
            state.context.frame.x[4..18].fill(values[3]);
        }
        #[cfg(mutant = "answer-abort-call")]
        (Pending::Call, HostOutcome::Abort) => abort(state, true, 0),
        #[cfg(mutant = "answer-unasked")]
        (Pending::RamFault | Pending::End | Pending::Nothing, _) => {
            state.context.frame.x[..4].copy_from_slice(&values);
        }
        (Pending::Call | Pending::RamFault | Pending::End | Pending::Nothing, _) => {
            return Err(Status::BadState);
        }
    }
    state.pending = Pending::Nothing;
    Ok(())
}

//! From a handle to a VM that can't go away during the call.
//!
//! Invariants: a core stores its pin, then fences, then reads the phase; VM_DESTROY and VM_START
//! change the phase, then fence, then read the pins (both in `percpu::Pins`): either the call sees
//! the new phase, or the other side sees the pin. The pin ends when the guard is dropped.

use super::Vm;
use super::life::Phase;
use crate::engine::Engine;
use crate::platform::Platform;
use abi::{Status, VmHandle};
use ownership::VmSlot;
use percpu::{CpuId, CpuToken, Pin};

/// A VM held by this core's pin.
pub struct PinnedVm<'e> {
    /// The slot's contents.
    pub vm: &'e Vm,
    /// The slot.
    pub slot: VmSlot,
    /// The generation that the handle named.
    pub generation: u64,
    /// The phase right after the pin was set: it can only have moved on since.
    pub phase: Phase,
    _pin: Pin<'e>,
}

/// The pins' key of a VM slot; 0 is "none".
const fn key(slot: VmSlot) -> u64 {
    slot.raw() as u64 + 1
}

/// The VM's phase, if it is there and the one that the handle names.
#[inline]
fn phase_for(vm: &Vm, handle: VmHandle) -> Result<Phase, Status> {
    let (generation, phase) = vm.life.now();
    let is_stale = generation != handle.generation() && cfg!(not(mutant = "vm-any-generation"));
    if is_stale || matches!(phase, Phase::Free | Phase::Creating) {
        return Err(Status::BadHandle);
    }
    Ok(phase)
}

impl<P: Platform> Engine<P> {
    /// The VM in `slot`, whatever its phase, if the handle is right.
    pub(crate) fn find_vm(&self, handle: VmHandle) -> Result<(&Vm, VmSlot, Phase), Status> {
        let slot = VmSlot::new(handle.slot()).ok_or(Status::BadHandle)?;
        let vm = self
            .parts
            .vms
            .get(usize::from(handle.slot()))
            .ok_or(Status::BadHandle)?;
        Ok((vm, slot, phase_for(vm, handle)?))
    }

    /// Pins the VM of `handle` for the length of a call.
    pub(crate) fn pin_vm(&self, cpu: &CpuToken, handle: VmHandle) -> Result<PinnedVm<'_>, Status> {
        #[cfg_attr(
            not(mutant = "pin-no-recheck"),
            expect(
                unused_variables,
                reason = "the phase may go on until the pin is there"
            )
        )]
        let (vm, slot, phase) = self.find_vm(handle)?;
        let pin = self.parts.pins.pin(cpu, key(slot)).ok_or(Status::Busy)?;
        // Again, now that the pin is visible: this answer stands for the call.
        #[cfg(not(mutant = "pin-no-recheck"))]
        let phase = phase_for(vm, handle)?;
        Ok(PinnedVm {
            vm,
            slot,
            generation: handle.generation(),
            phase,
            _pin: pin,
        })
    }

    /// How many cores but this one hold a pin on the VM, and one of them.
    pub(crate) fn pinned_elsewhere(&self, cpu: &CpuToken, slot: VmSlot) -> (usize, Option<CpuId>) {
        self.parts.pins.holders_but(cpu.id(), key(slot))
    }

    /// Kicks every core that holds a pin on the VM: its vCPU there, if one runs, comes out.
    pub(crate) fn kick_pinned(&self, cpu: &CpuToken, slot: VmSlot) {
        for number in 0..self.cpus() {
            let Some(target) = self.cpu(number as u64) else {
                continue;
            };
            if self.parts.pins.holds(target, key(slot)) {
                self.kick(cpu, target);
            }
        }
    }
}

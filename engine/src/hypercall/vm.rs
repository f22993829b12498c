//! The life of VMs: VM_CREATE, VM_START, VM_DESTROY, VM_RECLAIM.

use super::arguments::pages;
use super::{Answer, Outcome};
use crate::engine::Engine;
use crate::memory::reclaim::Reclaimed;
use crate::platform::Platform;
use crate::trace::Event;
use crate::vm::life::Phase;
use crate::vm::{Plan, REDISTRIBUTOR_PAGES, RamRange};
use abi::{
    ARGUMENT_REGISTERS, Status, VmCreateArgs, VmDestroyArgs, VmHandle, VmReclaimArgs, VmShape,
    VmStartArgs, limit,
};
use ownership::{PAGE_SIZE, Pfn, VmSlot};
use percpu::CpuToken;

/// Narrowest IPA a VM may have.
const MIN_IPA_BITS: u16 = 32;
/// Redistributor frames are 64 KiB-aligned (IHI0069 12.10).
const GICR_ALIGNMENT: u64 = 1 << 16;
/// Pages tried as one of a concatenated root's, where the geometry needs one: of all, and then of the
/// donated ones.
const ROOT_TRIES: usize = 32;

impl<P: Platform> Engine<P> {
    pub(crate) fn trace_phase(&self, cpu: &CpuToken, slot: VmSlot, phase: Phase) {
        self.trace(
            cpu,
            Event::Phase,
            u64::from(slot.raw()) << 32 | phase as u64,
        );
    }

    #[inline(never)]
    pub(super) fn call_vm_create(&self, cpu: &CpuToken, x: &[u64; ARGUMENT_REGISTERS]) -> Outcome {
        let arguments = VmCreateArgs::from_registers(x);
        let plan = self.check_plan(&arguments)?;
        let vms = &self.parts.vms;
        // A slot that begins is filled in: its generation is not to be used up by a call that is refused.
        let first = vms.iter().position(|vm| vm.may_begin());
        let first = first.ok_or(Status::Limit)?;
        let Some(root) = self.take_root(cpu) else {
            #[cfg(mutant = "create-slot-first")]
            let _ = vms.get(first).and_then(|vm| vm.begin());
            return Err(Status::NoMemory);
        };
        for index in first..vms.len() {
            let slot = u16::try_from(index).ok().and_then(VmSlot::new);
            let (Some(slot), Some(vm)) = (slot, vms.get(index)) else {
                break;
            };
            let Some(generation) = vm.begin() else {
                continue;
            };
            let counter = self.parts.platform.counter(cpu.id());
            vm.fill(&Plan { root, ..plan }, counter);
            // Walkers of any core may use the root once a vCPU runs; its zeroes come first.
            #[cfg(not(mutant = "create-no-dsb"))]
            self.parts
                .platform
                .barrier(cpu.id(), crate::platform::Barrier::DsbIshst);
            let _ = vm
                .life
                .advance(generation, Phase::Creating, Phase::Building);
            self.trace_phase(cpu, slot, Phase::Building);
            return Ok(Answer::with(&[VmHandle::new(slot.raw(), generation).raw()]));
        }
        // Others were faster.
        #[cfg(not(mutant = "create-keep-root"))]
        self.give_root(root);
        Err(Status::Limit)
    }

    /// Checks a VM's shape; the root is still to come.
    fn check_plan(&self, arguments: &VmCreateArgs) -> Result<Plan, Status> {
        let shape = VmShape::from_raw(arguments.shape).ok_or(Status::OutOfRange)?;
        let widest = u16::from(self.parts.host.geometry().ipa_bits);
        let vcpus = usize::from(shape.vcpus);
        if vcpus == 0
            || vcpus > limit::VCPUS_PER_VM
            || !(MIN_IPA_BITS..=widest).contains(&shape.ipa_bits)
        {
            return Err(Status::OutOfRange);
        }
        let range = |base: u64, size: u64, is_lendable: bool| {
            if !base.is_multiple_of(PAGE_SIZE) || !size.is_multiple_of(PAGE_SIZE) {
                return Err(Status::Unaligned);
            }
            match base.checked_add(size) {
                Some(end) if end <= 1u64.wrapping_shl(u32::from(shape.ipa_bits)) => {}
                _ => return Err(Status::OutOfRange),
            }
            Ok(RamRange {
                first: base / PAGE_SIZE,
                pages: size / PAGE_SIZE,
                is_lendable,
            })
        };
        let ram0 = range(arguments.ram0, arguments.ram0_size, shape.lendable & 1 != 0)?;
        let ram1 = range(arguments.ram1, arguments.ram1_size, shape.lendable & 2 != 0)?;
        if !arguments.gicr.is_multiple_of(GICR_ALIGNMENT) {
            return Err(Status::Unaligned);
        }
        let gicr = range(
            arguments.gicr,
            shape.vcpus as u64 * REDISTRIBUTOR_PAGES * PAGE_SIZE,
            false,
        )?;
        let overlap = ram0.overlaps(ram1) || gicr.overlaps(ram0) || gicr.overlaps(ram1);
        if ram0.pages == 0 || overlap && cfg!(not(mutant = "create-overlapping")) {
            return Err(Status::OutOfRange);
        }
        // In ascending order, as VM_RECLAIM's cursor goes.
        let ram = if ram1.pages != 0 && ram1.first < ram0.first {
            [ram1, ram0]
        } else {
            [ram0, ram1]
        };
        Ok(Plan {
            root: Pfn::from_raw(0),
            ram,
            gicr: gicr.first,
            vcpu_limit: shape.vcpus,
        })
    }

    /// Takes the zeroed page or pages of a stage-2 root: contiguous and aligned to their number.
    fn take_root(&self, cpu: &CpuToken) -> Option<Pfn> {
        let pool = &self.parts.pool;
        let pages = u64::from(self.parts.host.geometry().root_pages);
        let mut passed = heapless::Vec::<Pfn, { 2 * ROOT_TRIES }>::new();
        let mut root = None;
        while root.is_none() && !passed.is_full() {
            let hint = cpu.id().index();
            // Where the engine's own pages are scattered, a run that the host donated may be whole.
            let page = if passed.len() < ROOT_TRIES {
                pool.take(hint)
            } else {
                pool.take_donated(hint)
            };
            let Some(page) = page else {
                break;
            };
            let base = Pfn::from_raw(page.raw() & !pages.wrapping_sub(1));
            let others = base.run(pages);
            let mut taken = heapless::Vec::<Pfn, 16>::new();
            let complete = others.filter(|other| *other != page).all(|other| {
                let got = pool.take_exact(other);
                if got {
                    let _ = taken.push(other);
                }
                got
            });
            if complete {
                root = Some(base);
            } else {
                while let Some(other) = taken.pop() {
                    pool.put(other);
                }
                let _ = passed.push(page);
            }
        }
        while let Some(page) = passed.pop() {
            pool.put(page);
        }
        let root = root?;
        for page in root.run(pages) {
            self.parts.platform.clear_table(cpu.id(), page);
        }
        Some(root)
    }

    /// Gives a stage-2 root back to the pool.
    pub(crate) fn give_root(&self, root: Pfn) {
        for page in root.run(u64::from(self.parts.host.geometry().root_pages)) {
            self.parts.pool.put(page);
        }
    }

    pub(super) fn call_vm_start(&self, cpu: &CpuToken, x: &[u64; ARGUMENT_REGISTERS]) -> Outcome {
        let pinned = self.pin_vm(cpu, VmStartArgs::from_registers(x).vm)?;
        let life = &pinned.vm.life;
        match life.advance(pinned.generation, Phase::Building, Phase::Sealing) {
            Ok(()) | Err(Phase::Sealing) => {}
            #[cfg(mutant = "start-twice")]
            Err(Phase::Running) => return Ok(Answer::DONE),
            Err(_) => return Err(Status::BadState),
        }
        // A builder that read `Building` shows its pin by now, or sees `Sealing`.
        #[cfg(not(mutant = "start-ignore-pins"))]
        if self.pinned_elsewhere(cpu, pinned.slot).0 != 0 {
            return Err(Status::Busy);
        }
        match life.advance(pinned.generation, Phase::Sealing, Phase::Running) {
            Ok(()) => {
                self.trace_phase(cpu, pinned.slot, Phase::Running);
                Ok(Answer::DONE)
            }
            Err(_) => Err(Status::BadState),
        }
    }

    pub(super) fn call_vm_destroy(&self, cpu: &CpuToken, x: &[u64; ARGUMENT_REGISTERS]) -> Outcome {
        let pinned = self.pin_vm(cpu, VmDestroyArgs::from_registers(x).vm)?;
        match pinned.vm.life.condemn(pinned.generation) {
            Ok(()) => self.trace_phase(cpu, pinned.slot, Phase::Dying),
            Err(Phase::Dying | Phase::Flushing | Phase::Reclaiming) => {}
            Err(_) => return Err(Status::BadHandle),
        }
        let (inside, one) = self.pinned_elsewhere(cpu, pinned.slot);
        if inside != 0 {
            self.kick_pinned(cpu, pinned.slot);
        }
        Ok(Answer::with(&[
            inside as u64,
            one.map_or(0, |cpu| u64::from(cpu.raw())),
        ]))
    }

    #[inline(never)]
    pub(super) fn call_vm_reclaim(
        &self,
        cpu: &CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Result<Reclaimed, Status> {
        let VmReclaimArgs { vm, max } = VmReclaimArgs::from_registers(x);
        let max = pages(max, limit::RECLAIM_PAGES)?;
        self.reclaim_vm(cpu, vm, max)
    }
}

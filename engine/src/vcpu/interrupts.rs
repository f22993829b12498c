//! Interrupts of vCPUs that come from elsewhere: SPIs from the host, SGIs from other vCPUs, the
//! virtual timer.
//!
//! Invariants: what makes an interrupt pending is a single atomic operation on the target's slot,
//! then a SeqCst fence, then a look at where the target is; the target's core publishes that it
//! waits, fences, then looks at what is pending. So one of the two sees the other, and a wake-up is
//! never lost. A parked vCPU is noted in its VM, and told to the host by whichever core enters a
//! vCPU of that VM next, the waker's first of all. The timer's line is a function of the saved timer and the counter.

use super::context::VirtualTimer;
use super::slot::VcpuSlot;
use crate::engine::Engine;
use crate::gic::private::Line;
use crate::gic::sgi::{Scope, Sgi};
use crate::gic::{PrivateId, Spi};
use crate::platform::Platform;
use crate::vm::PinnedVm;
use abi::InjectKind;
use abi::limit::VCPUS_PER_VM;
use percpu::{CpuToken, Residence};
use sync::{Ordering, fence};

/// Who has a vCPU run to which something became pending.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Woken {
    /// The core that has it, which was kicked; or whoever turns it on.
    Elsewhere,
    /// This core, as soon as it looks at its queue again.
    Here,
    /// The host alone: the vCPU is on no queue.
    Parked,
}

impl<P: Platform> Engine<P> {
    /// Makes a virtual SPI pending, or its line high or low.
    pub(crate) fn inject(
        &self,
        cpu: &CpuToken,
        slot: &VcpuSlot,
        spi: Spi,
        kind: InjectKind,
        priority: u8,
    ) {
        let inbox = &slot.interrupts.spis;
        match kind {
            InjectKind::Edge => inbox.edge(spi, priority),
            InjectKind::Assert => inbox.assert(spi, priority),
            InjectKind::Deassert => inbox.deassert(spi, priority),
        }
        // The host has this core, and asked itself: nobody is to be told.
        let _ = self.wake(cpu, slot);
    }

    /// Has a core look at the vCPU in `slot`, to which something became pending.
    fn wake(&self, cpu: &CpuToken, slot: &VcpuSlot) -> Woken {
        // Pairs with the fence in `RunQueues::go_idle` and in the residency transitions' users.
        #[cfg(not(mutant = "wake-no-fence"))]
        fence(Ordering::SeqCst);
        match slot.residency().now().1 {
            Residence::Queued(target) if target == cpu.id() => Woken::Here,
            Residence::Queued(target) | Residence::Running(target) => {
                #[cfg(not(mutant = "wake-no-kick"))]
                self.kick(cpu, target);
                #[cfg(mutant = "wake-no-kick")]
                let _ = target;
                Woken::Elsewhere
            }
            // Held, it may stay where it is: the call that holds it may be refused.
            Residence::Parked | Residence::Held(_) => Woken::Parked,
            Residence::Free | Residence::Off | Residence::Starting(_) | Residence::OnPending => {
                Woken::Elsewhere
            }
        }
    }

    /// Has whoever can run the `index`-th vCPU of the caller's VM do so: its core, or the host,
    /// which is told when a vCPU of the VM is entered next. Is it this core?
    pub(crate) fn wake_sibling(
        &self,
        cpu: &CpuToken,
        pinned: &PinnedVm<'_>,
        index: usize,
        vcpu: &VcpuSlot,
    ) -> bool {
        match self.wake(cpu, vcpu) {
            Woken::Elsewhere => {}
            Woken::Here => return true,
            // One that waits for the host's answer is queued with that.
            Woken::Parked => {
                if cfg!(not(mutant = "wake-no-ready")) && vcpu.is_ready() {
                    pinned.vm.note_ready(index);
                }
            }
        }
        false
    }

    /// Handles of vCPUs of the VM that are parked and have work, 0 after the last; `None` if there
    /// is none. Each is given once for each time that work came.
    #[inline]
    pub(crate) fn take_ready(&self, pinned: &PinnedVm<'_>) -> Option<[u64; 7]> {
        if pinned.vm.has_ready() {
            self.take_some_ready(pinned)
        } else {
            None
        }
    }

    fn take_some_ready(&self, pinned: &PinnedVm<'_>) -> Option<[u64; 7]> {
        let mut ready = [0; 7];
        let mut places = ready.iter_mut();
        // As many looks as there are vCPUs: others may note more meanwhile.
        for _ in 0..VCPUS_PER_VM {
            if places.len() == 0 {
                break;
            }
            let Some(index) = pinned.vm.take_ready() else {
                break;
            };
            let slot = pinned.vm.vcpus().nth(index);
            let vcpu = slot.and_then(|slot| Some((slot, self.parts.vcpus.get(usize::from(slot))?)));
            // The host may have put it on a queue since.
            if let Some((slot, vcpu)) = vcpu
                && vcpu.is_ready()
                && let Some(place) = places.next()
            {
                *place = vcpu.handle(slot).raw();
            }
        }
        (ready[0] != 0).then_some(ready)
    }

    /// Sends a guest's SGI. Is a target's core this one?
    pub(crate) fn send_guest_sgi(
        &self,
        cpu: &CpuToken,
        sender: &VcpuSlot,
        pinned: &PinnedVm<'_>,
        value: u64,
        scope: Scope,
    ) -> bool {
        let mut is_here = false;
        let Some(sgi) = Sgi::decode(value, scope) else {
            return false;
        };
        #[cfg(mutant = "sgi-any-vm")]
        for vcpu in self.parts.vcpus.iter() {
            if sgi.reaches(sender.mpidr(), vcpu.mpidr()) {
                vcpu.interrupts.private.raise_sgi(sgi.intid, sgi.scope);
            }
        }
        for (index, slot) in (0..VCPUS_PER_VM).zip(pinned.vm.vcpus()) {
            let Some(vcpu) = self.parts.vcpus.get(usize::from(slot)) else {
                continue;
            };
            if !sgi.reaches(sender.mpidr(), vcpu.mpidr()) {
                continue;
            }
            if !vcpu.interrupts.private.raise_sgi(sgi.intid, sgi.scope) {
                continue;
            }
            is_here |= self.wake_sibling(cpu, pinned, index, vcpu);
        }
        is_here
    }

    /// Brings the virtual timer's line up to date.
    pub(crate) fn sample_timer(&self, vcpu: &VcpuSlot, timer: &VirtualTimer, now: u64) {
        let line = if timer.is_asserted(now) {
            Line::High
        } else {
            Line::Low
        };
        vcpu.interrupts
            .private
            .set_line(PrivateId::VIRTUAL_TIMER, line);
    }
}

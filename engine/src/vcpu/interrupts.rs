//! Interrupts of vCPUs that come from elsewhere: SPIs from the host, SGIs from other vCPUs, the
//! virtual timer.
//!
//! Invariants: what makes an interrupt pending is a single atomic operation on the target's slot,
//! then a SeqCst fence, then a look at where the target is; the target's core publishes that it
//! waits, fences, then looks at what is pending. So one of the two sees the other, and a wake-up is
//! never lost. The timer's line is a function of the saved timer and the counter.

use super::slot::{VcpuSlot, VcpuState};
use crate::engine::Engine;
use crate::gic::private::Line;
use crate::gic::sgi::{Scope, Sgi};
use crate::gic::{PrivateId, Spi};
use crate::platform::Platform;
use crate::vm::PinnedVm;
use abi::{InjectKind, VcpuHandle};
use percpu::{CpuToken, Residence};
use sync::{Ordering, fence};

/// Who has a vCPU run to which something became pending.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Woken {
    /// The core that has it, which was kicked; or whoever turns it on.
    ByItsCore,
    /// This core, as soon as it looks at its queue again.
    Here,
    /// The host alone: this vCPU is on no queue.
    ByHost(VcpuHandle),
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
        let _ = self.wake(cpu, slot, VcpuHandle::NONE);
    }

    /// Has a core look at the vCPU `handle`, in `slot`, to which something became pending.
    pub(crate) fn wake(&self, cpu: &CpuToken, slot: &VcpuSlot, handle: VcpuHandle) -> Woken {
        // Pairs with the fence in `RunQueues::go_idle` and in the residency transitions' users.
        #[cfg(not(mutant = "wake-no-fence"))]
        fence(Ordering::SeqCst);
        match slot.residency().now().1 {
            Residence::Queued(target) if target == cpu.id() => Woken::Here,
            Residence::Queued(target) | Residence::Running(target) => {
                self.kick(cpu, target);
                Woken::ByItsCore
            }
            Residence::Parked => Woken::ByHost(handle),
            Residence::Free | Residence::Off | Residence::Starting(_) | Residence::OnPending => {
                Woken::ByItsCore
            }
        }
    }

    /// Sends a guest's SGI. Of several targets the answer is the one that asks for most.
    pub(crate) fn send_guest_sgi(
        &self,
        cpu: &CpuToken,
        sender: &VcpuSlot,
        pinned: &PinnedVm<'_>,
        value: u64,
        scope: Scope,
    ) -> Woken {
        let mut woken = Woken::ByItsCore;
        let Some(sgi) = Sgi::decode(value, scope) else {
            return woken;
        };
        for slot in pinned.vm.vcpus() {
            let Some(vcpu) = self.parts.vcpus.get(usize::from(slot)) else {
                continue;
            };
            if !sgi.reaches(sender.mpidr(), vcpu.mpidr()) {
                continue;
            }
            if !vcpu.interrupts.private.raise_sgi(sgi.intid, sgi.scope) {
                continue;
            }
            match (self.wake(cpu, vcpu, vcpu.handle(slot)), woken) {
                (Woken::ByItsCore, _) | (Woken::Here, Woken::ByHost(_)) => {}
                (more, _) => woken = more,
            }
        }
        woken
    }

    /// Brings the virtual timer's line up to date.
    pub(crate) fn sample_timer(&self, vcpu: &VcpuSlot, state: &VcpuState, now: u64) {
        let line = if state.context.timer.is_asserted(now) {
            Line::High
        } else {
            Line::Low
        };
        vcpu.interrupts
            .private
            .set_line(PrivateId::VIRTUAL_TIMER, line);
    }
}

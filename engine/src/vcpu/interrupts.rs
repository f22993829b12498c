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
        self.wake(cpu, slot);
    }

    /// Has a core look at a vCPU to which something became pending. Tells whether the vCPU is on
    /// no queue, so that only the host can wake it.
    pub(crate) fn wake(&self, cpu: &CpuToken, slot: &VcpuSlot) -> bool {
        // Pairs with the fences in `publish_idle` and in the residency transitions' users.
        #[cfg(not(mutant = "wake-no-fence"))]
        fence(Ordering::SeqCst);
        match slot.residency().now().1 {
            Residence::Queued(target) | Residence::Running(target) => {
                self.kick(cpu, target);
                false
            }
            Residence::Parked => true,
            Residence::Free | Residence::Off | Residence::Starting(_) | Residence::OnPending => false,
        }
    }

    /// Sends a guest's SGI. Tells of a target that only the host can wake.
    pub(crate) fn send_guest_sgi(
        &self,
        cpu: &CpuToken,
        sender: &VcpuSlot,
        pinned: &PinnedVm<'_>,
        value: u64,
        scope: Scope,
    ) -> Option<VcpuHandle> {
        let sgi = Sgi::decode(value, scope)?;
        let mut ready = None;
        for slot in pinned.vm.vcpus() {
            let Some(vcpu) = self.parts.vcpus.get(usize::from(slot)) else { continue };
            if !sgi.reaches(sender.mpidr(), vcpu.mpidr()) {
                continue;
            }
            if vcpu.interrupts.private.raise_sgi(sgi.intid, sgi.scope) && self.wake(cpu, vcpu) {
                ready = Some(vcpu.handle(slot));
            }
        }
        ready
    }

    /// Brings the virtual timer's line up to date.
    pub(crate) fn sample_timer(&self, vcpu: &VcpuSlot, state: &VcpuState, now: u64) {
        let line = if state.context.timer.is_asserted(now) { Line::High } else { Line::Low };
        vcpu.interrupts.private.set_line(PrivateId::VIRTUAL_TIMER, line);
    }
}

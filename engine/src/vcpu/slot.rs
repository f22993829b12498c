//! vCPU slots: type-stable, so that a run queue's bit and a stale handle never point at nothing.
//!
//! Invariants: the residency word is the truth about where a vCPU is; its [`VcpuState`] is reached
//! only with the run ticket that a won transition of that word gives, so by one core at a time; the
//! identity fields are written before the slot leaves `allocate`'s holder and never change in a
//! generation.

use super::context::Context;
use crate::gic::{Shared, spi::SPI_WORDS};
use abi::{VcpuHandle, VmHandle};
use percpu::{Residence, Residency, Resident, RunTicket};
use sync::{AtomicBool, AtomicU64, Ordering};

/// What a vCPU waits for before its next instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pending {
    /// Nothing.
    #[default]
    Nothing,
    /// The host's answer to a load; it goes to `rt` as the access says.
    MmioRead {
        /// How the data lands in the register.
        access: crate::trap::syndrome::Access,
        /// Virtual address, in case it becomes an abort.
        far: u64,
    },
    /// Nothing, but the store it was told of may still be turned into an abort.
    MmioWrite {
        /// Virtual address of it.
        far: u64,
    },
    /// The host's answer to a forwarded call.
    Call,
    /// A page at the IPA it faulted on.
    RamFault,
    /// The end of its VM: it faulted, or asked for the VM's end, and does not go on.
    End,
}

/// What belongs to whoever holds the vCPU's run ticket.
pub struct VcpuState {
    /// Registers.
    pub context: Context,
    /// What it waits for from the host.
    pub pending: Pending,
    /// It executed WFI, or a PSCI suspend, and waits for an interrupt.
    pub waiting: bool,
}

impl Pending {
    /// Must the vCPU stay off the queues, until VCPU_RESPOND or for good?
    pub fn bars_queues(self) -> bool {
        matches!(self, Self::MmioRead { .. } | Self::Call | Self::End)
    }
}

/// A vCPU slot.
#[derive(Default)]
pub struct VcpuSlot {
    /// Interrupts that other cores make pending.
    pub interrupts: Shared<SPI_WORDS>,
    resident: Resident<Option<VcpuState>>,
    /// Parked, it waits for more than a queue: a copy of [`Pending::bars_queues`].
    barred: AtomicBool,
    /// The host wants it off its queue: nothing keeps it on its core.
    wanted: AtomicBool,
    vm: AtomicU64,
    mpidr: AtomicU64,
}

impl VcpuSlot {
    /// Where the vCPU is.
    pub fn residency(&self) -> &Residency {
        self.resident.residency()
    }

    /// Fills a freshly allocated slot in.
    pub(crate) fn fill(
        &self,
        ticket: &mut RunTicket<'_>,
        vm: VmHandle,
        mpidr: u64,
        state: VcpuState,
    ) {
        // Relaxed: published by the Release with which the ticket ends.
        self.vm.store(vm.raw(), Ordering::Relaxed);
        // Relaxed: as above.
        self.mpidr.store(mpidr, Ordering::Relaxed);
        // Relaxed: as above.
        self.barred.store(false, Ordering::Relaxed);
        // Relaxed: as above.
        self.wanted.store(false, Ordering::Relaxed);
        #[cfg(not(mutant = "vcpu-keep-interrupts"))]
        self.interrupts.reset();
        self.resident.with(ticket, |content| *content = Some(state));
    }

    /// Ends its turn with the next kick, whatever else that is for.
    pub(crate) fn want(&self) {
        // Relaxed: the kick that follows waits for it, and the core looks after that.
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Did somebody want it off its queue? Who still does asks again, having been told BUSY.
    pub(crate) fn take_wanted(&self) -> bool {
        // Relaxed: as in `want`.
        let is_wanted = self.wanted.load(Ordering::Relaxed);
        if is_wanted {
            // Relaxed: as in `want`.
            self.wanted.store(false, Ordering::Relaxed);
        }
        is_wanted
    }

    /// Lets the ticket's holder at the state. `None` if the ticket is another slot's, or the slot
    /// was never filled in.
    pub(crate) fn with<R>(
        &self,
        ticket: &mut RunTicket<'_>,
        f: impl FnOnce(&mut VcpuState) -> R,
    ) -> Option<R> {
        self.resident
            .with(ticket, |content| content.as_mut().map(f))
            .flatten()
    }

    /// Lets others know whether it waits for an answer. Whoever changed that calls it before the
    /// ticket ends.
    pub(crate) fn publish_bar(&self, ticket: &mut RunTicket<'_>) {
        let barred = self.with(ticket, |state| state.pending.bars_queues());
        // Relaxed: published by the Release with which the ticket ends.
        self.barred.store(barred != Some(false), Ordering::Relaxed);
    }

    /// Is it on no queue for no reason but that nobody has put it on one? So is one that a call
    /// holds: refused, the call leaves it there; done, it queues it, and the host is told too much.
    pub fn is_ready(&self) -> bool {
        let is_off_queues = matches!(
            self.residency().now().1,
            Residence::Parked | Residence::Held(_)
        );
        // Relaxed: read after the residency word, whose Acquire orders it.
        let barred = self.barred.load(Ordering::Relaxed) && cfg!(not(mutant = "ready-ignore-bar"));
        is_off_queues && !barred
    }

    /// The VM it belongs to.
    pub fn vm(&self) -> VmHandle {
        // Relaxed: read after the residency word, whose Acquire orders it.
        VmHandle::from_raw(self.vm.load(Ordering::Relaxed))
    }

    /// Its affinity.
    pub fn mpidr(&self) -> u64 {
        // Relaxed: as in `vm`.
        self.mpidr.load(Ordering::Relaxed)
    }

    /// The handle of the vCPU now in `slot`, which this is.
    pub fn handle(&self, slot: u16) -> VcpuHandle {
        VcpuHandle::new(slot, self.residency().now().0)
    }

    /// Frees the slot if `vm`, which nobody has pinned, still has its vCPU there. `false` while a
    /// core holds the vCPU: a run queue looks at its vCPUs without a pin.
    pub(crate) fn free_of(&self, vm: VmHandle) -> bool {
        let (generation, residence) = self.residency().now();
        match residence {
            // Free, or another VM's by now: without a pin none of this one's is set up or started.
            Residence::Free | Residence::Starting(_) => true,
            _ => self.vm() != vm || self.residency().free(generation).is_ok(),
        }
    }
}

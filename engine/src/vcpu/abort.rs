//! Stage-2 aborts of guests.
//!
//! Invariants: an abort in a RAM range tells the host the page-aligned IPA and nothing else: a
//! store's data would be the guest's secret. Outside RAM only an access whose syndrome describes it
//! completely becomes an MMIO exit; everything else becomes an external abort in the guest. A fault
//! on an entry in transition, or on one that has become valid, is simply tried again.

use super::exit::{VcpuExit, Verdict, after_waking};
use super::slot::{Pending, VcpuState};
use crate::engine::Engine;
use crate::gic::redistributor::{Effect, Frames};
use crate::platform::Platform;
use crate::stage2::descriptor::{Entry, LAST_LEVEL};
use crate::trap::exception::{ExternalAbort, inject_abort};
use crate::trap::syndrome::{Abort, Access, FaultKind as Kind};
use crate::vm::PinnedVm;
use abi::{Counter, ExitReason, FaultKind};
use ownership::Ipa;
use percpu::CpuToken;

impl<P: Platform> Engine<P> {
    /// Judges an instruction or data abort.
    #[expect(clippy::too_many_arguments, reason = "all that an abort is about")]
    pub(crate) fn guest_abort(
        &self,
        cpu: &CpuToken,
        slot: u16,
        state: &mut VcpuState,
        pinned: &PinnedVm<'_>,
        abort: Abort,
        far: u64,
        hpfar: u64,
    ) -> Verdict {
        match abort.kind() {
            Kind::Translation | Kind::AccessFlag | Kind::AddressSize => {}
            #[cfg(not(mutant = "guest-keep-conflict"))]
            Kind::TlbConflict => {
                let regime = pinned.vm.regime(pinned.slot, self.parts.host.geometry());
                self.resolve_conflict(cpu, regime);
                return Verdict::Resume;
            }
            // A leaf without the right that the guest used: the host's choice of rights, answered
            // like a bus that refuses.
            Kind::Permission => return self.abort_guest(cpu, state, abort, far),
            Kind::External | Kind::ExternalOnWalk | Kind::Parity | Kind::ParityOnWalk => {
                let fault = [FaultKind::External.raw(), 0, 0];
                let exit = VcpuExit::new(ExitReason::Fault, fault);
                return Verdict::Host(exit);
            }
            _ => return self.abort_guest(cpu, state, abort, far),
        }
        let Some(address) = abort.ipa(hpfar, far) else {
            return self.abort_guest(cpu, state, abort, far);
        };
        let page = address.page >> 12;
        if pinned.vm.ram_holds(page, 1) {
            return self.ram_fault(cpu, state, pinned, page);
        }
        #[cfg(mutant = "guest-one-to-one")]
        if self.map_one_to_one(cpu, pinned, page) {
            return Verdict::Resume;
        }
        #[cfg(not(mutant = "mmio-any-access"))]
        let plain = abort.access().filter(|_| !abort.on_walk());
        #[cfg(mutant = "mmio-any-access")]
        let plain = abort.access().or(Some(Access::OF_X0));
        let (Some(access), Some(exact)) = (plain, address.exact()) else {
            return self.abort_guest(cpu, state, abort, far);
        };
        if let Some((index, offset)) = pinned.vm.redistributor_at(Ipa::from_raw(exact)) {
            return self.redistributor(cpu, slot, state, pinned, index, offset, abort, access);
        }
        let bytes = u64::from(access.bytes());
        if abort.is_write() {
            let data = access.narrow(state.context.frame.reg(access.rt()));
            state.pending = Pending::MmioWrite { far };
            let exit = VcpuExit::new(ExitReason::MmioWrite, [exact, bytes, data]);
            return Verdict::Host(exit);
        }
        state.pending = Pending::MmioRead { access, far };
        Verdict::Host(VcpuExit::new(ExitReason::MmioRead, [exact, bytes, 0]))
    }

    /// What the host has for devices, and no guest: the address itself.
    #[cfg(mutant = "guest-one-to-one")]
    fn map_one_to_one(&self, cpu: &CpuToken, pinned: &PinnedVm<'_>, page: u64) -> bool {
        let (platform, ipa) = (&self.parts.platform, Ipa::from_raw(page << 12));
        let stage2 = pinned.vm.stage2(pinned.slot, self.parts.host.geometry());
        let pool = &self.parts.pool;
        let Ok(at) = stage2.take_entry(platform, cpu.id(), pool, ipa, LAST_LEVEL) else {
            return false;
        };
        let all = crate::stage2::descriptor::Access {
            write: true,
            execute: true,
        };
        let leaf = self
            .ram_bits(all)
            .leaf(ownership::Pfn::from_raw(page), LAST_LEVEL);
        platform.store_entry(cpu.id(), at, leaf);
        self.publish_leaves(cpu);
        true
    }

    fn ram_fault(
        &self,
        cpu: &CpuToken,
        state: &mut VcpuState,
        pinned: &PinnedVm<'_>,
        page: u64,
    ) -> Verdict {
        let stage2 = pinned.vm.stage2(pinned.slot, self.parts.host.geometry());
        let ipa = Ipa::from_raw(page << 12);
        match stage2.walk(&self.parts.platform, cpu.id(), ipa, LAST_LEVEL) {
            Ok(found) if matches!(found.entry(), Entry::Empty) => {
                state.pending = Pending::RamFault;
                let details = [page << 12, 0, 0];
                let exit = VcpuExit::new(ExitReason::RamFault, details);
                Verdict::Host(exit)
            }
            // Valid by now, or changing: the access decides anew.
            _ => Verdict::Resume,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all that an access is about")]
    fn redistributor(
        &self,
        cpu: &CpuToken,
        slot: u16,
        state: &mut VcpuState,
        pinned: &PinnedVm<'_>,
        index: usize,
        offset: u64,
        abort: Abort,
        access: Access,
    ) -> Verdict {
        let target = pinned.vm.vcpus().nth(index);
        let count = pinned.vm.vcpus().count();
        let target = target.and_then(|slot| Some((slot, self.parts.vcpus.get(usize::from(slot))?)));
        let bytes = u64::from(access.bytes());
        let mut verdict = Verdict::Resume;
        if let Some((owner_slot, owner)) = target {
            let frames = Frames {
                private: &owner.interrupts.private,
                mpidr: owner.mpidr(),
                number: index as u16,
                last: index + 1 == count,
            };
            if abort.is_write() {
                let value = access.narrow(state.context.frame.reg(access.rt()));
                let effect = frames.write(offset, bytes, value);
                // This vCPU's own lists are filled anew before it goes on.
                if effect == Effect::LookAgain && owner_slot != slot {
                    verdict = after_waking(self.wake_sibling(cpu, pinned, index, owner));
                }
            } else {
                let value = access.extend(frames.read(offset, bytes));
                state.context.frame.set_reg(access.rt(), value);
            }
        } else if !abort.is_write() {
            // A frame of a vCPU that was never created: nothing answers there.
            state.context.frame.set_reg(access.rt(), 0);
        }
        state.context.frame.skip_instruction();
        verdict
    }

    fn abort_guest(
        &self,
        cpu: &CpuToken,
        state: &mut VcpuState,
        abort: Abort,
        far: u64,
    ) -> Verdict {
        let external = ExternalAbort::to(abort);
        self.count(cpu, Counter::GuestAbort, 1);
        inject_abort(&mut state.context, &external, far, self.pstate_features());
        Verdict::Resume
    }
}

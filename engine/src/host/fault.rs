//! Stage-2 faults of the host.
//!
//! A fault on RAM that is the host's is answered by mapping it; on memory in transition, by trying
//! again; on a redistributor's RD_base frame, by doing the access under `gic::guard`; on anything
//! else by the external abort that a bus would give. Invariant: the host learns nothing but that its
//! own access failed: the same abort for a guest's page, the engine's and a hole.

use super::trap::Next;
use crate::bite::{Bite, IN_PARTS};
use crate::engine::{Engine, PageRun};
use crate::gic::guard::{Ruling, rule_read, rule_write};
use crate::memory::host_fault::HostFault;
use crate::platform::Platform;
use crate::trace::Event;
use crate::trap::exception::{ExternalAbort, Interrupted};
use crate::trap::syndrome::{Abort, FaultKind};
use crate::vcpu::context::Frame;
use abi::Counter;
use ownership::Pa;
use percpu::CpuToken;

/// A run of redistributors with the same stride (IHI0069 12.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardedFrames {
    /// Physical address of the first RD_base frame.
    pub base: u64,
    /// Bytes of the whole run, as the firmware describes it.
    pub size: u64,
    /// Bytes up to the end of its last redistributor (GICR_TYPER.Last): behind it nothing answers,
    /// and an access that the engine made there would be the engine's own abort.
    pub present: u64,
    /// Bytes from one RD_base frame to the next: 128 KiB, or 256 KiB with VLPI frames.
    pub stride: u64,
}

/// Bytes of one frame.
const FRAME: u64 = 1 << 16;

impl GuardedFrames {
    /// The offset in an RD_base frame at which `pa` lies, if it does.
    fn offset_of(&self, pa: u64) -> Option<u64> {
        #[cfg(not(mutant = "guard-unbacked"))]
        let end = self.present;
        #[cfg(mutant = "guard-unbacked")]
        let end = self.size;
        let offset = pa.checked_sub(self.base).filter(|offset| *offset < end)?;
        let within = offset.checked_rem(self.stride)?;
        (within < FRAME).then_some(within)
    }
}

impl GuardedFrames {
    /// May the host have this page mapped? Of each redistributor the SGI_base frame alone, which is
    /// the second; outside the run everything.
    pub(crate) fn leaves_to_host(&self, pa: u64) -> bool {
        let offset = pa.wrapping_sub(self.base);
        if offset >= self.size {
            return true;
        }
        let within = offset.checked_rem(self.stride).unwrap_or(0);
        (FRAME..2 * FRAME).contains(&within)
    }

    /// Does the run have a page in common with `area`?
    pub(crate) const fn meets(&self, area: PageRun) -> bool {
        let run = PageRun {
            first: Pa::from_raw(self.base).pfn(),
            pages: self.size >> 12,
        };
        run.overlaps(area)
    }
}

impl<P: Platform> Engine<P> {
    /// Answers an abort of the host.
    pub(super) fn host_abort(
        &self,
        cpu: &mut CpuToken,
        frame: &mut Frame,
        abort: Abort,
        far: u64,
        hpfar: u64,
    ) -> Next {
        #[cfg(not(mutant = "host-keep-conflict"))]
        if abort.kind() == FaultKind::TlbConflict {
            self.resolve_conflict(cpu, self.parts.host.regime());
            return Next::Resume;
        }
        let address = match abort.kind() {
            FaultKind::Translation | FaultKind::AccessFlag | FaultKind::AddressSize => {
                abort.ipa(hpfar, far)
            }
            _ => None,
        };
        let Some(address) = address else {
            return self.deny_host(cpu, frame, abort, far, 0);
        };
        let page = Pa::from_raw(address.page).pfn();
        let area = PageRun {
            first: page,
            pages: 1,
        };
        let outcome = if self.parts.ram.iter().any(|ram| ram.overlaps(area)) {
            self.host_fault(cpu, page)
        } else {
            self.host_device_fault(cpu, page)
        };
        match outcome {
            HostFault::Mapped | HostFault::MappedWhole => {
                let mut bite = match outcome {
                    HostFault::Mapped => Bite::default(),
                    _ => Bite::spent(),
                };
                self.let_rest(cpu, page, &mut bite);
                if bite.affords(IN_PARTS) {
                    self.join_rested(cpu);
                }
                return Next::Resume;
            }
            HostFault::Retry => return Next::Resume,
            HostFault::Deny => {}
        }
        let plain = abort.access().filter(|_| !abort.on_walk());
        if let (Some(access), Some(exact)) = (plain, address.exact()) {
            let mut runs = self.parts.guarded.iter();
            if let Some(offset) = runs.find_map(|run| run.offset_of(exact)) {
                let bytes = access.bytes();
                if abort.is_write() {
                    if let Ruling::Pass { mask } = rule_write(offset, u64::from(bytes)) {
                        let value = access.narrow(frame.reg(access.rt())) & mask;
                        self.parts
                            .platform
                            .device_write(cpu.id(), exact, bytes, value);
                    }
                } else {
                    let value = match rule_read(offset, u64::from(bytes)) {
                        Ruling::Pass { mask } => {
                            self.parts.platform.device_read(cpu.id(), exact, bytes) & mask
                        }
                        Ruling::Refuse => 0,
                    };
                    frame.set_reg(access.rt(), access.extend(value));
                }
                frame.skip_instruction();
                return Next::Resume;
            }
        }
        self.deny_host(cpu, frame, abort, far, page.raw())
    }

    fn deny_host(
        &self,
        cpu: &CpuToken,
        frame: &mut Frame,
        abort: Abort,
        far: u64,
        page: u64,
    ) -> Next {
        self.count(cpu, Counter::HostFaultDenied, 1);
        self.trace(cpu, Event::HostDenied, page);
        let taken = self.interrupted(cpu, frame).take_abort(
            &ExternalAbort::to(abort),
            far,
            self.pstate_features(),
        );
        self.enter_host_exception(cpu, frame, &taken);
        Next::Resume
    }

    /// The host as an exception finds it.
    pub(super) fn interrupted(&self, cpu: &CpuToken, frame: &Frame) -> Interrupted {
        let (vbar, sctlr) = self.parts.platform.host_vectors(cpu.id());
        Interrupted {
            pc: frame.pc,
            pstate: frame.pstate,
            vbar,
            sctlr,
        }
    }

    /// Makes the host take an exception.
    pub(super) fn enter_host_exception(
        &self,
        cpu: &CpuToken,
        frame: &mut Frame,
        taken: &crate::trap::exception::Taken,
    ) {
        let platform = &self.parts.platform;
        platform.set_host_exception(cpu.id(), taken.elr, taken.spsr, taken.esr, taken.far);
        frame.pc = taken.entry.pc;
        frame.pstate = taken.entry.pstate;
    }
}

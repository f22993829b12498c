//! Answers to a guest that keeps the core: all but its general registers, or its interrupts, stay loaded.
//!
//! Most of what an exit costs is the change of EL1's registers. Some exits need none of them: MEM_SHARE and
//! MEM_UNSHARE, an SGI to siblings, and the doorbell that such an SGI rings on the sibling's core. They are
//! answered here, from within the run; everything else ends it and is judged (`exit`).
//!
//! Invariants:
//! - an answer reads and writes no register but what [`Stop`] shows, and leaves the exit as it was if it is
//!   not the whole answer: whoever judges it then finds what the hardware said;
//! - after an interrupt the guest goes on only if the turn is not over, the host has no interrupt, nothing is
//!   in this core's mailbox, the VM lives, nobody wants the vCPU off its queue, and something new is there for it: a
//!   kick for any other reason ends the run;
//! - the doorbell is dropped before any of that is looked at, so that what is told later rings again.

use super::calls::DONE;
use super::context::{Frame, Stop, VirtualTimer};
use super::exit::{Verdict, after_waking};
use super::slot::VcpuSlot;
use crate::engine::Engine;
use crate::gic::sgi::Scope;
use crate::gic::{Filled, Runner, spi::SPI_WORDS};
use crate::memory::share::GuestPageCall;
use crate::platform::Platform;
use crate::trap::guest_call::GuestCall;
use crate::trap::syndrome::{SysregAccess, class, exception_class};
use crate::trap::sysreg::reg::ICC_SGI1R_EL1;
use crate::vm::PinnedVm;
use crate::vm::life::Phase;
use abi::Counter;
use ownership::Ipa;
use percpu::CpuToken;

/// ESR_EL2.ISS of an HVC: its immediate (Arm ARM D24.2.40).
const HVC_IMMEDIATE: u64 = 0xffff;

/// The answers of one run.
pub(super) struct Near<'a, P: Platform> {
    engine: &'a Engine<P>,
    cpu: &'a CpuToken,
    vcpu: &'a VcpuSlot,
    pinned: &'a PinnedVm<'a>,
    /// When the turn ends.
    until: u64,
    /// How the list registers are filled.
    filled: Filled,
    /// Traps after which the guest went on.
    traps: u64,
    /// Set by an answer after which the guest does not go on at once.
    verdict: Option<Verdict>,
}

impl<'a, P: Platform> Near<'a, P> {
    /// For a run until `until` whose list registers are `filled`.
    pub const fn new(
        engine: &'a Engine<P>,
        cpu: &'a CpuToken,
        vcpu: &'a VcpuSlot,
        pinned: &'a PinnedVm<'a>,
        until: u64,
        filled: Filled,
    ) -> Self {
        Self {
            engine,
            cpu,
            vcpu,
            pinned,
            until,
            filled,
            traps: 0,
            verdict: None,
        }
    }

    /// Answers `stop`: does the guest go on?
    #[inline]
    pub fn answer(&mut self, stop: Stop<'_>) -> bool {
        match stop {
            Stop::Sync { frame, esr } => match exception_class(esr) {
                class::HVC => self.page_call(frame, esr),
                class::SYSREG => self.sgi(frame, esr),
                _ => false,
            },
            Stop::Interrupt { timer, gic } => self.kick(timer, gic),
        }
    }

    /// What the last exit was answered with, if anything, and how the list registers are filled.
    pub fn end(self) -> (Option<Verdict>, Filled) {
        if self.traps != 0 {
            self.engine.count(self.cpu, Counter::GuestTraps, self.traps);
        }
        (self.verdict, self.filled)
    }

    /// MEM_SHARE or MEM_UNSHARE, if it can be done at once.
    fn page_call(&mut self, frame: &mut Frame, esr: u64) -> bool {
        let [function, x1, x2, x3, ..] = frame.x;
        if esr & HVC_IMMEDIATE != 0 {
            return false;
        }
        let outcome = match GuestCall::about_sharing(function, [x1, x2, x3]) {
            Some(GuestCall::Share { ipa }) => {
                self.engine
                    .guest_share(self.cpu, self.pinned, Ipa::from_raw(ipa))
            }
            Some(GuestCall::Unshare { ipa }) => {
                self.engine
                    .guest_unshare(self.cpu, self.pinned, Ipa::from_raw(ipa))
            }
            _ => return false,
        };
        if outcome != GuestPageCall::Done {
            return false;
        }
        frame.x[..4].copy_from_slice(&DONE);
        self.traps = self.traps.wrapping_add(1);
        true
    }

    /// A write of ICC_SGI1R_EL1.
    fn sgi(&mut self, frame: &mut Frame, esr: u64) -> bool {
        let access = SysregAccess::of(esr);
        if access.register != ICC_SGI1R_EL1 || access.is_read {
            return false;
        }
        let value = frame.reg(access.rt);
        frame.skip_instruction();
        let (engine, scope) = (self.engine, Scope::BothGroups);
        let is_here = engine.send_guest_sgi(self.cpu, self.vcpu, self.pinned, value, scope);
        let verdict = after_waking(is_here);
        // To be seen to before the guest goes on: a sibling that the host must queue, an SGI to itself.
        let has_more = self.pinned.vm.has_ready() || self.vcpu.interrupts.has_news();
        if verdict != Verdict::Resume || has_more && cfg!(not(mutant = "near-sgi-ends-here")) {
            self.verdict = Some(verdict);
            return false;
        }
        self.traps = self.traps.wrapping_add(1);
        true
    }

    /// An interrupt that is no more than another core's doorbell, rung for this vCPU.
    fn kick(&mut self, timer: &VirtualTimer, gic: &mut Runner<SPI_WORDS>) -> bool {
        let (engine, cpu, parts) = (self.engine, self.cpu, &self.engine.parts);
        let now = parts.platform.counter(cpu.id());
        if now >= self.until || self.filled != Filled::All {
            return false;
        }
        if parts
            .platform
            .host_interrupt_pending(cpu.id(), engine.doorbell())
        {
            return false;
        }
        if parts.queues.has_mail(cpu) && cfg!(not(mutant = "near-ignore-mail")) {
            return false;
        }
        let alive = (self.pinned.generation, Phase::Running);
        if self.pinned.vm.life.now() != alive && cfg!(not(mutant = "near-ignore-phase")) {
            return false;
        }
        if self.vcpu.take_wanted() {
            return false;
        }
        let shared = &self.vcpu.interrupts;
        if self.pinned.vm.has_ready() || !shared.has_news() {
            return false;
        }
        gic.drain(shared);
        if gic.has_ended() {
            // The host is to be told first.
            return false;
        }
        engine.sample_timer(self.vcpu, timer, now);
        self.filled = gic.fill(shared);
        self.filled == Filled::All
    }
}

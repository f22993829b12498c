//! A guest in a round: its core makes it load and store the words that the calls are about, and call about their pages itself,
//! one step a run.
//!
//! It is the puppet program: an answer to its call tells it the step, and its next call how that went. Nothing but calls
//! is noted; what the guest has done in between, the tool reads out of them (`xtask/src/linear/runs.rs`).
//!
//! Invariants: no call is about the page that the program is in, or about its address; the guest's core alone
//! answers and runs it.

use super::{
    BLOCK_BYTES, BLOCKS, PAGES, RAM_BYTES, TEAM, Team, WORDS,
    draw::{RIGHTS, any_page},
};
use crate::{
    guest::{CALL_NEXT, CODE, LOAD, LOAD_TWICE, Program, RAM, STORE, STORE_TWICE},
    outcome::{OrFail, TestResult},
    random::Random,
    team,
};
use abi::{
    Call, ExitReason, Outcome,
    smccc::{KVM_MEM_RELINQUISH, KVM_MEM_SHARE, KVM_MEM_UNSHARE},
};
use core::sync::atomic::Ordering;
use el1::timer;

/// The core of a team that runs the guest.
pub const SEAT: usize = TEAM - 1;
/// Where the program is: behind all that calls are about.
const PROGRAM: u64 = RAM + RAM_BYTES - BLOCK_BYTES;
/// Calls of its own that it is told to make.
const CALLS: [u64; 3] = [KVM_MEM_SHARE, KVM_MEM_UNSHARE, KVM_MEM_RELINQUISH];
/// Accesses, and milliseconds at most until it does the second of two.
const STEPS: [u64; 6] = [
    LOAD,
    STORE,
    LOAD_TWICE,
    STORE_TWICE,
    LOAD_TWICE,
    STORE_TWICE,
];
const LATER_MS: u64 = 1;
/// Milliseconds until a guest that says nothing is looked after.
const SLICE_MS: u64 = 20;

/// How far a round's guest is, for its core.
pub struct Guest {
    vcpu: u64,
    /// Does it wait for an answer?
    waits: bool,
    /// The page that it misses.
    missed: Option<u64>,
}

/// Runs for each call that another core makes.
pub const RUNS: usize = 2;

/// Some of the time for which a guest is at a step.
pub fn pause(random: &mut Random) {
    let end = timer::now() + random.below(timer::ticks(LATER_MS));
    while timer::now() < end {}
}

impl Team {
    /// The first core, alone: the first VM gets a guest, which is queued for its core.
    pub(super) fn begin_guest(&self, round: usize) -> TestResult {
        let code = Program::Puppet.code();
        // SAFETY: the page is the team's, for this alone, and has room for the program.
        unsafe { (self.program as *mut u8).copy_from_nonoverlapping(code.as_ptr(), code.len()) };
        let vm = self.vms[0].load(Ordering::Relaxed);
        let entry = Program::Puppet.entry() - CODE + PROGRAM;
        let make = |call, arguments: &[u64]| self.make(0, round, call, arguments);
        make(Call::VmMap, &[vm, self.program, PROGRAM, 1, RIGHTS]).or_fail("VM_MAP")?;
        let created = make(Call::VcpuCreate, &[vm, 0, entry, 0]).or_fail("VCPU_CREATE")?;
        make(Call::VmStart, &[vm]).or_fail("VM_START")?;
        let cpu = team::engine_cpu(self.cores[SEAT]);
        make(Call::VcpuEnqueue, &[created[0], cpu]).or_fail("VCPU_ENQUEUE")?;
        // Relaxed: published by `meet`.
        self.vcpus[0].store(created[0], Ordering::Relaxed);
        self.guest.store(created[0], Ordering::Relaxed);
        Ok(())
    }

    /// The round's guest, if it has one.
    pub(super) fn guest(&self) -> Option<Guest> {
        // Relaxed: as above.
        let vcpu = self.guest.load(Ordering::Relaxed);
        (vcpu != 0).then_some(Guest {
            vcpu,
            waits: false,
            missed: None,
        })
    }

    /// What the guest is to do about a page: x0 to x3 of its step.
    fn step(&self, page: u64, random: &mut Random) -> [u64; 4] {
        if random.below(4) == 0 {
            let call = CALLS[random.below(CALLS.len() as u64) as usize];
            return [call, page, 0, 0];
        }
        let step = STEPS[random.below(STEPS.len() as u64) as usize];
        let at = page + WORDS[random.below(WORDS.len() as u64) as usize];
        let ticks = random.below(timer::ticks(LATER_MS));
        [step, at, self.new_value(SEAT), ticks]
    }

    /// A step of the guest's: one that waits is told a random one, one that misses a page may be given one; and
    /// whatever it is at, it runs.
    pub(super) fn play(&self, round: usize, guest: &mut Guest, random: &mut Random) -> TestResult {
        if guest.waits {
            let page = match random.below(4) {
                0 => any_page(random),
                _ => RAM,
            };
            let [step, at, value, ticks] = self.step(page, random);
            let outcome = Outcome::Complete.raw();
            let arguments = [guest.vcpu, step, at, value, ticks, outcome];
            // Its VM may be over.
            let told = self.make(SEAT, round, Call::VcpuRespond, &arguments);
            guest.waits = told.is_err();
        }
        if let Some(ipa) = guest.missed.take() {
            let pa = self
                .pages()
                .nth(random.below(BLOCKS as u64 * PAGES) as usize);
            let vm = self.vms[0].load(Ordering::Relaxed);
            let arguments = [vm, pa.or_fail("a page")?, ipa, 1, RIGHTS];
            let call = [
                None,
                Some(Call::VmLend),
                Some(Call::VmMap),
                Some(Call::VmMap),
            ];
            if let Some(call) = call[random.below(4) as usize] {
                let _ = self.make(SEAT, round, call, &arguments);
            }
        }
        let budget = timer::ticks(SLICE_MS);
        if let Ok([reason, vcpu, detail, ..]) = self.make(SEAT, round, Call::CpuRun, &[budget]) {
            let reason = ExitReason::from_raw(reason).filter(|_| vcpu == guest.vcpu);
            guest.waits |= reason == Some(ExitReason::Call) && detail == CALL_NEXT;
            guest.missed = (reason == Some(ExitReason::RamFault)).then_some(detail);
        }
        Ok(())
    }
}

//! What the guest of a round did in each CPU_RUN of its core, out of what the calls about it told.
//!
//! An answer to the guest's call is a step, a load or a store of a word or two of these some time apart, or a call of its own
//! (`hw-tests/src/guest/puppet.rs`); its next call says what that found or told. A step of which a run tells nothing, since something
//! else ended that, may have been done there.
//!
//! Invariants: what may have happened in another run than the one where it is written is written as what may have happened;
//! a part of a run has the run's times, but that the second of two begins no earlier than the time between them after the
//! run's beginning, and so what comes behind it.

use std::fmt::{self, Write};

use abi::smccc::{KVM_MEM_RELINQUISH, KVM_MEM_SHARE, KVM_MEM_UNSHARE};
use abi::{Call, ExitReason};
use anyhow::{Context, Result, bail, ensure};

use crate::linear::note::{Invocation, Words};

/// x0 of the guest's call for a step, and of the steps that are taken.
const NEXT: u64 = 0xC600_0080;
const LOAD: u64 = 1;
const STORE: u64 = 2;
const LOAD_TWICE: u64 = 12;
const STORE_TWICE: u64 = 13;
/// Words that CPU_RUN tells: status, reason, vCPU and details.
const TOLD: usize = 10;

/// The vCPU that is run, and what it is at.
pub struct Guest {
    vcpu: u64,
    /// Of its VM in the history, and its affinity there.
    vmid: u64,
    affinity: u64,
    step: Option<Step>,
    /// Is the step still to be done?
    is_sure: bool,
}

#[derive(Clone, Copy)]
enum Step {
    Access(Access),
    /// x0 to x3 of an HVC about a page.
    Call([u64; 4]),
}

#[derive(Clone, Copy)]
struct Access {
    at: u64,
    /// What it stores, if it is no load.
    value: Option<u64>,
    is_twice: bool,
}

/// Core and times of a run in the history.
#[derive(Clone, Copy)]
pub struct When {
    pub seat: usize,
    pub begun: u64,
    pub ended: u64,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seat, begun, ended } = self;
        write!(f, "{seat} {begun} {ended}")
    }
}

impl Guest {
    /// This vCPU, of the VM in this slot.
    pub fn new(vcpu: u64, slot: u64, affinity: u64) -> Self {
        Self {
            vcpu,
            vmid: slot + 1,
            affinity,
            step: None,
            is_sure: true,
        }
    }

    /// A VCPU_RESPOND that was done, as it was noted.
    pub fn answered(&mut self, call: &Invocation) -> Result<()> {
        ensure!(call.x[1] == self.vcpu, "{:#x} is not run", call.x[1]);
        let step = |value, is_twice| {
            Step::Access(Access {
                at: call.x[3],
                value,
                is_twice,
            })
        };
        let value = Some(call.x[4]);
        self.step = Some(match call.x[2] {
            LOAD => step(None, false),
            LOAD_TWICE => step(None, true),
            STORE => step(value, false),
            STORE_TWICE => step(value, true),
            KVM_MEM_SHARE | KVM_MEM_UNSHARE | KVM_MEM_RELINQUISH => {
                Step::Call([call.x[2], call.x[3], call.x[4], call.x[5]])
            }
            other => bail!("{other:#x} is no step"),
        });
        self.is_sure = true;
        Ok(())
    }

    /// The lines of a CPU_RUN, as it was noted; `as_told` is as the history has it.
    pub fn run(&mut self, call: &Invocation, as_told: &Invocation, when: When) -> Result<String> {
        ensure!(
            call.call() == Some(Call::CpuRun) && call.told.len() == TOLD,
            "no CPU_RUN"
        );
        let mut text = format!("b {when}{}\n", as_told.before());
        let entry = format!("e {when} {} {}", self.vmid, self.affinity);
        let mut end = when;
        let (vcpu, detail) = (call.told[2], call.told[3]);
        match ExitReason::from_raw(call.told[1]) {
            Some(ExitReason::Call) if vcpu == self.vcpu && detail == NEXT => {
                let fault = call.told[8];
                ensure!(fault == 0, "the guest's step ended with ESR {fault:#x}");
                let _ = writeln!(text, "{entry}");
                if let Some(step) = self.step.take() {
                    if self.is_sure {
                        end.begun = step.done(&mut text, call, when)?;
                    } else {
                        step.perhaps(&mut text, when);
                    }
                }
                let _ = writeln!(text, "h {end} 0{} | exits", Words(&call.told[3..]));
            }
            Some(ExitReason::RamFault) if vcpu == self.vcpu => {
                let _ = writeln!(text, "{entry}");
                let step = self.step.context("a fault without a step")?;
                self.is_sure = step.faulted(&mut text, detail, when)?;
            }
            Some(ExitReason::PageRelinquished) if vcpu == self.vcpu => {
                let Some(Step::Call([KVM_MEM_RELINQUISH, ..])) = self.step else {
                    bail!("{detail:#x} comes home without a call");
                };
                let _ = writeln!(text, "{entry}");
                if let Some(step) = self.step.take() {
                    step.faulted(&mut text, detail, when)?;
                }
            }
            Some(ExitReason::Idle | ExitReason::HostInterrupt | ExitReason::Budget) => {
                let _ = writeln!(text, "? {entry}");
                if let Some(step) = self.step {
                    step.perhaps(&mut text, when);
                }
                self.is_sure = false;
            }
            reason => bail!("a guest's exit {reason:?} of {vcpu:#x}, {detail:#x}"),
        }
        let _ = writeln!(text, "z {end} |{}", as_told.after());
        Ok(text)
    }
}

impl Step {
    /// It was done in this run: when the last of it began at the earliest.
    fn done(self, text: &mut String, call: &Invocation, when: When) -> Result<u64> {
        match self {
            Self::Access(access) => access.done(text, call, when),
            Self::Call(x) => {
                let (before, after) = (Words(&x), Words(&call.told[4..8]));
                let _ = writeln!(text, "h {when} 0{before} | answered{after}");
                Ok(when.begun)
            }
        }
    }

    /// It ended in an exit that names this page: so no run before has done it, unless the second of two came to that.
    fn faulted(self, text: &mut String, page: u64, when: When) -> Result<bool> {
        match self {
            Self::Access(access) => access.faulted(text, page, when),
            Self::Call(x) => {
                ensure!(
                    x[1] == page,
                    "a call about {:#x} is told of {page:#x}",
                    x[1]
                );
                let _ = writeln!(text, "h {when} 0{} | exits", Words(&x));
                Ok(true)
            }
        }
    }

    /// Something of it may have been done in this run.
    fn perhaps(self, text: &mut String, when: When) {
        match self {
            Self::Access(access) => access.perhaps(text, when),
            Self::Call(x) => {
                let _ = writeln!(text, "? h {when} 0{} | unseen", Words(&x));
            }
        }
    }
}

impl Access {
    fn done(self, text: &mut String, call: &Invocation, mut when: When) -> Result<u64> {
        let Self {
            at,
            value,
            is_twice,
        } = self;
        let [first, second, ticks] = call.told[4..7] else {
            bail!("a call of seven words");
        };
        let (kind, first, second) = match value {
            Some(value) => ("store", value, !value),
            None => ("load", first, second),
        };
        let _ = writeln!(text, "l {when} {at:#x} {kind} {first:#x}");
        if is_twice {
            when.begun += 2 * ticks;
            ensure!(
                when.begun < when.ended,
                "{ticks} ticks are longer than the run"
            );
            let _ = writeln!(text, "l {when} {at:#x} {kind} {second:#x}");
        }
        Ok(when.begun)
    }

    fn faulted(self, text: &mut String, page: u64, when: When) -> Result<bool> {
        let Self {
            at,
            value,
            is_twice,
        } = self;
        ensure!(at & !0xfff == page, "{at:#x} faulted at {page:#x}");
        if is_twice {
            self.perhaps(text, when);
        }
        let is_store = u64::from(value.is_some());
        let _ = writeln!(text, "t {when} 0 {at:#x} {is_store}");
        Ok(!is_twice)
    }

    /// What it may have loaded changes nothing.
    fn perhaps(self, text: &mut String, when: When) {
        let Self {
            at,
            value,
            is_twice,
        } = self;
        let Some(value) = value else { return };
        let _ = writeln!(text, "? l {when} {at:#x} store {value:#x}");
        if is_twice {
            let _ = writeln!(text, "? l {when} {at:#x} store {:#x}", !value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VCPU: u64 = 0x5000a;
    const WHEN: When = When {
        seat: 2,
        begun: 20,
        ended: 91,
    };

    fn call(call: Call, x: &[u64], told: &[u64]) -> Invocation {
        let mut all = vec![call.function_id()];
        all.extend(x);
        all.resize(7, 0);
        Invocation {
            x: all,
            told: told.to_vec(),
            list: Vec::new(),
        }
    }

    fn answer(guest: &mut Guest, step: [u64; 3]) {
        let x = [VCPU, step[0], step[1], step[2]];
        guest
            .answered(&call(Call::VcpuRespond, &x, &[0, 0, 0, 0]))
            .unwrap();
    }

    /// What a run that told this shows of the guest, without its first and last line.
    fn run(guest: &mut Guest, reason: ExitReason, vcpu: u64, details: &[u64]) -> Vec<String> {
        let mut told = vec![0, reason.raw(), vcpu];
        told.extend(details);
        told.resize(TOLD, 0);
        let call = call(Call::CpuRun, &[0], &told);
        let text = guest.run(&call, &call, WHEN).unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert!(lines[0].starts_with("b 2 20 91 "), "{lines:?}");
        lines[1..lines.len() - 1].to_vec()
    }

    fn guest() -> Guest {
        let mut guest = Guest::new(VCPU, 1, 0);
        let lines = run(&mut guest, ExitReason::Call, VCPU, &[NEXT]);
        assert_eq!(lines[0], "e 2 20 91 2 0");
        assert_eq!(lines.len(), 2);
        guest
    }

    #[test]
    fn a_step_that_is_told_of_was_done_in_its_run() {
        let mut guest = guest();
        answer(&mut guest, [LOAD, 0x4000_0008, 0]);
        let lines = run(&mut guest, ExitReason::Call, VCPU, &[NEXT, 7]);
        assert_eq!(lines[1], "l 2 20 91 0x40000008 load 0x7");
        assert_eq!(
            lines[2],
            "h 2 20 91 0 0xc6000080 0x7 0x0 0x0 0x0 0x0 0x0 | exits"
        );
        answer(&mut guest, [STORE, 0x4000_0008, 9]);
        let lines = run(&mut guest, ExitReason::Call, VCPU, &[NEXT]);
        assert_eq!(lines[1], "l 2 20 91 0x40000008 store 0x9");
    }

    #[test]
    fn the_second_of_two_begins_later() {
        let mut guest = guest();
        answer(&mut guest, [LOAD_TWICE, 0x4000_0000, 0]);
        let lines = run(&mut guest, ExitReason::Call, VCPU, &[NEXT, 7, 8, 15]);
        assert_eq!(lines[1], "l 2 20 91 0x40000000 load 0x7");
        assert_eq!(lines[2], "l 2 50 91 0x40000000 load 0x8");
        assert!(lines[3].starts_with("h 2 50 91 "), "{lines:?}");
        answer(&mut guest, [STORE_TWICE, 0x4000_0000, 5]);
        let lines = run(&mut guest, ExitReason::Call, VCPU, &[NEXT, 0, 0, 1]);
        assert_eq!(lines[1], "l 2 20 91 0x40000000 store 0x5");
        assert_eq!(
            lines[2],
            format!("l 2 22 91 0x40000000 store {:#x}", !5_u64)
        );
    }

    #[test]
    fn what_is_not_told_of_may_have_been_done() {
        let mut guest = guest();
        answer(&mut guest, [STORE, 0x4000_0000, 9]);
        let perhaps = ["? e 2 20 91 2 0", "? l 2 20 91 0x40000000 store 0x9"];
        for reason in [ExitReason::Idle, ExitReason::HostInterrupt] {
            assert_eq!(run(&mut guest, reason, 0, &[]), perhaps);
        }
        let lines = run(&mut guest, ExitReason::Call, VCPU, &[NEXT]);
        assert_eq!(lines[1], perhaps[1]);
        // Then it is over.
        let lines = run(&mut guest, ExitReason::Call, VCPU, &[NEXT]);
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_step_that_faults_once_was_not_done() {
        let mut guest = guest();
        answer(&mut guest, [STORE, 0x4000_0ff8, 9]);
        run(&mut guest, ExitReason::HostInterrupt, 0, &[]);
        let lines = run(&mut guest, ExitReason::RamFault, VCPU, &[0x4000_0000]);
        assert_eq!(lines[1], "t 2 20 91 0 0x40000ff8 1");
        let lines = run(&mut guest, ExitReason::Call, VCPU, &[NEXT]);
        assert_eq!(lines[1], "l 2 20 91 0x40000ff8 store 0x9");
        answer(&mut guest, [STORE_TWICE, 0x4000_0ff8, 9]);
        let lines = run(&mut guest, ExitReason::RamFault, VCPU, &[0x4000_0000]);
        assert_eq!(lines[1], "? l 2 20 91 0x40000ff8 store 0x9");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn a_call_is_answered_or_ends_in_an_exit_or_is_not_told_of() {
        let mut guest = guest();
        answer(&mut guest, [KVM_MEM_SHARE, 0x4000_1000, 0]);
        run(&mut guest, ExitReason::Idle, 0, &[]);
        let lines = run(&mut guest, ExitReason::RamFault, VCPU, &[0x4000_1000]);
        let call = format!("h 2 20 91 0 {KVM_MEM_SHARE:#x} 0x40001000 0x0 0x0 |");
        assert_eq!(lines[1], format!("{call} exits"));
        let lines = run(&mut guest, ExitReason::Call, VCPU, &[NEXT, 1, 2, 3, 4]);
        assert_eq!(lines[1], format!("{call} answered 0x1 0x2 0x3 0x4"));
        answer(&mut guest, [KVM_MEM_SHARE, 0x4000_1000, 0]);
        for reason in [ExitReason::Idle, ExitReason::HostInterrupt] {
            let lines = run(&mut guest, reason, 0, &[]);
            assert_eq!(lines[1], format!("? {call} unseen"));
        }
        answer(&mut guest, [KVM_MEM_RELINQUISH, 0x4000_1000, 0]);
        let lines = run(
            &mut guest,
            ExitReason::PageRelinquished,
            VCPU,
            &[0x4000_1000, 5],
        );
        let call = format!("h 2 20 91 0 {KVM_MEM_RELINQUISH:#x} 0x40001000 0x0 0x0 |");
        assert_eq!(lines[1], format!("{call} exits"));
        // That was it.
        let lines = run(&mut guest, ExitReason::Call, VCPU, &[NEXT]);
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn what_no_guest_of_ours_does_is_no_history() {
        let fails = |reason: ExitReason, vcpu, detail, ticks, fault| {
            let mut guest = guest();
            answer(&mut guest, [LOAD_TWICE, 0x4000_0000, 0]);
            let told = [0, reason.raw(), vcpu, detail, 0, 0, ticks, 0, fault, 0];
            let call = call(Call::CpuRun, &[0], &told);
            guest.run(&call, &call, WHEN).is_err()
        };
        assert!(!fails(ExitReason::Call, VCPU, NEXT, 3, 0));
        assert!(fails(ExitReason::Call, VCPU, NEXT, 36, 0));
        assert!(fails(ExitReason::Call, VCPU, NEXT, 3, 1));
        assert!(fails(ExitReason::Call, VCPU, NEXT + 1, 3, 0));
        assert!(fails(ExitReason::RamFault, VCPU, 0x4000_1000, 0, 0));
        assert!(fails(ExitReason::RamFault, VCPU + 1, 0x4000_0000, 0, 0));
        assert!(fails(ExitReason::Fault, VCPU, 0, 0, 0));
    }
}

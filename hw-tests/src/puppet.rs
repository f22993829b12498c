//! The host's end of the puppet program: one step, and how it went.

use crate::{
    guest::{CALL, CALL_NEXT, Gadget, LOAD, Program, SMC, STORE},
    outcome::{OrFail, TestResult, check, check_eq},
    vm::{TestVm, insist, run},
};
use abi::{ExitReason, Outcome, VcpuHandle};
use alloc::vec::Vec;
use el1::call::{self, Exit};

/// A step's result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// x0 to x3 after the step.
    pub x: [u64; 4],
    /// ESR_EL1 of a fault, 0 if there was none.
    pub esr: u64,
    /// FAR_EL1 of the fault.
    pub far: u64,
    /// Exits before the step was done.
    pub exits: Vec<Exit>,
}

impl Reply {
    /// x0 as a signed status.
    pub fn status(&self) -> i64 {
        self.x[0] as i64
    }

    /// Whether the guest took an external abort (Arm ARM D24.2.37: DFSC 0b01_0000).
    pub fn is_external_abort(&self) -> bool {
        self.esr >> 26 == 0x25 && self.esr & 0x3f == 0x10
    }
}

/// A VM whose first vCPU waits for a step.
pub fn start(vcpus: u16) -> TestResult<TestVm> {
    let vm = TestVm::run_program(Program::Puppet, vcpus)?;
    let reply = collect(vm.vcpus[0])?;
    check_eq!(reply, Reply::default(), "first word of the guest");
    Ok(vm)
}

/// Runs until `vcpu` asks for its next step.
pub fn collect(vcpu: VcpuHandle) -> TestResult<Reply> {
    let mut exits = Vec::new();
    loop {
        let exit = run()?;
        let [function, x @ .., esr, far] = exit.details;
        if exit.reason == Some(ExitReason::Call) && exit.vcpu == vcpu && function == CALL_NEXT {
            return Ok(Reply { x, esr, far, exits });
        }
        // All that a step can lead to and that lets the vCPU go on by itself.
        check!(
            exit.vcpu != vcpu
                || matches!(
                    exit.reason,
                    Some(
                        ExitReason::VcpuOn
                            | ExitReason::PageRelinquished
                            | ExitReason::MmioWrite
                            | ExitReason::LevelEnded
                    )
                ),
            "unexpected exit {exit:x?}"
        );
        check!(exit.reason != Some(ExitReason::Idle), "the guest waits");
        exits.push(exit);
    }
}

/// Gives the waiting vCPU a step without waiting for its end.
pub fn give(vcpu: VcpuHandle, step: [u64; 4]) -> TestResult {
    insist(|| call::vcpu_respond(vcpu, step, Outcome::Complete)).or_fail("VCPU_RESPOND")
}

/// One step of `vcpu`, to its end.
pub fn step(vcpu: VcpuHandle, step: [u64; 4]) -> TestResult<Reply> {
    give(vcpu, step)?;
    collect(vcpu)
}

/// HVC with these registers.
pub fn hvc(vcpu: VcpuHandle, x: [u64; 4]) -> TestResult<Reply> {
    step(vcpu, x)
}

/// SMC with these registers.
pub fn smc(vcpu: VcpuHandle, [x0, x1, x2]: [u64; 3]) -> TestResult<Reply> {
    step(vcpu, [SMC, x0, x1, x2])
}

/// A gadget, to its end.
pub fn gadget(vcpu: VcpuHandle, gadget: Gadget, x0: u64, x1: u64) -> TestResult<Reply> {
    step(vcpu, [CALL, gadget.ipa(), x0, x1])
}

/// A load.
pub fn load(vcpu: VcpuHandle, ipa: u64) -> TestResult<Reply> {
    step(vcpu, [LOAD, ipa, 0, 0])
}

/// A load that must succeed.
pub fn load_value(vcpu: VcpuHandle, ipa: u64) -> TestResult<u64> {
    let reply = load(vcpu, ipa)?;
    check_eq!(reply.esr, 0, "guest's load from {ipa:#x}");
    Ok(reply.x[0])
}

/// A store that must succeed.
pub fn store_value(vcpu: VcpuHandle, ipa: u64, value: u64) -> TestResult {
    let reply = step(vcpu, [STORE, ipa, value, 0])?;
    check_eq!(reply.esr, 0, "guest's store to {ipa:#x}");
    Ok(())
}

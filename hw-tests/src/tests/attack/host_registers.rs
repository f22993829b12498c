//! Registers through which a host could reach EL2, other VMs, or memory past stage 2: all UNDEFINED.

use super::{
    groups::{self, Group},
    stage::{Stage, attacks},
};
use crate::{
    code::{self, RDVL, SMSTART, movz},
    outcome::{TestResult, check, check_eq},
};
use el1::probe::Fault;

attacks! {
    "host_registers":
    Host pmu [] "reads and writes the performance monitors" => "UNDEFINED at EL1";
    Host spe [] "reads and writes statistical profiling" => "UNDEFINED at EL1";
    Host trace [] "reads and writes trace, its buffer and its filter" => "UNDEFINED at EL1";
    Host mte [] "reads and writes the registers of memory tags" => "UNDEFINED at EL1";
    Host sve [] "reads and writes scalable vectors, register and instruction" => "UNDEFINED at EL1";
    Host sme [] "reads and writes scalable matrices, registers and instruction" => "UNDEFINED at EL1";
    Host amu [] "reads and writes the activity monitors" => "UNDEFINED at EL1";
    Host lor [] "reads and writes limited ordering regions" => "UNDEFINED at EL1";
    Host mpam [] "reads and writes memory partitions" => "UNDEFINED at EL1";
    Host newer_registers [] "reads and writes registers of newer extensions, which nobody switches" => "UNDEFINED at EL1";
    Host implementation_defined [] "reads and writes IMPLEMENTATION DEFINED registers" => "UNDEFINED at EL1";
    Host el2_registers [] "reads and writes registers of EL2 and EL3" => "UNDEFINED at EL1";
    Host el2_instructions [] "reads and writes translations of both stages and other VMs' TLB invalidations" => "UNDEFINED at EL1";
    Host illegal_return [] "ERET to EL2" => "illegal state: its own exception";
}

fn check_undefined(what: &str, result: Result<u64, Fault>) -> TestResult {
    match result {
        Ok(value) => check!(false, "{what} is done: {value:#x}"),
        Err(fault) => check_eq!(fault.class(), 0, "{what}: exception class"),
    }
    Ok(())
}

/// Each access of this core's is UNDEFINED, and each instruction.
fn undefined_here(_: &mut Stage<'_>, group: Group, instructions: &[u32]) -> TestResult {
    for (name, register) in group {
        // SAFETY: should the access succeed it reads, or writes zero to, a register that this image does not
        // use; the test fails.
        let (read, written) = unsafe {
            (
                code::run_here(&[register.mrs(0)])?,
                code::run_here(&[movz(0, 0), register.msr(0)])?,
            )
        };
        check_undefined(name, read)?;
        check_undefined(name, written)?;
    }
    for instruction in instructions {
        // SAFETY: at most it changes vector state, which this image does not use.
        check_undefined("instruction", unsafe { code::run_here(&[*instruction])? })?;
    }
    Ok(())
}

fn pmu(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::PMU, &[])
}

fn spe(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::SPE, &[])
}

fn trace(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::TRACE, &[])
}

fn mte(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::MTE, &[])
}

fn sve(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::SVE, &[RDVL])
}

fn sme(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::SME, &[SMSTART])
}

fn amu(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::AMU, &[])
}

fn lor(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::LOR, &[])
}

fn mpam(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::MPAM, &[])
}

fn newer_registers(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::NEWER, &[])
}

fn implementation_defined(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::IMPLEMENTATION, &[])
}

fn el2_registers(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::EL2, &[])
}

fn el2_instructions(stage: &mut Stage<'_>) -> TestResult {
    undefined_here(stage, groups::EL2_INSTRUCTIONS, &[])
}

/// ERET to EL2h at the next instruction: the core stays where it is, in illegal state, and the instruction
/// faults (Arm ARM D1.3.4).
fn illegal_return(_: &mut Stage<'_>) -> TestResult {
    // SAFETY: changes ELR_EL1 and SPSR_EL1 only, which mean nothing outside a handler.
    let result = unsafe { code::run_here(code::RETURN_TO_EL2)? };
    match result {
        Ok(value) => check!(false, "the return is done: {value:#x}"),
        Err(fault) => check_eq!(fault.class(), 0x0e, "exception class"),
    }
    Ok(())
}

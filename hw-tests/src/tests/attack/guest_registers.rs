//! Registers through which a guest could reach EL2, other VMs, the host, or memory past stage 2: UNDEFINED, or
//! without effect where an ordinary kernel uses them.

use super::{
    groups::{self, Group},
    stage::{Stage, attacks},
};
use crate::{
    code::{GuestCode, ISB, RDVL, SMSTART, Sysreg},
    guest::Gadget,
    outcome::{OrFail, TestResult, check, check_eq},
    puppet, team,
    vm::TestVm,
};
use abi::Counter;
use el1::call;

attacks! {
    "guest_registers":
    Guest pmu [] "reads and writes the performance monitors" => "UNDEFINED at EL1";
    Guest spe [] "reads and writes statistical profiling" => "UNDEFINED at EL1";
    Guest trace [] "reads and writes trace, its buffer and its filter" => "UNDEFINED at EL1";
    Guest mte [] "reads and writes the registers of memory tags" => "UNDEFINED at EL1";
    Guest sve [] "reads and writes scalable vectors, register and instruction" => "UNDEFINED at EL1";
    Guest sme [] "reads and writes scalable matrices, registers and instruction" => "UNDEFINED at EL1";
    Guest amu [] "reads and writes the activity monitors" => "UNDEFINED at EL1";
    Guest lor [] "reads and writes limited ordering regions" => "UNDEFINED at EL1";
    Guest mpam [] "reads and writes memory partitions" => "UNDEFINED at EL1";
    Guest newer_registers [] "reads and writes registers of newer extensions, which nobody switches" => "UNDEFINED at EL1";
    Guest implementation_defined [] "reads and writes IMPLEMENTATION DEFINED registers" => "UNDEFINED at EL1";
    Guest el2_registers [] "reads and writes registers of EL2 and EL3" => "UNDEFINED at EL1";
    Guest el2_instructions [] "reads and writes translations of both stages and other VMs' TLB invalidations" => "UNDEFINED at EL1";
    Guest ras [] "reads and writes error records" => "UNDEFINED at EL1";
    Guest physical_timer [] "reads and writes the host's timer" => "UNDEFINED at EL1";
    Guest breakpoints [] "sets breakpoints and watchpoints, enables them, and looks for the host's" => "read as zero, never fire";
    Guest os_locks [] "locks the OS lock and the double lock of the core" => "no effect";
    Guest auxiliary_control [] "writes ACTLR_EL1" => "the engine answers: reads as zero";
    Guest gic_bypass [] "turns the GIC's system registers off" => "no effect";
    Guest set_way_maintenance [] "cleans and invalidates caches by set and way" => "the engine answers: no effect on the victim";
    Guest hidden_features [] "looks for features that nobody switches in the ID registers" => "zero";
    Guest illegal_return [] "ERET to EL2" => "illegal state: its own exception";
    Guest hvc_at_el0 [] "HVC at EL0" => "UNDEFINED at EL1";
}

/// An attacker with a page for code.
fn attacker() -> TestResult<(TestVm, GuestCode)> {
    let mut vm = puppet::start(1)?;
    vm.put_gadgets()?;
    let code = GuestCode::lend(&mut vm)?;
    Ok((vm, code))
}

/// Each access of a guest's is UNDEFINED, and each instruction.
fn undefined_there(_: &mut Stage<'_>, group: Group, instructions: &[u32]) -> TestResult {
    let (vm, code) = attacker()?;
    let undefined = |what: &str, words: &[u32]| {
        let reply = code.run(&vm, words, 0, 0)?;
        check_eq!(reply.esr >> 25, 1, "{what}: ESR_EL1 without its syndrome");
        check_eq!(reply.exits, [], "exits of {what}");
        TestResult::Ok(())
    };
    for (name, register) in group {
        undefined(name, &[register.mrs(0)])?;
        undefined(name, &[register.msr(0)])?;
    }
    for instruction in instructions {
        undefined("instruction", &[*instruction])?;
    }
    vm.destroy()
}

/// Requires that the engine, and not the core, answers an instruction. On a core where the register does nothing
/// anyway, the engine's count of traps alone tells the two apart.
fn check_trapped(vm: &TestVm, code: &GuestCode, instruction: u32, x0: u64) -> TestResult {
    const TIMES: u64 = 100;
    let traps = || {
        let traps = call::stats_read(team::engine_cpu(0), Counter::GuestTraps.raw());
        traps.or_fail("STATS_READ")
    };
    let before = traps()?;
    let reply = code.run(vm, &[instruction; TIMES as usize], x0, 0)?;
    let counted = traps()? - before;
    check_eq!(
        (reply.esr, reply.exits.len()),
        (0, 0),
        "fault and exits of {instruction:#x}"
    );
    check!(
        counted >= TIMES,
        "{instruction:#x}, {TIMES} times: {counted} traps"
    );
    Ok(())
}

/// What a guest reads in a register after it has written all ones.
fn read_back(vm: &TestVm, code: &GuestCode, register: Sysreg) -> TestResult<u64> {
    let reply = code.run(vm, &[register.msr(0), ISB, register.mrs(0)], u64::MAX, 0)?;
    check_eq!(reply.esr, 0, "fault at {register:?}");
    Ok(reply.x[0])
}

fn pmu(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::PMU, &[])
}

fn spe(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::SPE, &[])
}

fn trace(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::TRACE, &[])
}

fn mte(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::MTE, &[])
}

fn sve(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::SVE, &[RDVL])
}

fn sme(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::SME, &[SMSTART])
}

fn amu(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::AMU, &[])
}

fn lor(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::LOR, &[])
}

fn mpam(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::MPAM, &[])
}

fn newer_registers(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::NEWER, &[])
}

fn implementation_defined(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::IMPLEMENTATION, &[])
}

fn el2_registers(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::EL2, &[])
}

fn el2_instructions(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::EL2_INSTRUCTIONS, &[])
}

fn ras(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::RAS, &[])
}

fn physical_timer(stage: &mut Stage<'_>) -> TestResult {
    undefined_there(stage, groups::PHYSICAL_TIMER, &[])
}

const MDSCR_EL1: Sysreg = Sysreg(2, 0, 0, 2, 2);
const DBGBVR0_EL1: Sysreg = Sysreg(2, 0, 0, 0, 4);
const DBGBCR0_EL1: Sysreg = Sysreg(2, 0, 0, 0, 5);
const DBGWVR0_EL1: Sysreg = Sysreg(2, 0, 0, 0, 6);
const DBGWCR0_EL1: Sysreg = Sysreg(2, 0, 0, 0, 7);
const OSLAR_EL1: Sysreg = Sysreg(2, 0, 1, 0, 4);
const OSLSR_EL1: Sysreg = Sysreg(2, 0, 1, 1, 4);
const OSDLR_EL1: Sysreg = Sysreg(2, 0, 1, 3, 4);
const ACTLR_EL1: Sysreg = Sysreg(3, 0, 1, 0, 1);
const ICC_SRE_EL1: Sysreg = Sysreg(3, 0, 12, 12, 5);
const DC_ISW: Sysreg = Sysreg(1, 0, 7, 6, 2);
const DC_CSW: Sysreg = Sysreg(1, 0, 7, 10, 2);
const DC_CISW: Sysreg = Sysreg(1, 0, 7, 14, 2);

/// The core's breakpoints hold the host's values; a guest sees none of them, changes none, and can't arm them.
fn breakpoints(_: &mut Stage<'_>) -> TestResult {
    const MARK: u64 = 0x1234_5000;
    let here = |words: &[u32]| {
        // SAFETY: a breakpoint's address, and reads; no breakpoint is enabled.
        unsafe { crate::code::run_here(words)? }.map_err(|fault| {
            crate::outcome::Stop::Fail(alloc::format!("own debug register: {fault}"))
        })
    };
    let mut set = crate::code::load(0, MARK).to_vec();
    set.push(DBGBVR0_EL1.msr(0));
    here(&set)?;
    let (vm, code) = attacker()?;
    for register in [DBGBVR0_EL1, DBGBCR0_EL1, DBGWVR0_EL1, DBGWCR0_EL1] {
        let unwritten = code.run(&vm, &[register.mrs(0)], 0, 0)?;
        check_eq!(
            (unwritten.x[0], unwritten.esr),
            (0, 0),
            "what a guest sees in {register:?}"
        );
        check_eq!(
            read_back(&vm, &code, register)?,
            0,
            "{register:?} after a write"
        );
    }
    // KDE, TDCC and SS are its own; MDE, which would arm them, is not.
    check_eq!(
        read_back(&vm, &code, MDSCR_EL1)? & 1 << 15,
        0,
        "MDSCR_EL1.MDE"
    );
    vm.destroy()?;
    check_eq!(here(&[DBGBVR0_EL1.mrs(0)])?, MARK, "the host's DBGBVR0_EL1");
    check_eq!(
        here(&[DBGBCR0_EL1.mrs(0)])? & 1,
        0,
        "the host's DBGBCR0_EL1.E"
    );
    Ok(())
}

fn os_locks(_: &mut Stage<'_>) -> TestResult {
    let (vm, code) = attacker()?;
    // SAFETY: a read.
    let before = unsafe { crate::code::run_here(&[OSLSR_EL1.mrs(0)])? };
    let reply = code.run(
        &vm,
        &[OSLAR_EL1.msr(0), OSDLR_EL1.msr(0), ISB, OSLSR_EL1.mrs(0)],
        1,
        0,
    )?;
    check_eq!(
        (reply.x[0], reply.esr),
        (1 << 3, 0),
        "the guest's OSLSR_EL1: implemented, open"
    );
    vm.destroy()?;
    // SAFETY: a read.
    let after = unsafe { crate::code::run_here(&[OSLSR_EL1.mrs(0)])? };
    check_eq!(after, before, "the host's OSLSR_EL1");
    Ok(())
}

fn auxiliary_control(_: &mut Stage<'_>) -> TestResult {
    let (vm, code) = attacker()?;
    check_eq!(read_back(&vm, &code, ACTLR_EL1)?, 0, "ACTLR_EL1");
    check_trapped(&vm, &code, ACTLR_EL1.msr(0), u64::MAX)?;
    check_trapped(&vm, &code, ACTLR_EL1.mrs(0), 0)?;
    vm.destroy()
}

fn gic_bypass(_: &mut Stage<'_>) -> TestResult {
    let (vm, code) = attacker()?;
    let reply = code.run(&vm, &[ICC_SRE_EL1.msr(0), ISB, ICC_SRE_EL1.mrs(0)], 0, 0)?;
    check_eq!((reply.x[0], reply.esr), (0b111, 0), "ICC_SRE_EL1");
    vm.destroy()
}

fn set_way_maintenance(stage: &mut Stage<'_>) -> TestResult {
    let (vm, code) = attacker()?;
    for instruction in [DC_ISW, DC_CSW, DC_CISW] {
        for set in 0..8 {
            check_trapped(&vm, &code, instruction.msr(0), set << 6)?;
        }
    }
    stage.victim.check_unharmed()?;
    vm.destroy()
}

/// Fields of ID registers as (register, lowest bit).
fn hidden_features(_: &mut Stage<'_>) -> TestResult {
    const PFR0: Sysreg = Sysreg(3, 0, 0, 4, 0);
    const PFR1: Sysreg = Sysreg(3, 0, 0, 4, 1);
    const DFR0: Sysreg = Sysreg(3, 0, 0, 5, 0);
    const MMFR1: Sysreg = Sysreg(3, 0, 0, 7, 1);
    let fields = [
        ("AMU", PFR0, 44),
        ("MPAM", PFR0, 40),
        ("SVE", PFR0, 32),
        ("RAS", PFR0, 28),
        ("EL2", PFR0, 8),
        ("SME", PFR1, 24),
        ("MTE", PFR1, 8),
        ("TraceBuffer", DFR0, 44),
        ("SPE", DFR0, 32),
        ("PMU", DFR0, 8),
        ("LOR", MMFR1, 16),
        ("VH", MMFR1, 8),
    ];
    let (vm, code) = attacker()?;
    for (name, register, lsb) in fields {
        let reply = code.run(&vm, &[register.mrs(0)], 0, 0)?;
        check_eq!(reply.esr, 0, "fault at {register:?}");
        check_eq!(reply.x[0] >> lsb & 0xf, 0, "{name} in {register:?}");
    }
    vm.destroy()
}

fn illegal_return(_: &mut Stage<'_>) -> TestResult {
    let (vm, _code) = attacker()?;
    let reply = puppet::gadget(vm.vcpus[0], Gadget::ReturnToEl2, 0, 0)?;
    check_eq!(reply.esr >> 26, 0x0e, "exception class");
    check_eq!(reply.exits, [], "exits");
    vm.destroy()
}

fn hvc_at_el0(_: &mut Stage<'_>) -> TestResult {
    let (vm, _code) = attacker()?;
    let reply = puppet::gadget(vm.vcpus[0], Gadget::HvcAtEl0, 0, 0)?;
    check_eq!(reply.esr >> 26, 0, "exception class");
    check!(reply.exits.is_empty(), "exits {:x?}", reply.exits);
    vm.destroy()
}

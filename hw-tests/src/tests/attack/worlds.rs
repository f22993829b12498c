//! Every register that there is, before and after a guest has written all of them.
//!
//! Scenario 25 is a register that somebody forgot. These tests have no list of registers to save: they try each
//! encoding of the space ([`encodings`](super::encodings)), and compare what can be read.

use super::{
    encodings::{instructions, readable},
    stage::{Stage, attacks},
};
use crate::{
    code::{self, GuestCode, Sysreg, str_next},
    guest::WINDOW,
    outcome::{TestResult, check, check_eq},
    puppet,
    vm::TestVm,
};
use alloc::vec::Vec;

attacks! {
    "worlds":
    Guest every_register_of_the_host [25] "writes a canary to every system register that can be read at EL1, debug registers, PAR_EL1 and what no list names among them, but not to SCTLR_EL1 and VBAR_EL1" => "the host's registers are as before";
    Guest every_register_of_another_vm [25, 27] "writes a canary to these registers, then loses the core to another VM" => "the other VM's registers are as before";
    Host every_register_of_a_vm [25, 27] "enters a VM with a canary in every such register of its own that its code can do without" => "the VM's registers are as before";
    Guest every_instruction [] "executes every system instruction that has an encoding, with a canary as operand: cache, TLB, address translation, and what no list names" => "no exit; the host's registers and the victim are as before";
    Host every_instruction_here [] "executes these instructions itself" => "the victim is as before";
}

/// What the attacker writes.
const CANARY: u64 = 0x5ca1_ab1e_0b5e_55ed;
/// What stands for a register that can't be read.
const NONE: u16 = 0xdead;
/// Instructions that fit into a guest's page of code.
const PAGEFUL: usize = 900;

/// Registers that would take the attacker's own ground from under it.
const NEEDED: &[Sysreg] = &[
    Sysreg(3, 0, 1, 0, 0),  // SCTLR_EL1
    Sysreg(3, 0, 12, 0, 0), // VBAR_EL1
    Sysreg(3, 0, 4, 2, 0),  // SPSel
    Sysreg(3, 3, 4, 2, 1),  // DAIF
];

/// And what a host needs beside these: its translations, its own pointer, the timer that it waits by, the
/// interrupts that it takes, and a single step that is not asked for.
const NEEDED_BY_HOST: &[Sysreg] = &[
    Sysreg(2, 0, 0, 2, 2),  // MDSCR_EL1
    Sysreg(3, 0, 1, 0, 2),  // CPACR_EL1
    Sysreg(3, 0, 2, 0, 0),  // TTBR0_EL1
    Sysreg(3, 0, 2, 0, 1),  // TTBR1_EL1
    Sysreg(3, 0, 2, 0, 2),  // TCR_EL1
    Sysreg(3, 0, 10, 2, 0), // MAIR_EL1
    Sysreg(3, 0, 13, 0, 4), // TPIDR_EL1
    Sysreg(3, 3, 14, 2, 2), // CNTP_CVAL_EL0
];

fn here(register: Sysreg) -> TestResult<Option<u64>> {
    // SAFETY: reads of registers whose reads do nothing; `encodings` leaves out the others.
    Ok(unsafe { code::run_here(&[register.mrs(0)])? }.ok())
}

fn look(registers: &[Sysreg]) -> TestResult<Vec<Option<u64>>> {
    registers.iter().map(|register| here(*register)).collect()
}

/// A guest that writes the canary to all of them, one after the other; those that it can't write fault, and are
/// stepped over.
fn scribble(registers: &[Sysreg]) -> TestResult<TestVm> {
    let writes = registers
        .iter()
        .filter(|register| !NEEDED.contains(register));
    let words: Vec<u32> = writes.map(|register| register.msr(0)).collect();
    execute(&words)
}

/// A guest that has executed these instructions with the canary in x0, and goes on.
fn execute(words: &[u32]) -> TestResult<TestVm> {
    let mut vm = puppet::start(1)?;
    let code = GuestCode::lend(&mut vm)?;
    for part in words.chunks(PAGEFUL) {
        let reply = code.run(&vm, part, CANARY, 0)?;
        check_eq!(reply.exits, [], "exits of the attacker");
    }
    // It goes on: a word of its own.
    let version = puppet::hvc(vm.vcpus[0], [abi::psci::VERSION, 0, 0, 0])?;
    check_eq!(version.x[0], abi::psci::VERSION_1_1, "PSCI_VERSION");
    Ok(vm)
}

fn every_register_of_the_host(_: &mut Stage<'_>) -> TestResult {
    let registers = readable()?;
    let before = look(registers)?;
    let vm = scribble(registers)?;
    let after = look(registers)?;
    for ((register, before), after) in registers.iter().zip(before).zip(after) {
        check_eq!(after, before, "{register:?}");
    }
    vm.destroy()
}

/// What another VM reads in each: it stores them to a page that it shares with the host.
struct Witness {
    vm: TestVm,
    code: GuestCode,
    page: u64,
}

impl Witness {
    fn start() -> TestResult<Self> {
        let mut vm = puppet::start(1)?;
        let code = GuestCode::lend(&mut vm)?;
        let page = vm.lend(WINDOW)?;
        Ok(Self { vm, code, page })
    }

    fn look(&self, registers: &[Sysreg]) -> TestResult<Vec<u64>> {
        let mut all = Vec::new();
        // Three instructions each, and a page of code at a time.
        for part in registers.chunks(300) {
            let words: Vec<u32> = part
                .iter()
                .flat_map(|register| [code::movz(9, NONE), register.mrs(9), str_next(9, 0)])
                .collect();
            let reply = self.code.run(&self.vm, &words, WINDOW, 0)?;
            check_eq!(reply.exits, [], "exits of the witness");
            for index in 0..part.len() as u64 {
                // SAFETY: a lent page of the host's.
                all.push(unsafe { ((self.page + 8 * index) as *const u64).read_volatile() });
            }
        }
        Ok(all)
    }
}

/// Registers of a witness's before and after an attack.
fn check_witness(attack: impl FnOnce(&[Sysreg], &Witness) -> TestResult<Vec<u64>>) -> TestResult {
    let registers = readable()?;
    let witness = Witness::start()?;
    // Its own faults leave their traces; the second time these are there already.
    witness.look(registers)?;
    let before = witness.look(registers)?;
    let after = attack(registers, &witness)?;
    let is_unread = |value: &&u64| **value == u64::from(NONE);
    let unread = before.iter().filter(is_unread).count();
    check!(
        unread < registers.len() / 2,
        "{unread} of {} can't be read",
        registers.len()
    );
    for ((register, before), after) in registers.iter().zip(before).zip(after) {
        check_eq!(after, before, "{register:?}");
    }
    witness.vm.destroy()
}

fn every_register_of_another_vm(_: &mut Stage<'_>) -> TestResult {
    check_witness(|registers, witness| {
        let scribbler = scribble(registers)?;
        let after = witness.look(registers)?;
        scribbler.destroy()?;
        Ok(after)
    })
}

/// Writes to a register of this core's; nothing happens where it can't be written.
fn write_here(register: Sysreg, value: u64) -> TestResult {
    let mut words = code::load(0, value).to_vec();
    words.extend([register.msr(0), code::ISB]);
    // SAFETY: NEEDED and NEEDED_BY_HOST have what this image relies on.
    let _ = unsafe { code::run_here(&words)? };
    Ok(())
}

fn every_register_of_a_vm(stage: &mut Stage<'_>) -> TestResult {
    check_witness(|registers, witness| {
        let is_own =
            |register: &&Sysreg| !NEEDED.contains(register) && !NEEDED_BY_HOST.contains(register);
        let own: Vec<Sysreg> = registers.iter().filter(is_own).copied().collect();
        let before = look(&own)?;
        for register in &own {
            write_here(*register, CANARY)?;
        }
        let seen = witness.look(registers);
        let unharmed = stage.victim.check_unharmed();
        for (register, value) in own.iter().zip(before) {
            write_here(*register, value.unwrap_or(0))?;
        }
        unharmed?;
        seen
    })
}

fn every_instruction(stage: &mut Stage<'_>) -> TestResult {
    let registers = readable()?;
    let before = look(registers)?;
    let words: Vec<u32> = instructions().map(|code| code.msr(0)).collect();
    let vm = execute(&words)?;
    let after = look(registers)?;
    for ((register, before), after) in registers.iter().zip(before).zip(after) {
        check_eq!(after, before, "{register:?}");
    }
    stage.victim.check_unharmed()?;
    vm.destroy()
}

fn every_instruction_here(stage: &mut Stage<'_>) -> TestResult {
    let operand = code::load(0, CANARY);
    for instruction in instructions() {
        let mut words = operand.to_vec();
        words.push(instruction.msr(0));
        // SAFETY: maintenance of caches and TLBs changes no content, and the canary is no address of this image's.
        let _ = unsafe { code::run_here(&words)? };
    }
    stage.victim.check_unharmed()
}

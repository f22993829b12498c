//! Every register that there is, before and after a guest has written all of them.
//!
//! Scenario 25 is a register that somebody forgot. These tests have no list of registers to save: they try each
//! encoding of the space, and compare what can be read.

use super::stage::{Stage, attacks};
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
    Guest every_register_of_the_host [25] "writes a canary to every system register of op0 3 that can be read at EL1, PAR_EL1 and what no list names among them, but not to SCTLR_EL1 and VBAR_EL1" => "the host's registers are as before";
    Guest every_register_of_another_vm [25, 27] "writes a canary to these registers, then loses the core to another VM" => "the other VM's registers are as before";
}

/// What the attacker writes.
const CANARY: u64 = 0x5ca1_ab1e_0b5e_55ed;
/// What stands for a register that can't be read.
const NONE: u16 = 0xdead;

/// Reads that do something, or whose value is the time's, the interrupts' or the probing's own.
const RESTLESS: &[Sysreg] = &[
    Sysreg(3, 0, 4, 0, 0),   // SPSR_EL1
    Sysreg(3, 0, 4, 0, 1),   // ELR_EL1
    Sysreg(3, 0, 12, 1, 0),  // ISR_EL1
    Sysreg(3, 0, 12, 8, 0),  // ICC_IAR0_EL1
    Sysreg(3, 0, 12, 8, 2),  // ICC_HPPIR0_EL1
    Sysreg(3, 0, 12, 12, 0), // ICC_IAR1_EL1
    Sysreg(3, 0, 12, 12, 2), // ICC_HPPIR1_EL1
    Sysreg(3, 0, 12, 9, 5),  // ICC_NMIAR1_EL1
    Sysreg(3, 3, 2, 4, 0),   // RNDR
    Sysreg(3, 3, 2, 4, 1),   // RNDRRS
    Sysreg(3, 3, 4, 2, 0),   // NZCV
    Sysreg(3, 3, 14, 0, 1),  // CNTPCT_EL0
    Sysreg(3, 3, 14, 0, 2),  // CNTVCT_EL0
    Sysreg(3, 3, 14, 0, 5),  // CNTPCTSS_EL0
    Sysreg(3, 3, 14, 0, 6),  // CNTVCTSS_EL0
    Sysreg(3, 3, 14, 2, 0),  // CNTP_TVAL_EL0
    Sysreg(3, 3, 14, 2, 1),  // CNTP_CTL_EL0: ISTATUS
    Sysreg(3, 3, 14, 3, 0),  // CNTV_TVAL_EL0
    Sysreg(3, 3, 14, 3, 1),  // CNTV_CTL_EL0: ISTATUS
];

/// Registers that would take the attacker's own ground from under it.
const NEEDED: &[Sysreg] = &[
    Sysreg(3, 0, 1, 0, 0),  // SCTLR_EL1
    Sysreg(3, 0, 12, 0, 0), // VBAR_EL1
    Sysreg(3, 0, 4, 2, 0),  // SPSel
    Sysreg(3, 3, 4, 2, 1),  // DAIF
];

fn here(register: Sysreg) -> TestResult<Option<u64>> {
    // SAFETY: reads of registers whose reads do nothing; RESTLESS has the others.
    Ok(unsafe { code::run_here(&[register.mrs(0)])? }.ok())
}

/// Registers that can be read at EL1: of op1 0, EL1's own, and 3, EL0's; 1 and 2 have identification only.
fn readable() -> TestResult<Vec<Sysreg>> {
    let mut found = Vec::new();
    for op1 in [0, 3] {
        for crn in 1..16 {
            for place in 0..16 * 8 {
                let register = Sysreg(3, op1, crn, place / 8, place % 8);
                if !RESTLESS.contains(&register) && here(register)?.is_some() {
                    found.push(register);
                }
            }
        }
    }
    check!(
        found.len() > 30,
        "only {} registers can be read",
        found.len()
    );
    Ok(found)
}

/// A guest that writes the canary to all of them, one after the other; those that it can't write fault, and are
/// stepped over.
fn scribble(registers: &[Sysreg]) -> TestResult<TestVm> {
    let mut vm = puppet::start(1)?;
    let code = GuestCode::lend(&mut vm)?;
    let writes = registers
        .iter()
        .filter(|register| !NEEDED.contains(register));
    let words: Vec<u32> = writes.map(|register| register.msr(0)).collect();
    let reply = code.run(&vm, &words, CANARY, 0)?;
    check_eq!(reply.exits, [], "exits of the scribbler");
    // It goes on: a word of its own.
    let version = puppet::hvc(vm.vcpus[0], [abi::psci::VERSION, 0, 0, 0])?;
    check_eq!(version.x[0], abi::psci::VERSION_1_1, "PSCI_VERSION");
    Ok(vm)
}

fn every_register_of_the_host(_: &mut Stage<'_>) -> TestResult {
    let registers = readable()?;
    let look = || {
        registers
            .iter()
            .map(|register| here(*register))
            .collect::<TestResult<Vec<_>>>()
    };
    let before = look()?;
    let vm = scribble(&registers)?;
    let after = look()?;
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

fn every_register_of_another_vm(_: &mut Stage<'_>) -> TestResult {
    let registers = readable()?;
    let witness = Witness::start()?;
    // Its own faults leave their traces; the second time these are there already.
    witness.look(&registers)?;
    let before = witness.look(&registers)?;
    let scribbler = scribble(&registers)?;
    let after = witness.look(&registers)?;
    let unread = before
        .iter()
        .filter(|value| **value == u64::from(NONE))
        .count();
    check!(
        unread < registers.len() / 2,
        "{unread} of {} can't be read",
        registers.len()
    );
    for ((register, before), after) in registers.iter().zip(before).zip(after) {
        check_eq!(after, before, "{register:?}");
    }
    scribbler.destroy()?;
    witness.vm.destroy()
}

//! A core that came when the engine had given it up: it runs nothing, is never turned on, and disturbs nobody.
//!
//! Scenario 9: a core that other cores see is complete.

use crate::{
    guest::{CODE, Program},
    outcome::{Stop, TestResult, check_eq},
    random::Random,
    runner::register,
    team,
    vm::TestVm,
};
use alloc::{string::String, vec::Vec};
use el1::{cpu, psci, timer};

register!("late": core_that_was_given_up_stays_out);

/// By this time the core has come: `tests.toml` lets it run 30 seconds after the others.
const COME_S: u64 = 36;
/// Where no core begins.
const NOWHERE: u64 = 0x1000;

/// A VM on each core that is there.
fn work() -> TestResult {
    team::everywhere(|_| {
        let mut vm = TestVm::create(1)?;
        vm.put_code(Program::Puppet)?;
        vm.add_vcpu(0, CODE)?;
        vm.start()?;
        vm.destroy()
    })
}

fn core_that_was_given_up_stays_out(_: &mut Random) -> TestResult {
    let cores = cpu::all().iter();
    let missing: Vec<u64> = cores
        .filter(|core| !core.is_online())
        .map(|core| core.mpidr)
        .collect();
    if missing.is_empty() {
        return Err(Stop::Skip(String::from("every core is there")));
    }
    let check_out = || {
        for mpidr in &missing {
            let answer = psci::cpu_on(*mpidr, NOWHERE, 0);
            let refusal = Err(psci::Error::InternalFailure);
            check_eq!(answer, refusal, "CPU_ON of core {mpidr:#x}");
        }
        Ok(())
    };
    check_out()?;
    work()?;
    while timer::now() < COME_S * timer::frequency() {
        team::nap(100);
    }
    check_out()?;
    work()?;
    check_out()
}

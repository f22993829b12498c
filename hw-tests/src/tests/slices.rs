//! vCPUs that share a core share its time, and one that waits does not hold the others up.

use crate::{
    guest::{MAILBOX, Program, SET_TIMER, SPIN, WAIT},
    outcome::{OrFail, TestResult, check, check_eq},
    puppet,
    random::Random,
    runner::register,
    team,
    vm::{TestVm, run},
};
use abi::{Counter, ExitReason, psci};
use el1::{PAGE, call, timer};

register!(
    "slices": spinning_vcpus_take_turns,
    spinning_vms_take_turns,
    waiting_vcpu_gives_way,
    past_timer_holds_nobody_up,
);

/// Times that the core runs.
const RUNS: u64 = 10;
/// Milliseconds of each: several slices.
const RUN_MS: u64 = 60;
/// More entries of guests than all these runs need, and far fewer than turns that end at once make.
const MANY_ENTRIES: u64 = 2000;

fn count_at(pa: u64) -> u64 {
    // SAFETY: a lent page of the host's.
    unsafe { (pa as *const u64).read_volatile() }
}

/// Runs this core until every counter has moved.
fn check_progress(counters: &[u64]) -> TestResult {
    timer::disarm();
    for _ in 0..RUNS {
        let exit = call::cpu_run(timer::ticks(RUN_MS)).or_fail("CPU_RUN")?;
        check_eq!(
            exit.reason,
            Some(ExitReason::Budget),
            "exit of spinning vCPUs"
        );
        if counters.iter().all(|counter| count_at(*counter) > 0) {
            break;
        }
    }
    for (index, counter) in counters.iter().enumerate() {
        check!(count_at(*counter) > 0, "vCPU {index} had no turn");
    }
    Ok(())
}

fn bring_second(vm: &TestVm) -> TestResult {
    let entry = Program::Puppet.entry();
    let reply = puppet::hvc(vm.vcpus[0], [psci::CPU_ON_64, 1, entry, 0])?;
    check_eq!(reply.status(), psci::SUCCESS, "CPU_ON");
    vm.enqueue(1)?;
    puppet::collect(vm.vcpus[1]).map(drop)
}

fn spinning_vcpus_take_turns(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(2)?;
    let counters = [vm.lend(MAILBOX)?, vm.lend(MAILBOX + PAGE)?];
    bring_second(&vm)?;
    puppet::give(vm.vcpus[0], [SPIN, MAILBOX, 0, 0])?;
    puppet::give(vm.vcpus[1], [SPIN, MAILBOX + PAGE, 0, 0])?;
    check_progress(&counters)?;
    vm.destroy()
}

fn spinning_vms_take_turns(_: &mut Random) -> TestResult {
    let (mut one, mut two) = (puppet::start(1)?, puppet::start(1)?);
    let counters = [one.lend(MAILBOX)?, two.lend(MAILBOX)?];
    for vm in [&one, &two] {
        puppet::give(vm.vcpus[0], [SPIN, MAILBOX, 0, 0])?;
    }
    check_progress(&counters)?;
    one.destroy()?;
    two.destroy()
}

fn waiting_vcpu_gives_way(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(2)?;
    let counter = vm.lend(MAILBOX)?;
    bring_second(&vm)?;
    puppet::give(vm.vcpus[0], [WAIT, 0, 0, 0])?;
    puppet::give(vm.vcpus[1], [SPIN, MAILBOX, 0, 0])?;
    check_progress(&[counter])?;
    vm.destroy()?;
    // Nothing is left of them on this core's queue.
    let exit = run()?;
    check_eq!(
        exit.reason,
        Some(ExitReason::Idle),
        "exit of an empty queue"
    );
    Ok(())
}

/// A guest waits with a timer whose time is past and whose interrupt it never enabled: that wakes
/// nobody, and is no time at which anybody else's turn should end.
fn past_timer_holds_nobody_up(_: &mut Random) -> TestResult {
    let (waiting, mut other) = (puppet::start(1)?, puppet::start(1)?);
    let vcpu = waiting.vcpus[0];
    // CNTV_CVAL_EL0 = 1, long ago; CNTV_CTL_EL0.ENABLE.
    puppet::step(vcpu, [SET_TIMER, 1, 1, 0])?;
    puppet::give(vcpu, [WAIT, 0, 0, 0])?;
    let counter = other.lend(MAILBOX)?;
    puppet::give(other.vcpus[0], [SPIN, MAILBOX, 0, 0])?;
    let entries = || {
        let (cpu, index) = (team::engine_cpu(0), Counter::GuestEntries.raw());
        call::stats_read(cpu, index).or_fail("STATS_READ")
    };
    let before = entries()?;
    check_progress(&[counter])?;
    let entered = entries()? - before;
    check!(entered < MANY_ENTRIES, "{entered} entries of guests");
    other.destroy()?;
    // Alone on its core it leaves the host asleep.
    let exit = run()?;
    check_eq!(exit.reason, Some(ExitReason::Idle), "exit of WFI");
    check_eq!(exit.details[0], u64::MAX, "deadline");
    waiting.destroy()
}

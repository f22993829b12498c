//! The host's timer fires on time while guests run; virtual interrupts reach their guest and no
//! other.
//!
//! Scenario 27: a guest's timer. Scenario 29: a VM that sees its predecessor's interrupts.

use crate::{
    guest::{MAILBOX, SPIN, WAIT},
    outcome::{OrFail, TestResult, check, check_eq},
    puppet,
    random::Random,
    runner::register,
    team,
    vm::{insist, run},
};
use abi::{ExitReason, InjectKind};
use el1::{call, irq, timer};

register!(
    "interrupts": host_timer_ends_a_run_on_time,
    budget_ends_a_run,
    injected_interrupt_ends_wfi,
    next_vm_has_no_interrupt_of_the_last,
);

/// The SPI of these tests.
const SPI: u32 = 41;

fn host_timer_ends_a_run_on_time(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    vm.lend(MAILBOX)?;
    puppet::give(vm.vcpus[0], [SPIN, MAILBOX, 0, 0])?;
    // Without a bound: only the timer can end the run.
    timer::disarm();
    for millis in [2, 5, 20] {
        let fired = team::timer_interrupts();
        let deadline = timer::now() + timer::ticks(millis);
        timer::arm(deadline);
        let exit = call::cpu_run(0).or_fail("CPU_RUN")?;
        let late = timer::now().saturating_sub(deadline);
        check_eq!(exit.reason, Some(ExitReason::HostInterrupt), "exit");
        check!(timer::now() >= deadline, "exit before the deadline");
        // Emulated cores share two real ones: generous, and far below "never".
        check!(late < timer::ticks(2000), "{late} ticks late");
        check_eq!(team::timer_interrupts(), fired, "taken before the window");
        irq::open_window();
        check_eq!(team::timer_interrupts(), fired + 1, "taken in the window");
    }
    vm.destroy()
}

fn budget_ends_a_run(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let pa = vm.lend(MAILBOX)?;
    puppet::give(vm.vcpus[0], [SPIN, MAILBOX, 0, 0])?;
    timer::disarm();
    for millis in [1, 10] {
        let start = timer::now();
        let exit = call::cpu_run(timer::ticks(millis)).or_fail("CPU_RUN")?;
        check_eq!(exit.reason, Some(ExitReason::Budget), "exit");
        check!(timer::now() - start >= timer::ticks(millis), "ended early");
    }
    // SAFETY: the page is the host's, lent.
    let count = unsafe { (pa as *const u64).read_volatile() };
    check!(count > 0, "the guest did not run");
    vm.destroy()
}

fn injected_interrupt_ends_wfi(_: &mut Random) -> TestResult {
    let vm = puppet::start(1)?;
    puppet::give(vm.vcpus[0], [WAIT, 0, 0, 0])?;
    let exit = run()?;
    check_eq!(exit.reason, Some(ExitReason::Idle), "exit of WFI");
    check_eq!(exit.details[0], u64::MAX, "deadline");
    let injected = insist(|| call::vcpu_inject(vm.vcpus[0], SPI, InjectKind::Edge, 0x80));
    injected.or_fail("VCPU_INJECT")?;
    puppet::collect(vm.vcpus[0])?;
    vm.destroy()
}

fn next_vm_has_no_interrupt_of_the_last(_: &mut Random) -> TestResult {
    let vm = puppet::start(1)?;
    let slot = vm.vcpus[0].slot();
    for intid in [SPI, SPI + 1, 1000] {
        let injected = insist(|| call::vcpu_inject(vm.vcpus[0], intid, InjectKind::Assert, 0));
        injected.or_fail("VCPU_INJECT")?;
    }
    vm.destroy()?;
    let next = puppet::start(1)?;
    check_eq!(next.vcpus[0].slot(), slot, "slot used again");
    puppet::give(next.vcpus[0], [WAIT, 0, 0, 0])?;
    let exit = run()?;
    check_eq!(exit.reason, Some(ExitReason::Idle), "exit of WFI");
    next.destroy()
}

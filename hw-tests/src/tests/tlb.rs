//! What one core takes away, no other core reaches through a translation that it still has.
//!
//! Scenario 2: TLBI under the wrong VMID. Scenario 11: a split that invalidates the wrong range.
//! Scenario 12: valid to invalid without TLBI. Scenario 13: only some pages of a batch flushed.
//!
//! Each test first makes the translation warm on the other core and sees to it that this core has no
//! reason to lose it: it stays in the host, or in the guest, until the page is gone.

use crate::{
    guest::{DATA, MAILBOX, Program, SPIN},
    outcome::{OrFail, Stop, TestResult, check, check_eq, complete},
    puppet,
    random::Random,
    runner::register,
    team,
    vm::{ALL, TestVm, destroy, find_other, insist, take_patterned},
};
use abi::{ExitReason, VcpuHandle, limit, psci, smccc};
use alloc::{string::String, sync::Arc};
use core::sync::atomic::{AtomicU64, Ordering};
use el1::{
    PAGE,
    call::{self, Exit},
    cpu, irq, probe, timer,
};

register!(
    "tlb": donated_pages_leave_every_core,
    donated_block_leaves_every_core,
    unlent_page_is_gone_under_a_running_guest,
    relinquished_page_is_gone_for_the_other_vcpu,
    destroyed_vm_stores_no_more,
);

/// Pages of a batch.
const BATCH: u64 = 24;
/// Milliseconds for which nothing may change after a page is gone.
const QUIET_MS: u64 = 30;
/// Milliseconds that the other core's guest may run on.
const PATIENCE_MS: u64 = 30_000;

/// Steps that cores take together.
#[derive(Default)]
struct Steps {
    arrived: AtomicU64,
    step: AtomicU64,
}

impl Steps {
    /// Tells that this core is done with its part.
    fn arrive(&self) {
        // Release: pairs with the Acquire in `wait_for_all`.
        self.arrived.fetch_add(1, Ordering::Release);
    }

    fn wait_for_all(&self, cores: u64) -> TestResult {
        // Acquire: pairs with the Release in `arrive`.
        let all = || self.arrived.load(Ordering::Acquire) >= cores;
        check!(team::wait_for(all), "the other cores do not get there");
        Ok(())
    }

    fn advance(&self) {
        // Release: pairs with the Acquire in `wait`.
        self.step.fetch_add(1, Ordering::Release);
    }

    fn wait(&self) -> TestResult {
        // Acquire: pairs with the Release in `advance`.
        let come = || self.step.load(Ordering::Acquire) > 0;
        check!(team::wait_for(come), "the first core does not get there");
        Ok(())
    }
}

/// Every core reads the pages, the first one donates them, every core must fault.
fn donate_under_all(count: u64, align: u64) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let pa = take_patterned(count, align)?;
    vm.own(pa, count);
    let (handle, steps) = (vm.handle, Arc::new(Steps::default()));
    let cores = cpu::all().len() as u64;
    let pages = move || (pa..pa + count * PAGE).step_by(PAGE as usize);
    team::everywhere(move |index| {
        for page in pages() {
            check!(probe::load(page).is_ok(), "own page {page:#x} faults");
        }
        steps.arrive();
        if index == 0 {
            steps.wait_for_all(cores)?;
            let result = insist(|| call::vm_map(handle, pa, DATA, count, ALL));
            steps.advance();
            complete("VM_MAP", result, count)?;
        } else {
            steps.wait()?;
        }
        for page in pages() {
            let loaded = probe::load(page);
            check!(loaded.is_err(), "{page:#x} is still read: {loaded:x?}");
        }
        Ok(())
    })?;
    vm.destroy()
}

fn donated_pages_leave_every_core(_: &mut Random) -> TestResult {
    donate_under_all(BATCH, PAGE)?;
    donate_under_all(1, PAGE)
}

fn donated_block_leaves_every_core(_: &mut Random) -> TestResult {
    let count = limit::RUN_PAGES as u64;
    donate_under_all(count, count * PAGE)?;
    // Part of a block that the host has whole.
    donate_under_all(3, count * PAGE)
}

/// The second core, or a skip.
fn second_core() -> TestResult<u64> {
    match cpu::all().len() {
        1 => Err(Stop::Skip(String::from("one core"))),
        _ => Ok(team::engine_cpu(1)),
    }
}

/// Runs this core's vCPUs without leaving them for anything but the host's own interrupts.
fn run_unbounded() -> TestResult<Exit> {
    let end = timer::now() + timer::ticks(PATIENCE_MS);
    while timer::now() < end {
        timer::arm(end);
        let exit = call::cpu_run(0).or_fail("CPU_RUN")?;
        match exit.reason {
            Some(ExitReason::HostInterrupt) => irq::open_window(),
            _ => {
                timer::disarm();
                return Ok(exit);
            }
        }
    }
    Err(Stop::Fail(String::from("the guest runs on")))
}

/// Runs `vcpu`, which spins at `ipa`, on this core until it faults there.
fn run_until_fault(vcpu: VcpuHandle, ipa: u64) -> TestResult {
    let exit = run_unbounded()?;
    check_eq!(
        (exit.reason, exit.vcpu, exit.details[0]),
        (Some(ExitReason::RamFault), vcpu, ipa),
        "exit of the spinning vCPU"
    );
    Ok(())
}

/// Waits until the guest has counted at `pa`, a page that the host can read.
fn wait_until_counting(pa: u64) -> TestResult {
    // SAFETY: a lent page of the host's.
    let counts = || unsafe { (pa as *const u64).read_volatile() } > 0;
    check!(team::wait_for(counts), "the guest does not run");
    Ok(())
}

fn unlent_page_is_gone_under_a_running_guest(_: &mut Random) -> TestResult {
    let core = second_core()?;
    let mut vm = puppet::start(1)?;
    let (handle, vcpu, pa) = (vm.handle, vm.vcpus[0], vm.lend(MAILBOX)?);
    puppet::give(vcpu, [SPIN, MAILBOX, 0, 0])?;
    insist(|| call::vcpu_enqueue(vcpu, core)).or_fail("VCPU_ENQUEUE")?;
    team::everywhere(move |index| match index {
        0 => {
            wait_until_counting(pa)?;
            complete(
                "VM_UNLEND",
                insist(|| call::vm_unlend(handle, MAILBOX, 1)),
                1,
            )?;
            // SAFETY: the host's own page again.
            let read = || unsafe { (pa as *const u64).read_volatile() };
            let count = read();
            team::nap(QUIET_MS);
            check_eq!(read(), count, "count after VM_UNLEND");
            Ok(())
        }
        1 => run_until_fault(vcpu, MAILBOX),
        _ => Ok(()),
    })?;
    vm.destroy()
}

fn relinquished_page_is_gone_for_the_other_vcpu(_: &mut Random) -> TestResult {
    let core = second_core()?;
    let mut vm = puppet::start(2)?;
    let (first, second) = (vm.vcpus[0], vm.vcpus[1]);
    let pa = take_patterned(1, PAGE)?;
    vm.donate(pa, DATA, 1)?;
    let entry = Program::Puppet.entry();
    puppet::hvc(first, [psci::CPU_ON_64, 1, entry, 0])?;
    vm.enqueue(1)?;
    puppet::collect(second)?;
    puppet::store_value(first, DATA, 0)?;
    puppet::give(second, [SPIN, DATA, 0, 0])?;
    insist(|| call::vcpu_enqueue(second, core)).or_fail("VCPU_ENQUEUE")?;
    team::everywhere(move |index| match index {
        0 => {
            let counts = || puppet::load_value(first, DATA).is_ok_and(|count| count > 0);
            check!(team::wait_for(counts), "the second vCPU does not run");
            puppet::hvc(first, [smccc::KVM_MEM_RELINQUISH, DATA, 0, 0])?;
            check_eq!(find_other(pa, 1, 0), None, "page at once");
            team::nap(QUIET_MS);
            check_eq!(find_other(pa, 1, 0), None, "page later");
            Ok(())
        }
        1 => run_until_fault(second, DATA),
        _ => Ok(()),
    })?;
    vm.give_back(pa);
    vm.destroy()
}

fn destroyed_vm_stores_no_more(_: &mut Random) -> TestResult {
    let core = second_core()?;
    let mut vm = puppet::start(1)?;
    let (handle, vcpu) = (vm.handle, vm.vcpus[0]);
    let mailbox = vm.lend(MAILBOX)?;
    puppet::give(vcpu, [SPIN, MAILBOX, 0, 0])?;
    insist(|| call::vcpu_enqueue(vcpu, core)).or_fail("VCPU_ENQUEUE")?;
    team::everywhere(move |index| match index {
        0 => {
            wait_until_counting(mailbox)?;
            destroy(handle)?;
            // SAFETY: the host's own page again.
            let read = || unsafe { (mailbox as *const u64).read_volatile() };
            let count = read();
            team::nap(QUIET_MS);
            check_eq!(read(), count, "count after the end");
            Ok(())
        }
        1 => {
            let exit = run_unbounded()?;
            check_eq!(
                exit.reason,
                Some(ExitReason::Idle),
                "exit of a core whose VM is gone"
            );
            Ok(())
        }
        _ => Ok(()),
    })?;
    vm.note_gone();
    vm.destroy()
}

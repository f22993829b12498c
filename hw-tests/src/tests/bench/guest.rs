//! A guest's ways out and back: answered by the engine, or by a host that does nothing but answer.
//!
//! The guest reads its own counter around one instruction, so that a figure holds all of the way: guest to
//! engine, engine to host where that must answer, and back.

use super::{ROUNDS, rounds, tell};
use crate::{
    guest::{CALL, CALL_NEXT, DATA, Gadget, MMIO, Program, TURNS, WINDOW},
    measure::{self, Ticks},
    outcome::{OrFail, TestResult, check, check_eq},
    puppet,
    random::Random,
    runner::register,
    vm::{ALL, TestVm, take_patterned},
};
use abi::{ExitReason, Outcome, VcpuHandle, psci, smccc};
use alloc::vec::Vec;
use el1::{
    PAGE,
    call::{self, Exit},
    irq, timer,
};

register!(
    "bench": guest_psci_version,
    guest_gicd_read,
    guest_mmio_read,
    guest_mmio_write,
    guest_s2_fault,
    guest_mem_share,
    guest_mem_unshare,
    guest_mmio_write_alternating,
    vcpu_switch,
);

/// GICD_IIDR of the guest's distributor: a register that changes nothing.
const GICD_IIDR: u64 = 8;
/// Budget of a run.
const SLICE_MS: u64 = 1000;

/// Gives `vcpu` a gadget to do and answers its exits by `answer`, at once, until it is done; what it says.
fn timed(
    vcpu: VcpuHandle,
    gadget: Gadget,
    x: [u64; 2],
    mut answer: impl FnMut(&Exit) -> TestResult,
) -> TestResult<Ticks> {
    let slice = timer::ticks(SLICE_MS);
    puppet::give(vcpu, [CALL, gadget.ipa(), x[0], x[1]])?;
    loop {
        let exit = call::cpu_run(slice).or_fail("CPU_RUN")?;
        match exit.reason {
            Some(ExitReason::Call) if exit.details[0] == CALL_NEXT => {
                let [_, ticks, .., esr, far] = exit.details;
                check_eq!(esr, 0, "fault at {far:#x}");
                return Ok(ticks - measure::empty());
            }
            Some(ExitReason::HostInterrupt) => irq::open_window(),
            Some(_) => answer(&exit)?,
            None => check!(false, "unknown exit {exit:x?}"),
        }
    }
}

/// A guest with the gadgets.
fn start() -> TestResult<TestVm> {
    let mut vm = puppet::start(1)?;
    vm.put_gadgets()?;
    Ok(vm)
}

fn no_exit(exit: &Exit) -> TestResult {
    check!(false, "exit {exit:x?}");
    Ok(())
}

/// Does what a host does at least with the access of `exit`: gives a load its value; a store is over (abi:
/// MMIO_WRITE).
fn complete(exit: &Exit, reason: ExitReason) -> TestResult {
    check!(exit.reason == Some(reason), "exit {exit:x?}");
    match reason {
        ExitReason::MmioRead => call::vcpu_respond(exit.vcpu, [0x43b, 0, 0, 0], Outcome::Complete)
            .or_fail("VCPU_RESPOND"),
        _ => Ok(()),
    }
}

fn guest_psci_version(_: &mut Random) -> TestResult {
    let vm = start()?;
    let ticks = rounds(|_| timed(vm.vcpus[0], Gadget::TimeHvc, [psci::VERSION, 0], no_exit))?;
    tell("guest_psci_version", 1, &ticks)?;
    vm.destroy()
}

/// Accesses at `ipa` that the host completes.
fn device(operation: &str, gadget: Gadget, ipa: u64, reason: ExitReason) -> TestResult {
    let vm = start()?;
    let ticks = rounds(|_| {
        let mut exits = 0;
        let ticks = timed(vm.vcpus[0], gadget, [ipa, 0], |exit| {
            exits += 1;
            complete(exit, reason)
        })?;
        check_eq!(exits, 1, "exits");
        Ok(ticks)
    })?;
    tell(operation, 1, &ticks)?;
    vm.destroy()
}

/// Two VMs in turn on one core.
fn guest_mmio_write_alternating(_: &mut Random) -> TestResult {
    let vms = [start()?, start()?];
    let ticks = rounds(|round| {
        let vcpu = vms[round as usize % 2].vcpus[0];
        timed(vcpu, Gadget::TimeStore, [MMIO, 0], |exit| {
            complete(exit, ExitReason::MmioWrite)
        })
    })?;
    tell("guest_mmio_write_alternating", 1, &ticks)?;
    vms.into_iter().try_for_each(TestVm::destroy)
}

/// From one vCPU's wait to the other's going on, on the core that both are queued on: that one gave way before by
/// waking the first.
fn vcpu_switch(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(2)?;
    vm.put_gadgets()?;
    let noted = vm.lend(WINDOW)?;
    let entry = Program::Puppet.entry();
    puppet::hvc(vm.vcpus[0], [psci::CPU_ON_64, 1, entry, 0])?;
    vm.enqueue(1)?;
    puppet::collect(vm.vcpus[1])?;
    puppet::give(vm.vcpus[1], [CALL, Gadget::WaitAgain.ipa(), WINDOW, 0])?;
    puppet::gadget(vm.vcpus[0], Gadget::GiveWay, 1 << 1, WINDOW)?;
    // Not the first: that vCPU may not have waited yet.
    let ticks: Vec<Ticks> = (2..=TURNS)
        // SAFETY: lent, the host's own, and the vCPU that wrote it is done.
        .map(|turn| unsafe { ((noted + turn * 8) as *const u64).read_volatile() })
        .map(|ticks| ticks.saturating_sub(measure::empty()))
        .collect();
    tell("vcpu_switch", 1, &ticks)?;
    vm.destroy()
}

fn guest_gicd_read(_: &mut Random) -> TestResult {
    // The distributor is the host's to emulate: below the redistributors, where no RAM is.
    let gicd = MMIO + GICD_IIDR;
    device(
        "guest_gicd_read",
        Gadget::TimeLoad,
        gicd,
        ExitReason::MmioRead,
    )
}

fn guest_mmio_read(_: &mut Random) -> TestResult {
    device(
        "guest_mmio_read",
        Gadget::TimeLoad,
        MMIO,
        ExitReason::MmioRead,
    )
}

fn guest_mmio_write(_: &mut Random) -> TestResult {
    device(
        "guest_mmio_write",
        Gadget::TimeStore,
        MMIO,
        ExitReason::MmioWrite,
    )
}

/// The guest uses RAM that has no page; the host gives it one that it had mapped itself.
fn guest_s2_fault(_: &mut Random) -> TestResult {
    let mut vm = start()?;
    let pa = take_patterned(ROUNDS + 1, PAGE)?;
    // The first makes the guest's tables of this place.
    vm.donate(pa, DATA, 1)?;
    vm.own(pa + PAGE, ROUNDS);
    let handle = vm.handle;
    let ticks = rounds(|round| {
        let (page, ipa) = (pa + (round + 1) * PAGE, DATA + (round + 1) * PAGE);
        timed(vm.vcpus[0], Gadget::TimeLoad, [ipa, 0], |exit| {
            check!(exit.reason == Some(ExitReason::RamFault), "exit {exit:x?}");
            let batch = call::vm_map(handle, page, ipa, 1, ALL).or_fail("VM_MAP")?;
            check_eq!(batch.done, 1, "pages");
            Ok(())
        })
    })?;
    tell("guest_s2_fault", 1, &ticks)?;
    vm.destroy()
}

/// A call about each page of `DATA`, of which the host is not told.
fn memory_call(vm: &TestVm, function: u64) -> TestResult<Vec<Ticks>> {
    rounds(|round| {
        let x = [function, DATA + round * PAGE];
        timed(vm.vcpus[0], Gadget::TimeHvc, x, |exit| {
            check!(false, "exit {exit:x?}");
            Ok(())
        })
    })
}

fn with_shared_pages(operation: &str, tell_unshare: bool) -> TestResult {
    let mut vm = start()?;
    let pa = take_patterned(ROUNDS, PAGE)?;
    vm.donate(pa, DATA, ROUNDS)?;
    let shared = memory_call(&vm, smccc::KVM_MEM_SHARE)?;
    let unshared = memory_call(&vm, smccc::KVM_MEM_UNSHARE)?;
    tell(operation, 1, if tell_unshare { &unshared } else { &shared })?;
    vm.destroy()
}

fn guest_mem_share(_: &mut Random) -> TestResult {
    with_shared_pages("guest_mem_share", false)
}

fn guest_mem_unshare(_: &mut Random) -> TestResult {
    with_shared_pages("guest_mem_unshare", true)
}

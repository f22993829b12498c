//! A guest's ways out and back: answered by the engine, or by a host that does nothing but answer.
//!
//! The guest reads its own counter around one instruction, so that a figure holds all of the way: guest to
//! engine, engine to host where that must answer, and back.

use super::{ROUNDS, rounds, tell};
use crate::{
    guest::{CALL, CALL_NEXT, DATA, Gadget, MMIO, Program, TURNS, WINDOW},
    measure::{self, Ticks},
    outcome::{OrFail, Stop, TestResult, check_eq},
    puppet,
    random::Random,
    runner::register,
    vm::{ALL, TestVm, take_patterned},
};
use abi::{ExitReason, Outcome, VmHandle, psci, smccc};
use alloc::{format, vec::Vec};
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
    vcpu_switch,
);

/// Where the guest's distributor is the host's to emulate: below the redistributors, where no RAM is.
pub(super) const GICD: u64 = MMIO;
/// GICD_IIDR: a register that changes nothing.
pub(super) const GICD_IIDR: u64 = GICD + 8;
/// Budget of a run.
const SLICE_MS: u64 = 1000;

/// What the host does about the exit that it awaits.
#[derive(Clone, Copy)]
enum Answer {
    /// None is to come.
    None,
    /// Gives a load its value.
    Load,
    /// Nothing: a store is over (abi: MMIO_WRITE).
    Store,
    /// Gives the VM a page.
    Page { vm: VmHandle, pa: u64, ipa: u64 },
}

impl Answer {
    #[inline(always)]
    fn to(self, exit: &Exit) -> TestResult {
        match (self, exit.reason) {
            (Self::Load, Some(ExitReason::MmioRead)) => {
                let value = [0x43b, 0, 0, 0];
                call::vcpu_respond(exit.vcpu, value, Outcome::Complete).or_fail("VCPU_RESPOND")
            }
            (Self::Store, Some(ExitReason::MmioWrite)) => Ok(()),
            (Self::Page { vm, pa, ipa }, Some(ExitReason::RamFault)) => {
                let batch = call::vm_map(vm, pa, ipa, 1, ALL).or_fail("VM_MAP")?;
                check_eq!(batch.done, 1, "pages");
                Ok(())
            }
            _ => Err(Stop::Fail(format!("exit {exit:x?}"))),
        }
    }
}

/// Gives a VM's first vCPU a gadget to do and answers its one exit, if there is to be one, at once; what it says.
///
/// Not inlined, so that the host's part is the same instructions whoever calls.
#[inline(never)]
fn timed(vm: &TestVm, gadget: Gadget, x: [u64; 2], answer: Answer) -> TestResult<Ticks> {
    let slice = timer::ticks(SLICE_MS);
    puppet::give(vm.vcpus[0], [CALL, gadget.ipa(), x[0], x[1]])?;
    let mut answers = 0;
    loop {
        let exit = call::cpu_run(slice).or_fail("CPU_RUN")?;
        match exit.reason {
            Some(ExitReason::Call) if exit.details[0] == CALL_NEXT => {
                let [_, ticks, .., esr, far] = exit.details;
                check_eq!(esr, 0, "fault at {far:#x}");
                let awaited = u64::from(!matches!(answer, Answer::None));
                check_eq!(answers, awaited, "exits");
                return Ok(ticks - measure::empty());
            }
            Some(ExitReason::HostInterrupt) => irq::open_window(),
            _ => {
                answer.to(&exit)?;
                answers += 1;
            }
        }
    }
}

/// A guest with the gadgets.
pub(super) fn start() -> TestResult<TestVm> {
    let mut vm = puppet::start(1)?;
    vm.put_gadgets()?;
    Ok(vm)
}

/// A guest with a page for each round.
pub(super) fn with_neighbours() -> TestResult<TestVm> {
    let mut vm = start()?;
    let pa = take_patterned(ROUNDS, PAGE)?;
    vm.donate(pa, DATA, ROUNDS)?;
    Ok(vm)
}

/// A call that the engine answers.
pub(super) fn answered(vm: &TestVm, function: u64, argument: u64) -> TestResult<Ticks> {
    timed(vm, Gadget::TimeHvc, [function, argument], Answer::None)
}

/// PSCI_VERSION.
pub(super) fn psci_version(vm: &TestVm) -> TestResult<Ticks> {
    answered(vm, psci::VERSION, 0)
}

/// A load from a device of the host's.
pub(super) fn device_load(vm: &TestVm, ipa: u64) -> TestResult<Ticks> {
    timed(vm, Gadget::TimeLoad, [ipa, 0], Answer::Load)
}

/// A store to a device of the host's.
pub(super) fn device_store(vm: &TestVm, ipa: u64) -> TestResult<Ticks> {
    timed(vm, Gadget::TimeStore, [ipa, 0], Answer::Store)
}

/// A load from RAM that has no page; the host gives it one that it had mapped itself.
pub(super) fn fault(vm: &mut TestVm, pa: u64, ipa: u64) -> TestResult<Ticks> {
    vm.own(pa, 1);
    let answer = Answer::Page {
        vm: vm.handle,
        pa,
        ipa,
    };
    timed(vm, Gadget::TimeLoad, [ipa, 0], answer)
}

fn guest_psci_version(_: &mut Random) -> TestResult {
    let vm = start()?;
    let ticks = rounds(|_| psci_version(&vm))?;
    tell("guest_psci_version", 1, &ticks)?;
    vm.destroy()
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
    device("guest_gicd_read", |vm| device_load(vm, GICD_IIDR))
}

fn guest_mmio_read(_: &mut Random) -> TestResult {
    device("guest_mmio_read", |vm| device_load(vm, MMIO))
}

fn guest_mmio_write(_: &mut Random) -> TestResult {
    device("guest_mmio_write", |vm| device_store(vm, MMIO))
}

fn device(operation: &str, access: impl Fn(&TestVm) -> TestResult<Ticks>) -> TestResult {
    let vm = start()?;
    let ticks = rounds(|_| access(&vm))?;
    tell(operation, 1, &ticks)?;
    vm.destroy()
}

fn guest_s2_fault(_: &mut Random) -> TestResult {
    let mut vm = start()?;
    let pa = take_patterned(ROUNDS + 1, PAGE)?;
    // The first makes the guest's tables of this place.
    vm.donate(pa, DATA, 1)?;
    let ticks = rounds(|round| {
        let offset = (round + 1) * PAGE;
        fault(&mut vm, pa + offset, DATA + offset)
    })?;
    tell("guest_s2_fault", 1, &ticks)?;
    vm.destroy()
}

fn guest_mem_share(_: &mut Random) -> TestResult {
    let vm = with_neighbours()?;
    let ticks = rounds(|round| answered(&vm, smccc::KVM_MEM_SHARE, DATA + round * PAGE))?;
    tell("guest_mem_share", 1, &ticks)?;
    vm.destroy()
}

fn guest_mem_unshare(_: &mut Random) -> TestResult {
    let vm = with_neighbours()?;
    let page = |round| DATA + round * PAGE;
    rounds(|round| answered(&vm, smccc::KVM_MEM_SHARE, page(round)))?;
    let ticks = rounds(|round| answered(&vm, smccc::KVM_MEM_UNSHARE, page(round)))?;
    tell("guest_mem_unshare", 1, &ticks)?;
    vm.destroy()
}

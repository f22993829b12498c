//! A guest's registers are nowhere in the host after any kind of exit, and the host's own are as
//! they were; the guest's are untouched by what the host does.
//!
//! Scenario 25: a system register left over from another. Scenario 27: timer state, and return
//! registers that nobody wrote.

use crate::{
    guest::{
        ANSWER, CALL_ASK, CALL_WRONG, CODE, DATA, HOLE, LOOK_AT_FP, LOOK_AT_SYSTEM, MAILBOX, MMIO,
        Program, is_canary,
    },
    outcome::{OrFail, Stop, TestResult, check, check_eq},
    puppet,
    random::Random,
    registers::{self, Registers},
    runner::register,
    sysregs::{self, Snapshot},
    vm::{TestVm, find_other, insist, take_patterned},
};
use abi::{Call, ExitReason, InjectKind, Outcome, VcpuHandle};
use alloc::format;
use el1::{
    PAGE,
    call::{self, Exit},
    irq, timer,
};

register!("canary": no_exit_leaks_a_register, fresh_vcpu_has_no_register_of_another);

/// The host's value in registers that a guest has too.
const MARK: u64 = 0x0c0f_fee0_0000_0000;
/// The SPI that ends the guest's WFI.
const SPI: u32 = 40;
/// The ends of turns that bring no exit: at most so many before the guest has failed.
const QUIET_TURNS: u32 = 2000;
/// Milliseconds of a turn.
const TURN_MS: u64 = 20;

/// `CPU_RUN` with every register looked at. `may_hold` lists the result registers that may hold a
/// guest's value, by the exit's reason.
fn run_watched(before: &Snapshot) -> TestResult<Exit> {
    let mut registers = Registers::of_host();
    registers.x[0] = Call::CpuRun.function_id();
    registers.x[1] = timer::ticks(TURN_MS);
    let given = registers.clone();
    registers::hvc(&mut registers);

    check_eq!(registers.x[0], 0, "status of CPU_RUN");
    let reason = ExitReason::from_raw(registers.x[1]).or_fail("a known exit reason")?;
    // x0–x6 of a forwarded call that is about them, and the data of a store to a device.
    let may_hold = match reason {
        ExitReason::Call => 3..=9,
        ExitReason::MmioWrite => 5..=5,
        _ => 0..=0,
    };
    for (n, value) in registers.x.iter().enumerate() {
        check!(
            may_hold.contains(&n) || !is_canary(*value),
            "x{n} holds the canary after {}: {value:#x}",
            reason.name()
        );
    }
    for n in 10..=17 {
        check_eq!(registers.x[n], 0, "x{n} after {}", reason.name());
    }
    for n in 18..=30 {
        check_eq!(registers.x[n], given.x[n], "x{n} after {}", reason.name());
    }
    for (n, (left, given)) in registers.v.iter().zip(&given.v).enumerate() {
        check_eq!(*left, *given, "half {n} of v0–v31 after {}", reason.name());
    }
    check_eq!(registers.fpcr, given.fpcr, "FPCR after {}", reason.name());
    check_eq!(registers.fpsr, given.fpsr, "FPSR after {}", reason.name());
    check_eq!(registers.nzcv, given.nzcv, "NZCV after {}", reason.name());
    before.check_unchanged().map_err(|stop| match stop {
        Stop::Fail(text) => Stop::Fail(format!("after {}: {text}", reason.name())),
        skip => skip,
    })?;

    let mut details = [0; 7];
    details.copy_from_slice(&registers.x[3..10]);
    Ok(Exit {
        reason: Some(reason),
        vcpu: VcpuHandle::from_raw(registers.x[2]),
        details,
    })
}

/// The next exit that is not the end of a turn, taking this core's interrupts if `take_interrupts`.
fn next_exit(take_interrupts: bool) -> TestResult<Exit> {
    for _ in 0..QUIET_TURNS {
        // Marks in registers that a guest has too; an exit must bring these back.
        sysregs::set_marks(MARK);
        let exit = run_watched(&Snapshot::take())?;
        match exit.reason {
            Some(ExitReason::HostInterrupt) if take_interrupts => irq::open_window(),
            Some(ExitReason::Budget) => {}
            Some(ExitReason::Call) if exit.details[0] == CALL_WRONG => {
                let [_, step, esr, ..] = exit.details;
                return Err(Stop::Fail(format!(
                    "the guest's registers changed: step {step:#x}, ESR_EL1 {esr:#x}"
                )));
            }
            _ => return Ok(exit),
        }
    }
    Err(Stop::Fail(format!("no exit in {QUIET_TURNS} turns")))
}

/// Requires an exit of this kind from this vCPU, and returns its details.
fn expect(reason: ExitReason, vcpu: VcpuHandle) -> TestResult<[u64; 7]> {
    let exit = next_exit(true)?;
    check!(
        exit.reason == Some(reason) && exit.vcpu == vcpu,
        "{exit:x?}, not {} of {:#x}",
        reason.name(),
        vcpu.raw()
    );
    Ok(exit.details)
}

fn answer(vcpu: VcpuHandle) -> TestResult {
    let answer = [ANSWER, 0, 0, 0];
    insist(|| call::vcpu_respond(vcpu, answer, Outcome::Complete)).or_fail("VCPU_RESPOND")
}

/// The canary guest, with a page at DATA and a mailbox.
fn start() -> TestResult<(TestVm, u64, u64)> {
    let mut vm = TestVm::create(2)?;
    vm.put_code(Program::Canary)?;
    let data = take_patterned(1, PAGE)?;
    vm.donate(data, DATA, 1)?;
    let mailbox = vm.lend(MAILBOX)?;
    vm.add_vcpu(0, Program::Canary.entry())?;
    vm.add_vcpu(1, CODE)?;
    vm.start()?;
    vm.enqueue(0)?;
    Ok((vm, data, mailbox))
}

fn no_exit_leaks_a_register(_: &mut Random) -> TestResult {
    let (mut vm, data, mailbox) = start()?;
    let (first, second) = (vm.vcpus[0], vm.vcpus[1]);

    // A store to RAM without a page: its page, not the place in it, and not the data.
    let details = expect(ExitReason::RamFault, first)?;
    check_eq!(
        details,
        [HOLE, 0, 0, 0, 0, 0, 0],
        "details of the RAM fault"
    );
    let page = take_patterned(1, PAGE)?;
    vm.donate(page, HOLE, 1)?;

    let details = expect(ExitReason::MmioRead, first)?;
    check_eq!(
        details,
        [MMIO + 0x18, 4, 0, 0, 0, 0, 0],
        "details of the MMIO read"
    );
    answer(first)?;

    let [ipa, size, data_written, rest @ ..] = expect(ExitReason::MmioWrite, first)?;
    check_eq!((ipa, size), (MMIO + 0x1c, 4), "details of the MMIO write");
    check!(
        is_canary(data_written),
        "data of the MMIO write {data_written:#x}"
    );
    check_eq!(rest, [0; 4], "rest of the MMIO write");

    let [function, shown @ ..] = expect(ExitReason::Call, first)?;
    check_eq!(function, CALL_ASK, "forwarded call");
    check!(
        shown.iter().all(|x| is_canary(*x)),
        "x1–x6 of the call {shown:x?}"
    );
    answer(first)?;

    let idle = next_exit(true)?;
    check_eq!(idle.reason, Some(ExitReason::Idle), "exit of WFI");
    check_eq!(idle.details[0], u64::MAX, "deadline without a timer");
    let injected = insist(|| call::vcpu_inject(first, SPI, InjectKind::Edge, 0x80));
    injected.or_fail("VCPU_INJECT")?;

    // The guest spins until the mailbox is written: only the host's interrupt ends the run.
    timer::arm(timer::now() + timer::ticks(5));
    let exit = next_exit(false)?;
    check_eq!(
        exit.reason,
        Some(ExitReason::HostInterrupt),
        "exit of a spinning guest"
    );
    irq::open_window();
    // SAFETY: the page is the host's, lent, and written by nobody else.
    unsafe { (mailbox as *mut u64).write_volatile(1) };

    // MEM_SHARE and MEM_UNSHARE, of which the host is not told, and then MEM_RELINQUISH.
    let [ipa, pa, rest @ ..] = expect(ExitReason::PageRelinquished, first)?;
    check_eq!((ipa, pa, rest), (DATA, data, [0; 5]), "its details");
    check_eq!(find_other(data, 1, 0), None, "relinquished page");
    vm.give_back(data);

    let details = expect(ExitReason::VcpuOn, first)?;
    check_eq!(
        details,
        [second.raw(), 0, 0, 0, 0, 0, 0],
        "details of CPU_ON"
    );
    // The first one goes on by itself and turns the VM off.
    expect(ExitReason::SystemOff, first)?;
    vm.enqueue(1)?;
    expect(ExitReason::VcpuOff, second)?;
    vm.destroy()
}

/// A vCPU that follows another VM's on the core starts with zeroes. (That its general registers do
/// is checked by the program itself when it is turned on.)
fn fresh_vcpu_has_no_register_of_another(_: &mut Random) -> TestResult {
    let (vm, ..) = start()?;
    expect(ExitReason::RamFault, vm.vcpus[0])?;
    insist(|| call::vcpu_dequeue(vm.vcpus[0])).or_fail("VCPU_DEQUEUE")?;
    let follower = puppet::start(1)?;
    for step in [LOOK_AT_FP, LOOK_AT_SYSTEM] {
        let reply = puppet::step(follower.vcpus[0], [step, 0, 0, 0])?;
        check_eq!(reply.x, [0; 4], "what step {step} finds");
    }
    follower.destroy()?;
    vm.destroy()
}

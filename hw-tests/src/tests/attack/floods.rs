//! Interrupts as a weapon: a guest's timer, its SGIs, what it leaves active, and the tables that LPIs would have
//! in memory.

use super::stage::{Stage, attacks};
use crate::{
    code::{GuestCode, ISB, Sysreg},
    guest::{CALL, GICR, Gadget, SET_TIMER, WINDOW},
    outcome::{OrFail, Stop, TestResult, check, check_eq},
    puppet,
    vm::TestVm,
};
use abi::ExitReason;
use alloc::string::String;
use el1::{call, irq, machine, probe, timer};

attacks! {
    "floods":
    Guest timer_at_once_for_ever [27] "a timer that is always due, its interrupt on, taken and ended in a loop" => "the turn ends, the victim goes on";
    Guest sgis_to_itself_for_ever [] "SGIs to all of its affinities in a loop" => "the turn ends, the victim goes on";
    Guest sgis_to_everybody [29] "SGIs to every affinity and to all others" => "none arrives in another VM";
    Guest interrupt_left_active [29] "acknowledges an interrupt and never ends it, then loses the core" => "the next VM has no active or pending interrupt and no running priority";
    Guest turns_lpis_on [] "GICR_CTLR.EnableLPIs and LPI tables in its own redistributor" => "read as zero";
    Host turns_lpis_on_below [] "GICR_CTLR.EnableLPIs and LPI tables, in memory of a guest, in the physical redistributors" => "read as zero";
    Guest wakes_nobody_elses_core [] "a list of SGI targets in ranges that no vCPU of its own has" => "no effect";
}

const ICC_SGI1R_EL1: Sysreg = Sysreg(3, 0, 12, 11, 5);
const ICC_IAR1_EL1: Sysreg = Sysreg(3, 0, 12, 12, 0);
const ICC_HPPIR1_EL1: Sysreg = Sysreg(3, 0, 12, 12, 2);
const ICC_RPR_EL1: Sysreg = Sysreg(3, 0, 12, 11, 3);
const ICC_AP1R0_EL1: Sysreg = Sysreg(3, 0, 12, 9, 0);
/// In a redistributor's SGI_base frame (IHI0069 12.11).
const SGI_FRAME: u64 = 0x1_0000;
const GICR_IGROUPR0: u64 = 0x80;
const GICR_ISENABLER0: u64 = 0x100;
/// In its RD_base frame.
const GICR_PROPBASER: u64 = 0x70;
const GICR_PENDBASER: u64 = 0x78;
/// INTIDs that are none.
const SPURIOUS: u64 = 1023;
/// Milliseconds of a turn.
const TURN_MS: u64 = 3;

/// A guest that has all its private interrupts enabled, in Group 1.
fn start() -> TestResult<(TestVm, GuestCode)> {
    let mut vm = puppet::start(1)?;
    vm.put_gadgets()?;
    let code = GuestCode::lend(&mut vm)?;
    for offset in [GICR_IGROUPR0, GICR_ISENABLER0] {
        let at = GICR + SGI_FRAME + offset;
        let reply = puppet::gadget(vm.vcpus[0], Gadget::StoreWord, at, 0xffff_ffff)?;
        check_eq!(
            (reply.esr, reply.exits.len()),
            (0, 0),
            "its own redistributor"
        );
    }
    Ok((vm, code))
}

/// Runs the flood for some turns, each of which must end by its budget, then has the victim look at itself while
/// it goes on.
fn check_turns_end(stage: &Stage<'_>, counter: u64) -> TestResult {
    // SAFETY: a lent page of the host's.
    let count = || unsafe { (counter as *const u64).read_volatile() };
    timer::disarm();
    for _ in 0..50 {
        let exit = call::cpu_run(timer::ticks(TURN_MS)).or_fail("CPU_RUN")?;
        match exit.reason {
            Some(ExitReason::HostInterrupt) => irq::open_window(),
            reason => check_eq!(reason, Some(ExitReason::Budget), "exit of the flood"),
        }
        if count() > 2 {
            break;
        }
    }
    check!(count() > 2, "the flood does not run");
    stage.victim.check_unharmed()
}

fn timer_at_once_for_ever(stage: &mut Stage<'_>) -> TestResult {
    let (mut vm, _code) = start()?;
    let counter = vm.lend(WINDOW)?;
    puppet::step(vm.vcpus[0], [SET_TIMER, 0, 1, 0])?;
    puppet::give(vm.vcpus[0], [CALL, Gadget::TakeInterrupts.ipa(), WINDOW, 0])?;
    check_turns_end(stage, counter)?;
    vm.destroy()
}

fn sgis_to_itself_for_ever(stage: &mut Stage<'_>) -> TestResult {
    let (mut vm, _code) = start()?;
    let counter = vm.lend(WINDOW)?;
    puppet::give(vm.vcpus[0], [CALL, Gadget::FloodSgi.ipa(), 0xffff, WINDOW])?;
    check_turns_end(stage, counter)?;
    vm.destroy()
}

/// What a guest's highest pending interrupt is.
fn pending(vm: &TestVm, code: &GuestCode) -> TestResult<u64> {
    let reply = code.run(vm, &[ICC_HPPIR1_EL1.mrs(0)], 0, 0)?;
    check_eq!(reply.esr, 0, "ICC_HPPIR1_EL1");
    Ok(reply.x[0] & 0xff_ffff)
}

fn sgis_to_everybody(_: &mut Stage<'_>) -> TestResult {
    let (attacker, attack) = start()?;
    let (other, look) = start()?;
    for value in [
        1 << 40,
        0xffff,
        0xffff | 1 << 16,
        0xffff | 1 << 32,
        u64::MAX,
    ] {
        let reply = attack.run(&attacker, &[ICC_SGI1R_EL1.msr(0), ISB], value, 0)?;
        check_eq!(
            (reply.esr, reply.exits.len()),
            (0, 0),
            "ICC_SGI1R_EL1 = {value:#x}"
        );
        check_eq!(
            pending(&other, &look)?,
            SPURIOUS,
            "pending in another VM after {value:#x}"
        );
    }
    // What it may reach it does: itself.
    check_eq!(pending(&attacker, &attack)?, 0, "pending in its own VM");
    attacker.destroy()?;
    other.destroy()
}

fn interrupt_left_active(_: &mut Stage<'_>) -> TestResult {
    let (attacker, attack) = start()?;
    let words = [ICC_SGI1R_EL1.msr(0), ISB];
    attack.run(&attacker, &words, 1 | 5 << 24, 0)?;
    let taken = attack.run(&attacker, &[ICC_IAR1_EL1.mrs(0)], 0, 0)?;
    check_eq!(taken.x[0], 5, "the attacker's interrupt");
    let mine = attack.run(&attacker, &[ICC_RPR_EL1.mrs(0)], 0, 0)?;
    check!(
        mine.x[0] & 0xff != 0xff,
        "it has a running priority: {mine:x?}"
    );
    let (next, look) = start()?;
    check_eq!(pending(&next, &look)?, SPURIOUS, "pending in the next VM");
    let priority = look.run(&next, &[ICC_RPR_EL1.mrs(0)], 0, 0)?;
    check_eq!(
        priority.x[0] & 0xff,
        0xff,
        "running priority of the next VM"
    );
    let active = look.run(&next, &[ICC_AP1R0_EL1.mrs(0)], 0, 0)?;
    check_eq!(active.x[0], 0, "active priorities of the next VM");
    next.destroy()?;
    attacker.destroy()
}

fn turns_lpis_on(_: &mut Stage<'_>) -> TestResult {
    let (vm, _code) = start()?;
    for (offset, value) in [
        (0, 1),
        (GICR_PROPBASER, 0x4010_0000),
        (GICR_PENDBASER, 0x4010_0000),
    ] {
        puppet::gadget(vm.vcpus[0], Gadget::StoreWord, GICR + offset, value)?;
        let reply = puppet::gadget(vm.vcpus[0], Gadget::LoadWord, GICR + offset, 0)?;
        check_eq!((reply.x[0], reply.esr), (0, 0), "GICR + {offset:#x}");
    }
    vm.destroy()
}

fn turns_lpis_on_below(stage: &mut Stage<'_>) -> TestResult {
    let Some(frames) = machine().redistributors.first() else {
        return Err(Stop::Skip(String::from("no redistributor")));
    };
    let base = frames.start;
    let tables = stage.victim.pa();
    for (offset, value) in [(GICR_PROPBASER, tables | 15), (GICR_PENDBASER, tables)] {
        // SAFETY: refused, or the victim's pages are at stake; the test fails.
        let stored = unsafe { probe::store(base + offset, value) };
        check!(stored.is_ok(), "store to the frame: {stored:x?}");
        check_eq!(probe::load(base + offset), Ok(0), "GICR + {offset:#x}");
    }
    // A 32-bit register: the wider store is refused, the right one has the bit taken out.
    // SAFETY: as above.
    unsafe { (base as *mut u32).write_volatile(1) };
    // SAFETY: a read of a device's register, mapped.
    let control = unsafe { (base as *const u32).read_volatile() };
    check_eq!(control & 1, 0, "GICR_CTLR.EnableLPIs");
    Ok(())
}

fn wakes_nobody_elses_core(_: &mut Stage<'_>) -> TestResult {
    let (vm, code) = start()?;
    for range in 1..16 {
        let value = 0xffff | range << 44 | 3 << 24;
        let reply = code.run(&vm, &[ICC_SGI1R_EL1.msr(0), ISB], value, 0)?;
        check_eq!((reply.esr, reply.exits.len()), (0, 0), "range {range}");
    }
    check_eq!(pending(&vm, &code)?, SPURIOUS, "pending");
    vm.destroy()
}

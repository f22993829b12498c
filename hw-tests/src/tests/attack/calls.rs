//! The host with calls that are well formed and wrong: dead handles, other immediates, a core or a time at
//! which they are not allowed.

use super::{
    beside::{beside_a_guest, second_core},
    stage::{Stage, attacks},
};
use crate::{
    code::{self, HVC_1, SMC_1},
    guest::{CALL, DATA, Gadget, HOLE, SPIN, WINDOW},
    outcome::{OrFail, TestResult, check, check_eq, refused},
    puppet,
    refusal::{BAD_HANDLE, BAD_STATE, Case, OUT_OF_RANGE, RIGHTS, check_refused},
    team,
    vm::{TestVm, insist, run, take_patterned},
};
use abi::{Call, ExitReason, InfoIndex, Outcome, Status, VcpuHandle, VmHandle, psci, smccc};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use el1::{PAGE, call, cpu, gic, pages, timer};

attacks! {
    "calls":
    Host handle_of_a_dead_vm [28] "every call about a VM with the handle of one that is gone, whose slot the next one has" => "BAD_HANDLE";
    Host handle_of_a_dead_vcpu [28] "every call about a vCPU with the handle of one that is gone, whose slot the next one has" => "BAD_HANDLE";
    Host handles_of_the_other_kind [] "a VM's handle as a vCPU's, and a vCPU's as a VM's" => "BAD_HANDLE, BAD_STATE";
    Host other_immediates [] "HVC #1 and SMC #1 with the numbers of calls that there are" => "NOT_SUPPORTED";
    Host core_off_with_a_queue [] "PSCI CPU_OFF of a core that has vCPUs queued" => "DENIED";
    Host suspends_to_anywhere [] "PSCI CPU_SUSPEND with a power state that there is not" => "INVALID_PARAMETERS";
    Host one_vcpu_on_two_cores [] "queues one vCPU on two cores at once, again and again, while both run" => "one core runs it; BUSY";
    Host answers_from_another_core [] "VCPU_RESPOND and VCPU_ENQUEUE of a vCPU that runs elsewhere" => "BUSY; BAD_STATE for an answer between two turns, when it may be moved";
    Host starts_a_vm_twice [] "VM_START twice, VCPU_CREATE and VM_RECLAIM of a VM that runs" => "BAD_STATE";
    Host doorbell_that_is_none [] "ENGINE_DOORBELL of SGIs past the last" => "OUT_OF_RANGE";
    Host doorbell_storm [32] "SGIs in a loop, the doorbell among them, at a core that runs a guest" => "the guest goes on";
    Host spi_storm [] "all 988 SPIs at once, edges and levels, into a guest that takes none" => "the machine goes on";
}

/// A VM that is gone, and the next one, which has its slot.
fn dead_and_next() -> TestResult<(VmHandle, VcpuHandle, TestVm)> {
    let dead = puppet::start(1)?;
    let (vm, vcpu) = (dead.handle, dead.vcpus[0]);
    dead.destroy()?;
    let next = puppet::start(1)?;
    check_eq!(next.handle.slot(), vm.slot(), "slot used again");
    check_eq!(next.vcpus[0].slot(), vcpu.slot(), "vCPU slot used again");
    Ok((vm, vcpu, next))
}

fn handle_of_a_dead_vm(_: &mut Stage<'_>) -> TestResult {
    let (dead, _, next) = dead_and_next()?;
    let own = take_patterned(1, PAGE)?;
    let h = dead.raw();
    let cases: [Case<'_>; 8] = [
        (Call::VmMap, &[h, own, HOLE, 1, RIGHTS], BAD_HANDLE),
        (Call::VmMapList, &[h, own, 1], BAD_HANDLE),
        (Call::VmLend, &[h, own, WINDOW, 1, RIGHTS], BAD_HANDLE),
        (Call::VmUnlend, &[h, WINDOW, 1], BAD_HANDLE),
        (Call::VmStart, &[h], BAD_HANDLE),
        (Call::VmDestroy, &[h], BAD_HANDLE),
        (Call::VmReclaim, &[h, 1], BAD_HANDLE),
        (Call::VcpuCreate, &[h, 1, DATA, 0], BAD_HANDLE),
    ];
    check_refused(&cases)?;
    // SAFETY: every call was refused: the page is still ours.
    unsafe { pages::give(own, 1) };
    next.destroy()
}

fn handle_of_a_dead_vcpu(_: &mut Stage<'_>) -> TestResult {
    let (_, dead, next) = dead_and_next()?;
    let v = dead.raw();
    check_refused(&[
        (Call::VcpuEnqueue, &[v, 0], BAD_HANDLE),
        (Call::VcpuDequeue, &[v], BAD_HANDLE),
        (Call::VcpuRespond, &[v, 0, 0, 0, 0, 0], BAD_HANDLE),
        (Call::VcpuInject, &[v, 40, 0, 0], BAD_HANDLE),
    ])?;
    // The one that has the slot waits for its first step as before.
    let reply = puppet::hvc(next.vcpus[0], [psci::VERSION, 0, 0, 0])?;
    check_eq!(reply.x[0], psci::VERSION_1_1, "the next vCPU's own call");
    next.destroy()
}

/// By chance such a handle's bits may be the right ones of another object, whose state then refuses; where they
/// are nobody's, no call takes them.
fn handles_of_the_other_kind(stage: &mut Stage<'_>) -> TestResult {
    const NONE: &[Status] = &[Status::BadHandle, Status::BadState];
    // Slots of vCPUs that have been used more often than those of VMs.
    puppet::start(2)?.destroy()?;
    let (vm, other) = (puppet::start(1)?, puppet::start(1)?);
    let all = [stage.victim.vm(), &vm, &other];
    let vms = all.map(|vm| vm.handle.raw());
    let vcpus = all.map(|vm| vm.vcpus[0].raw());
    let is_nobodys = |raw: &&u64| !(vms.contains(raw) && vcpus.contains(raw));
    let (mut tried, inject) = (0, Call::VcpuInject);
    for v in vcpus.iter().filter(is_nobodys) {
        check_refused(&[
            (Call::VmDestroy, &[*v], BAD_HANDLE),
            (Call::VmUnlend, &[*v, WINDOW, 1], BAD_HANDLE),
        ])?;
        tried += 1;
    }
    for h in vms.iter().filter(is_nobodys) {
        check_refused(&[(inject, &[*h, 40, 0, 0], BAD_HANDLE)])?;
        tried += 1;
    }
    check!(tried > 0, "every handle is of both kinds");
    other.destroy()?;
    let (h, v) = (vm.handle.raw(), vm.vcpus[0].raw());
    check_refused(&[
        (Call::VmStart, &[v], NONE),
        (Call::VmReclaim, &[v, 1], NONE),
        (Call::VcpuCreate, &[v, 9, DATA, 0], NONE),
        (Call::VcpuDequeue, &[h], NONE),
    ])?;
    vm.destroy()
}

fn other_immediates(_: &mut Stage<'_>) -> TestResult {
    for (name, instruction, function) in [
        ("HVC #1", HVC_1, abi::call::ENGINE_INFO),
        ("HVC #1", HVC_1, smccc::VERSION),
        ("SMC #1", SMC_1, psci::VERSION),
        ("SMC #1", SMC_1, psci::SYSTEM_OFF),
    ] {
        let mut words = code::load(0, function).to_vec();
        words.push(instruction);
        // SAFETY: a call that changes nothing; SYSTEM_OFF, if it were done, would end the run, which fails.
        let answer = unsafe { code::run_here(&words)? };
        check_eq!(
            answer.ok(),
            Some(smccc::NOT_SUPPORTED as u64),
            "{name} {function:#x}"
        );
    }
    Ok(())
}

fn core_off_with_a_queue(_: &mut Stage<'_>) -> TestResult {
    let mut vm = puppet::start(1)?;
    vm.lend(WINDOW)?;
    puppet::give(vm.vcpus[0], [SPIN, WINDOW, 0, 0])?;
    let error = el1::psci::cpu_off();
    check_eq!(error, el1::psci::Error::Denied, "CPU_OFF");
    vm.destroy()
}

fn suspends_to_anywhere(_: &mut Stage<'_>) -> TestResult {
    const CPU_SUSPEND_64: u64 = psci::CPU_SUSPEND_64;
    for state in [0xffff_ffff, 1 << 31, 1 << 17] {
        let mut words = code::load(0, CPU_SUSPEND_64).to_vec();
        words.extend(code::load(1, state));
        words.extend(code::load(2, u64::MAX));
        words.push(0xd400_0003);
        // SAFETY: refused, or a standby that returns at once.
        let answer = unsafe { code::run_here(&words)? };
        check_eq!(
            answer.ok(),
            Some(psci::INVALID_PARAMETERS as u64),
            "CPU_SUSPEND {state:#x}"
        );
    }
    Ok(())
}

/// The vCPU counts in memory and in a register: two of it would see each other's counts.
fn one_vcpu_on_two_cores(_: &mut Stage<'_>) -> TestResult {
    const MOVES: u64 = 300;
    const SLICE_MS: u64 = 1;
    let second = second_core()?;
    let mut vm = puppet::start(1)?;
    vm.put_gadgets()?;
    let (vcpu, counter) = (vm.vcpus[0], vm.lend(WINDOW)?);
    puppet::give(vcpu, [CALL, Gadget::CountAlone.ipa(), WINDOW, 0])?;
    let over = Arc::new(AtomicBool::new(false));
    let moved = Arc::new(AtomicU64::new(0));
    let (told, seen) = (over.clone(), moved.clone());
    team::everywhere(move |index| {
        if index > 1 {
            return Ok(());
        }
        let cores = [team::engine_cpu(0), second];
        let mut turn = index as u64;
        // SAFETY: a lent page of the host's.
        let has_run = || unsafe { (counter as *const u64).read_volatile() } > 0;
        let patience = team::deadline();
        // Relaxed: only an end of the loop; the engine orders what the vCPU does.
        while !told.load(Ordering::Relaxed) {
            turn += 1;
            match call::vcpu_enqueue(vcpu, cores[turn as usize % 2]) {
                // Relaxed: a count.
                Ok(()) => _ = seen.fetch_add(1, Ordering::Relaxed),
                Err(Status::Busy) => {}
                Err(status) => check!(false, "VCPU_ENQUEUE: {}", status.name()),
            }
            let exit = call::cpu_run(timer::ticks(SLICE_MS)).or_fail("CPU_RUN")?;
            match exit.reason {
                Some(ExitReason::HostInterrupt) => el1::irq::open_window(),
                Some(ExitReason::Budget | ExitReason::Idle) => {}
                _ => {
                    told.store(true, Ordering::Relaxed);
                    check!(false, "the vCPU met itself: {exit:x?}");
                }
            }
            // A slice can be too short to get anywhere, where other cores have the machine beneath.
            if turn > MOVES && (has_run() || timer::now() > patience) {
                told.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    })?;
    // Relaxed: all cores are done.
    check!(moved.load(Ordering::Relaxed) > 0, "it was never moved");
    // SAFETY: a lent page of the host's.
    let count = unsafe { (counter as *const u64).read_volatile() };
    check!(count > 0, "it never ran");
    vm.destroy()
}

fn answers_from_another_core(_: &mut Stage<'_>) -> TestResult {
    beside_a_guest([SPIN, WINDOW, 0, 0], |vcpu| {
        let second = second_core()?;
        for round in 0..50 {
            let answered = call::vcpu_respond(vcpu, [7; 4], Outcome::Complete);
            let expected = [Err(Status::Busy), Err(Status::BadState)];
            check!(
                expected.contains(&answered),
                "round {round}: VCPU_RESPOND: {answered:?}"
            );
            let moved = call::vcpu_enqueue(vcpu, team::engine_cpu(0));
            if moved.is_ok() {
                // Between two turns of the other core it is queued, and may be moved back.
                insist(|| call::vcpu_enqueue(vcpu, second)).or_fail("VCPU_ENQUEUE")?;
            } else {
                refused("VCPU_ENQUEUE", moved, Status::Busy)?;
            }
        }
        Ok(())
    })
}

fn starts_a_vm_twice(_: &mut Stage<'_>) -> TestResult {
    let vm = puppet::start(1)?;
    let h = vm.handle.raw();
    check_refused(&[
        (Call::VmStart, &[h], BAD_STATE),
        (Call::VcpuCreate, &[h, 7, DATA, 0], BAD_STATE),
        (Call::VmReclaim, &[h, 1], BAD_STATE),
    ])?;
    vm.destroy()
}

fn doorbell_that_is_none(_: &mut Stage<'_>) -> TestResult {
    check_refused(&[
        (Call::EngineDoorbell, &[16], OUT_OF_RANGE),
        (Call::EngineDoorbell, &[27], OUT_OF_RANGE),
        (Call::EngineDoorbell, &[1 << 32], OUT_OF_RANGE),
    ])
}

fn doorbell_storm(stage: &mut Stage<'_>) -> TestResult {
    const SGIS: u64 = 400;
    beside_a_guest([SPIN, WINDOW, 0, 0], |_| {
        for round in 0..SGIS {
            gic::send_sgi((round % 16) as u32, cpu::all()[1].mpidr);
        }
        Ok(())
    })?;
    stage.victim.check_unharmed()
}

fn spi_storm(stage: &mut Stage<'_>) -> TestResult {
    let vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    for kind in 0..2 {
        for intid in 32..1020 {
            let answer =
                insist(|| call::invoke(Call::VcpuInject, &[vcpu.raw(), intid, kind, intid & 0xff]));
            answer.or_fail("VCPU_INJECT")?;
        }
    }
    puppet::give(vcpu, [CALL_NOTHING, 0, 0, 0])?;
    for _ in 0..4 {
        let exit = run()?;
        check!(
            matches!(
                exit.reason,
                Some(ExitReason::ListFull | ExitReason::Call | ExitReason::LevelEnded)
            ),
            "exit of a guest with all interrupts pending: {exit:x?}"
        );
        if exit.reason == Some(ExitReason::Call) {
            break;
        }
    }
    let cpu = call::engine_info(InfoIndex::ThisCpu).or_fail("ENGINE_INFO")?;
    check_eq!(cpu, team::engine_cpu(0), "this core");
    stage.victim.check_unharmed()?;
    vm.destroy()
}

/// PSCI_VERSION: a step that exits nowhere.
const CALL_NOTHING: u64 = psci::VERSION;

//! The host with answers that a guest did not ask for, or not so: after an exit only what the exit is about can
//! change in the guest.

use super::stage::{Stage, attacks};
use crate::{
    guest::{CALL, CALL_NEXT, DATA, Gadget, HOLE, LOAD, MMIO, STORE, WINDOW},
    outcome::{OrFail, TestResult, check, check_eq, complete, refused},
    puppet::{self, Reply},
    vm::{TestVm, fill, insist, run, take_patterned},
};
use abi::{ExitReason, MapAttrs, Outcome, Status, VcpuHandle, psci, smccc};
use el1::{PAGE, call};

attacks! {
    "answers":
    Host answer_wider_than_the_access [] "answers a guest's one-byte load with 64 bits" => "one byte, zero-extended";
    Host answer_given_twice [] "answers a guest's call a second time before it runs on" => "BAD_STATE, the first answer holds";
    Host answer_to_a_ram_fault [] "answers a fault in the guest's RAM with a value, and with an abort" => "BAD_STATE, the load gets what memory has";
    Host abort_of_a_finished_write [] "turns a device write into an abort once the guest has gone on" => "BAD_STATE";
    Host answer_to_its_own_notice [] "answers exits that only tell: PSCI SYSTEM_OFF, MEM_RELINQUISH" => "BAD_STATE, the guest's own answer holds";
    Host answer_in_more_registers [] "answers a call with x0 to x3 and looks for a change in the others" => "x4 and up are the guest's";
    Host page_without_rights [] "gives a guest a page that it may not write or execute" => "external abort in the guest, nothing written";
    Host page_taken_from_under_a_guest [19] "lends a page, takes it back, lends another at the same address" => "the guest sees the second one only";
    Host page_taken_from_two_guests [14] "takes the pages at one IPA from two VMs that use them, one after the other" => "the first faults while the second reads on, then both fault";
    Host page_swapped_under_a_guest [] "maps a second page where the guest has one" => "ALREADY_MAPPED, the guest's own content";
}

/// The exit that a step leads to.
fn exit_of(vcpu: VcpuHandle, step: [u64; 4], reason: ExitReason) -> TestResult<[u64; 7]> {
    puppet::give(vcpu, step)?;
    let exit = run()?;
    check_eq!(
        (exit.reason, exit.vcpu),
        (Some(reason), vcpu),
        "exit of step {step:x?}"
    );
    Ok(exit.details)
}

fn respond(vcpu: VcpuHandle, x0: u64) -> Result<(), Status> {
    insist(|| call::vcpu_respond(vcpu, [x0, 0, 0, 0], Outcome::Complete))
}

fn answer_wider_than_the_access(_: &mut Stage<'_>) -> TestResult {
    let mut vm = puppet::start(1)?;
    vm.put_gadgets()?;
    let vcpu = vm.vcpus[0];
    for (gadget, bytes, seen) in [
        (Gadget::LoadByte, 1, 0xf8),
        (Gadget::LoadWord, 4, 0xf5f6_f7f8),
    ] {
        let step = [CALL, gadget.ipa(), MMIO + 4, 0];
        let details = exit_of(vcpu, step, ExitReason::MmioRead)?;
        check_eq!(details[..2], [MMIO + 4, bytes], "the access");
        respond(vcpu, 0xf1f2_f3f4_f5f6_f7f8).or_fail("VCPU_RESPOND")?;
        check_eq!(puppet::collect(vcpu)?.x[0], seen, "what the guest gets");
    }
    vm.destroy()
}

fn answer_given_twice(_: &mut Stage<'_>) -> TestResult {
    let vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    exit_of(vcpu, [LOAD, MMIO, 0, 0], ExitReason::MmioRead)?;
    respond(vcpu, 11).or_fail("VCPU_RESPOND")?;
    for value in [22, 33] {
        refused("a second answer", respond(vcpu, value), Status::BadState)?;
    }
    check_eq!(puppet::collect(vcpu)?.x[0], 11, "what the guest gets");
    // The same of a call: the puppet's question for its next step is one.
    puppet::give(vcpu, [psci::VERSION, 0, 0, 0])?;
    refused(
        "a second step",
        respond(vcpu, psci::SYSTEM_OFF),
        Status::BadState,
    )?;
    check_eq!(
        puppet::collect(vcpu)?.x[0],
        psci::VERSION_1_1,
        "PSCI_VERSION"
    );
    vm.destroy()
}

fn answer_to_a_ram_fault(_: &mut Stage<'_>) -> TestResult {
    let mut vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    let details = exit_of(vcpu, [LOAD, HOLE + 0x128, 0, 0], ExitReason::RamFault)?;
    check_eq!(details, [HOLE, 0, 0, 0, 0, 0, 0], "all that the exit tells");
    refused("a value", respond(vcpu, 0x5555), Status::BadState)?;
    let abort = insist(|| call::vcpu_respond(vcpu, [0; 4], Outcome::Abort));
    refused("an abort", abort, Status::BadState)?;
    let page = take_patterned(1, PAGE)?;
    vm.donate(page, HOLE, 1)?;
    let reply = puppet::collect(vcpu)?;
    check_eq!(
        (reply.x[0], reply.esr),
        (crate::vm::PATTERN, 0),
        "what the guest loads"
    );
    vm.destroy()
}

fn abort_of_a_finished_write(_: &mut Stage<'_>) -> TestResult {
    let vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    exit_of(vcpu, [STORE, MMIO, 5, 0], ExitReason::MmioWrite)?;
    let reply = puppet::collect(vcpu)?;
    check_eq!(reply.esr, 0, "the store is done");
    let abort = insist(|| call::vcpu_respond(vcpu, [0; 4], Outcome::Abort));
    refused("an abort of the past", abort, Status::BadState)?;
    check_eq!(
        puppet::hvc(vcpu, [psci::VERSION, 0, 0, 0])?.esr,
        0,
        "the guest's next step"
    );
    vm.destroy()
}

fn answer_to_its_own_notice(_: &mut Stage<'_>) -> TestResult {
    let mut vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    let page = take_patterned(1, PAGE)?;
    vm.donate(page, DATA, 1)?;
    exit_of(
        vcpu,
        [smccc::KVM_MEM_RELINQUISH, DATA, 0, 0],
        ExitReason::PageRelinquished,
    )?;
    refused(
        "an answer to MEM_RELINQUISH",
        respond(vcpu, u64::MAX),
        Status::BadState,
    )?;
    check_eq!(
        puppet::collect(vcpu)?.status(),
        smccc::SUCCESS,
        "MEM_RELINQUISH"
    );
    exit_of(vcpu, [psci::SYSTEM_OFF, 0, 0, 0], ExitReason::SystemOff)?;
    refused(
        "an answer to SYSTEM_OFF",
        respond(vcpu, 0),
        Status::BadState,
    )?;
    let queued = call::vcpu_enqueue(vcpu, 0);
    refused("VCPU_ENQUEUE of a VM that is off", queued, Status::BadState)?;
    vm.destroy()
}

/// The puppet keeps its own registers in x20 to x22: a fault that it took would be reported in them.
fn answer_in_more_registers(stage: &mut Stage<'_>) -> TestResult {
    let victim = stage.victim.vm();
    let vcpu = victim.vcpus[0];
    // All of the victim's armed registers, x10 to x28 among them, are in its digest; x4 to x6 it shows.
    let all = [psci::VERSION, u64::MAX, u64::MAX, u64::MAX];
    for _ in 0..3 {
        let reply: Reply = puppet::step(vcpu, all)?;
        check_eq!(reply.x[0], psci::VERSION_1_1, "PSCI_VERSION");
        check_eq!(
            (reply.esr, reply.far),
            (0, 0),
            "x5 and x6 of {CALL_NEXT:#x}"
        );
    }
    // No word that the digest could take for nothing.
    stage.victim.check_unharmed_after(0x5ca1_ab1e_0b5e_55ed)
}

fn page_without_rights(_: &mut Stage<'_>) -> TestResult {
    let mut vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    let page = take_patterned(1, PAGE)?;
    vm.own(page, 1);
    let read_only = insist(|| call::vm_map(vm.handle, page, DATA, 1, MapAttrs::READ));
    complete("VM_MAP", read_only, 1)?;
    let stored = puppet::step(vcpu, [STORE, DATA, 1, 0])?;
    check!(
        stored.is_external_abort(),
        "store to a read-only page: {stored:x?}"
    );
    check_eq!(
        puppet::load_value(vcpu, DATA)?,
        crate::vm::PATTERN,
        "what is there"
    );
    let called = puppet::step(vcpu, [CALL, DATA, 0, 0])?;
    check_eq!(
        called.esr >> 26,
        0x21,
        "fetch from a page without that right"
    );
    check_eq!(called.exits, [], "exits");
    vm.destroy()
}

fn page_taken_from_under_a_guest(_: &mut Stage<'_>) -> TestResult {
    let mut vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    for round in 1..4 {
        let page = vm.lend(WINDOW)?;
        fill(page, 1, round);
        check_eq!(puppet::load_value(vcpu, WINDOW)?, round, "the lent page");
        complete(
            "VM_UNLEND",
            insist(|| call::vm_unlend(vm.handle, WINDOW, 1)),
            1,
        )?;
        fill(page, 1, 0x100 + round);
        let details = exit_of(vcpu, [LOAD, WINDOW, 0, 0], ExitReason::RamFault)?;
        check_eq!(details[0], WINDOW, "where");
        let second = vm.lend(WINDOW)?;
        fill(second, 1, 0x200 + round);
        check_eq!(
            puppet::collect(vcpu)?.x[0],
            0x200 + round,
            "the second page"
        );
        complete(
            "VM_UNLEND",
            insist(|| call::vm_unlend(vm.handle, WINDOW, 1)),
            1,
        )?;
    }
    vm.destroy()
}

fn page_taken_from_two_guests(_: &mut Stage<'_>) -> TestResult {
    let mut vms = [puppet::start(1)?, puppet::start(1)?];
    for (index, vm) in vms.iter_mut().enumerate() {
        let page = vm.lend(WINDOW)?;
        fill(page, 1, 0x300 + index as u64);
    }
    let value = |vm: &TestVm| puppet::load_value(vm.vcpus[0], WINDOW);
    let [first, second] = &vms;
    for vm in [first, second, first] {
        value(vm)?;
    }
    for (vm, other) in [(first, Some(second)), (second, None)] {
        let taken = insist(|| call::vm_unlend(vm.handle, WINDOW, 1));
        complete("VM_UNLEND", taken, 1)?;
        exit_of(vm.vcpus[0], [LOAD, WINDOW, 0, 0], ExitReason::RamFault)?;
        insist(|| call::vcpu_dequeue(vm.vcpus[0])).or_fail("VCPU_DEQUEUE")?;
        if let Some(other) = other {
            check_eq!(value(other)?, 0x301, "the other VM's page");
        }
    }
    let [first, second] = vms;
    first.destroy()?;
    second.destroy()
}

fn page_swapped_under_a_guest(_: &mut Stage<'_>) -> TestResult {
    let mut vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    let (page, other) = (take_patterned(1, PAGE)?, take_patterned(1, PAGE)?);
    vm.donate(page, DATA, 1)?;
    puppet::store_value(vcpu, DATA, 77)?;
    let mapped = insist(|| call::vm_map(vm.handle, other, DATA, 1, crate::vm::ALL));
    refused("VM_MAP over a page", mapped, Status::AlreadyMapped)?;
    check_eq!(puppet::load_value(vcpu, DATA)?, 77, "the guest's content");
    check_eq!(
        call::page_info(other).map(|info| info.0),
        Ok(abi::PageClass::Host.raw()),
        "the other page"
    );
    // SAFETY: refused: still ours.
    unsafe { el1::pages::give(other, 1) };
    vm.destroy()
}

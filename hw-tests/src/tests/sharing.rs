//! A guest's own calls about its memory: what it shares the host can use, what it takes back the
//! host can't, what it gives back is zero.
//!
//! Scenario 6: both sides' states. Scenario 12: valid to invalid without TLBI. Scenario 21: counts of
//! a page that is lent several times.

use crate::{
    guest::{DATA, HOLE, LOAD, MAILBOX, MMIO},
    outcome::{OrFail, TestResult, check, check_eq, complete, refused},
    puppet,
    random::Random,
    runner::register,
    vm::{ALL, TestVm, find_other, insist, run, take_patterned},
};
use abi::{ExitReason, PageClass, Status, VcpuHandle, limit, smccc};
use el1::{PAGE, call, probe};

register!(
    "sharing": shared_page_is_the_hosts_too,
    relinquished_page_comes_home_zero,
    page_of_a_block_is_relinquished,
    guest_calls_check_their_page,
    sharing_asks_for_the_page,
    lent_page_stays_the_hosts,
    page_lent_twice_is_counted,
);

/// What the guest writes.
const SECRET: u64 = 0x5ec2_e7aa_bbcc_ddee;

/// MEM_SHARE or MEM_UNSHARE of `DATA`, which must succeed without an exit.
fn page_call(vm: &TestVm, function: u64) -> TestResult {
    let reply = puppet::hvc(vm.vcpus[0], [function, DATA, 0, 0])?;
    check_eq!(reply.x, [0; 4], "answer of {function:#x}");
    check!(reply.exits.is_empty(), "exits: {:x?}", reply.exits);
    Ok(())
}

/// MEM_RELINQUISH of `ipa`, which must succeed, with its exit about `pa`.
fn relinquish(vm: &TestVm, ipa: u64, pa: u64) -> TestResult {
    let reply = puppet::hvc(vm.vcpus[0], [smccc::KVM_MEM_RELINQUISH, ipa, 0, 0])?;
    check_eq!(reply.x, [0; 4], "answer of MEM_RELINQUISH");
    check!(
        reply.exits.len() == 1 && reply.exits[0].reason == Some(ExitReason::PageRelinquished),
        "exits of MEM_RELINQUISH: {:x?}",
        reply.exits
    );
    check_eq!(reply.exits[0].details[..2], [ipa, pa], "its details");
    Ok(())
}

fn class_of(pa: u64) -> TestResult<u64> {
    Ok(call::page_info(pa).or_fail("PAGE_INFO")?.0)
}

/// Requires that the host's access faults.
fn check_denied(pa: u64) -> TestResult {
    let loaded = probe::load(pa);
    check!(loaded.is_err(), "the host reads {loaded:x?}");
    // SAFETY: a store that succeeds hits the test's own VM; the test fails.
    let stored = unsafe { probe::store(pa + 8, 1) };
    check!(stored.is_err(), "the host writes");
    Ok(())
}

fn shared_page_is_the_hosts_too(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let pa = take_patterned(1, PAGE)?;
    vm.donate(pa, DATA, 1)?;
    puppet::store_value(vm.vcpus[0], DATA, SECRET)?;
    for round in 0..4 {
        check_denied(pa)?;
        page_call(&vm, smccc::KVM_MEM_SHARE)?;
        check_eq!(
            class_of(pa)?,
            PageClass::SharedByVm.raw(),
            "class while shared"
        );
        check_eq!(probe::load(pa), Ok(SECRET), "what the host reads");
        // SAFETY: the guest shares the page and its program does not rely on it.
        let stored = unsafe { probe::store(pa + 8, round) };
        check!(stored.is_ok(), "the host's store faults");
        let seen = puppet::load_value(vm.vcpus[0], DATA + 8)?;
        check_eq!(seen, round, "what the guest reads");
        let donated = call::vm_map(vm.handle, pa, HOLE, 1, ALL);
        refused("VM_MAP of a shared page", donated, Status::NotOwner)?;
        page_call(&vm, smccc::KVM_MEM_UNSHARE)?;
        check_eq!(class_of(pa)?, PageClass::NotYours.raw(), "class after");
    }
    check_denied(pa)?;
    check_eq!(
        puppet::load_value(vm.vcpus[0], DATA)?,
        SECRET,
        "guest's data"
    );
    vm.destroy()
}

/// The next exit must be a RAM fault at `ipa`, given a step that touches it.
fn expect_fault(vcpu: VcpuHandle, ipa: u64) -> TestResult {
    puppet::give(vcpu, [LOAD, ipa, 0, 0])?;
    let exit = run()?;
    check_eq!(
        exit.reason,
        Some(ExitReason::RamFault),
        "exit of a load without a page"
    );
    check_eq!(exit.details[0], ipa & !(PAGE - 1), "its IPA");
    Ok(())
}

fn relinquished_page_comes_home_zero(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    let pa = take_patterned(1, PAGE)?;
    vm.donate(pa, DATA, 1)?;
    puppet::store_value(vcpu, DATA + 0x20, SECRET)?;
    relinquish(&vm, DATA, pa)?;
    check_eq!(class_of(pa)?, PageClass::Host.raw(), "class");
    check_eq!(find_other(pa, 1, 0), None, "content");
    vm.give_back(pa);
    expect_fault(vcpu, DATA + 0x20)?;
    let fresh = take_patterned(1, PAGE)?;
    vm.donate(fresh, DATA, 1)?;
    let reply = puppet::collect(vcpu)?;
    check_eq!(reply.esr, 0, "load once the page is there");
    check!(reply.x[0] != SECRET, "the guest reads its old data");
    vm.destroy()
}

fn page_of_a_block_is_relinquished(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    let count = limit::RUN_PAGES as u64;
    let pa = take_patterned(count, count * PAGE)?;
    vm.donate(pa, DATA, count)?;
    let (middle, neighbour) = (100 * PAGE, 101 * PAGE);
    for offset in [middle, neighbour] {
        puppet::store_value(vcpu, DATA + offset, SECRET)?;
    }
    relinquish(&vm, DATA + middle, pa + middle)?;
    check_eq!(find_other(pa + middle, 1, 0), None, "content");
    check_denied(pa + neighbour)?;
    let seen = puppet::load_value(vcpu, DATA + neighbour)?;
    check_eq!(seen, SECRET, "the page beside it");
    vm.destroy()
}

fn guest_calls_check_their_page(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let pa = take_patterned(1, PAGE)?;
    vm.donate(pa, DATA, 1)?;
    vm.lend(MAILBOX)?;
    let functions = [
        smccc::KVM_MEM_SHARE,
        smccc::KVM_MEM_UNSHARE,
        smccc::KVM_MEM_RELINQUISH,
    ];
    for function in functions {
        // Unaligned, no page, no RAM, past every table, lent by the host.
        for ipa in [
            DATA + 8,
            HOLE,
            MMIO,
            1 << 52,
            u64::MAX & !(PAGE - 1),
            MAILBOX,
        ] {
            if (function, ipa) == (smccc::KVM_MEM_SHARE, HOLE) {
                // The host is asked for the page: `sharing_asks_for_the_page`.
                continue;
            }
            let reply = puppet::hvc(vm.vcpus[0], [function, ipa, 0, 0])?;
            // What is not there is given up already.
            let expected = match (function, ipa) {
                (smccc::KVM_MEM_RELINQUISH, HOLE) => smccc::SUCCESS,
                _ => smccc::INVALID_PARAMETER,
            };
            check_eq!(reply.status(), expected, "{function:#x} of {ipa:#x}");
            check_eq!(reply.exits, [], "exits of {function:#x} of {ipa:#x}");
        }
        let reply = puppet::hvc(vm.vcpus[0], [function, DATA, 1, 0])?;
        check_eq!(
            reply.status(),
            smccc::INVALID_PARAMETER,
            "{function:#x} with x2"
        );
    }
    let unshared = puppet::hvc(vm.vcpus[0], [smccc::KVM_MEM_UNSHARE, DATA, 0, 0])?;
    check_eq!(
        unshared.status(),
        smccc::INVALID_PARAMETER,
        "unshare of an own page"
    );
    check_denied(pa)?;
    vm.destroy()
}

/// A page that the host has not given yet is asked for, as by an access, and shared then.
fn sharing_asks_for_the_page(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    puppet::give(vcpu, [smccc::KVM_MEM_SHARE, HOLE, 0, 0])?;
    let exit = run()?;
    check_eq!(exit.reason, Some(ExitReason::RamFault), "exit of the call");
    check_eq!(
        (exit.vcpu, exit.details[0]),
        (vcpu, HOLE),
        "whose and where"
    );
    let pa = take_patterned(1, PAGE)?;
    vm.donate(pa, HOLE, 1)?;
    let reply = puppet::collect(vcpu)?;
    check_eq!(reply.x, [0; 4], "answer of the call");
    check_eq!(
        class_of(pa)?,
        PageClass::SharedByVm.raw(),
        "class of the page"
    );
    vm.destroy()
}

fn lent_page_stays_the_hosts(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    let pa = vm.lend(MAILBOX)?;
    check_eq!(class_of(pa)?, PageClass::Lent.raw(), "class while lent");
    puppet::store_value(vcpu, MAILBOX, SECRET)?;
    check_eq!(probe::load(pa), Ok(SECRET), "what the host reads");
    for (what, result) in [
        ("VM_MAP", call::vm_map(vm.handle, pa, HOLE, 1, ALL)),
        ("ENGINE_DONATE", call::engine_donate(pa, 1)),
    ] {
        refused(what, result, Status::NotOwner)?;
    }
    complete(
        "VM_UNLEND",
        insist(|| call::vm_unlend(vm.handle, MAILBOX, 1)),
        1,
    )?;
    check_eq!(class_of(pa)?, PageClass::Host.raw(), "class after");
    check_eq!(probe::load(pa), Ok(SECRET), "content after");
    expect_fault(vcpu, MAILBOX)?;
    vm.destroy()
}

/// Takes a run back. A batch that meets a page twice stops there: the first claim on it is its own.
fn unlend_all(vm: &TestVm, ipa: u64, count: u64) -> TestResult {
    let mut done = 0;
    while done < count {
        let from = ipa + done * PAGE;
        let batch = insist(|| call::vm_unlend(vm.handle, from, count - done));
        let batch = batch.or_fail("VM_UNLEND")?;
        check!(
            matches!(batch.reason, Status::Success | Status::Busy),
            "VM_UNLEND stops: {batch:?}"
        );
        done += batch.done;
    }
    Ok(())
}

fn page_lent_twice_is_counted(_: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let pa = vm.lend(MAILBOX)?;
    for ipa in [MAILBOX + PAGE, MAILBOX + 2 * PAGE] {
        complete(
            "VM_LEND",
            insist(|| call::vm_lend(vm.handle, pa, ipa, 1, ALL)),
            1,
        )?;
    }
    check_eq!(
        call::page_info(pa),
        Ok((PageClass::Lent.raw(), 3)),
        "lent three times"
    );
    unlend_all(&vm, MAILBOX, 2)?;
    check_eq!(
        call::page_info(pa),
        Ok((PageClass::Lent.raw(), 1)),
        "lent once"
    );
    let other = TestVm::create(1)?;
    let twice = call::vm_lend(other.handle, pa, MAILBOX, 1, ALL);
    refused("VM_LEND to a second VM", twice, Status::NotOwner)?;
    let partly = insist(|| call::vm_unlend(vm.handle, MAILBOX + PAGE, 3));
    refused("VM_UNLEND past a hole", partly, Status::NotMapped)?;
    complete(
        "VM_UNLEND",
        insist(|| call::vm_unlend(vm.handle, MAILBOX + 2 * PAGE, 1)),
        1,
    )?;
    check_eq!(
        call::page_info(pa),
        Ok((PageClass::Host.raw(), 0)),
        "not lent"
    );
    other.destroy()?;
    vm.destroy()
}

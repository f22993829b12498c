//! Every call with arguments that it must refuse: the documented status, and nothing changes.
//!
//! Scenario 7: a device donated as memory. Scenario 8: unaligned and overflowing ranges. Scenario
//! 15: two arguments name the same page. Scenario 18: a mapping added to a dying VM. Scenario 28: a
//! failed call leaks.

use crate::{
    census,
    guest::{CODE, DATA, GICR, HOLE, LOAD, MAILBOX, MMIO, Program, RAM, RAM_SIZE},
    outcome::{OrFail, TestResult, check, check_eq},
    puppet,
    random::Random,
    runner::register,
    vm::{ALL, TestVm, insist, run, take_patterned},
};
use abi::{
    Call, ExitReason, InfoIndex, MapAttrs, Outcome, PageClass, Status, VcpuHandle, VmHandle, limit,
};
use alloc::vec::Vec;
use el1::{PAGE, call, machine, pages};

register!(
    "arguments": engine_calls,
    vm_create,
    vm_map,
    vm_map_list,
    vm_map_list_aliases,
    vm_lend_and_unlend,
    life_of_a_vm,
    vcpu_calls,
    vcpu_answers,
    page_calls,
);

/// A call, its arguments, and the statuses that it may answer.
type Case<'a> = (Call, &'a [u64], &'a [Status]);

/// All rights.
const RIGHTS: u64 = ALL.bits();
/// The last page of the address space.
const LAST: u64 = u64::MAX & !(PAGE - 1);
const UNALIGNED: &[Status] = &[Status::Unaligned];
const OUT_OF_RANGE: &[Status] = &[Status::OutOfRange];
const NOT_RAM: &[Status] = &[Status::NotRam];
const NOT_OWNER: &[Status] = &[Status::NotOwner];
const BAD_STATE: &[Status] = &[Status::BadState];
const BAD_HANDLE: &[Status] = &[Status::BadHandle];
/// An address that wraps is out of range; one past all memory is none.
const NOWHERE: &[Status] = &[Status::OutOfRange, Status::NotRam];
/// The engine's memory was never the host's, or is no more.
const ENGINES: &[Status] = &[Status::NotRam, Status::NotOwner];

/// Makes each call; the census must not move.
fn check_refused(cases: &[Case<'_>]) -> TestResult {
    let before = census::take()?;
    for (index, (known, arguments, allowed)) in cases.iter().enumerate() {
        let answer = insist(|| call::invoke(*known, arguments));
        let name = known.name();
        match answer {
            Err(status) => check!(
                allowed.contains(&status),
                "case {index}, {name} {arguments:x?}: {}",
                status.name()
            ),
            Ok(results) => check!(
                false,
                "case {index}, {name} {arguments:x?} done: {:x?}",
                &results[..2]
            ),
        }
        census::check_same(&before)?;
    }
    Ok(())
}

/// Handles that name nothing: another generation, no such slot, none at all.
fn forged(raw: u64) -> [u64; 5] {
    [raw + (1 << 16), raw ^ (1 << 63), raw | 0xffff, 0, u64::MAX]
}

/// First page of the memory that the device tree keeps from the host.
fn engine_page() -> TestResult<u64> {
    Ok(machine().reserved.first().or_fail("reserved memory")?.start)
}

fn engine_calls(_: &mut Random) -> TestResult {
    let engine = engine_page()?;
    let uart = machine().uart;
    let own = take_patterned(1, PAGE)?;
    let most = limit::MAP_PAGES as u64;
    let cpus = call::engine_info(InfoIndex::Cpus).or_fail("ENGINE_INFO")?;
    let infos = InfoIndex::ALL.len() as u64;
    check_refused(&[
        (Call::EngineInfo, &[infos], OUT_OF_RANGE),
        (Call::EngineInfo, &[u64::MAX], OUT_OF_RANGE),
        (Call::EngineInfo, &[1 << 32], OUT_OF_RANGE),
        (Call::EngineDoorbell, &[16], OUT_OF_RANGE),
        (Call::EngineDoorbell, &[u64::MAX], OUT_OF_RANGE),
        (Call::EngineDoorbell, &[1 << 8], OUT_OF_RANGE),
        (Call::EngineDonate, &[own + 1, 1], UNALIGNED),
        (Call::EngineDonate, &[own, 0], OUT_OF_RANGE),
        (Call::EngineDonate, &[own, most + 1], OUT_OF_RANGE),
        (Call::EngineDonate, &[own, u64::MAX], OUT_OF_RANGE),
        (Call::EngineDonate, &[LAST, 2], NOWHERE),
        (Call::EngineDonate, &[1 << 51, 1], NOT_RAM),
        (Call::EngineDonate, &[uart, 1], NOT_RAM),
        (Call::EngineDonate, &[0, 1], NOT_RAM),
        (Call::EngineDonate, &[engine, 1], ENGINES),
        (Call::EngineReclaim, &[0], OUT_OF_RANGE),
        (Call::EngineReclaim, &[17], OUT_OF_RANGE),
        (Call::EngineReclaim, &[u64::MAX], OUT_OF_RANGE),
        (Call::TraceRead, &[cpus, 0], OUT_OF_RANGE),
        (Call::TraceRead, &[u64::MAX, 0], OUT_OF_RANGE),
        (Call::StatsRead, &[cpus, 0], OUT_OF_RANGE),
        (Call::StatsRead, &[0, u64::MAX], OUT_OF_RANGE),
        (Call::StatsRead, &[u64::MAX, 0], OUT_OF_RANGE),
    ])?;
    // SAFETY: every call was refused: the page is still ours.
    unsafe { pages::give(own, 1) };
    Ok(())
}

fn vm_create(_: &mut Random) -> TestResult {
    let bits = call::engine_info(InfoIndex::IpaBits).or_fail("ENGINE_INFO")?;
    let shape = |vcpus: u64, bits: u64| vcpus | bits << 16;
    let good = shape(1, bits);
    let end = 1 << bits;
    let create = Call::VmCreate;
    check_refused(&[
        (create, &[shape(0, bits), GICR, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[shape(65, bits), GICR, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[shape(0xffff, bits), GICR, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[shape(1, 0), GICR, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[shape(1, 31), GICR, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[shape(1, bits + 1), GICR, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[shape(1, 0xffff), GICR, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[good | 1 << 32, GICR, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[good | 1 << 63, GICR, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[good, GICR + PAGE, RAM, PAGE, 0, 0], UNALIGNED),
        (create, &[good, GICR, RAM + 8, PAGE, 0, 0], UNALIGNED),
        (create, &[good, GICR, RAM, PAGE + 8, 0, 0], UNALIGNED),
        (create, &[good, GICR, RAM, PAGE, RAM + 1, PAGE], UNALIGNED),
        (create, &[good, GICR, RAM, 0, 0, 0], OUT_OF_RANGE),
        (create, &[good, GICR, end, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[good, GICR, end - PAGE, 2 * PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[good, GICR, LAST, 2 * PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[good, GICR, RAM, LAST, 0, 0], OUT_OF_RANGE),
        (create, &[good, GICR, RAM, 2 * PAGE, RAM + PAGE, PAGE], OUT_OF_RANGE),
        (create, &[good, GICR, RAM, PAGE, RAM, PAGE], OUT_OF_RANGE),
        (create, &[good, RAM, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[good, end, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[good, u64::MAX & !0xffff, RAM, PAGE, 0, 0], OUT_OF_RANGE),
    ])
}

fn vm_map(_: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let theirs = take_patterned(1, PAGE)?;
    vm.donate(theirs, DATA, 1)?;
    let own = take_patterned(1, PAGE)?;
    let (h, map) = (vm.handle.raw(), Call::VmMap);
    let (engine, uart) = (engine_page()?, machine().uart);
    let (gic, most) = (machine().distributor.start, limit::MAP_PAGES as u64);
    let end = RAM + RAM_SIZE;
    check_refused(&forged(h).map(|raw| [raw, own, HOLE, 1, RIGHTS]).each_ref().map(
        |arguments| -> Case<'_> { (map, arguments.as_slice(), BAD_HANDLE) },
    ))?;
    check_refused(&[
        (map, &[h, own + 8, HOLE, 1, RIGHTS], UNALIGNED),
        (map, &[h, own + PAGE / 2, HOLE, 1, RIGHTS], UNALIGNED),
        (map, &[h, own, HOLE + 1, 1, RIGHTS], UNALIGNED),
        (map, &[h, own, HOLE, 0, RIGHTS], OUT_OF_RANGE),
        (map, &[h, own, HOLE, most + 1, RIGHTS], OUT_OF_RANGE),
        (map, &[h, own, HOLE, u64::MAX, RIGHTS], OUT_OF_RANGE),
        (map, &[h, own, HOLE, 1 << 52, RIGHTS], OUT_OF_RANGE),
        (map, &[h, LAST, HOLE, 2, RIGHTS], NOWHERE),
        (map, &[h, own, LAST, 2, RIGHTS], OUT_OF_RANGE),
        (map, &[h, own, MMIO, 1, RIGHTS], OUT_OF_RANGE),
        (map, &[h, own, 0, 1, RIGHTS], OUT_OF_RANGE),
        (map, &[h, own, RAM - PAGE, 1, RIGHTS], OUT_OF_RANGE),
        (map, &[h, own, RAM - PAGE, 2, RIGHTS], OUT_OF_RANGE),
        (map, &[h, own, end, 1, RIGHTS], OUT_OF_RANGE),
        (map, &[h, own, end - PAGE, 2, RIGHTS], OUT_OF_RANGE),
        (map, &[h, own, HOLE, 1, 0], OUT_OF_RANGE),
        (map, &[h, own, HOLE, 1, MapAttrs::WRITE.bits()], OUT_OF_RANGE),
        (map, &[h, own, HOLE, 1, RIGHTS | 8], OUT_OF_RANGE),
        (map, &[h, own, HOLE, 1, u64::MAX], OUT_OF_RANGE),
        (map, &[h, uart, HOLE, 1, RIGHTS], NOT_RAM),
        (map, &[h, gic, HOLE, 1, RIGHTS], NOT_RAM),
        (map, &[h, 0, HOLE, 1, RIGHTS], NOT_RAM),
        (map, &[h, 1 << 51, HOLE, 1, RIGHTS], NOT_RAM),
        (map, &[h, engine, HOLE, 1, RIGHTS], ENGINES),
        (map, &[h, theirs, HOLE, 1, RIGHTS], NOT_OWNER),
        (map, &[h, theirs, DATA, 1, RIGHTS], NOT_OWNER),
        (map, &[h, own, DATA, 1, RIGHTS], &[Status::AlreadyMapped]),
    ])?;
    let class = call::page_info(own).or_fail("PAGE_INFO")?;
    check_eq!(class, (PageClass::Host.raw(), 0), "class of the page offered");
    vm.own(own, 1);
    insist(|| call::vm_map(vm.handle, own, HOLE, 1, ALL)).or_fail("VM_MAP at last")?;
    vm.destroy()
}

/// Writes a list of (physical address, IPA and rights) to a page of the test's.
fn write_list(list: u64, entries: &[(u64, u64)]) {
    for (index, (pa, target)) in entries.iter().enumerate() {
        let entry = (list + 16 * index as u64) as *mut u64;
        // SAFETY: the page is the test's and holds 256 entries.
        unsafe {
            entry.write_volatile(*pa);
            entry.add(1).write_volatile(*target);
        }
    }
}

fn vm_map_list(_: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let theirs = take_patterned(1, PAGE)?;
    vm.donate(theirs, DATA, 1)?;
    let (own, list) = (take_patterned(1, PAGE)?, take_patterned(1, PAGE)?);
    let (h, map) = (vm.handle.raw(), Call::VmMapList);
    let (engine, uart) = (engine_page()?, machine().uart);
    let most = limit::MAP_LIST_PAGES as u64;
    write_list(list, &[(own, HOLE | RIGHTS)]);
    check_refused(&[
        (map, &[forged(h)[0], list, 1], BAD_HANDLE),
        (map, &[h, list + 16, 1], UNALIGNED),
        (map, &[h, list, 0], OUT_OF_RANGE),
        (map, &[h, list, most + 1], OUT_OF_RANGE),
        (map, &[h, list, u64::MAX], OUT_OF_RANGE),
        (map, &[h, uart, 1], &[Status::NotRam, Status::NotOwner]),
        (map, &[h, 1 << 51, 1], &[Status::NotRam, Status::OutOfRange]),
        (map, &[h, engine, 1], ENGINES),
        (map, &[h, theirs, 1], NOT_OWNER),
    ])?;
    let entries: [(u64, u64, &[Status]); 11] = [
        (own + 8, HOLE | RIGHTS, UNALIGNED),
        (own, HOLE, OUT_OF_RANGE),
        (own, HOLE | 8, OUT_OF_RANGE),
        (own, HOLE | 0xfff, OUT_OF_RANGE),
        (own, MMIO | RIGHTS, OUT_OF_RANGE),
        (own, LAST | RIGHTS, OUT_OF_RANGE),
        (uart, HOLE | RIGHTS, NOT_RAM),
        (LAST, HOLE | RIGHTS, NOWHERE),
        (engine, HOLE | RIGHTS, ENGINES),
        (theirs, HOLE | RIGHTS, NOT_OWNER),
        (own, DATA | RIGHTS, &[Status::AlreadyMapped]),
    ];
    for (pa, target, allowed) in entries {
        write_list(list, &[(pa, target)]);
        check_refused(&[(map, &[h, list, 1], allowed)])?;
    }
    for page in [own, list] {
        let class = call::page_info(page).or_fail("PAGE_INFO")?;
        check_eq!(class, (PageClass::Host.raw(), 0), "class of a page that was offered");
        // SAFETY: every call was refused: the page is still ours.
        unsafe { pages::give(page, 1) };
    }
    vm.destroy()
}

/// Lists that name a page or an IPA twice, or themselves: the prefix goes, the rest stays.
fn vm_map_list_aliases(_: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let list = take_patterned(1, PAGE)?;
    let [a, b, c] = [
        take_patterned(1, PAGE)?,
        take_patterned(1, PAGE)?,
        take_patterned(1, PAGE)?,
    ];
    let at = |index: u64| (HOLE + index * PAGE) | RIGHTS;
    let mut go = |entries: &[(u64, u64)], done: u64, reasons: &[Status]| {
        write_list(list, entries);
        let batch = call::vm_map_list(vm.handle, list, entries.len() as u64);
        let batch = batch.or_fail("VM_MAP_LIST")?;
        for (pa, _) in &entries[..done as usize] {
            vm.own(*pa, 1);
        }
        check!(
            batch.done == done && reasons.contains(&batch.reason),
            "{entries:x?}: {batch:?}, not {done} pages"
        );
        TestResult::Ok(())
    };
    go(
        &[(a, at(0)), (a, at(1))],
        1,
        &[Status::NotOwner, Status::Busy],
    )?;
    go(
        &[(b, at(2)), (c, at(2))],
        1,
        &[Status::AlreadyMapped, Status::Busy],
    )?;
    // The list was copied before the first page moved, so that it may go itself.
    go(&[(list, at(3)), (c, at(4))], 2, &[Status::Success])?;
    vm.destroy()
}

fn vm_lend_and_unlend(_: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let (theirs, own) = (take_patterned(1, PAGE)?, take_patterned(1, PAGE)?);
    vm.donate(theirs, DATA, 1)?;
    vm.lend(MAILBOX)?;
    let (engine, uart) = (engine_page()?, machine().uart);
    let (h, lend, unlend) = (vm.handle.raw(), Call::VmLend, Call::VmUnlend);
    let most = limit::MAP_PAGES as u64;
    check_refused(&[
        (lend, &[forged(h)[0], own, HOLE, 1, RIGHTS], BAD_HANDLE),
        (lend, &[h, own + 8, HOLE, 1, RIGHTS], UNALIGNED),
        (lend, &[h, own, HOLE + 8, 1, RIGHTS], UNALIGNED),
        (lend, &[h, own, HOLE, 0, RIGHTS], OUT_OF_RANGE),
        (lend, &[h, own, HOLE, most + 1, RIGHTS], OUT_OF_RANGE),
        (lend, &[h, LAST, HOLE, 2, RIGHTS], NOWHERE),
        (lend, &[h, own, LAST, 1, RIGHTS], OUT_OF_RANGE),
        (lend, &[h, own, HOLE, 1, 0], OUT_OF_RANGE),
        (lend, &[h, own, HOLE, 1, 8 | RIGHTS], OUT_OF_RANGE),
        (lend, &[h, uart, HOLE, 1, RIGHTS], NOT_RAM),
        (lend, &[h, engine, HOLE, 1, RIGHTS], ENGINES),
        (lend, &[h, theirs, HOLE, 1, RIGHTS], NOT_OWNER),
        (lend, &[h, own, DATA, 1, RIGHTS], &[Status::AlreadyMapped]),
        (lend, &[h, own, MAILBOX, 1, RIGHTS], &[Status::AlreadyMapped]),
        (unlend, &[forged(h)[1], MAILBOX, 1], BAD_HANDLE),
        (unlend, &[h, MAILBOX + 8, 1], UNALIGNED),
        (unlend, &[h, MAILBOX, 0], OUT_OF_RANGE),
        (unlend, &[h, MAILBOX, most + 1], OUT_OF_RANGE),
        (unlend, &[h, LAST, 2], OUT_OF_RANGE),
        (unlend, &[h, HOLE, 1], &[Status::NotMapped]),
        (unlend, &[h, DATA, 1], &[Status::NotShared]),
    ])?;
    // SAFETY: every call was refused: the page is still ours.
    unsafe { pages::give(own, 1) };
    vm.destroy()
}

/// Calls in a state that does not allow them, up to the last: a VM that is dying.
fn life_of_a_vm(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let own = take_patterned(1, PAGE)?;
    let page = take_patterned(1, PAGE)?;
    vm.donate(page, DATA, 1)?;
    let (h, most) = (vm.handle.raw(), limit::RECLAIM_PAGES as u64);
    for stale in forged(h) {
        check_refused(&[
            (Call::VmStart, &[stale], BAD_HANDLE),
            (Call::VmDestroy, &[stale], BAD_HANDLE),
            (Call::VmReclaim, &[stale, 1], BAD_HANDLE),
        ])?;
    }
    check_refused(&[
        (Call::VmStart, &[h], BAD_STATE),
        (Call::VcpuCreate, &[h, 1, CODE, 0], BAD_STATE),
        (Call::VmReclaim, &[h, 1], BAD_STATE),
        (Call::VmReclaim, &[h, 0], OUT_OF_RANGE),
        (Call::VmReclaim, &[h, most + 1], OUT_OF_RANGE),
    ])?;
    call::vm_destroy(vm.handle).or_fail("VM_DESTROY")?;
    let vcpu = vm.vcpus[0].raw();
    check_refused(&[
        (Call::VmMap, &[h, own, HOLE, 1, RIGHTS], BAD_STATE),
        (Call::VmMapList, &[h, own, 1], BAD_STATE),
        (Call::VmLend, &[h, own, HOLE, 1, RIGHTS], BAD_STATE),
        (Call::VmUnlend, &[h, HOLE, 1], BAD_STATE),
        (Call::VmStart, &[h], BAD_STATE),
        (Call::VcpuCreate, &[h, 1, CODE, 0], BAD_STATE),
        (Call::VcpuEnqueue, &[vcpu, 0], BAD_STATE),
        (Call::VcpuRespond, &[vcpu, 0, 0, 0, 0, 0], BAD_STATE),
        (Call::VcpuInject, &[vcpu, 40, 0, 0], BAD_STATE),
    ])?;
    // SAFETY: every call was refused: the page is still ours.
    unsafe { pages::give(own, 1) };
    vm.destroy()
}

fn vcpu_calls(_: &mut Random) -> TestResult {
    let cpus = call::engine_info(InfoIndex::Cpus).or_fail("ENGINE_INFO")?;
    let mut vm = TestVm::create(2)?;
    vm.put_code(Program::Puppet)?;
    vm.add_vcpu(3, CODE)?;
    let (h, create) = (vm.handle.raw(), Call::VcpuCreate);
    let v = vm.vcpus[0].raw();
    check_refused(&[
        (create, &[forged(h)[0], 1, CODE, 0], BAD_HANDLE),
        (create, &[h, 1 << 24, CODE, 0], OUT_OF_RANGE),
        (create, &[h, 1 << 31, CODE, 0], OUT_OF_RANGE),
        (create, &[h, 1 << 40, CODE, 0], OUT_OF_RANGE),
        (create, &[h, u64::MAX, CODE, 0], OUT_OF_RANGE),
        (create, &[h, 1, CODE + 2, 0], OUT_OF_RANGE),
        (create, &[h, 1, MMIO, 0], OUT_OF_RANGE),
        (create, &[h, 1, RAM + RAM_SIZE, 0], OUT_OF_RANGE),
        (create, &[h, 1, u64::MAX & !3, 0], OUT_OF_RANGE),
        // The affinity of the one that is there.
        (create, &[h, 3, CODE, 0], OUT_OF_RANGE),
        (Call::VcpuEnqueue, &[v, 0], BAD_STATE),
        (Call::VcpuInject, &[v, 40, 0, 0], BAD_STATE),
        (Call::VcpuRespond, &[v, 0, 0, 0, 0, 0], BAD_STATE),
    ])?;
    vm.add_vcpu(4, CODE)?;
    check_refused(&[(create, &[h, 5, CODE, 0], &[Status::Limit])])?;
    vm.start()?;
    for stale in forged(v) {
        check_refused(&[
            (Call::VcpuEnqueue, &[stale, 0], BAD_HANDLE),
            (Call::VcpuDequeue, &[stale], BAD_HANDLE),
            (Call::VcpuRespond, &[stale, 0, 0, 0, 0, 0], BAD_HANDLE),
            (Call::VcpuInject, &[stale, 40, 0, 0], BAD_HANDLE),
        ])?;
    }
    let off = vm.vcpus[1].raw();
    check_refused(&[
        (Call::VcpuEnqueue, &[v, cpus], OUT_OF_RANGE),
        (Call::VcpuEnqueue, &[v, u64::MAX], OUT_OF_RANGE),
        (Call::VcpuEnqueue, &[v, 1 << 16], OUT_OF_RANGE),
        (Call::VcpuEnqueue, &[off, 0], BAD_STATE),
        (Call::VcpuDequeue, &[v], BAD_STATE),
        (Call::VcpuDequeue, &[off], BAD_STATE),
        (Call::VcpuInject, &[v, 0, 0, 0], OUT_OF_RANGE),
        (Call::VcpuInject, &[v, 31, 0, 0], OUT_OF_RANGE),
        (Call::VcpuInject, &[v, 1020, 0, 0], OUT_OF_RANGE),
        (Call::VcpuInject, &[v, 1 << 32 | 40, 0, 0], OUT_OF_RANGE),
        (Call::VcpuInject, &[v, 40, 3, 0], OUT_OF_RANGE),
        (Call::VcpuInject, &[v, 40, 0, 256], OUT_OF_RANGE),
    ])?;
    // Once queued it is queued: a second time only moves it.
    vm.enqueue(0)?;
    vm.enqueue(0)?;
    insist(|| call::vcpu_dequeue(vm.vcpus[0])).or_fail("VCPU_DEQUEUE")?;
    check_refused(&[(Call::VcpuDequeue, &[v], BAD_STATE)])?;
    vm.destroy()
}

/// Answers that nobody waits for, and answers to a RAM fault, which never get through.
fn vcpu_answers(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let vcpu: VcpuHandle = vm.vcpus[0];
    let (v, respond) = (vcpu.raw(), Call::VcpuRespond);
    check_refused(&[
        (respond, &[v, 0, 0, 0, 0, 2], OUT_OF_RANGE),
        (respond, &[v, 0, 0, 0, 0, u64::MAX], OUT_OF_RANGE),
        // A forwarded call can't end in an abort.
        (respond, &[v, 0, 0, 0, 0, Outcome::Abort.raw()], BAD_STATE),
        // What waits for an answer can't be queued.
        (Call::VcpuEnqueue, &[v, 0], BAD_STATE),
    ])?;
    puppet::give(vcpu, [LOAD, HOLE, 0, 0])?;
    check_refused(&[(respond, &[v, 0, 0, 0, 0, 0], BAD_STATE)])?;
    let exit = run()?;
    check_eq!(exit.reason, Some(ExitReason::RamFault), "exit of the load");
    check_refused(&[
        (respond, &[v, 0x5555, 0, 0, 0, 0], BAD_STATE),
        (respond, &[v, 0x5555, 0, 0, 0, 1], BAD_STATE),
    ])?;
    let page = take_patterned(1, PAGE)?;
    vm.donate(page, HOLE, 1)?;
    let reply = puppet::collect(vcpu)?;
    check!(reply.x[0] != 0x5555, "the host's answer to a RAM fault got through");

    // A device's answers: a value, then an abort, for a load and for a store.
    puppet::give(vcpu, [LOAD, MMIO, 0, 0])?;
    check_eq!(run()?.reason, Some(ExitReason::MmioRead), "exit of a device's load");
    insist(|| call::vcpu_respond(vcpu, [77, 0, 0, 0], Outcome::Complete)).or_fail("answer")?;
    check_eq!(puppet::collect(vcpu)?.x[0], 77, "the device's value");
    puppet::give(vcpu, [LOAD, MMIO, 0, 0])?;
    check_eq!(run()?.reason, Some(ExitReason::MmioRead), "exit of a device's load");
    insist(|| call::vcpu_respond(vcpu, [77, 0, 0, 0], Outcome::Abort)).or_fail("abort")?;
    let reply = puppet::collect(vcpu)?;
    check!(reply.is_external_abort() && reply.far == MMIO, "abort of a load {reply:x?}");
    puppet::give(vcpu, [crate::guest::STORE, MMIO + 8, 5, 0])?;
    let exit = run()?;
    check_eq!(exit.reason, Some(ExitReason::MmioWrite), "exit of a device's store");
    check_eq!(exit.details[..3], [MMIO + 8, 8, 5], "details of the store");
    insist(|| call::vcpu_respond(vcpu, [0; 4], Outcome::Abort)).or_fail("abort")?;
    let reply = puppet::collect(vcpu)?;
    check!(reply.is_external_abort() && reply.far == MMIO + 8, "abort of a store {reply:x?}");
    vm.destroy()
}

fn page_calls(_: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let theirs = take_patterned(1, PAGE)?;
    vm.donate(theirs, DATA, 1)?;
    let lent = vm.lend(MAILBOX)?;
    let (engine, uart) = (engine_page()?, machine().uart);
    let poison = Call::PagePoison;
    let most = limit::CENSUS_PAGES as u64;
    let mut cases: Vec<Case<'_>> = Vec::new();
    let addresses = [uart, 1 << 51, u64::MAX, 0];
    for address in &addresses {
        cases.push((Call::PageInfo, core::slice::from_ref(address), OUT_OF_RANGE));
    }
    let (unaligned, theirs, lent, engine) = ([theirs + 8], [theirs], [lent], [engine]);
    cases.extend([
        (poison, unaligned.as_slice(), UNALIGNED),
        (poison, &addresses[..1], NOT_RAM),
        (poison, &addresses[1..2], NOT_RAM),
        (poison, &theirs, NOT_OWNER),
        (poison, &lent, NOT_OWNER),
        (poison, &engine, ENGINES),
        (Call::EngineDonate, &[], OUT_OF_RANGE),
    ]);
    let sizes = [[0, 0], [0, most + 1], [0, u64::MAX]];
    for size in &sizes {
        cases.push((Call::PageCensus, size, OUT_OF_RANGE));
    }
    check_refused(&cases)?;
    let past = call::page_census(u64::MAX, 1).or_fail("PAGE_CENSUS past the end")?;
    check_eq!(past.seen, 0, "words past the end");
    check_eq!(VmHandle::NONE.raw(), 0, "no handle");
    vm.destroy()
}

//! Every call about pages and VMs with arguments that it must refuse: the documented status, and nothing changes.
//!
//! Scenario 7: a device donated as memory. Scenario 8: unaligned and overflowing ranges. Scenario
//! 15: two arguments name the same page. Scenario 28: a failed call leaks.

use crate::{
    guest::{DATA, GICR, HOLE, MAILBOX, MMIO, RAM, RAM_SIZE, WINDOW, WINDOW_SIZE},
    outcome::{OrFail, TestResult, check, check_eq},
    random::Random,
    refusal::{
        BAD_HANDLE, Case, ENGINES, LAST, NOT_OWNER, NOT_RAM, NOWHERE, OUT_OF_RANGE, RIGHTS,
        UNALIGNED, check_refused, engine_page, forged,
    },
    runner::register,
    vm::{ALL, TestVm, insist, take_patterned},
};
use abi::{Call, InfoIndex, MapAttrs, PageClass, Status, limit};
use alloc::vec::Vec;
use el1::{PAGE, call, machine, pages};

register!(
    "arguments": engine_calls,
    vm_create,
    vm_map,
    vm_map_list,
    vm_map_list_aliases,
    vm_lend_and_unlend,
    page_calls,
);

fn engine_calls(_: &mut Random) -> TestResult {
    let engine = engine_page()?;
    let uart = machine().uart;
    let own = take_patterned(1, PAGE)?;
    let most = limit::RUN_PAGES as u64;
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
        (Call::EngineDonate, &[machine().ram_end(), 1], NOT_RAM),
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
        (
            create,
            &[shape(0, bits), GICR, RAM, PAGE, 0, 0],
            OUT_OF_RANGE,
        ),
        (
            create,
            &[shape(65, bits), GICR, RAM, PAGE, 0, 0],
            OUT_OF_RANGE,
        ),
        (
            create,
            &[shape(0xffff, bits), GICR, RAM, PAGE, 0, 0],
            OUT_OF_RANGE,
        ),
        (create, &[shape(1, 0), GICR, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[shape(1, 31), GICR, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (
            create,
            &[shape(1, bits + 1), GICR, RAM, PAGE, 0, 0],
            OUT_OF_RANGE,
        ),
        (
            create,
            &[shape(1, 0xffff), GICR, RAM, PAGE, 0, 0],
            OUT_OF_RANGE,
        ),
        (
            create,
            &[good | 1 << 34, GICR, RAM, PAGE, 0, 0],
            OUT_OF_RANGE,
        ),
        (
            create,
            &[good | 1 << 63, GICR, RAM, PAGE, 0, 0],
            OUT_OF_RANGE,
        ),
        (create, &[good, GICR + PAGE, RAM, PAGE, 0, 0], UNALIGNED),
        (create, &[good, GICR, RAM + 8, PAGE, 0, 0], UNALIGNED),
        (create, &[good, GICR, RAM, PAGE + 8, 0, 0], UNALIGNED),
        (create, &[good, GICR, RAM, PAGE, RAM + 1, PAGE], UNALIGNED),
        (create, &[good, GICR, RAM, 0, 0, 0], OUT_OF_RANGE),
        (create, &[good, GICR, end, PAGE, 0, 0], OUT_OF_RANGE),
        (
            create,
            &[good, GICR, end - PAGE, 2 * PAGE, 0, 0],
            OUT_OF_RANGE,
        ),
        (create, &[good, GICR, LAST, 2 * PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[good, GICR, RAM, LAST, 0, 0], OUT_OF_RANGE),
        (
            create,
            &[good, GICR, RAM, 2 * PAGE, RAM + PAGE, PAGE],
            OUT_OF_RANGE,
        ),
        (create, &[good, GICR, RAM, PAGE, RAM, PAGE], OUT_OF_RANGE),
        (create, &[good, RAM, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (create, &[good, end, RAM, PAGE, 0, 0], OUT_OF_RANGE),
        (
            create,
            &[good, u64::MAX & !0xffff, RAM, PAGE, 0, 0],
            OUT_OF_RANGE,
        ),
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
    check_refused(
        &forged(h)
            .map(|raw| [raw, own, HOLE, 1, RIGHTS])
            .each_ref()
            .map(|arguments| -> Case<'_> { (map, arguments.as_slice(), BAD_HANDLE) }),
    )?;
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
        (
            map,
            &[h, own, HOLE, 1, MapAttrs::WRITE.bits()],
            OUT_OF_RANGE,
        ),
        (map, &[h, own, HOLE, 1, RIGHTS | 8], OUT_OF_RANGE),
        (map, &[h, own, HOLE, 1, u64::MAX], OUT_OF_RANGE),
        (map, &[h, uart, HOLE, 1, RIGHTS], NOT_RAM),
        (map, &[h, gic, HOLE, 1, RIGHTS], NOT_RAM),
        (map, &[h, machine().ram_end(), HOLE, 1, RIGHTS], NOT_RAM),
        (map, &[h, 1 << 51, HOLE, 1, RIGHTS], NOT_RAM),
        (map, &[h, engine, HOLE, 1, RIGHTS], ENGINES),
        (map, &[h, theirs, HOLE, 1, RIGHTS], NOT_OWNER),
        (map, &[h, theirs, DATA, 1, RIGHTS], NOT_OWNER),
        (map, &[h, own, DATA, 1, RIGHTS], &[Status::AlreadyMapped]),
    ])?;
    let class = call::page_info(own).or_fail("PAGE_INFO")?;
    check_eq!(
        class,
        (PageClass::Host.raw(), 0),
        "class of the page offered"
    );
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
        check_eq!(
            class,
            (PageClass::Host.raw(), 0),
            "class of a page that was offered"
        );
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
    let (free, end) = (WINDOW + 7 * PAGE, WINDOW + WINDOW_SIZE);
    let most = limit::RUN_PAGES as u64;
    check_refused(&[
        (lend, &[forged(h)[0], own, free, 1, RIGHTS], BAD_HANDLE),
        (lend, &[h, own + 8, free, 1, RIGHTS], UNALIGNED),
        (lend, &[h, own, free + 8, 1, RIGHTS], UNALIGNED),
        (lend, &[h, own, free, 0, RIGHTS], OUT_OF_RANGE),
        (lend, &[h, own, free, most + 1, RIGHTS], OUT_OF_RANGE),
        (lend, &[h, LAST, free, 2, RIGHTS], NOWHERE),
        (lend, &[h, own, LAST, 1, RIGHTS], OUT_OF_RANGE),
        (lend, &[h, own, free, 1, 0], OUT_OF_RANGE),
        (lend, &[h, own, free, 1, 8 | RIGHTS], OUT_OF_RANGE),
        (lend, &[h, uart, free, 1, RIGHTS], NOT_RAM),
        (lend, &[h, engine, free, 1, RIGHTS], ENGINES),
        (lend, &[h, theirs, free, 1, RIGHTS], NOT_OWNER),
        // Memory that the VM was promised for itself alone, and the end of what it was not.
        (lend, &[h, own, DATA, 1, RIGHTS], OUT_OF_RANGE),
        (lend, &[h, own, HOLE, 1, RIGHTS], OUT_OF_RANGE),
        (lend, &[h, own, end - PAGE, 2, RIGHTS], OUT_OF_RANGE),
        (
            lend,
            &[h, own, MAILBOX, 1, RIGHTS],
            &[Status::AlreadyMapped],
        ),
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

fn page_calls(_: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let theirs = take_patterned(1, PAGE)?;
    vm.donate(theirs, DATA, 1)?;
    let lent = vm.lend(MAILBOX)?;
    let (engine, uart) = (engine_page()?, machine().uart);
    let poison = Call::PagePoison;
    let most = limit::CENSUS_PAGES as u64;
    let mut cases: Vec<Case<'_>> = Vec::new();
    let addresses = [uart, 1 << 51, u64::MAX, machine().ram_end()];
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
    vm.destroy()
}

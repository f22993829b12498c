//! The host gives away what is nobody's to give: devices, addresses without memory, and memory that the
//! firmware keeps.
//!
//! Invariant: memory that the firmware keeps is the host's to use, for ever, and of no other use.

use super::stage::{Stage, attacks};
use crate::{
    guest::{HOLE, WINDOW},
    outcome::{OrFail, Stop, TestResult, check_eq},
    refusal::{Case, LAST, NOT_RAM, RIGHTS, check_refused},
    vm::{TestVm, take_patterned},
};
use abi::{Call, PageClass, Status};
use alloc::{string::String, vec::Vec};
use el1::{PAGE, call, machine, pages, probe};

attacks! {
    "fixed":
    Host names_devices [7] "names the UART, the GIC, what lies around RAM, and the ends of the address space in every call that takes a page" => "NOT_RAM, OUT_OF_RANGE, NOT_OWNER";
    Host names_firmwares_memory [7, 23] "names memory that the firmware reserves in every call that takes a page" => "NOT_RAM; HostFixed, its content as before";
}

/// Every call that takes a page, with `page`: as itself and, where the call has a list, in the list.
pub(super) fn name_in_every_call(page: u64, allowed: &[Status]) -> TestResult {
    let accomplice = TestVm::create(1)?;
    let list = take_patterned(1, PAGE)?;
    // SAFETY: the page is ours and holds 256 entries of two words.
    unsafe {
        (list as *mut u64).write_volatile(page);
        (list as *mut u64).add(1).write_volatile(HOLE | RIGHTS);
    }
    let h = accomplice.handle.raw();
    let cases: [Case<'_>; 6] = [
        (Call::VmMap, &[h, page, HOLE, 1, RIGHTS], allowed),
        (Call::VmMapList, &[h, list, 1], allowed),
        (Call::VmMapList, &[h, page, 1], allowed),
        (Call::VmLend, &[h, page, WINDOW, 1, RIGHTS], allowed),
        (Call::EngineDonate, &[page, 1], allowed),
        (Call::PagePoison, &[page], allowed),
    ];
    check_refused(&cases)?;
    // SAFETY: every call was refused: the page is still ours.
    unsafe { pages::give(list, 1) };
    accomplice.destroy()
}

fn names_devices(_: &mut Stage<'_>) -> TestResult {
    const NO_PAGE: &[Status] = &[Status::NotRam, Status::OutOfRange, Status::NotOwner];
    let machine = machine();
    let mut pages: Vec<u64> =
        alloc::vec![0, machine.uart, machine.distributor.start, LAST, 1 << 47];
    for region in &machine.redistributors {
        pages.extend([region.start, region.start + (64 << 10), region.end() - PAGE]);
    }
    // What lies around RAM.
    for ram in &machine.ram {
        pages.extend([ram.start.wrapping_sub(PAGE), ram.end()]);
    }
    pages.retain(|page| !machine.ram.iter().any(|ram| ram.contains(*page)));
    for page in pages {
        name_in_every_call(page, NO_PAGE)?;
    }
    Ok(())
}

fn names_firmwares_memory(_: &mut Stage<'_>) -> TestResult {
    let machine = machine();
    let is_firmwares = |page: &u64| {
        machine.ram.iter().any(|ram| ram.contains(*page))
            && !machine.engine.iter().any(|range| range.contains(*page))
    };
    let mut kept = Vec::new();
    for range in &machine.reserved {
        let (first, last) = (range.start & !(PAGE - 1), (range.end() - 1) & !(PAGE - 1));
        kept.extend([first, last].into_iter().filter(is_firmwares));
    }
    if kept.is_empty() {
        return Err(Stop::Skip(String::from(
            "the firmware keeps no memory; that of the group absent-ram does",
        )));
    }
    for page in kept {
        // SAFETY: nobody reads it as anything but words.
        let content =
            || probe::load(page).map_err(|fault| Stop::Fail(alloc::format!("load: {fault}")));
        let before = content()?;
        name_in_every_call(page, NOT_RAM)?;
        let (class, _) = call::page_info(page).or_fail("PAGE_INFO")?;
        check_eq!(class, PageClass::HostFixed.raw(), "class of {page:#x}");
        check_eq!(content()?, before, "content of {page:#x}");
    }
    Ok(())
}

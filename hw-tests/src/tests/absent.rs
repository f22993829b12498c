//! Memory errors at EL2, on a machine whose device tree names RAM that is not there: each access to it
//! ends in an external abort, as one to a page with an error does.
//!
//! Invariants: the host does not know of that RAM and never touches it; the engine takes it for the
//! host's. Each test uses pages of its own, since none of them comes back.

use crate::{
    census,
    guest::{CALL_NEXT, DATA, LOAD},
    outcome::{OrFail, TestResult, check, check_eq, complete, refused},
    puppet,
    random::Random,
    runner::{Needs, Test},
    vm::{ALL, PATTERN, TestVm, destroy, find_other, in_full, insist, run, take_patterned},
};
use abi::{Counter, ExitReason, FaultKind, PageClass, Status, limit};
use el1::{PAGE, call, cpu, pages, probe};

/// Where `cargo xtask hw-test` has the tree name it: below all of QEMU's own, which begins at 1 GiB.
pub const RAM: u64 = 0x3f00_0000;
/// Pages of a 2 MiB block: the RAM has three.
const BLOCK: u64 = limit::RUN_PAGES as u64;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    Test {
        name: "absent::pages_that_cannot_be_zeroed_stay_behind",
        needs: Needs::AbsentRam,
        run: pages_that_cannot_be_zeroed_stay_behind,
    },
    Test {
        name: "absent::block",
        needs: Needs::AbsentRam,
        run: block,
    },
    Test {
        name: "absent::list_that_cannot_be_read",
        needs: Needs::AbsentRam,
        run: list_that_cannot_be_read,
    },
    Test {
        name: "absent::guest_that_meets_one",
        needs: Needs::AbsentRam,
        run: guest_that_meets_one,
    },
];

/// Is there such RAM, by the engine's words?
pub fn is_there() -> bool {
    // Its last page, which no test uses.
    let last = RAM + 3 * BLOCK * PAGE - PAGE;
    call::page_info(last).is_ok_and(|(class, _)| class == PageClass::Host.raw())
}

/// Pages out of circulation so far, by the counters.
fn lost() -> TestResult<u64> {
    let mut sum = 0;
    for core in 0..cpu::all().len() as u64 {
        sum += call::stats_read(core, Counter::PagesPoisoned.raw()).or_fail("STATS_READ")?;
    }
    Ok(sum)
}

/// Requires that `count` pages from `pa` on are nobody's.
fn check_lost(pa: u64, count: u64) -> TestResult {
    for page in (pa..pa + count * PAGE).step_by(PAGE as usize) {
        let (class, _) = call::page_info(page).or_fail("PAGE_INFO")?;
        check_eq!(class, PageClass::NotYours.raw(), "class of {page:#x}");
        let again = call::engine_donate(page, 1);
        refused("ENGINE_DONATE of a lost page", again, Status::NotOwner)?;
    }
    Ok(())
}

fn pages_that_cannot_be_zeroed_stay_behind(_: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let (before, poisoned) = (lost()?, census::take()?.poisoned);
    let real = take_patterned(8, PAGE)?;
    // Between pages that are there.
    for (pa, at, n) in [(real, 0, 4), (RAM, 4, 3), (real + 4 * PAGE, 7, 4)] {
        let mapped = insist(|| call::vm_map(vm.handle, pa, DATA + at * PAGE, n, ALL));
        complete("VM_MAP", mapped, n)?;
    }
    let home = destroy(vm.handle)?;
    vm.note_gone();
    check_eq!(home, 8, "pages home");
    check_eq!(find_other(real, 8, 0), None, "pages that are there");
    // SAFETY: they are the host's again, and came from the allocator.
    unsafe { pages::give(real, 8) };
    check_lost(RAM, 3)?;
    check_eq!(lost()? - before, 3, "pages counted");
    check_eq!(census::take()?.poisoned - poisoned, 3, "poisoned pages");
    Ok(())
}

fn block(_: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let (before, pa) = (lost()?, RAM + BLOCK * PAGE);
    in_full("VM_MAP", BLOCK, |done, left| {
        call::vm_map(vm.handle, pa + done * PAGE, DATA + done * PAGE, left, ALL)
    })?;
    let home = destroy(vm.handle)?;
    vm.note_gone();
    check_eq!(home, 0, "pages home");
    check_lost(pa, BLOCK)?;
    check_eq!(lost()? - before, BLOCK, "pages counted");
    Ok(())
}

fn list_that_cannot_be_read(_: &mut Random) -> TestResult {
    let vm = TestVm::create(1)?;
    let list = RAM + 5 * PAGE;
    let read = call::vm_map_list(vm.handle, list, 1);
    refused("VM_MAP_LIST", read, Status::NotRam)?;
    let (class, _) = call::page_info(list).or_fail("PAGE_INFO")?;
    check_eq!(class, PageClass::Host.raw(), "class of the list");
    let real = take_patterned(1, PAGE)?;
    check!(probe::load(real) == Ok(PATTERN), "a page that is there");
    // SAFETY: just taken.
    unsafe { pages::give(real, 1) };
    vm.destroy()
}

/// Where HCR_EL2.TEA is followed the host is told, of the vCPU and nothing more, which goes on no more. QEMU
/// does not follow it, nor does a core without FEAT_RAS: there the guest takes the abort itself.
fn guest_that_meets_one(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let (vcpu, pa) = (vm.vcpus[0], RAM + 7 * PAGE);
    let mapped = insist(|| call::vm_map(vm.handle, pa, DATA, 1, ALL));
    complete("VM_MAP", mapped, 1)?;
    for _ in 0..2 {
        puppet::give(vcpu, [LOAD, DATA, 0, 0])?;
        let exit = run()?;
        check_eq!(exit.vcpu, vcpu, "{exit:x?}");
        if exit.reason == Some(ExitReason::Fault) {
            let told = [FaultKind::External.raw(), 0, 0, 0, 0, 0, 0];
            check_eq!(exit.details, told, "details");
            check_eq!(run()?.reason, Some(ExitReason::Idle), "what is left to run");
            break;
        }
        let [function, _, _, _, _, esr, far] = exit.details;
        check_eq!(
            (exit.reason, function),
            (Some(ExitReason::Call), CALL_NEXT),
            "{exit:x?}"
        );
        check_eq!(
            (esr >> 26, esr & 0x3f, far),
            (0x25, 0x10, DATA),
            "its abort"
        );
    }
    destroy(vm.handle)?;
    vm.note_gone();
    check_lost(pa, 1)
}

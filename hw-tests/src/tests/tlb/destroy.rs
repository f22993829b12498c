//! A VM is destroyed while all its vCPUs store: what comes home is zero, and no store lands behind the zeroes.
//!
//! Nobody waits for the vCPUs: VM_RECLAIM is called at once, and again while it is refused. Scenario 1: an older
//! store lands behind the scrub. Scenario 33: a large VM torn down.

use crate::{
    crew::{Fleet, Member, check_still, check_zero, clear_words},
    guest::{DATA, HOLE, RAM, WINDOW},
    outcome::{OrFail, TestResult, check, check_eq, refused},
    paging::{ALIAS, ALIAS_OF_DATA},
    random::Random,
    runner::{DOORBELL, register},
    team,
    vm::take_patterned,
};
use abi::{ExitReason, Status, VmHandle, limit};
use alloc::{sync::Arc, vec::Vec};
use core::cell::RefCell;
use el1::{
    PAGE,
    call::{self, Exit},
    gic, timer,
};

register!(
    "tlb::destroy": under_stores,
    under_stores_to_lent_pages,
    by_a_host_that_is_deaf_to_kicks,
);

/// Pages of the block, how many of them are stored to, and of the pages beside it.
const BLOCK: u64 = limit::RUN_PAGES as u64;
const SWEPT: u64 = 16;
const SINGLES: u64 = 24;
const SINGLE_AT: u64 = HOLE;
const _: () = assert!(SINGLE_AT >= RAM && SINGLE_AT + SINGLES * PAGE <= DATA);

/// VM_DESTROY once, and VM_RECLAIM from that moment on until all is home.
fn take_apart(vm: VmHandle) -> TestResult {
    call::vm_destroy(vm).or_fail("VM_DESTROY")?;
    let end = team::deadline();
    while timer::now() < end {
        match call::vm_reclaim(vm, limit::RECLAIM_PAGES as u64) {
            Ok((_, true)) => return Ok(()),
            Ok(_) | Err(Status::Busy) => {}
            Err(status) => check!(false, "VM_RECLAIM: {}", status.name()),
        }
    }
    check!(false, "VM_RECLAIM never ends");
    Ok(())
}

/// Calls of VM_RECLAIM that must be refused while vCPUs are inside.
const VAIN: u32 = 50;

/// Some store to the block, through 2 MiB in both stages, the others to pages.
fn target(member: Member) -> [u64; 4] {
    match member.number % 2 {
        0 => member.sweep(ALIAS_OF_DATA, SWEPT),
        _ => member.sweep(SINGLE_AT, SINGLES),
    }
}

/// Its core has nothing to run any more.
fn is_gone(_: &Fleet, member: Member, exit: Option<Exit>) -> TestResult {
    let reason = exit.or_fail("an exit")?.reason;
    check_eq!(
        reason,
        Some(ExitReason::Idle),
        "exit of vCPU {}",
        member.index
    );
    Ok(())
}

/// VMs with a block and pages, and where these are.
fn muster() -> TestResult<(Arc<Fleet>, Vec<(u64, u64)>)> {
    let owned = RefCell::new(Vec::new());
    let fleet = Fleet::muster(|_, vm| {
        for (ipa, count, align) in [(DATA, BLOCK, BLOCK * PAGE), (SINGLE_AT, SINGLES, PAGE)] {
            let pa = take_patterned(count, align)?;
            clear_words(pa, count);
            vm.donate(pa, ipa, count)?;
            owned.borrow_mut().push((pa, count));
        }
        Ok(DATA)
    })?;
    Ok((Arc::new(fleet), owned.into_inner()))
}

fn under_stores(_: &mut Random) -> TestResult {
    let (fleet, owned) = muster()?;
    fleet.sail(
        |_, member| target(member),
        move |fleet| {
            for crew in &fleet.crews {
                take_apart(crew.vm.handle)?;
            }
            check_zero(&owned)?;
            fleet.wait_until_left()?;
            check_zero(&owned)
        },
        is_gone,
    )?;
    fleet.destroy(true)
}

/// What was lent is the host's as it is, and nobody else changes it.
fn under_stores_to_lent_pages(_: &mut Random) -> TestResult {
    let lent = RefCell::new(Vec::new());
    let fleet = Fleet::muster(|_, vm| {
        for index in 0..SINGLES {
            lent.borrow_mut().push((vm.lend(WINDOW + index * PAGE)?, 1));
        }
        Ok(WINDOW)
    })?;
    let (fleet, lent) = (Arc::new(fleet), lent.into_inner());
    fleet.sail(
        |_, member| member.sweep(ALIAS, SINGLES),
        move |fleet| {
            for crew in &fleet.crews {
                take_apart(crew.vm.handle)?;
            }
            check_still(&lent)?;
            fleet.wait_until_left()
        },
        is_gone,
    )?;
    fleet.destroy(true)
}

/// Nothing brings the vCPUs out: until something does, nothing of their VM is taken.
fn by_a_host_that_is_deaf_to_kicks(_: &mut Random) -> TestResult {
    let (fleet, owned) = muster()?;
    fleet.sail(
        |_, member| {
            gic::enable_sgi(DOORBELL as u32, false);
            target(member)
        },
        move |fleet| {
            for crew in &fleet.crews {
                let (inside, _) = call::vm_destroy(crew.vm.handle).or_fail("VM_DESTROY")?;
                check!(inside > 0, "nobody is inside");
            }
            for _ in 0..VAIN {
                for crew in &fleet.crews {
                    let taken = call::vm_reclaim(crew.vm.handle, limit::RECLAIM_PAGES as u64);
                    refused("VM_RECLAIM", taken, Status::Busy)?;
                }
            }
            fleet.wait_for_rounds(1)?;
            team::rouse();
            for crew in &fleet.crews {
                take_apart(crew.vm.handle)?;
            }
            check_zero(&owned)?;
            fleet.wait_until_left()
        },
        |fleet, member, exit| {
            gic::enable_sgi(DOORBELL as u32, true);
            is_gone(fleet, member, exit)
        },
    )?;
    fleet.destroy(true)
}

//! RAM over a reset: the next start's host finds nothing there of what was a VM's.
//!
//! `cargo xtask hw-test` starts this machine twice on one RAM (`kept_ram` in `hw-tests/tests.toml`). Each time the host looks
//! for marks in all of its memory, and behind its tree; and at the end it leaves some with a VM that it does not end, and there.
//!
//! Invariant: a mark is computed from the page's address and is in no image, so that no loader brings one.

use super::absent;
use crate::{
    guest::DATA,
    outcome::{OrFail, Stop, TestResult, check, check_eq, complete},
    random::Random,
    runner::register,
    vm::{ALL, TestVm, insist},
};
use abi::{PageClass, Status};
use alloc::string::String;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use el1::{PAGE, call, machine, pages, probe};

register!("remains": in_host_memory, behind_the_tree, broken_page);

/// Pages that are left with marks: 2 MiB.
const PAGES: u64 = 512;
/// Where in its page a mark is.
const AT: u64 = 0x5a8;

/// Has a test asked for marks?
static IS_WANTED: AtomicBool = AtomicBool::new(false);

fn mark(page: u64) -> u64 {
    (page | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn in_host_memory(_: &mut Random) -> TestResult {
    let (mut seen, mut found) = (0_u64, 0_u64);
    for ram in &machine().ram {
        for page in (ram.start..ram.end()).step_by(PAGE as usize) {
            if let Ok(word) = probe::load(page + AT) {
                seen += 1;
                found += u64::from(word == mark(page));
            }
        }
    }
    check!(seen > PAGES, "only {seen} pages are the host's");
    // Relaxed: one core.
    IS_WANTED.store(true, Ordering::Relaxed);
    check_eq!(found, 0, "pages with what was a VM's before the reset");
    Ok(())
}

/// What lies in the tree's last page behind the tree. The loader put the tree there and nothing else.
fn rest_of_tree_page() -> Range<u64> {
    let end = machine().tree.end();
    end..end.next_multiple_of(PAGE)
}

/// The pages of what stays are cleared too, around it.
fn behind_the_tree(_: &mut Random) -> TestResult {
    let rest = rest_of_tree_page();
    if rest.is_empty() {
        return Err(Stop::Skip(String::from("the tree ends with its page")));
    }
    for at in rest {
        // SAFETY: RAM of ours, in the page of the tree, which stays mapped.
        let byte = unsafe { (at as *const u8).read_volatile() };
        check_eq!(byte, 0, "a byte behind the tree, at {at:#x}");
    }
    // Relaxed: one core.
    IS_WANTED.store(true, Ordering::Relaxed);
    Ok(())
}

/// A page that can't be zeroed is nobody's.
fn broken_page(_: &mut Random) -> TestResult {
    let class = match call::page_info(absent::RAM) {
        Err(Status::OutOfRange) => return Err(Stop::Skip(String::from("all RAM is there"))),
        class => class.or_fail("PAGE_INFO")?.0,
    };
    check_eq!(class, PageClass::NotYours.raw(), "class of a broken page");
    let loaded = probe::load(absent::RAM);
    check!(loaded.is_err(), "a broken page was mapped");
    Ok(())
}

/// Leaves marks with a VM, if a test has asked for that.
pub fn leave_if_wanted() -> TestResult {
    // Relaxed: as above.
    if !IS_WANTED.load(Ordering::Relaxed) {
        return Ok(());
    }
    for at in rest_of_tree_page() {
        // SAFETY: RAM of ours that nobody uses.
        unsafe { (at as *mut u8).write_volatile(0xa5) };
    }
    let vm = TestVm::create(1)?;
    let start = pages::take(PAGES, PAGE * PAGES).or_fail("free pages")?;
    for page in (start..start + PAGES * PAGE).step_by(PAGE as usize) {
        // SAFETY: the pages came from the allocator and are used by nobody else.
        unsafe { ((page + AT) as *mut u64).write_volatile(mark(page)) };
    }
    let mapped = insist(|| call::vm_map(vm.handle, start, DATA, PAGES, ALL));
    complete("VM_MAP", mapped, PAGES)?;
    core::mem::forget(vm);
    Ok(())
}

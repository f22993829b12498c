//! Combined entries of guests with their MMU on: what a VM loses is gone for all its vCPUs, though nothing
//! else makes their cores forget.
//!
//! Scenario 12: valid to invalid without TLBI. Scenario 13: only some pages of a batch flushed. Scenario 14:
//! the first of several VMs flushed, the others skipped.

use super::hammer::{flushes, tell_flushes};
use crate::{
    crew::{Fleet, check_still, check_zero, clear_words, faulted, unlend},
    guest::{DATA, WINDOW},
    outcome::TestResult,
    paging::{ALIAS, ALIAS_OF_DATA},
    random::Random,
    runner::register,
    vm::take_patterned,
};
use abi::{limit, smccc};
use alloc::{sync::Arc, vec::Vec};
use core::cell::RefCell;
use el1::PAGE;

register!("tlb::combined": one_lent_page, lent_pages, many_lent_pages, page_of_a_block);

/// Where the host lends pages.
const LENT: u64 = WINDOW;
/// Pages of a batch: flushed one by one where there are no ranges.
const BATCH: u64 = 24;
/// Pages of a larger one: the whole VMID is flushed where there are no ranges.
const LARGE: u64 = 64;
/// Pages of the block that are at work, and the one of them that goes.
const SWEPT: u64 = 16;
const GONE: u64 = 3;
/// Another one, which goes before, so that the block is one no more.
const BEFORE: u64 = 200;

/// VM_UNLEND of `count` pages, all of them at work.
fn unlend_under_all(what: &str, count: u64) -> TestResult {
    let lent = RefCell::new(Vec::new());
    let fleet = Fleet::muster(|_, vm| {
        for index in 0..count {
            lent.borrow_mut().push((vm.lend(LENT + index * PAGE)?, 1));
        }
        Ok(LENT)
    })?;
    let (fleet, lent, before) = (Arc::new(fleet), lent.into_inner(), flushes());
    fleet.sail(
        move |_, member| member.sweep(ALIAS, count),
        move |fleet| {
            for crew in &fleet.crews {
                unlend(&crew.vm, LENT, count)?;
            }
            fleet.wait_for_faults()?;
            check_still(&lent)
        },
        move |fleet, member, exit| faulted(fleet, member, exit, LENT, LENT + count * PAGE),
    )?;
    tell_flushes(what, before)?;
    fleet.destroy(false)
}

fn one_lent_page(_: &mut Random) -> TestResult {
    unlend_under_all("one_lent_page", 1)
}

fn lent_pages(_: &mut Random) -> TestResult {
    unlend_under_all("lent_pages", BATCH)
}

fn many_lent_pages(_: &mut Random) -> TestResult {
    unlend_under_all("many_lent_pages", LARGE)
}

/// MEM_RELINQUISH of one page that was part of a block, and still is one of 2 MiB in stage 1.
fn page_of_a_block(_: &mut Random) -> TestResult {
    let pages = limit::RUN_PAGES as u64;
    let gone_pages = RefCell::new(Vec::new());
    let fleet = Fleet::muster(|_, vm| {
        let pa = take_patterned(pages, pages * PAGE)?;
        clear_words(pa, SWEPT);
        vm.donate(pa, DATA, pages)?;
        gone_pages.borrow_mut().push((pa + GONE * PAGE, 1));
        Ok(DATA)
    })?;
    let (fleet, gone_pages, before) = (Arc::new(fleet), gone_pages.into_inner(), flushes());
    let gone = DATA + GONE * PAGE;
    fleet.sail(
        |_, member| member.sweep(ALIAS_OF_DATA, SWEPT),
        move |fleet| {
            let relinquish = |ipa| {
                let mut crews = 0..fleet.crews.len();
                crews.try_for_each(|crew| fleet.call(crew, smccc::KVM_MEM_RELINQUISH, ipa))
            };
            relinquish(DATA + BEFORE * PAGE)?;
            // All have translations of the table's by now.
            fleet.wait_for_rounds(1)?;
            relinquish(gone)?;
            fleet.wait_for_faults()?;
            check_zero(&gone_pages)
        },
        move |fleet, member, exit| faulted(fleet, member, exit, gone, gone + PAGE),
    )?;
    tell_flushes("page_of_a_block", before)?;
    fleet.destroy(false)
}

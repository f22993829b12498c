//! The operations the first time: what a VM's first one takes more than the next.
//!
//! Invariant: each round has a VM of its own, which did none of it before, and where pages move they lie in 2 MiB
//! that the host has in one piece, so that tables are made on both sides.

use super::{
    guest::{self, GICD_IIDR, answered, device_load, device_store, psci_version},
    memory::{
        BATCH, BLOCK, BLOCK_PAGES, Dying, LIST, List, every_other, give_odd, map, with_singles,
    },
    tell,
};
use crate::{
    guest::{DATA, MMIO},
    measure::Ticks,
    outcome::{TestResult, check_eq},
    random::Random,
    runner::register,
    vm::{TestVm, take_patterned},
};
use abi::smccc;
use alloc::vec::Vec;
use el1::{PAGE, pages};

register!(
    "bench": donate_4k_cold,
    donate_4k_list_cold,
    donate_2m_cold,
    reclaim_4k_cold,
    reclaim_4k_batch_cold,
    guest_psci_version_cold,
    guest_gicd_read_cold,
    guest_mmio_write_cold,
    guest_s2_fault_cold,
    guest_mem_share_cold,
    guest_mem_unshare_cold,
);

/// VMs, each of which does it once.
const VMS: u64 = 8;

/// What the first time takes in each of the VMs that `make` makes.
fn first(
    operation: &str,
    per: u64,
    make: impl Fn() -> TestResult<TestVm>,
    once: impl Fn(&mut TestVm) -> TestResult<Ticks>,
) -> TestResult {
    let ticks = (0..VMS).map(|_| {
        let mut vm = make()?;
        let ticks = once(&mut vm)?;
        vm.destroy()?;
        Ok(ticks)
    });
    tell(operation, per, &ticks.collect::<TestResult<Vec<_>>>()?)
}

/// A VM that nothing was given to.
fn bare() -> TestResult<TestVm> {
    TestVm::create(1)
}

/// With the first page of 2 MiB, of which the others are the host's again afterwards.
fn out_of_a_block<T>(once: impl FnOnce(u64) -> TestResult<T>) -> TestResult<T> {
    let pa = take_patterned(BLOCK_PAGES, BLOCK)?;
    let result = once(pa)?;
    // SAFETY: taken above and never given away.
    unsafe { pages::give(pa + PAGE, BLOCK_PAGES - 1) };
    Ok(result)
}

fn donate_4k_cold(_: &mut Random) -> TestResult {
    first("donate_4k_cold", 1, bare, |vm| {
        out_of_a_block(|pa| {
            vm.own(pa, 1);
            map(vm.handle, pa, DATA, 1)
        })
    })
}

fn donate_4k_list_cold(_: &mut Random) -> TestResult {
    let list = List::take()?;
    // Every other page of 2 MiB.
    check_eq!(2 * LIST, BLOCK_PAGES, "pages that a list goes over");
    first("donate_4k_list_cold", LIST, bare, |vm| {
        let pa = take_patterned(BLOCK_PAGES, BLOCK)?;
        let ticks = list.give(vm, every_other(pa, DATA))?;
        give_odd(pa);
        Ok(ticks)
    })
}

fn donate_2m_cold(_: &mut Random) -> TestResult {
    first("donate_2m_cold", 1, bare, |vm| {
        let pa = take_patterned(BLOCK_PAGES, BLOCK)?;
        vm.own(pa, BLOCK_PAGES);
        map(vm.handle, pa, DATA, BLOCK_PAGES)
    })
}

/// The first `max` pages of a VM's that come home.
fn reclaim(operation: &str, max: u64) -> TestResult {
    let ticks = (0..VMS).map(|_| {
        let mut dying = Dying::new(with_singles(max)?, max)?;
        let ticks = dying.round()?;
        dying.end()?;
        Ok(ticks)
    });
    let ticks: Vec<Ticks> = ticks
        .collect::<TestResult<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    check_eq!(ticks.len() as u64, VMS, "VMs whose pages came home");
    tell(operation, max, &ticks)
}

fn reclaim_4k_cold(_: &mut Random) -> TestResult {
    reclaim("reclaim_4k_cold", 1)
}

fn reclaim_4k_batch_cold(_: &mut Random) -> TestResult {
    reclaim("reclaim_4k_batch_cold", BATCH)
}

fn guest_psci_version_cold(_: &mut Random) -> TestResult {
    first("guest_psci_version_cold", 1, guest::start, |vm| {
        psci_version(vm)
    })
}

fn guest_gicd_read_cold(_: &mut Random) -> TestResult {
    first("guest_gicd_read_cold", 1, guest::start, |vm| {
        device_load(vm, GICD_IIDR)
    })
}

fn guest_mmio_write_cold(_: &mut Random) -> TestResult {
    first("guest_mmio_write_cold", 1, guest::start, |vm| {
        device_store(vm, MMIO)
    })
}

fn guest_s2_fault_cold(_: &mut Random) -> TestResult {
    first("guest_s2_fault_cold", 1, guest::start, |vm| {
        out_of_a_block(|pa| guest::fault(vm, pa, DATA))
    })
}

/// A guest that has 2 MiB in one piece.
fn with_a_block() -> TestResult<TestVm> {
    let mut vm = guest::start()?;
    let pa = take_patterned(BLOCK_PAGES, BLOCK)?;
    vm.donate(pa, DATA, BLOCK_PAGES)?;
    Ok(vm)
}

fn guest_mem_share_cold(_: &mut Random) -> TestResult {
    first("guest_mem_share_cold", 1, with_a_block, |vm| {
        answered(vm, smccc::KVM_MEM_SHARE, DATA)
    })
}

fn guest_mem_unshare_cold(_: &mut Random) -> TestResult {
    first("guest_mem_unshare_cold", 1, with_a_block, |vm| {
        answered(vm, smccc::KVM_MEM_SHARE, DATA)?;
        answered(vm, smccc::KVM_MEM_UNSHARE, DATA)
    })
}

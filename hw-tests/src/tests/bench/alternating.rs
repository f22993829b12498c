//! The operations of two VMs in turn, on one core: what the other VM between costs.

use super::{
    ROUNDS,
    guest::{self, GICD_IIDR, answered, device_load, device_store, psci_version, with_neighbours},
    memory::{BATCH, BLOCK, BLOCK_PAGES, Dying, LIST, List, map, with_singles},
    rounds, tell,
};
use crate::{
    guest::{DATA, MMIO},
    measure::Ticks,
    outcome::TestResult,
    random::Random,
    runner::register,
    vm::{TestVm, take_patterned},
};
use abi::smccc;
use alloc::vec::Vec;
use el1::PAGE;

register!(
    "bench": donate_4k_alternating,
    donate_4k_list_alternating,
    donate_2m_alternating,
    reclaim_4k_alternating,
    reclaim_4k_batch_alternating,
    guest_psci_version_alternating,
    guest_gicd_read_alternating,
    guest_mmio_write_alternating,
    guest_s2_fault_alternating,
    guest_mem_share_alternating,
    guest_mem_unshare_alternating,
);

/// So many rounds of an operation, of the two VMs in turn, which `make` makes.
fn in_turn(
    operation: &str,
    per: u64,
    count: u64,
    make: impl Fn() -> TestResult<TestVm>,
    mut once: impl FnMut(&mut TestVm, u64) -> TestResult<Ticks>,
) -> TestResult {
    let mut vms = [make()?, make()?];
    let ticks = (0..count).map(|round| once(&mut vms[round as usize % 2], round));
    tell(operation, per, &ticks.collect::<TestResult<Vec<_>>>()?)?;
    vms.into_iter().try_for_each(TestVm::destroy)
}

/// A VM whose tables of `DATA`'s 2 MiB are there: it has its last page.
fn with_tables(vm: TestResult<TestVm>) -> TestResult<TestVm> {
    let mut vm = vm?;
    let pa = take_patterned(1, PAGE)?;
    vm.donate(pa, DATA + BLOCK - PAGE, 1)?;
    Ok(vm)
}

fn bare_with_tables() -> TestResult<TestVm> {
    with_tables(TestVm::create(1))
}

fn donate_4k_alternating(_: &mut Random) -> TestResult {
    let pa = take_patterned(ROUNDS, PAGE)?;
    in_turn(
        "donate_4k_alternating",
        1,
        ROUNDS,
        bare_with_tables,
        |vm, round| {
            let offset = round * PAGE;
            vm.own(pa + offset, 1);
            map(vm.handle, pa + offset, DATA + offset, 1)
        },
    )
}

fn donate_4k_list_alternating(_: &mut Random) -> TestResult {
    let list = List::take()?;
    // No more than a 2 MiB of the guest's has room for beside the page that made its tables.
    let turns = 2;
    let pa = take_patterned(turns * LIST, PAGE)?;
    in_turn(
        "donate_4k_list_alternating",
        LIST,
        turns,
        bare_with_tables,
        |vm, round| {
            let page = |index: u64| (pa + (index * turns + round) * PAGE, DATA + index * PAGE);
            list.give(vm, (0..LIST).map(page))
        },
    )
}

fn donate_2m_alternating(_: &mut Random) -> TestResult {
    let blocks = 8;
    let pa = take_patterned(blocks * BLOCK_PAGES, BLOCK)?;
    in_turn(
        "donate_2m_alternating",
        1,
        blocks,
        bare_with_tables,
        |vm, round| {
            let pa = pa + round * BLOCK;
            vm.own(pa, BLOCK_PAGES);
            map(vm.handle, pa, DATA + (round + 1) * BLOCK, BLOCK_PAGES)
        },
    )
}

/// Single pages of two VMs that come home in turn by calls for `max` each.
fn reclaim(operation: &str, max: u64, count: u64) -> TestResult {
    let dying = || Dying::new(with_singles(count)?, max);
    let mut both = [dying()?, dying()?];
    let mut ticks = Vec::new();
    for round in 0..2 * count / max {
        // None: all of this one's are home.
        ticks.extend(both[round as usize % 2].round()?);
    }
    tell(operation, max, &ticks)?;
    both.into_iter().try_for_each(Dying::end)
}

fn reclaim_4k_alternating(_: &mut Random) -> TestResult {
    reclaim("reclaim_4k_alternating", 1, ROUNDS / 2)
}

fn reclaim_4k_batch_alternating(_: &mut Random) -> TestResult {
    reclaim("reclaim_4k_batch_alternating", BATCH, 4 * BATCH)
}

fn guest_psci_version_alternating(_: &mut Random) -> TestResult {
    in_turn(
        "guest_psci_version_alternating",
        1,
        ROUNDS,
        guest::start,
        |vm, _| psci_version(vm),
    )
}

fn guest_gicd_read_alternating(_: &mut Random) -> TestResult {
    in_turn(
        "guest_gicd_read_alternating",
        1,
        ROUNDS,
        guest::start,
        |vm, _| device_load(vm, GICD_IIDR),
    )
}

fn guest_mmio_write_alternating(_: &mut Random) -> TestResult {
    in_turn(
        "guest_mmio_write_alternating",
        1,
        ROUNDS,
        guest::start,
        |vm, _| device_store(vm, MMIO),
    )
}

fn guest_s2_fault_alternating(_: &mut Random) -> TestResult {
    let pa = take_patterned(ROUNDS, PAGE)?;
    in_turn(
        "guest_s2_fault_alternating",
        1,
        ROUNDS,
        || with_tables(guest::start()),
        |vm, round| guest::fault(vm, pa + round * PAGE, DATA + round * PAGE),
    )
}

fn guest_mem_share_alternating(_: &mut Random) -> TestResult {
    in_turn(
        "guest_mem_share_alternating",
        1,
        ROUNDS,
        with_neighbours,
        |vm, round| answered(vm, smccc::KVM_MEM_SHARE, DATA + round * PAGE),
    )
}

fn guest_mem_unshare_alternating(_: &mut Random) -> TestResult {
    let vms = [with_neighbours()?, with_neighbours()?];
    let call =
        |function, round: u64| answered(&vms[round as usize % 2], function, DATA + round * PAGE);
    rounds(|round| call(smccc::KVM_MEM_SHARE, round))?;
    let ticks = rounds(|round| call(smccc::KVM_MEM_UNSHARE, round))?;
    tell("guest_mem_unshare_alternating", 1, &ticks)?;
    vms.into_iter().try_for_each(TestVm::destroy)
}

//! The operations at places drawn at random: what nearness to the last one is worth.
//!
//! Invariants: pages and their places are drawn from as many 2 MiB each, whose tables are there; no page and no
//! place is drawn twice.

use super::{
    ROUNDS,
    guest::{self, GICD, answered, device_load, device_store},
    memory::{BATCH, BLOCK, BLOCK_PAGES, Dying, LIST, List, map},
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
use el1::{PAGE, pages};

register!(
    "bench": donate_4k_random,
    donate_4k_list_random,
    donate_2m_random,
    reclaim_4k_random,
    reclaim_4k_batch_random,
    guest_gicd_read_random,
    guest_mmio_write_random,
    guest_s2_fault_random,
    guest_mem_share_random,
    guest_mem_unshare_random,
);

/// 2 MiB that are drawn from, on each side.
const AREAS: u64 = 8;
/// Bytes of a distributor's registers.
const GICD_SIZE: u64 = 0x1_0000;

/// Numbers in an order drawn at random.
fn shuffled(count: u64, random: &mut Random) -> Vec<u64> {
    let mut all: Vec<u64> = (0..count).collect();
    for last in (1..all.len()).rev() {
        all.swap(last, random.below(last as u64 + 1) as usize);
    }
    all
}

/// Pages of the host's and places for them, in an order drawn at random.
struct Scattered {
    pa: u64,
    sources: Vec<u64>,
    targets: Vec<u64>,
}

impl Scattered {
    /// Takes the pages, and gives `vm` the first of each 2 MiB, which makes the tables.
    fn new(vm: &mut TestVm, random: &mut Random) -> TestResult<Self> {
        let pa = take_patterned(AREAS * BLOCK_PAGES, BLOCK)?;
        for area in 0..AREAS {
            vm.donate(pa + area * BLOCK, DATA + area * BLOCK, 1)?;
        }
        let others = AREAS * (BLOCK_PAGES - 1);
        let place = |number: u64| (number + number / (BLOCK_PAGES - 1) + 1) * PAGE;
        let mut draw = || shuffled(others, random).into_iter().map(place).collect();
        Ok(Self {
            pa,
            sources: draw(),
            targets: draw(),
        })
    }

    /// The next page and its place, of which there are enough.
    fn draw(&mut self) -> (u64, u64) {
        let source = self.sources.pop().unwrap_or_default();
        (
            self.pa + source,
            DATA + self.targets.pop().unwrap_or_default(),
        )
    }

    /// Gives `vm` so many pages one by one; their places.
    fn give(&mut self, vm: &mut TestVm, count: u64) -> TestResult<Vec<u64>> {
        (0..count)
            .map(|_| {
                let (pa, ipa) = self.draw();
                vm.donate(pa, ipa, 1)?;
                Ok(ipa)
            })
            .collect()
    }
}

impl Drop for Scattered {
    fn drop(&mut self) {
        for source in &self.sources {
            // SAFETY: taken with it and never drawn.
            unsafe { pages::give(self.pa + source, 1) };
        }
    }
}

fn donate_4k_random(random: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let mut places = Scattered::new(&mut vm, random)?;
    let ticks = rounds(|_| {
        let (pa, ipa) = places.draw();
        vm.own(pa, 1);
        map(vm.handle, pa, ipa, 1)
    })?;
    tell("donate_4k_random", 1, &ticks)?;
    vm.destroy()
}

fn donate_4k_list_random(random: &mut Random) -> TestResult {
    let list = List::take()?;
    let mut vm = TestVm::create(1)?;
    let mut places = Scattered::new(&mut vm, random)?;
    let ticks: TestResult<Vec<Ticks>> = (0..ROUNDS / 8)
        .map(|_| list.give(&mut vm, (0..LIST).map(|_| places.draw())))
        .collect();
    tell("donate_4k_list_random", LIST, &ticks?)?;
    vm.destroy()
}

fn donate_2m_random(random: &mut Random) -> TestResult {
    let mut ticks = Vec::new();
    for _ in 0..ROUNDS / AREAS {
        let mut vm = TestVm::create(1)?;
        let pa = take_patterned((AREAS + 1) * BLOCK_PAGES, BLOCK)?;
        let from = shuffled(AREAS, random);
        let to = shuffled(AREAS, random);
        // The last makes the guest's table.
        vm.donate(pa + AREAS * BLOCK, DATA + AREAS * BLOCK, BLOCK_PAGES)?;
        for (from, to) in from.into_iter().zip(to) {
            let pa = pa + from * BLOCK;
            vm.own(pa, BLOCK_PAGES);
            ticks.push(map(vm.handle, pa, DATA + to * BLOCK, BLOCK_PAGES)?);
        }
        vm.destroy()?;
    }
    tell("donate_2m_random", 1, &ticks)
}

/// Single pages at random places that come home by calls for `max` each, in the order of the guest's places.
fn reclaim(operation: &str, max: u64, count: u64, random: &mut Random) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let mut places = Scattered::new(&mut vm, random)?;
    places.give(&mut vm, count)?;
    let mut dying = Dying::new(vm, max)?;
    let mut ticks = Vec::new();
    while let Some(round) = dying.round()? {
        ticks.push(round);
    }
    tell(operation, max, &ticks)?;
    dying.end()
}

fn reclaim_4k_random(random: &mut Random) -> TestResult {
    reclaim("reclaim_4k_random", 1, ROUNDS, random)
}

fn reclaim_4k_batch_random(random: &mut Random) -> TestResult {
    reclaim("reclaim_4k_batch_random", BATCH, 4 * BATCH, random)
}

fn guest_gicd_read_random(random: &mut Random) -> TestResult {
    let vm = guest::start()?;
    let ticks = rounds(|_| device_load(&vm, GICD + random.below(GICD_SIZE / 8) * 8))?;
    tell("guest_gicd_read_random", 1, &ticks)?;
    vm.destroy()
}

fn guest_mmio_write_random(random: &mut Random) -> TestResult {
    let vm = guest::start()?;
    let ticks = rounds(|_| device_store(&vm, MMIO + random.below(GICD_SIZE / 8) * 8))?;
    tell("guest_mmio_write_random", 1, &ticks)?;
    vm.destroy()
}

fn guest_s2_fault_random(random: &mut Random) -> TestResult {
    let mut vm = guest::start()?;
    let mut places = Scattered::new(&mut vm, random)?;
    let ticks = rounds(|_| {
        let (pa, ipa) = places.draw();
        guest::fault(&mut vm, pa, ipa)
    })?;
    tell("guest_s2_fault_random", 1, &ticks)?;
    vm.destroy()
}

fn guest_mem_share_random(random: &mut Random) -> TestResult {
    let mut vm = guest::start()?;
    let mut places = Scattered::new(&mut vm, random)?;
    let ipas = places.give(&mut vm, ROUNDS)?;
    let share = |ipa: &u64| answered(&vm, smccc::KVM_MEM_SHARE, *ipa);
    let ticks = ipas.iter().map(share).collect::<TestResult<Vec<_>>>()?;
    tell("guest_mem_share_random", 1, &ticks)?;
    vm.destroy()
}

fn guest_mem_unshare_random(random: &mut Random) -> TestResult {
    let mut vm = guest::start()?;
    let mut places = Scattered::new(&mut vm, random)?;
    let ipas = places.give(&mut vm, ROUNDS)?;
    for ipa in &ipas {
        answered(&vm, smccc::KVM_MEM_SHARE, *ipa)?;
    }
    let unshare = |ipa: &u64| answered(&vm, smccc::KVM_MEM_UNSHARE, *ipa);
    let ticks = ipas.iter().map(unshare).collect::<TestResult<Vec<_>>>()?;
    tell("guest_mem_unshare_random", 1, &ticks)?;
    vm.destroy()
}

//! Memory given away and brought home at random, for thousands of rounds: the host's map comes back
//! to the leaves that it began with, and the engine's pages to their number.
//!
//! `BULKHEAD_SEED=n` repeats a run, `BULKHEAD_STEPS=n` changes its length.

use crate::common::{PAGE, RAM, RWX, bury, let_rest, shape};
use abi::{Call, Counter, InfoIndex, Status};
use engine::sim::{Config, HostAbort, Machine, Want};

const ROUNDS: u64 = 3000;
const BLOCK_PAGES: u64 = 512;
const VMS: usize = 3;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name).ok();
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(otherwise)
}

struct Churn {
    machine: Machine,
    random: Random,
    vms: [Option<u64>; VMS],
    /// Pages that the host could give away at the start.
    pages: u64,
    most_leaves: usize,
}

impl Churn {
    fn new(seed: u64, resize_in_place: bool) -> Self {
        let mut config = Config {
            ram_pages: 6 * BLOCK_PAGES,
            seed,
            ..Config::default()
        };
        config.features.resize_in_place = resize_in_place;
        let machine = Machine::new(config);
        let pages = machine.config().ram_pages - machine.first_host_page();
        Self {
            machine,
            random: Random(seed),
            vms: [None; VMS],
            pages,
            most_leaves: 0,
        }
    }

    /// Unchecked, but now and then: what is checked after each call is in the other tests.
    fn call(&mut self, call: Call, arguments: &[u64]) -> Option<u64> {
        let reply = if self.random.below(16) == 0 {
            self.machine.call(0, call, arguments)
        } else {
            self.machine.call_unchecked(0, call, arguments)
        };
        (reply.status == Status::Success).then_some(reply.x[0])
    }

    fn round(&mut self) {
        let which = self.random.below(VMS as u64) as usize;
        let Some(vm) = self.vms[which] else {
            self.vms[which] = self.call(Call::VmCreate, &shape(1));
            return;
        };
        if self.random.below(8) == 0 {
            self.machine.sim().advance(1 << 20);
        }
        let page = self.random.below(self.pages);
        match self.random.below(10) {
            0 => {
                bury(&self.machine, vm, 2);
                self.vms[which] = None;
            }
            1..=3 => {
                let _ = self.touch(page);
            }
            4 | 5 => {
                // Whole blocks.
                let first = self.machine.host_page(page) & !((BLOCK_PAGES * PAGE) - 1);
                let ipa = RAM + self.random.below(8) * BLOCK_PAGES * PAGE;
                let _ = self.call(Call::VmMap, &[vm, first, ipa, BLOCK_PAGES, RWX]);
            }
            _ => {
                let n = 1 + self.random.below(40);
                let ipa = RAM + self.random.below(4000) * PAGE;
                let first = self.machine.host_page(page);
                let _ = self.call(Call::VmMap, &[vm, first, ipa, n, RWX]);
            }
        }
        let leaves = self.machine.host_leaves().len();
        self.most_leaves = self.most_leaves.max(leaves);
    }

    fn touch(&self, page: u64) -> Result<u64, HostAbort> {
        let cpu = (page & 1) as usize;
        let address = self.machine.host_page(page);
        self.machine.host_access_unchecked(cpu, address, Want::Load)
    }

    /// All home, and the host touches all of it.
    fn settle(&mut self) {
        for vm in self.vms.iter_mut().filter_map(Option::take) {
            bury(&self.machine, vm, 2);
        }
        for page in 0..self.pages {
            self.touch(page).unwrap();
        }
        let_rest(&self.machine);
    }
}

fn free_pages(machine: &Machine) -> u64 {
    let index = InfoIndex::FreePages.raw();
    machine.call(0, Call::EngineInfo, &[index]).ok()
}

fn churn(resize_in_place: bool) {
    let seed = setting("BULKHEAD_SEED", 0x5eed);
    println!("seed {seed}; repeat with BULKHEAD_SEED={seed}");
    let mut churn = Churn::new(seed, resize_in_place);
    let (leaves, free) = (
        churn.machine.host_leaves().len(),
        free_pages(&churn.machine),
    );
    for _ in 0..setting("BULKHEAD_STEPS", ROUNDS) {
        churn.round();
    }
    churn.settle();
    let machine = &churn.machine;
    println!(
        "host leaves: {leaves} at first, {} at most, {} at last; {} splits, {} joins; {} pages donated, {} of them lazily",
        churn.most_leaves,
        machine.host_leaves().len(),
        machine.counted(Counter::HostSplits),
        machine.counted(Counter::HostJoins),
        machine.counted(Counter::PagesDonated),
        machine.counted(Counter::PagesDonatedLazily),
    );
    assert!(churn.most_leaves > leaves, "nothing was split");
    assert_eq!(machine.host_leaves().len(), leaves);
    assert_eq!(free_pages(machine), free, "tables that nobody needs");
}

#[test]
fn leaves_of_the_host_come_back_by_break_before_make() {
    churn(false);
}

#[test]
fn leaves_of_the_host_come_back_in_place() {
    churn(true);
}

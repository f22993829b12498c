//! VM_RECLAIM by granules: whole 2 MiB come home in slices of any length, on any number of cores, whatever
//! the guest did with some of the pages before; each page is zeroed once, and nothing is lost.

use crate::common::{
    PAGE, RAM, RWX, build, census, hvc, map, map_run, page_call, play, reclaim_some, run, shape,
    start,
};
use abi::{Call, PageClass, Status, VmShape, smccc};
use engine::sim::snapshot::Snapshot;
use engine::sim::{Config, GuestOp, Machine};
use ownership::{GranuleSize, Op, Pfn, State};
use std::collections::BTreeSet;

const BLOCK: u64 = 512;
const CORES: usize = 4;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % n
    }
}

/// Says how to repeat what failed.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat with seed {}", self.0);
        }
    }
}

/// The host's `index`-th block: its position among the host's pages.
fn block(machine: &Machine, index: u64) -> u64 {
    let first = (0..BLOCK)
        .find(|index| machine.host_page(*index).is_multiple_of(BLOCK * PAGE))
        .unwrap();
    first + index * BLOCK
}

fn pfn(machine: &Machine, index: u64) -> Pfn {
    Pfn::from_raw(machine.host_page(index) >> 12)
}

fn granule_of(machine: &Machine, index: u64) -> (GranuleSize, State) {
    let pages = machine.engine().pages();
    let (granule, state) = pages.granule(pfn(machine, index)).unwrap();
    (granule.size(), state)
}

/// What a VM that is to die was given.
struct Estate {
    vm: u64,
    /// Its pages, as positions among the host's.
    pages: BTreeSet<u64>,
    /// Of these, the ones it shares.
    shared: Vec<u64>,
    /// Blocks of which no page was shared or given up.
    whole: Vec<u64>,
}

/// Blocks, of which one has shared pages and one lacks a page; pages; lent pages; and each written to
/// here and there.
fn furnish(machine: &Machine, random: &mut Random) -> Estate {
    let guest = start(machine, 1);
    let at = |mib: u64| RAM + (mib << 20);
    let at_block = |index| block(machine, index);
    let mut pages = BTreeSet::new();
    let mut give = |index: u64, ipa: u64, n: u64| {
        map(machine, &guest, index, ipa, n);
        pages.extend(index..index + n);
    };
    give(at_block(0), at(0), BLOCK);
    give(at_block(1), at(2), BLOCK);
    give(at_block(2), at(4), BLOCK);
    give(at_block(3), at(6) + PAGE, BLOCK);
    give(at_block(4), at(12), BLOCK);
    give(3, at(9), 90);
    let lend = [guest.vm, machine.host_page(1), at(10), 2, RWX];
    machine.call(0, Call::VmLend, &lend).ok();
    let stores: Vec<_> = (0..60)
        .map(|_| {
            let mib = [0, 0, 2, 4, 6, 12][random.below(6) as usize];
            at(mib) + (1 + random.below(511)) * PAGE
        })
        .map(GuestOp::Store)
        .collect();
    play(machine, &guest, stores);
    for ipa in [at(2) + 17 * PAGE, at(2) + 300 * PAGE, at(9) + 5 * PAGE] {
        page_call(machine, &guest, smccc::KVM_MEM_SHARE, ipa);
    }
    let shared = vec![at_block(1) + 17, at_block(1) + 300, 3 + 5];
    let given_up = at(4) + 5 * PAGE;
    machine.script(guest.vm, 0, [hvc(smccc::KVM_MEM_RELINQUISH, &[given_up])]);
    let exit = run(machine, 0);
    assert_eq!(exit.d[0], given_up);
    pages.remove(&((exit.d[1] - machine.host_page(0)) / PAGE));
    machine.log(guest.vm, 0);
    for page in &shared {
        machine.host_store(1, machine.host_page(*page)).unwrap();
    }
    machine.call(0, Call::VmDestroy, &[guest.vm]).ok();
    let whole = vec![at_block(0), at_block(4)];
    Estate {
        vm: guest.vm,
        pages,
        shared,
        whole,
    }
}

/// Reclaims at random cores until the end; how many pages the calls said were done.
fn reclaim(machine: &Machine, estate: &Estate, cores: usize, max: u64, random: &mut Random) -> u64 {
    let mut done = 0;
    for turn in 0..20_000_u64 {
        let cpu = random.below(cores as u64) as usize;
        // All that one call after the other costs to check is too much for calls about one page.
        let reply = if turn % max.max(3).pow(2).min(61) == 0 {
            machine.call(cpu, Call::VmReclaim, &[estate.vm, max])
        } else {
            machine.call_unchecked(cpu, Call::VmReclaim, &[estate.vm, max])
        };
        let n = reply.ok();
        assert!(n <= max, "{n} pages at once");
        done += n;
        if reply.x[1] == 1 {
            return done;
        }
        if random.below(5) == 0 {
            let page = estate.shared[random.below(3) as usize];
            let cpu = random.below(CORES as u64) as usize;
            machine.host_load(cpu, machine.host_page(page)).unwrap();
        }
    }
    panic!("the VM never ends");
}

#[test]
fn slices_of_any_length_bring_all_home_once() {
    for (seed, (max, cores)) in [1, 7, 64, 512]
        .into_iter()
        .flat_map(|max| [(max, 1), (max, 3), (max, CORES)])
        .enumerate()
    {
        let announce = Announce(seed as u64);
        let mut random = Random(seed as u64);
        let machine = Machine::new(Config {
            cpus: CORES,
            ..Config::default()
        });
        let before = census(&machine);
        let estate = furnish(&machine, &mut random);
        machine.sim().take_zeroed();
        let done = reclaim(&machine, &estate, cores, max, &mut random);
        assert_eq!(done, estate.pages.len() as u64);
        let zeroed = machine.sim().take_zeroed();
        for page in &estate.pages {
            let page = pfn(&machine, *page).raw();
            assert_eq!(zeroed.get(&page), Some(&1), "page {page:#x}");
            assert!(machine.sim().ram.is_zero(page), "page {page:#x}");
        }
        assert_eq!(zeroed.len(), estate.pages.len());
        assert_eq!(census(&machine), before);
        let host = State::Owned(ownership::Owner::Host);
        for first in &estate.whole {
            // By one word each, all the way.
            assert_eq!(granule_of(&machine, *first), (GranuleSize::Block2M, host));
        }
        machine
            .host_store(0, machine.host_page(estate.whole[0]))
            .unwrap();
        drop(announce);
    }
}

/// A granule that is zeroed in part is the VM's still, and nobody gets or sees a page of it.
#[test]
fn what_is_half_zeroed_is_nobody_s() {
    let machine = Machine::new(Config::default());
    let guest = build(&machine, 1);
    let first = block(&machine, 1);
    map(&machine, &guest, first, RAM, BLOCK);
    let before = census(&machine);
    machine.call(0, Call::VmDestroy, &[guest.vm]).ok();
    reclaim_some(&machine, guest.vm, 1, 100);
    assert!(matches!(
        granule_of(&machine, first),
        (GranuleSize::Block2M, State::Scrubbing { done: 100, .. })
    ));
    assert_eq!(census(&machine), before);
    let other = build(&machine, 1);
    for index in [first, first + 99, first + 100, first + 511] {
        let page = machine.host_page(index);
        machine.host_load(0, page).unwrap_err();
        assert_eq!(
            machine.call(0, Call::PageInfo, &[page]).ok(),
            PageClass::NotYours.raw()
        );
        for (call, arguments) in [
            (Call::VmMap, vec![other.vm, page, RAM, 1, RWX]),
            (Call::VmLend, vec![other.vm, page, RAM, 1, RWX]),
            (Call::EngineDonate, vec![page, 1]),
            (Call::PagePoison, vec![page]),
            (Call::VmMapList, vec![other.vm, page, 1]),
        ] {
            assert_eq!(machine.call(1, call, &arguments).status, Status::NotOwner);
        }
    }
    let whole = [other.vm, machine.host_page(first), RAM, BLOCK, RWX];
    assert_eq!(
        machine.call(1, Call::VmMap, &whole).status,
        Status::NotOwner
    );
    // Another core, another length.
    reclaim_some(&machine, guest.vm, 2, 412);
    machine.host_load(0, machine.host_page(first)).unwrap();
}

/// Several VMs half-done at once, in slices of all lengths: each goes on where it was.
#[test]
fn many_vms_half_done_at_once_all_come_home() {
    let machine = Machine::new(Config::default());
    let before = census(&machine);
    let vms: Vec<_> = (0..4)
        .map(|index| {
            let guest = build(&machine, 1);
            map(
                &machine,
                &guest,
                block(&machine, index),
                RAM + (2 << 20),
                BLOCK,
            );
            machine.call(0, Call::VmDestroy, &[guest.vm]).ok();
            guest.vm
        })
        .collect();
    for pages in [1, 100, 99, 200, 111, 1] {
        for vm in &vms {
            reclaim_some(&machine, *vm, 1, pages);
        }
    }
    for _ in 0..8 {
        for vm in &vms {
            machine.call_unchecked(0, Call::VmReclaim, &[*vm, 512]);
        }
    }
    assert_eq!(census(&machine), before);
    for vm in vms {
        assert_eq!(
            machine.call(0, Call::VmReclaim, &[vm, 1]).status,
            Status::BadHandle
        );
    }
}

/// 1 GiB by one word and one entry, or by one word and entries of 2 MiB: it is taken apart 2 MiB at a
/// time, once.
#[test]
fn a_gigabyte_comes_home_block_by_block() {
    const GIANT: u64 = BLOCK * BLOCK;
    for shift in [0, BLOCK * PAGE] {
        let machine = Machine::new(Config {
            ram_pages: 3 * GIANT,
            vms: 2,
            vcpus: 1,
            ..Config::default()
        });
        let before = census(&machine);
        let (ram, size) = (0x4000_0000, 0x8000_0000);
        let shape = VmShape {
            vcpus: 1,
            ipa_bits: 36,
            lendable: 0,
        };
        let create = [shape.raw(), 0, ram, size, 0, 0];
        let vm = machine.call_unchecked(0, Call::VmCreate, &create).ok();
        let first = (0..GIANT)
            .find(|index| machine.host_page(*index).is_multiple_of(GIANT * PAGE))
            .unwrap();
        let mut mapped = 0;
        while mapped < GIANT {
            let rest = [
                vm,
                machine.host_page(first + mapped),
                ram + shift + mapped * PAGE,
                GIANT - mapped,
                RWX,
            ];
            mapped += machine.call_unchecked(0, Call::VmMap, &rest).ok();
        }
        machine.call_unchecked(0, Call::VmDestroy, &[vm]).ok();
        machine.sim().take_zeroed();
        let (mut calls, mut done) = (0, 0);
        loop {
            let reply = machine.call_unchecked(calls % 2, Call::VmReclaim, &[vm, 512]);
            done += reply.ok();
            calls += 1;
            if reply.x[1] == 1 {
                break;
            }
            assert!(calls < GIANT as usize, "the VM never ends");
        }
        assert_eq!(done, GIANT);
        // A call for a few pages, and some for the tables.
        assert!(calls < GIANT as usize / 5, "{calls} calls");
        assert!(
            machine
                .sim()
                .take_zeroed()
                .values()
                .all(|times| *times == 1)
        );
        assert_eq!(granule_of(&machine, first + 7).0, GranuleSize::Block2M);
        machine
            .call(0, Call::PageInfo, &[machine.host_page(first)])
            .ok();
        assert_eq!(census(&machine), before);
    }
}

/// What is not mapped costs next to nothing.
#[test]
fn holes_need_no_calls() {
    let machine = Machine::new(Config::default());
    let guest = build(&machine, 1);
    for index in 0..4 {
        map(
            &machine,
            &guest,
            block(&machine, index),
            RAM + (index << 22),
            BLOCK,
        );
    }
    machine.call(0, Call::VmDestroy, &[guest.vm]).ok();
    let mut calls = 0;
    while machine.call(0, Call::VmReclaim, &[guest.vm, 512]).x[1] == 0 {
        calls += 1;
    }
    assert!(calls <= 4 * BLOCK / 5, "{calls} calls");
}

/// Lent pages go back, and all that follow are other cores': a call that has done something is not refused.
#[test]
fn a_call_that_takes_loans_back_and_meets_busy_pages_succeeds() {
    const BUSY: u64 = 120;
    for lent in 1..10 {
        let machine = Machine::new(Config::default());
        let vm = machine.call(0, Call::VmCreate, &shape(1)).ok();
        let lend = [vm, machine.host_page(0), RAM, lent, RWX];
        assert_eq!(machine.call(0, Call::VmLend, &lend).ok(), lent);
        let (pa, ipa) = (machine.host_page(lent), RAM + lent * PAGE);
        assert_eq!(map_run(&machine, vm, pa, ipa, BUSY), (BUSY, 0));
        machine.call(0, Call::VmDestroy, &[vm]).ok();
        let claim = |index| {
            let pages = machine.engine().pages();
            pages.claim_page(pfn(&machine, index), Op::Reclaim, 1, |_| true)
        };
        let claims: Vec<_> = (lent..lent + BUSY)
            .map(|index| claim(index).unwrap())
            .collect();
        let reclaim = || machine.call_unchecked(0, Call::VmReclaim, &[vm, 512]);
        for _ in 0..8 {
            let before = Snapshot::take(&machine);
            if reclaim().status != Status::Success {
                before.assert_unchanged(&machine, &|| format!("VM_RECLAIM after {lent} loans"));
            }
        }
        let page = machine.call_unchecked(0, Call::PageInfo, &[machine.host_page(lent - 1)]);
        assert_eq!(page.ok(), PageClass::Host.raw());
        drop(claims);
        while reclaim().x[1] == 0 {}
    }
}

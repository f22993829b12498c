//! Pages with a memory error: found while they are zeroed or read, they are out of circulation for good,
//! they alone, and the call goes on.

use crate::common::{PAGE, RAM, RWX, build, census, hvc, map, page_call, play, run, start};
use abi::{Call, Counter, ExitReason, FaultKind, PageClass, Status, smccc};
use engine::sim::{Config, GuestOp, Machine};
use ownership::{Pfn, State};

const BLOCK: u64 = 512;

fn break_page(machine: &Machine, index: u64) {
    let page = Pfn::from_raw(machine.host_page(index) >> 12);
    machine.sim().break_page(page);
}

fn state(machine: &Machine, index: u64) -> State {
    let page = Pfn::from_raw(machine.host_page(index) >> 12);
    machine.engine().pages().state(page).unwrap()
}

/// How many pages were lost, by the counters of all cores.
fn lost(machine: &Machine) -> u64 {
    let index = Counter::PagesPoisoned.raw();
    (0..machine.config().cpus as u64)
        .map(|cpu| machine.call(0, Call::StatsRead, &[cpu, index]).ok())
        .sum()
}

/// The last event that a core noted, but for the end of a call.
fn last_event(machine: &Machine, cpu: u64) -> (u64, u64) {
    let (mut next, mut last) = (1, (0, 0));
    loop {
        let reply = machine.call_unchecked(1 - cpu as usize, Call::TraceRead, &[cpu, next]);
        if reply.status != Status::Success {
            return last;
        }
        let event = (reply.x[1] >> 56, reply.x[1] & 0x00ff_ffff_ffff_ffff);
        if event.0 != 1 {
            last = event;
        }
        next = reply.x[0] + 1;
    }
}

fn assert_lost(machine: &Machine, index: u64) {
    let page = machine.host_page(index);
    assert_eq!(state(machine, index), State::Poisoned);
    machine.host_load(0, page).unwrap_err();
    let info = machine.call(0, Call::PageInfo, &[page]).ok();
    assert_eq!(info, PageClass::NotYours.raw());
    let donate = machine.call(0, Call::EngineDonate, &[page, 1]);
    assert_eq!(donate.status, Status::NotOwner);
    let poison = machine.call(0, Call::PagePoison, &[page]);
    assert_eq!(poison.status, Status::NotOwner);
}

fn first_block(machine: &Machine) -> u64 {
    (0..BLOCK)
        .find(|index| machine.host_page(*index).is_multiple_of(BLOCK * PAGE))
        .unwrap()
}

/// In a block by one word, in a block with a shared page, among pages, and the shared page itself.
#[test]
fn a_page_that_cannot_be_zeroed_stays_behind_alone() {
    for max in [1_u64, 7, 64, 512] {
        let machine = Machine::new(Config::default());
        let guest = start(&machine, 1);
        let first = first_block(&machine);
        map(&machine, &guest, first, RAM, BLOCK);
        map(&machine, &guest, first + BLOCK, RAM + (2 << 20), BLOCK);
        map(&machine, &guest, 3, RAM + (5 << 20), 20);
        let stores = (0..20).map(|index| GuestOp::Store(RAM + index * 51 * PAGE));
        play(&machine, &guest, stores);
        let shared = RAM + (2 << 20) + 300 * PAGE;
        page_call(&machine, &guest, smccc::KVM_MEM_SHARE, shared);
        machine
            .host_store(1, machine.host_page(first + BLOCK + 300))
            .unwrap();
        let bad = [
            first,
            first + 130,
            first + 131,
            first + 511,
            first + BLOCK + 7,
            first + BLOCK + 300,
            4,
            22,
        ];
        for index in bad {
            break_page(&machine, index);
        }
        machine.call(0, Call::VmDestroy, &[guest.vm]).ok();
        let mut home = 0;
        for turn in 0.. {
            let cpu = turn % 2;
            let reply = if turn % max.pow(2).min(97) as usize == 0 {
                machine.call(cpu, Call::VmReclaim, &[guest.vm, max])
            } else {
                machine.call_unchecked(cpu, Call::VmReclaim, &[guest.vm, max])
            };
            home += reply.ok();
            if reply.x[1] == 1 {
                break;
            }
            assert!(turn < 5000, "the VM never ends");
        }
        assert_eq!(home, 2 * BLOCK + 20 - bad.len() as u64);
        assert_eq!(lost(&machine), bad.len() as u64);
        for index in bad {
            assert_lost(&machine, index);
        }
        let neighbours = (first..first + 2 * BLOCK).chain(3..23);
        for index in neighbours.filter(|index| !bad.contains(index)) {
            let page = machine.host_page(index);
            assert_eq!(state(&machine, index), State::Owned(ownership::Owner::Host));
            assert!(machine.sim().ram.is_zero(page >> 12));
        }
        assert_eq!(census(&machine)[7], bad.len() as u64);
        machine.host_store(0, machine.host_page(first + 1)).unwrap();
    }
}

/// The guest's host is told, of the vCPU and nothing more, and the vCPU goes on no more; the host itself takes its own.
#[test]
fn whoever_reaches_a_broken_page_finds_that() {
    let machine = Machine::new(Config::default());
    let guest = start(&machine, 1);
    map(&machine, &guest, 3, RAM, 1);
    break_page(&machine, 3);
    machine.script(guest.vm, 0, [GuestOp::Load(RAM)]);
    let exit = run(&machine, 0);
    let told = [FaultKind::External.raw(), 0, 0];
    assert_eq!(
        (exit.reason, exit.vcpu, exit.d),
        (ExitReason::Fault, guest.vcpus[0], told)
    );
    assert_eq!(run(&machine, 0).reason, ExitReason::Idle);
    break_page(&machine, 4);
    let page = machine.host_page(4);
    let abort = machine.host_load(0, page).unwrap_err();
    assert_eq!((abort.esr & 0x3f, abort.far), (0b01_0000, page));
    machine.host_store(0, page).unwrap_err();
    assert_eq!(state(&machine, 4), State::Owned(ownership::Owner::Host));
    machine.call(0, Call::PagePoison, &[page]).ok();
    assert_lost(&machine, 4);
}

#[test]
fn a_guest_that_gives_up_a_broken_page_is_told_it_is_done() {
    let machine = Machine::new(Config::default());
    let guest = start(&machine, 1);
    let first = first_block(&machine);
    map(&machine, &guest, first, RAM, BLOCK);
    play(&machine, &guest, [GuestOp::Store(RAM + 9 * PAGE)]);
    break_page(&machine, first + 9);
    let ipa = RAM + 9 * PAGE;
    machine.script(guest.vm, 0, [hvc(smccc::KVM_MEM_RELINQUISH, &[ipa])]);
    let exit = run(&machine, 0);
    assert_eq!(
        (exit.reason, exit.d),
        (
            ExitReason::PageRelinquished,
            [ipa, machine.host_page(first + 9), 1]
        )
    );
    assert_lost(&machine, first + 9);
    assert_eq!(lost(&machine), 1);
    // Its neighbours are the guest's as before, and the place is free for another page.
    let seen = play(&machine, &guest, [GuestOp::Store(RAM + 8 * PAGE)]);
    assert_eq!(seen[0], engine::sim::Seen::Returned([0; 4]));
    map(&machine, &guest, 0, ipa, 1);
    play(&machine, &guest, [GuestOp::Store(ipa)]);
    assert_eq!(crate::common::bury(&machine, guest.vm, 2), BLOCK);
}

#[test]
fn a_broken_page_of_the_pool_does_not_come_back() {
    let machine = Machine::new(Config::default());
    let page = machine.host_page(40);
    machine.call(0, Call::EngineDonate, &[page, 4]).ok();
    break_page(&machine, 41);
    let mut home = Vec::new();
    loop {
        let reply = machine.call(1, Call::EngineReclaim, &[2]);
        let n = reply.ok() as usize;
        if n == 0 {
            break;
        }
        home.extend_from_slice(&reply.x[1..=n]);
    }
    assert!(!home.contains(&(page + PAGE)));
    for index in [40, 42, 43] {
        assert!(home.contains(&machine.host_page(index)), "{home:x?}");
    }
    assert_lost(&machine, 41);
    assert_eq!(lost(&machine), 1);
    assert_eq!(last_event(&machine, 1), (6, (page + PAGE) >> 12));
}

#[test]
fn a_list_that_cannot_be_read_is_refused_and_stays_the_host_s() {
    let machine = Machine::new(Config::default());
    let guest = build(&machine, 1);
    break_page(&machine, 10);
    let list = machine.host_page(10);
    let refused = machine.call(0, Call::VmMapList, &[guest.vm, list, 3]);
    assert_eq!(refused.status, Status::NotRam);
    assert_eq!(lost(&machine), 0);
    assert_eq!(
        machine.call(0, Call::PageInfo, &[list]).ok(),
        PageClass::Host.raw()
    );
    // The host may report it.
    machine.call(0, Call::PagePoison, &[list]).ok();
    assert_lost(&machine, 10);
    assert_eq!(lost(&machine), 1);
}

/// What was broken when it was given is the next owner's to find; at the end it stays behind.
#[test]
fn a_broken_page_that_was_given_comes_to_light_at_the_end() {
    let machine = Machine::new(Config::default());
    let guest = build(&machine, 1);
    break_page(&machine, 20);
    let give = [guest.vm, machine.host_page(19), RAM, 3, RWX];
    assert_eq!(machine.call(0, Call::VmMap, &give).ok(), 3);
    assert_eq!(crate::common::bury(&machine, guest.vm, 2), 2);
    assert_lost(&machine, 20);
}

/// A page that the engine is given is one that it will store to: it is looked at before.
#[test]
fn a_donated_page_with_an_error_never_joins_the_pool() {
    let machine = Machine::new(Config::default());
    for index in [40, 43] {
        break_page(&machine, index);
    }
    let first = machine.host_page(40);
    // Refused, and the page is lost all the same.
    let alone = machine.call_unchecked(0, Call::EngineDonate, &[first, 1]);
    assert_eq!(alone.status, Status::NotRam);
    let reply = machine.call(0, Call::EngineDonate, &[first + PAGE, 6]);
    assert_eq!((reply.ok(), reply.x[1]), (2, Status::NotRam.raw() as u64));
    assert_eq!(lost(&machine), 2);
    for index in [40, 43] {
        assert_lost(&machine, index);
    }
    // Those behind it are the host's as before.
    machine.host_load(0, machine.host_page(44)).unwrap();
    assert_eq!(machine.call(0, Call::EngineReclaim, &[16]).ok(), 2);
}

/// The zeroes of a page do not stay, and nothing tells so: nobody gets it, whichever way it goes.
#[test]
fn a_page_that_does_not_read_back_as_zero_stays_behind() {
    let machine = Machine::new(Config::default());
    let guest = build(&machine, 1);
    let first = first_block(&machine);
    map(&machine, &guest, first, RAM, BLOCK);
    map(&machine, &guest, 4, RAM + (2 << 20), 1);
    let bad = [first, first + 100, first + 101, 4];
    for index in bad {
        let page = Pfn::from_raw(machine.host_page(index) >> 12);
        machine.sim().stick_page(page);
    }
    machine.call(0, Call::VmDestroy, &[guest.vm]).ok();
    let mut home = 0;
    for turn in 0.. {
        let reply = machine.call(0, Call::VmReclaim, &[guest.vm, 64]);
        home += reply.ok();
        if reply.x[1] == 1 {
            break;
        }
        assert!(turn < 100, "the VM never ends");
    }
    assert_eq!(home, BLOCK + 1 - bad.len() as u64);
    assert_eq!(lost(&machine), bad.len() as u64);
    let violations = Counter::ScrubViolations.raw();
    let found = machine.call(0, Call::StatsRead, &[0, violations]).ok();
    assert_eq!(found, bad.len() as u64);
    for index in bad {
        assert_lost(&machine, index);
    }
}

/// A page that is lost costs a call as much as one that comes home.
#[test]
fn lost_pages_count_towards_a_call_s_most() {
    for max in [1_u64, 5, 512] {
        let machine = Machine::new(Config::default());
        let guest = build(&machine, 1);
        let first = first_block(&machine);
        map(&machine, &guest, first, RAM, BLOCK);
        map(&machine, &guest, 3, RAM + (2 << 20), 40);
        for index in (first..first + 30).chain(3..43) {
            break_page(&machine, index);
        }
        machine.call(0, Call::VmDestroy, &[guest.vm]).ok();
        machine.sim().take_zeroed();
        for turn in 0.. {
            let reply = machine.call_unchecked(0, Call::VmReclaim, &[guest.vm, max]);
            let tried: u64 = machine.sim().take_zeroed().values().sum();
            assert!(tried <= max, "{tried} pages in a call for {max}");
            if (reply.status, reply.x[1]) == (Status::Success, 1) {
                break;
            }
            assert!(turn < 2000, "the VM never ends");
        }
        assert_eq!(lost(&machine), 70);
    }
}

/// The pages beside a lost one come home alone: the host maps them without memory.
#[test]
fn what_is_left_of_a_block_is_mapped_without_memory() {
    let machine = Machine::new(Config::default());
    let guest = build(&machine, 1);
    let first = first_block(&machine);
    map(&machine, &guest, first, RAM, BLOCK);
    break_page(&machine, first + 9);
    crate::common::bury(&machine, guest.vm, 1);
    let free = crate::reserve::free_pages(&machine);
    for index in [0, 8, 10, 511] {
        machine
            .host_load(0, machine.host_page(first + index))
            .unwrap();
    }
    assert_eq!(
        crate::reserve::free_pages(&machine),
        free,
        "a table was made"
    );
    assert_lost(&machine, first + 9);
}

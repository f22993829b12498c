//! The engine's small words under loom, each alone: whoever finds what was handed over by a word finds
//! all that was done before it, and nothing that is handed over gets lost.
//!
//! A `Content` stands for what was done: loom fails the model when two cores touch it without an order
//! between them.

#![cfg(loom)]

use engine::host::core::HostCore;
use engine::memory::page_set::PageSet;
use engine::memory::reserve::Reserve;
use engine::vm::cursor::{Progress, Stage};
use engine::vm::life::Phase;
use engine::vm::rests::Rests;
use engine::vm::{Plan, RamRange, Vm};
use loom_tests::handing::{Handing, beside};
use loom_tests::{Arc, cpu, explore, spawn};
use ownership::Pfn;
use percpu::{Residence, Resident};
use sync::AtomicU64;

const PAGE: Pfn = Pfn::from_raw(0x40001);
const OTHER: Pfn = Pfn::from_raw(0x40002);

/// A page goes into the reserve and out again: its last use happened before.
#[test]
fn a_page_of_the_reserve_comes_after_its_last_use() {
    explore(2, || {
        let put = |at: &Handing<Reserve>| {
            at.content.touch();
            assert!(at.word.put(PAGE));
        };
        let take = |at: &Handing<Reserve>| {
            let taken = at.word.take(0);
            if taken == Some(PAGE) {
                at.content.touch();
            }
            taken
        };
        let (at, (), taken) = beside(Reserve::default(), put, take);
        assert_eq!(at.word.len(), u64::from(taken.is_none()));
    });
}

/// One page is exchanged for another while the core that put it takes what there is: both come after their last
/// use, and neither twice.
#[test]
fn a_page_of_the_reserve_is_exchanged_whole() {
    explore(2, || {
        let swap = |at: &Handing<Reserve>| {
            at.other.touch();
            let got = at.word.swap(OTHER, |page| page == PAGE);
            if got.is_some() {
                at.content.touch();
            }
            got
        };
        let putter_and_taker = |at: &Handing<Reserve>| {
            at.content.touch();
            assert!(at.word.put(PAGE));
            let taken = at.word.take(0);
            match taken {
                Some(PAGE) => at.content.touch(),
                Some(_) => at.other.touch(),
                None => {}
            }
            taken
        };
        let (at, got, taken) = beside(Reserve::default(), swap, putter_and_taker);
        let left = at.word.len();
        match got {
            Some(page) => assert_eq!((page, taken, left), (PAGE, Some(OTHER), 0)),
            None => assert_eq!((taken, left), (Some(PAGE), 0)),
        }
    });
}

/// Two donations want the reserve: one at a time has it, and sees what the other did.
#[test]
fn one_donation_at_a_time_has_the_reserve() {
    explore(2, || {
        let donate = |at: &Handing<Reserve>| {
            let has = at.word.hold();
            if has {
                at.content.touch();
                at.word.let_go();
            }
            has
        };
        let (at, first, second) = beside(Reserve::default(), donate, donate);
        assert!((first || second) && at.word.hold());
    });
}

type Set = PageSet<Box<[AtomicU64]>>;

/// A set of the 64 pages around these, empty.
fn set() -> Set {
    let words = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
    let (bits, summary) = Set::words_for(64);
    PageSet::new(Pfn::from_raw(0x40000), words(bits), words(summary))
}

fn put(at: &Handing<Set>) {
    at.content.touch();
    assert!(at.word.put(PAGE));
}

/// A page goes into the pool and out again, as any page or as this one.
#[test]
fn a_page_of_the_pool_comes_after_its_last_use() {
    for exact in [false, true] {
        explore(2, move || {
            let take = |at: &Handing<Set>| {
                let has = match exact {
                    true => at.word.take_exact(PAGE),
                    false => at.word.take(0).is_some(),
                };
                if has {
                    at.content.touch();
                }
                has
            };
            let (at, (), taken) = beside(set(), put, take);
            assert_eq!(at.word.take(0).is_none(), taken);
        });
    }
}

/// A core finds nothing where there was a page before, and says so, while another puts one there.
#[test]
fn a_page_put_beside_a_vain_search_is_found() {
    explore(2, || {
        let set = set();
        assert!(set.put(OTHER) && set.take_exact(OTHER));
        let (at, (), taken) = beside(set, put, |at| at.word.take(0));
        assert_eq!(
            at.word.take(0).is_none(),
            taken.is_some(),
            "a page was lost"
        );
    });
}

/// A core of the host's comes up, is released, starts, and is released again after it went off.
#[test]
fn a_released_core_starts_where_it_was_told() {
    explore(2, || {
        let core = |at: &Handing<HostCore>| {
            at.content.touch();
            at.word.arrive();
            let started = at.word.take_release();
            if started.is_some() {
                at.content.touch();
                at.word.turn_off();
            }
            started
        };
        let release = |at: &Handing<HostCore>| {
            let mut won = 0;
            for entry in [7, 8] {
                if at.word.release(entry, entry).is_ok() {
                    won += 1;
                    if won == 2 {
                        // Off again: what it did before is done.
                        at.content.touch();
                    }
                }
            }
            won
        };
        let (_, started, won) = beside(HostCore::new(1), core, release);
        assert!(
            started.is_none_or(|at| at == (7, 7) || at == (8, 8)),
            "{started:?}"
        );
        assert!(won > 0 || started.is_none());
    });
}

/// A core that is seen off has set itself up.
#[test]
fn a_core_is_released_after_it_set_itself_up() {
    explore(2, || {
        let core = |at: &Handing<HostCore>| {
            at.content.touch();
            at.word.arrive();
        };
        let release = |at: &Handing<HostCore>| {
            if at.word.release(7, 7).is_ok() {
                at.content.touch();
            }
        };
        beside(HostCore::new(1), core, release);
    });
}

fn plan() -> Plan {
    let ram = RamRange {
        first: 0x100,
        pages: 2,
        is_lendable: true,
    };
    Plan {
        root: PAGE,
        ram: [ram, ram],
        gicr: 0x900,
        vcpu_limit: 2,
    }
}

/// A VM that is there for others is filled in.
#[test]
fn a_vm_that_is_seen_building_is_filled_in() {
    explore(2, || {
        let create = |at: &Handing<Vm>| {
            let generation = at.word.begin().expect("alone");
            at.word.fill(&plan(), 5);
            let done = at
                .word
                .life
                .advance(generation, Phase::Creating, Phase::Building);
            done.expect("its own");
        };
        let look = |at: &Handing<Vm>| {
            if at.word.life.now().1 == Phase::Building {
                assert_eq!((at.word.plan().root, at.word.plan().gicr), (PAGE, 0x900));
                assert_eq!(at.word.counter_offset(), 5);
            }
        };
        beside(Vm::default(), create, look);
    });
}

/// A slot that is begun anew is one whose last VM is done with.
#[test]
fn a_slot_is_begun_after_its_last_vm_s_end() {
    explore(2, || {
        let vm = Vm::default();
        let last = vm.begin().expect("alone");
        let end = move |at: &Handing<Vm>| {
            at.content.touch();
            at.word
                .life
                .advance(last, Phase::Creating, Phase::Free)
                .expect("its own");
        };
        let begin = |at: &Handing<Vm>| {
            if at.word.begin().is_some() {
                at.content.touch();
            }
        };
        beside(vm, end, begin);
    });
}

/// Two cores give a VM a vCPU each, a third plays the list: each is in it once, none before it is there.
#[test]
fn vcpus_join_a_vm_one_by_one() {
    explore(3, || {
        let vm = Vm::default();
        vm.begin().expect("alone");
        vm.fill(&plan(), 0);
        let add = |at: &Handing<Vm>, slot| at.word.lock_vcpus().is_some_and(|list| list.add(slot));
        let list = |at: &Handing<Vm>| at.word.vcpus().collect::<Vec<_>>();
        let vm = Arc::new(Handing {
            word: vm,
            ..Handing::default()
        });
        let sides = [8, 9].map(|slot| {
            let vm = vm.clone();
            spawn(move || add(&vm, slot))
        });
        let seen = list(&vm);
        assert!(seen.iter().all(|slot| [8, 9].contains(slot)), "{seen:?}");
        let added = sides.map(|side| usize::from(side.join().unwrap()));
        let mut all = list(&vm);
        assert_eq!(all.len(), added.iter().sum::<usize>(), "{all:?}");
        all.dedup();
        assert_eq!(all.len(), added.iter().sum::<usize>(), "{all:?}");
    });
}

/// A vCPU that is told of as ready is parked.
#[test]
fn a_ready_vcpu_is_told_of_after_it_parked() {
    explore(2, || {
        let park = |at: &Handing<Vm>| {
            at.content.touch();
            at.word.note_ready(3);
        };
        let tell = |at: &Handing<Vm>| {
            let ready = at.word.take_ready();
            if ready.is_some() {
                at.content.touch();
            }
            ready
        };
        let (at, (), told) = beside(Vm::default(), park, tell);
        assert_eq!(told.or(at.word.take_ready()), Some(3));
    });
}

/// Whoever sees a vCPU parked sees what the core that parked it did.
#[test]
fn a_vcpu_is_seen_at_rest_after_what_was_done_with_it() {
    for by_generation in [false, true] {
        explore(2, move || {
            let vcpu = Resident::new(0);
            let park = |at: &Handing<Resident<u64>>| {
                let ticket = at.word.residency().allocate(cpu(0)).expect("a fresh slot");
                at.content.touch();
                ticket.park();
            };
            let look = |at: &Handing<Resident<u64>>| {
                let seen = match by_generation {
                    true => at.word.residency().now_of(1),
                    false => at.word.residency().now().1,
                };
                if seen == Residence::Parked {
                    at.content.touch();
                }
            };
            beside(vcpu, park, look);
        });
    }
}

/// A dying VM with its cursor at pages, two cores counted in.
fn dying() -> Vm {
    let vm = Vm::default();
    vm.cursor.begin(1, 0);
    for _ in 0..2 {
        let seen = vm.cursor.now();
        let workers = seen.workers + 1;
        assert!(vm.cursor.replace(seen, Progress { workers, ..seen }));
    }
    vm
}

/// Whoever finds itself the last of a stage finds the others' work done.
#[test]
fn the_last_of_a_stage_sees_what_the_others_did() {
    explore(2, || {
        let work = |at: &Handing<Vm>| {
            at.content.touch();
            at.word.cursor.leave();
        };
        let end = |at: &Handing<Vm>| {
            if at.word.cursor.now().workers == 1 {
                at.content.touch();
            }
        };
        beside(dying(), work, end);
    });
}

/// Whoever finds a later stage finds what was done before it.
#[test]
fn a_stage_begins_after_the_one_before() {
    explore(2, || {
        let end = |at: &Handing<Vm>| {
            at.content.touch();
            let seen = at.word.cursor.now();
            let stage = Stage::Check;
            assert!(at.word.cursor.replace(seen, Progress { stage, ..seen }));
        };
        let look = |at: &Handing<Vm>| {
            if at.word.cursor.now().stage == Stage::Check {
                at.content.touch();
            }
        };
        beside(dying(), end, look);
    });
}

/// What was done of 2 MiB is done for whoever goes on with it.
#[test]
fn a_rest_is_taken_after_what_was_done_of_it() {
    explore(2, || {
        let stop = |at: &Handing<Rests>| {
            at.content.touch();
            assert!(at.word.put(0x200));
        };
        let go_on = |at: &Handing<Rests>| {
            let rest = at.word.take();
            if rest.is_some() {
                at.content.touch();
            }
            rest
        };
        let (at, (), rest) = beside(Rests::default(), stop, go_on);
        assert_eq!(rest.or(at.word.take()), Some(0x200));
    });
}

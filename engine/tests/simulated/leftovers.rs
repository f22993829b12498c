//! What a reset left in RAM is gone before the host has it.

use crate::common::PAGE;
use abi::{Call, Counter, PageClass};
use engine::engine::PageRun;
use engine::sim::{Config, Machine};
use ownership::{Pfn, State};

/// Something that a VM or the engine had there.
const LEFT: u64 = 0x5ec2_e700_0000_0001;

/// The page so many behind the first that may be given away.
fn page(machine: &Machine, index: u64) -> Pfn {
    Pfn::from_raw(machine.host_page(index) >> 12)
}

/// A machine whose RAM is full of something, this much of which the loader put there, before its host runs.
fn full(config: Config, kept: &[PageRun]) -> Machine {
    let machine = Machine::before_host(config, Some(kept));
    for index in 0..host_pages(&machine) {
        let page = page(&machine, index);
        machine.sim().leave_word(page, 0, LEFT ^ index);
        machine.sim().leave_word(page, 511, LEFT);
    }
    machine
}

fn host_pages(machine: &Machine) -> u64 {
    machine.config().ram_pages - machine.first_host_page()
}

#[test]
fn are_gone_before_the_host_runs() {
    let config = Config::default();
    let plain = Machine::before_host(config, None);
    // At an edge of a piece, alone, and side by side.
    let kept = [(0, 1), (700, 3), (703, 1)].map(|(first, pages)| PageRun {
        first: page(&plain, first),
        pages,
    });
    let machine = full(config, &kept);
    let broken = [5, 6, 1500];
    for index in broken {
        machine.sim().break_page(page(&machine, index));
    }
    assert!(!machine.engine().leftovers().are_gone());
    machine.clear_leftovers(1);
    assert!(machine.engine().leftovers().are_gone());
    machine.start_host();
    let near_a_choice =
        |index: &u64| *index < 8 || index.abs_diff(702) < 5 || index.is_multiple_of(50);
    for index in (0..host_pages(&machine)).filter(near_a_choice) {
        let pa = machine.host_page(index);
        let stays = index == 0 || (700..704).contains(&index);
        let seen = [
            machine.host_load(0, pa),
            machine.host_load(1, pa + PAGE - 8),
        ];
        match seen {
            _ if broken.contains(&index) => {
                assert!(seen.iter().all(Result::is_err), "page {index}");
                assert_eq!(
                    machine.engine().pages().state(page(&machine, index)),
                    Some(State::Poisoned)
                );
                let class = machine.call(0, Call::PageInfo, &[pa]).ok();
                assert_eq!(class, PageClass::NotYours.raw());
            }
            _ if stays => assert_eq!(seen, [Ok(LEFT ^ index), Ok(LEFT)], "page {index}"),
            _ => assert_eq!(seen, [Ok(0), Ok(0)], "page {index}"),
        }
    }
    let lost = machine.counted(Counter::PagesPoisoned);
    assert_eq!(lost, broken.len() as u64);
}

#[test]
fn the_loader_s_word_leaves_ram_as_it_is() {
    let machine = Machine::before_host(Config::default(), None);
    machine.sim().leave_word(page(&machine, 9), 0, LEFT);
    assert!(machine.engine().leftovers().are_gone());
    machine.clear_leftovers(0);
    machine.start_host();
    assert_eq!(machine.host_load(0, machine.host_page(9)), Ok(LEFT));
}

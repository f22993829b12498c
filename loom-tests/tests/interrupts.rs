//! A vCPU's SPIs under loom: injected by any core, collected by the one that runs the vCPU. Is one
//! lost, or taken twice?

#![cfg(loom)]

use engine::gic::lr::ListRegister;
use engine::gic::{Runner, Shared, Spi};
use loom_tests::{Arc, explore, spawn};

/// Four list registers, five priority bits.
const VTR: u64 = 4 << 29 | 4 << 26 | 3;

/// One word of SPIs is enough: 32 to 95.
type Inbox = Shared<1>;

fn spi(intid: u64) -> Spi {
    Spi::new(intid).expect("an SPI")
}

/// The guest runs once, and takes and ends all it finds; which they were.
fn play(runner: &mut Runner<1>, inbox: &Inbox) -> Vec<u64> {
    let _ = runner.fill(inbox);
    let lists = runner.ich.lr.iter().filter(|list| **list != 0);
    let taken = lists
        .map(|list| ListRegister::from_raw(*list).intid())
        .collect();
    runner.ich.lr.fill(0);
    runner.drain(inbox);
    taken
}

/// Two cores inject an edge each while a third runs the vCPU: each comes once.
#[test]
fn each_edge_comes_once() {
    explore(3, || {
        let inbox = Arc::new(Inbox::new());
        let injectors = [40, 41].map(|intid| {
            let inbox = inbox.clone();
            spawn(move || inbox.spis.edge(spi(intid), 0x80))
        });
        let mut runner = Runner::new(VTR);
        let mut taken = play(&mut runner, &inbox);
        for injector in injectors {
            injector.join().unwrap();
        }
        taken.extend(play(&mut runner, &inbox));
        taken.extend(play(&mut runner, &inbox));
        taken.sort_unstable();
        assert_eq!(taken, [40, 41]);
    });
}

/// A line goes high and low again: whatever the runner saw of it between, in the end it is low, and
/// what came at the same time is not lost.
#[test]
fn a_line_ends_as_it_was_left() {
    explore(2, || {
        let inbox = Arc::new(Inbox::new());
        let device = spawn({
            let inbox = inbox.clone();
            move || {
                inbox.spis.assert(spi(40), 0x80);
                inbox.spis.deassert(spi(40), 0x80);
                inbox.spis.assert(spi(41), 0x80);
            }
        });
        let mut runner = Runner::new(VTR);
        let _ = play(&mut runner, &inbox);
        device.join().unwrap();
        assert_eq!(play(&mut runner, &inbox), [41]);
        assert_eq!(play(&mut runner, &inbox), [41], "the line is high still");
    });
}

/// The runner sees the mark of a line that went high: it sees the line, now and not at some later
/// injection.
#[test]
fn a_mark_brings_its_line() {
    explore(2, || {
        let inbox = Arc::new(Inbox::new());
        let device = spawn({
            let inbox = inbox.clone();
            move || inbox.spis.assert(spi(40), 0x80)
        });
        let mut runner = Runner::new(VTR);
        let early = play(&mut runner, &inbox);
        let later = play(&mut runner, &inbox);
        device.join().unwrap();
        assert!(early.is_empty() || later == [40], "{early:?} {later:?}");
        assert_eq!(play(&mut runner, &inbox), [40]);
    });
}

//! The host's calls as raw registers: several cores in turns, some of them while a guest runs.
//!
//! The first byte of an input is the machine; the others are steps (`step`), each of whose bytes is one choice
//! (`world`). After each call the simulated machine walks all invariants, what was refused has changed nothing, and no
//! register tells more than it should (`raw`). At the end all VMs die, and nothing is lost.

mod raw;
mod step;
mod world;

use abi::{Call, Status};
use std::sync::{Arc, Mutex};

use engine::sim::Machine;
use step::step;
use world::{CPUS, World};

/// Plays an input.
///
/// # Panics
/// If something that must hold does not.
pub fn play(input: &[u8]) {
    let shared = Arc::new(Mutex::new(World::new(input)));
    loop {
        {
            let world = shared.lock().expect("nobody panicked");
            if world.bytes.is_empty() || world.steps == 0 {
                break;
            }
        }
        step(&shared, true);
    }
    finish(&shared);
}

/// Everything ends, and nothing is lost.
fn finish(shared: &Arc<Mutex<World>>) {
    let (machine, vms, poisoned) = {
        let world = shared.lock().expect("nobody panicked");
        (world.machine.clone(), world.vms.clone(), world.poisoned)
    };
    // Scripts hold the world, which holds the machine.
    machine.sim().clear_scripts();
    for vm in vms {
        machine.call_unchecked(0, Call::VmDestroy, &[vm]);
        for turn in 0.. {
            let reply = machine.call_unchecked(turn % CPUS, Call::VmReclaim, &[vm, 512]);
            if reply.status != Status::Success || reply.x[1] == 1 {
                break;
            }
            assert!(turn < 3000, "VM {vm:#x} never ends");
        }
    }
    engine::sim::check::assert_all(&machine, &|| "all is over".into());
    let [.., vm, shared_pages, claimed, broken] = census(&machine);
    assert_eq!(
        [vm, shared_pages, claimed],
        [0; 3],
        "pages that are no host's"
    );
    assert_eq!(broken, poisoned, "poisoned pages");
}

/// PAGE_CENSUS of all pages.
fn census(machine: &Machine) -> [u64; 8] {
    let (mut first, mut total) = (0, [0; 8]);
    while first < machine.config().ram_pages {
        let reply = machine.call_unchecked(0, Call::PageCensus, &[first, 2048]);
        assert!(reply.ok() > 0, "a census of nothing");
        first += reply.x[0];
        for (sum, count) in total.iter_mut().zip(&reply.x[1..9]) {
            *sum += count;
        }
    }
    total
}

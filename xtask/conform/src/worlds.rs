//! The small machine and its worlds: what is followed of all that can be done.
//!
//! All of it at once has more states than can be gone through: what pages, vCPUs, interrupts and contents can be
//! multiplies. So each world follows what belongs together; what it does not follow is tried and compared all
//! the same, in each of its states.

use abi::Call;
use engine::sim::Config;

use crate::deed::{Act, Deed};
use crate::menu::{PAGES, SHAPE, Topic};

/// A world: which dishes are followed to the states that they lead to.
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// What it has states of.
    pub says: &'static str,
    /// What it follows.
    pub follow: &'static [Topic],
    /// Steps with which it begins.
    pub begin: fn(&engine::sim::Machine) -> Vec<Deed>,
}

/// The machine: 2 cores, 2 VMs, 2 vCPUs, and 3 pages that the host may give away.
pub fn config() -> Config {
    let mut config = Config {
        cpus: 2,
        vms: 2,
        vcpus: 2,
        pool_pages: 40,
        seed: 1,
        ..Config::default()
    };
    config.features.pa_bits = 36;
    config.ram_pages = 20 + config.pool_pages + PAGES;
    config
}

fn nothing(_: &engine::sim::Machine) -> Vec<Deed> {
    Vec::new()
}

/// The worlds.
pub const WORLDS: &[World] = &[
    World {
        name: "memory",
        says: "pages given, lent, taken back and donated, two VMs through their lives",
        follow: &[Topic::Life, Topic::Memory, Topic::Pool],
        begin: nothing,
    },
    World {
        name: "vcpus",
        says: "vCPUs made, queued, run and asked, two VMs through their lives",
        follow: &[Topic::Life, Topic::Vcpu, Topic::Power, Topic::Meanwhile],
        begin: nothing,
    },
    World {
        name: "interrupts",
        says: "two vCPUs that are on, interrupts for them, and cores that come and go",
        follow: &[Topic::Vcpu, Topic::Interrupts, Topic::Cores],
        begin: two_that_run,
    },
    World {
        name: "errors",
        says: "pages with memory errors, found or told of, given and taken back, two VMs through their lives",
        follow: &[Topic::Life, Topic::Memory, Topic::Errors, Topic::Hidden],
        begin: nothing,
    },
    World {
        name: "guests",
        says: "a guest that shares, gives up and touches its pages, until it is destroyed",
        follow: &[Topic::Life, Topic::Memory, Topic::Guest],
        begin: a_vm_that_runs,
    },
    World {
        name: "contents",
        says: "what stands in pages of a guest's and of the host's",
        follow: &[Topic::Memory, Topic::Guest, Topic::Content],
        begin: a_vm_that_runs,
    },
];

/// A VM with two vCPUs that is Running.
fn a_vm(_: &engine::sim::Machine) -> Vec<Deed> {
    let (vm, ram) = (1 << 16, crate::random::RAM);
    vec![
        Deed::call(0, Call::VmCreate, &SHAPE),
        Deed::call(0, Call::VcpuCreate, &[vm, 0, ram, 5]),
        Deed::call(0, Call::VcpuCreate, &[vm, 1, ram, 5]),
        Deed::call(0, Call::VmStart, &[vm]),
    ]
}

/// The same, both of its vCPUs on and queued.
fn two_that_run(machine: &engine::sim::Machine) -> Vec<Deed> {
    let mut deeds = a_vm_that_runs(machine);
    let on = [abi::psci::CPU_ON_64, 1, crate::random::RAM, 5, 0, 0, 0];
    deeds.extend([
        Deed::Script {
            vm: 0,
            affinity: 0,
            acts: vec![Act::Hvc(on)],
        },
        Deed::call(0, Call::CpuRun, &[5_000]),
        Deed::call(0, Call::VcpuEnqueue, &[1 << 16 | 1, 1]),
    ]);
    deeds
}

/// The same, queued on core 0.
fn a_vm_that_runs(machine: &engine::sim::Machine) -> Vec<Deed> {
    let mut deeds = a_vm(machine);
    deeds.push(Deed::call(0, Call::VcpuEnqueue, &[1 << 16, 0]));
    deeds
}

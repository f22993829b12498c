//! Everything that can be done to a small machine in a state: every call with every class of arguments, from every core
//! that could make it a difference, and what guests, the host's accesses and hardware do.
//!
//! Invariants: what is on the menu depends on the state alone; each argument has its classes: right, each way of
//! being wrong, and each object that could be meant.

mod guests;
mod memory;
mod others;

use abi::Call;
use engine::sim::machine::Machine;
use engine::sim::{Portrait, Shape};
use engine::vm::life::Phase;
use percpu::Residence;

use crate::deed::Deed;
use crate::random::{GICR, RAM, RAM_2};
use guests::guests;
use memory::{life_calls, memory_calls};
use others::{hosts_own, telling_calls, vcpu_calls};

const PAGE: u64 = 4096;
/// A device of the host's.
const DEVICE: u64 = 0x0900_0000;
/// Budget of a run: a guest that has nothing more to do uses it up at once.
const BUDGET: u64 = 5_000;
/// A byte whose sign extends to 32 bits.
const BYTE: Shape = Shape {
    size: 0,
    signed: true,
    wide: false,
};
/// The host's pages that may be given away.
pub const PAGES: u64 = 3;

/// What a dish is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    /// Life of VMs.
    Life,
    /// Pages given, lent, taken.
    Memory,
    /// Pages to the engine and back.
    Pool,
    /// vCPUs are made, queued, run.
    Vcpu,
    /// What a running guest does to its pages.
    Guest,
    /// What a running guest does to vCPUs, or asks of the host.
    Power,
    /// Interrupts of vCPUs.
    Interrupts,
    /// What stands in pages.
    Content,
    /// Memory errors that the host tells of.
    Errors,
    /// Memory errors that nobody has found yet.
    Hidden,
    /// The host's cores.
    Cores,
    /// Another core acts while a guest runs.
    Meanwhile,
    /// Nothing changes by it.
    Telling,
}

/// Deeds that belong together.
#[derive(Clone, Debug)]
pub struct Dish {
    /// About what.
    pub topic: Topic,
    /// What is done.
    pub deeds: Vec<Deed>,
}

struct Menu {
    dishes: Vec<Dish>,
}

impl Menu {
    fn add(&mut self, topic: Topic, deeds: Vec<Deed>) {
        self.dishes.push(Dish { topic, deeds });
    }

    fn call(&mut self, topic: Topic, call: Call, arguments: &[u64]) {
        self.add(topic, vec![Deed::call(0, call, arguments)]);
    }
}

/// Handles of a kind: those of objects that are there, and of each slot one that is stale or never was.
struct Handles {
    live: Vec<u64>,
    dead: Vec<u64>,
}

impl Handles {
    fn new(slots: impl Iterator<Item = (u64, bool)>) -> Self {
        let (mut live, mut dead) = (Vec::new(), Vec::new());
        for (slot, (generation, is_there)) in slots.enumerate() {
            let handle = |generation: u64| slot as u64 | generation << 16;
            if is_there {
                live.push(handle(generation));
                dead.push(handle(generation.wrapping_sub(1)));
            } else {
                dead.push(handle(generation));
            }
            dead.push(handle(generation + 1));
        }
        dead.extend([0xffff, u64::MAX]);
        Self { live, dead }
    }

    fn all(&self) -> impl Iterator<Item = u64> + '_ {
        self.live.iter().chain(&self.dead).copied()
    }

    /// Every live one, or one for where it matters not.
    fn some(&self) -> u64 {
        self.live
            .first()
            .or(self.dead.first())
            .copied()
            .unwrap_or(0)
    }
}

/// Arguments of VM_CREATE: two vCPUs, two pages into which may be lent, one into which may not.
pub const SHAPE: [u64; 6] = [2 | 36 << 16 | 1 << 32, GICR, RAM, 2 * PAGE, RAM_2, PAGE];

/// All that can be done in the state `seen`.
pub fn menu(machine: &Machine, seen: &Portrait) -> Vec<Dish> {
    let mut menu = Menu { dishes: Vec::new() };
    let vms = Handles::new(
        seen.vms
            .iter()
            .map(|vm| (vm.generation, vm.phase != Phase::Free)),
    );
    let vcpus = Handles::new(
        seen.vcpus
            .iter()
            .map(|vcpu| (vcpu.generation, vcpu.residence != Residence::Free)),
    );
    memory_calls(&mut menu, machine, &vms);
    life_calls(&mut menu, &vms);
    vcpu_calls(&mut menu, &vms, &vcpus);
    telling_calls(&mut menu, machine);
    hosts_own(&mut menu, machine);
    guests(&mut menu, machine, seen, &vms, &vcpus);
    menu.dishes
}

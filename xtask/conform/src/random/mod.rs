//! Random deeds: what a host knows and tries next, with arguments that make sense about half of the time, few
//! enough of them to meet again.
//!
//! Invariant: a seed and a number of deeds say all; what is learnt is learnt from answers.

mod guests;
mod host;
mod learning;

pub use host::World;

use engine::sim::Config;

/// Where VMs have their RAM, and how much.
pub const RAM: u64 = 0x8000_0000;
/// Bytes of it.
pub const RAM_SIZE: u64 = 16 << 20;
/// A second range, into which nothing may be lent.
pub const RAM_2: u64 = 0x4000_0000;
/// Their redistributors.
pub const GICR: u64 = 0x0800_0000;
/// Where these end, of as many vCPUs as there can be.
pub const GICR_END: u64 = DEVICE;
/// A device of the host's.
const DEVICE: u64 = 0x0900_0000;
const PAGE: u64 = 4096;

/// SplitMix64.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// One below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// The machine of a seed: mostly one with few pages, sometimes one with blocks of 2 MiB.
pub fn config_of(seed: u64) -> Config {
    let mut random = Random(seed ^ 0x5eed);
    let mut config = Config {
        cpus: random.pick(&[2, 3, 4]),
        vms: random.pick(&[2, 3, 5]),
        vcpus: random.pick(&[3, 6, 12]),
        seed,
        ..Config::default()
    };
    config.features.tlb_range = random.one_in(2);
    config.features.repeat_tlbi = random.one_in(2);
    config.features.pa_bits = random.pick(&[36, 40, 42, 48]);
    config.pool_pages = random.pick(&[40, 56, 120]);
    config.ram_pages = if random.one_in(5) {
        2048
    } else {
        20 + config.pool_pages + random.pick(&[24, 48, 200])
    };
    config
}

#[cfg(test)]
mod tests {
    use super::{World, config_of};
    use engine::sim::Machine;

    #[test]
    fn a_seed_says_all() {
        let deeds = |seed| {
            let machine = Machine::new(config_of(seed));
            let mut world = World::new(seed, &machine);
            (0..50).map(|_| world.next()).collect::<Vec<_>>()
        };
        assert_eq!(deeds(3), deeds(3));
        assert_ne!(deeds(3), deeds(4));
    }
}

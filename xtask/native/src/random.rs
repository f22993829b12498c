//! Numbers that look random and are the same in every run: splitmix64.
//!
//! Invariant: a core's sequence follows from [`SEED`] and its number alone.

/// Where all sequences begin; printed with what is measured.
pub const SEED: u64 = 0x6275_6c6b_6865_6164;

/// One core's sequence.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this core.
    pub fn of_core(core: u16) -> Self {
        Self(SEED ^ u64::from(core).wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// The next number, below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The high half of a product: no division, and as even as 64 bits allow.
        ((u128::from(mixed ^ (mixed >> 31)) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_s_numbers_are_its_own_and_the_same_again() {
        let first = |core| {
            let mut random = Random::of_core(core);
            std::array::from_fn::<u64, 8, _>(|_| random.below(1000))
        };
        assert_eq!(first(3), first(3));
        assert_ne!(first(3), first(4));
        assert!(first(5).iter().all(|number| *number < 1000));
    }

    #[test]
    fn each_number_comes_about_as_often() {
        let mut random = Random::of_core(0);
        let mut counts = [0; 10];
        (0..10_000).for_each(|_| counts[random.below(10) as usize] += 1);
        assert!(
            counts.iter().all(|count| (900..1100).contains(count)),
            "seed {SEED:#x}: {counts:?}"
        );
    }
}

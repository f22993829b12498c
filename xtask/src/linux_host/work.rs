//! What the host's cores work on, and its results computed without it.

use sha2::{Digest, Sha256};

use crate::linux_host::disk::hex;

/// Size of the block that repeats, in KiB.
pub const BLOCK_KIB: usize = 256;
/// Blocks that are hashed in a round.
pub const HASH_BLOCKS: usize = 4;
/// Blocks that one file in memory is made of.
pub const FILL_BLOCKS: usize = 32;
/// Steps of the floating-point sequence in a round.
pub const STEPS: u32 = 20_000;

/// What a round of hashing on `core` gives.
pub fn hash(core: u32) -> String {
    let line = format!("bulkhead linux host hash {core}\n");
    let block: Vec<u8> = line.bytes().cycle().take(BLOCK_KIB * 1024).collect();
    let mut hash = Sha256::new();
    for _ in 0..HASH_BLOCKS {
        hash.update(&block);
    }
    hex(&hash.finalize())
}

/// Where the sequence `number` ends after a round.
pub fn float(number: u32) -> f64 {
    let start = f64::from(number + 1) / 1024.0;
    // As in the script: 3.9 * x first, each operation rounded.
    (0..STEPS).fold(start, |x, _| 3.9 * x * (1.0 - x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_chaotic() {
        for number in 0..512 {
            let end = float(number);
            assert!((0.0..1.0).contains(&end), "{number}: {end}");
            assert_ne!(end, float(number + 1));
        }
        let start = f64::from_bits((1.0f64 / 1024.0).to_bits() ^ 1);
        let other = (0..STEPS).fold(start, |x, _| 3.9 * x * (1.0 - x));
        assert!((other - float(0)).abs() > 1e-6);
    }
}

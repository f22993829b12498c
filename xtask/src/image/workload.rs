//! The guests' workload, and its result computed without them.
//!
//! `init.sh` hashes a generated block over and over; this module generates the same bytes and
//! hashes them on the development machine.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Size of the block that repeats, in KiB.
pub const BLOCK_KIB: usize = 1024;
/// What one guest hashes, all parts together, in KiB.
pub const WORK_KIB: usize = 64 * 1024;

/// The expected digests, one line per guest and part: `<guest> <part> <sha256>`.
pub fn expected(guests: u32, parts: u32) -> String {
    let mut text = String::new();
    for guest in 0..guests {
        for part in 0..parts {
            let digest = digest(guest, part, parts);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{guest} {part} {digest}");
        }
    }
    text
}

fn digest(guest: u32, part: u32, parts: u32) -> String {
    let block = block(guest, part);
    let mut hash = Sha256::new();
    for _ in 0..WORK_KIB / BLOCK_KIB / parts as usize {
        hash.update(&block);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn block(guest: u32, part: u32) -> Vec<u8> {
    let line = format!("bulkhead guest {guest} part {part}\n");
    line.bytes().cycle().take(BLOCK_KIB * 1024).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `init.sh` computed it in a Debian guest without the engine.
    #[test]
    fn digest_equals_the_one_of_a_native_run() {
        assert_eq!(
            digest(0, 0, 2),
            "2a6a20eec2bf084f1a4b1058381b302ab338c71b656f2f073c39d8df90e978a9"
        );
        assert_eq!(
            digest(0, 1, 2),
            "302f0e500d797986cfa4f1131a23905bb95e2ee11740e43dd9e9a8e638f1ac13"
        );
    }

    #[test]
    fn every_guest_and_part_has_a_line_of_its_own() {
        let text = expected(2, 2);
        let digests: std::collections::BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.split(' ').nth(2))
            .collect();
        assert_eq!((text.lines().count(), digests.len()), (4, 4));
    }
}

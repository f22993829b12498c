//! Checks of single arguments: from an untrusted register to a typed value.
//!
//! Invariant: what passes here needs no further check of alignment, range or wrap-around.

use crate::stage2::Geometry;
use crate::stage2::descriptor::Access;
use abi::{MapAttrs, Status};
use ownership::{Ipa, PAGE_SIZE, Pa, Pfn};

/// A page-aligned physical address.
pub(super) fn page(raw: u64) -> Result<Pfn, Status> {
    Pa::from_raw(raw).pfn_exact().ok_or(Status::Unaligned)
}

/// A number of pages, at least one, at most `most`.
pub(super) fn pages(raw: u64, most: usize) -> Result<u64, Status> {
    if raw == 0 || raw > most as u64 {
        Err(Status::OutOfRange)
    } else {
        Ok(raw)
    }
}

/// A run of `n` physical pages that does not wrap.
pub(super) fn run(raw: u64, n: u64) -> Result<Pfn, Status> {
    let first = page(raw)?;
    first.checked_add(n).ok_or(Status::OutOfRange)?;
    Ok(first)
}

/// A page-aligned IPA of which `n` pages lie within the tables' input size.
pub(super) fn ipa(raw: u64, n: u64, geometry: Geometry) -> Result<Ipa, Status> {
    let ipa = Ipa::from_raw(raw);
    if !ipa.is_page_aligned() {
        return Err(Status::Unaligned);
    }
    let last = ipa
        .checked_add((n - 1) * PAGE_SIZE)
        .ok_or(Status::OutOfRange)?;
    if geometry.contains(last) {
        Ok(ipa)
    } else {
        Err(Status::OutOfRange)
    }
}

/// Rights of a mapping: known bits only, readable.
pub(super) fn access(raw: u64) -> Result<Access, Status> {
    let attrs = MapAttrs::from_bits(raw).ok_or(Status::OutOfRange)?;
    if !attrs.contains(MapAttrs::READ) {
        return Err(Status::OutOfRange);
    }
    Ok(Access {
        write: attrs.contains(MapAttrs::WRITE),
        execute: attrs.contains(MapAttrs::EXECUTE),
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_named_by_its_first_byte() {
        assert_eq!(page(0x4000_1000), Ok(Pfn::from_raw(0x40001)));
        for raw in [0x4000_1001, 0x4000_1800, u64::MAX] {
            assert_eq!(page(raw), Err(Status::Unaligned), "{raw:#x}");
        }
    }

    #[test]
    fn a_number_of_pages_is_one_to_the_most() {
        assert_eq!(pages(0, 8), Err(Status::OutOfRange));
        assert_eq!((pages(1, 8), pages(8, 8)), (Ok(1), Ok(8)));
        assert_eq!(pages(9, 8), Err(Status::OutOfRange));
        assert_eq!(pages(u64::MAX, 8), Err(Status::OutOfRange));
    }

    #[test]
    fn a_run_ends_within_what_can_be_named() {
        let last = !(PAGE_SIZE - 1);
        assert_eq!(run(0x5000, 3), Ok(Pfn::from_raw(5)));
        assert_eq!(run(0x5001, 3), Err(Status::Unaligned));
        assert_eq!(run(last, 2), Err(Status::OutOfRange));
        assert_eq!(run(0x5000, u64::MAX), Err(Status::OutOfRange));
    }

    #[test]
    fn all_pages_of_a_range_lie_within_the_input_size() {
        let geometry = Geometry::for_pa_bits(40);
        let end = 1 << 40;
        let at = |raw, n| ipa(raw, n, geometry);
        let last = end - PAGE_SIZE;
        assert_eq!(at(last, 1), Ok(Ipa::from_raw(last)));
        assert_eq!(at(last - PAGE_SIZE, 2), Ok(Ipa::from_raw(last - PAGE_SIZE)));
        for (raw, n) in [
            (end, 1),
            (last, 2),
            (last - PAGE_SIZE, 3),
            (0, (end >> 12) + 1),
        ] {
            assert_eq!(at(raw, n), Err(Status::OutOfRange), "{raw:#x} {n}");
        }
        assert_eq!(at(0, end >> 12), Ok(Ipa::from_raw(0)));
        assert_eq!(at(0x1800, 1), Err(Status::Unaligned));
        // Behind the last address come the first ones again.
        assert_eq!(at(!(PAGE_SIZE - 1), 2), Err(Status::OutOfRange));
    }

    #[test]
    fn a_mapping_is_readable_and_has_known_rights() {
        let [read, write, execute] =
            [MapAttrs::READ, MapAttrs::WRITE, MapAttrs::EXECUTE].map(MapAttrs::bits);
        for (raw, can_write, can_execute) in [
            (read, false, false),
            (read | write, true, false),
            (read | execute, false, true),
            (read | write | execute, true, true),
        ] {
            let wanted = Access {
                write: can_write,
                execute: can_execute,
            };
            assert_eq!(access(raw), Ok(wanted), "{raw:#x}");
        }
        for raw in [0, write, execute, write | execute] {
            assert_eq!(access(raw), Err(Status::OutOfRange), "{raw:#x}");
        }
        assert_eq!(access(read | 1 << 63), Err(Status::OutOfRange));
    }
}

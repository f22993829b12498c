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

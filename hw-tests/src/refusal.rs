//! Tables of calls that must be refused, each with its documented status and nothing changed.

use crate::{
    census,
    outcome::{OrFail, TestResult, check},
    vm::{ALL, insist},
};
use abi::{Call, Status};
use el1::{PAGE, call, machine};

/// A call, its arguments, and the statuses that it may answer.
pub type Case<'a> = (Call, &'a [u64], &'a [Status]);

/// All rights.
pub const RIGHTS: u64 = ALL.bits();
/// The last page of the address space.
pub const LAST: u64 = u64::MAX & !(PAGE - 1);
/// An address that is no page's first.
pub const UNALIGNED: &[Status] = &[Status::Unaligned];
/// A number that the call does not take.
pub const OUT_OF_RANGE: &[Status] = &[Status::OutOfRange];
/// A device, or nothing at all.
pub const NOT_RAM: &[Status] = &[Status::NotRam];
/// Somebody else's page, or a lent one.
pub const NOT_OWNER: &[Status] = &[Status::NotOwner];
/// An object in another state.
pub const BAD_STATE: &[Status] = &[Status::BadState];
/// A handle of nothing.
pub const BAD_HANDLE: &[Status] = &[Status::BadHandle];
/// An address that wraps is out of range; one past all memory is none.
pub const NOWHERE: &[Status] = &[Status::OutOfRange, Status::NotRam];
/// The engine's memory was never the host's, or is no more.
pub const ENGINES: &[Status] = &[Status::NotRam, Status::NotOwner];

/// Makes each call; the census must not move.
pub fn check_refused(cases: &[Case<'_>]) -> TestResult {
    let before = census::take()?;
    for (index, (known, arguments, allowed)) in cases.iter().enumerate() {
        let answer = insist(|| call::invoke(*known, arguments));
        let name = known.name();
        match answer {
            Err(status) => check!(
                allowed.contains(&status),
                "case {index}, {name} {arguments:x?}: {}",
                status.name()
            ),
            Ok(results) => check!(
                false,
                "case {index}, {name} {arguments:x?} done: {:x?}",
                &results[..2]
            ),
        }
        census::check_same(&before)?;
    }
    Ok(())
}

/// Handles that name nothing: another generation, no such slot, none at all.
pub fn forged(raw: u64) -> [u64; 5] {
    [raw + (1 << 16), raw ^ (1 << 63), raw | 0xffff, 0, u64::MAX]
}

/// First page of the memory that the device tree keeps from the host.
pub fn engine_page() -> TestResult<u64> {
    Ok(machine()
        .engine
        .first()
        .or_fail("memory of the engine")?
        .start)
}

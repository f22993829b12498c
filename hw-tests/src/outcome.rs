//! How a test ends: passed, failed with a reason, skipped with a reason; never by a panic.

use abi::Status;
use alloc::{format, string::String};
use el1::call::Batch;

/// Why a test did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Something is not as it must be.
    Fail(String),
    /// The machine lacks what the test needs.
    Skip(String),
}

/// What a test returns.
pub type TestResult<T = ()> = Result<T, Stop>;

/// Fails the test with a formatted reason unless the condition holds.
macro_rules! check {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::outcome::Stop::Fail(alloc::format!($($reason)+)));
        }
    };
}

/// Fails the test unless the two values are equal; the reason names them.
macro_rules! check_eq {
    ($left:expr, $right:expr, $($what:tt)+) => {
        match (&$left, &$right) {
            (left, right) => $crate::outcome::check!(
                left == right,
                "{}: {left:x?}, not {right:x?}",
                format_args!($($what)+)
            ),
        }
    };
}

pub(crate) use {check, check_eq};

/// Turns a refusal of the engine into a failure of the test.
pub trait OrFail<T> {
    /// The value, or a failure that names the call.
    fn or_fail(self, what: &str) -> TestResult<T>;
}

impl<T> OrFail<T> for Result<T, Status> {
    fn or_fail(self, what: &str) -> TestResult<T> {
        self.map_err(|status| Stop::Fail(format!("{what}: {}", status.name())))
    }
}

impl<T> OrFail<T> for Option<T> {
    fn or_fail(self, what: &str) -> TestResult<T> {
        self.ok_or_else(|| Stop::Fail(format!("{what}: nothing")))
    }
}

/// Requires that a call was refused with `status`.
pub fn refused<T>(what: &str, result: Result<T, Status>, status: Status) -> TestResult {
    match result {
        Err(answer) => check!(
            answer == status,
            "{what}: {}, not {}",
            answer.name(),
            status.name()
        ),
        Ok(_) => check!(false, "{what}: done, not {}", status.name()),
    }
    Ok(())
}

/// Requires that a batch did all `n` pages.
pub fn complete(what: &str, result: Result<Batch, Status>, n: u64) -> TestResult {
    let batch = result.or_fail(what)?;
    check!(
        batch.done == n && batch.reason == Status::Success,
        "{what}: {} of {n} pages, {}",
        batch.done,
        batch.reason.name()
    );
    Ok(())
}

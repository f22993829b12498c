//! Numbers of tests by result, in the one form in which every part of this tool prints them.

use std::fmt;
use std::ops::AddAssign;
use std::process::ExitCode;

/// Tests by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// They held.
    pub passed: u32,
    /// They did not.
    pub failed: u32,
    /// They could not be run.
    pub skipped: u32,
}

impl Count {
    /// So many of each.
    pub const fn new(passed: u32, failed: u32, skipped: u32) -> Self {
        Self {
            passed,
            failed,
            skipped,
        }
    }

    /// So many tests that were not run.
    pub const fn skipped(skipped: u32) -> Self {
        Self::new(0, 0, skipped)
    }

    /// Success only when something passed and nothing failed.
    pub fn exit_code(self) -> ExitCode {
        if self.failed == 0 && self.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

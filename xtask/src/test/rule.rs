//! How a stage's output turns into numbers of tests.
//!
//! A stage that says nothing has not passed: each rule wants to see what it counts.

use crate::count::Count;

/// How to count a stage.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// One test: the exit status.
    Status,
    /// The lines in which a program of this project counts its own tests.
    OwnCount,
    /// The result lines of `cargo test`.
    CargoTest,
}

impl Rule {
    /// Counts the tests of a stage that ended with this exit status (none if it was killed).
    pub fn count(self, status: Option<i32>, output: &str) -> Count {
        let ok = status == Some(0);
        let mut count = match self {
            Self::Status => return one(ok),
            Self::OwnCount => sum(output, own_count),
            Self::CargoTest => sum(output, cargo_test_count),
        };
        // A stage that failed before it could count, or had nothing to count, is a failed test.
        if count.failed == 0 && (!ok || count.passed == 0) {
            count.failed = 1;
        }
        count
    }
}

/// The lines that say which tests failed, why where a line says it, and what repeats them.
pub fn failures(output: &str) -> impl Iterator<Item = &str> {
    let is_one = |line: &&str| {
        let begins = |start| line.starts_with(start);
        line.contains("... FAILED") || begins("error") || begins("again:")
    };
    output.lines().map(str::trim).filter(is_one)
}

/// The count of a single test.
fn one(passed: bool) -> Count {
    Count::new(u32::from(passed), u32::from(!passed), 0)
}

fn sum(output: &str, parse: fn(&str) -> Option<Count>) -> Count {
    let mut total = Count::default();
    for count in output.lines().filter_map(parse) {
        total += count;
    }
    total
}

/// `12 passed, 0 failed, 1 skipped`
fn own_count(line: &str) -> Option<Count> {
    let mut parts = line.split(", ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    let skipped = match parts.next() {
        Some(part) => part.strip_suffix(" skipped")?.parse().ok()?,
        None => 0,
    };
    Some(Count::new(passed, failed, skipped))
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; …`
fn cargo_test_count(line: &str) -> Option<Count> {
    let numbers = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut parts = numbers.split("; ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    let ignored = parts.next()?.strip_suffix(" ignored")?.parse().ok()?;
    Some(Count::new(passed, failed, ignored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_tests_are_summed_over_crates() {
        let output = "running 2 tests\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; finished in 0.1s\n\
            test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; finished in 0.1s\n";
        assert_eq!(
            Rule::CargoTest.count(Some(101), output),
            Count::new(5, 4, 1)
        );
    }

    #[test]
    fn a_stage_that_counts_nothing_fails() {
        for (status, output) in [
            (Some(0), ""),
            (Some(101), "error: could not compile"),
            (
                None,
                "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured",
            ),
        ] {
            assert_eq!(Rule::CargoTest.count(status, output).failed, 1, "{output}");
        }
    }

    #[test]
    fn failed_tests_are_named() {
        let output = "test a ... ok\ntest b ... FAILED: 3 of 4\r\n  test c ... FAILED\n\
            again: cargo c\nlog: c.log\nerror: could not compile\n";
        let wanted = [
            "test b ... FAILED: 3 of 4",
            "test c ... FAILED",
            "again: cargo c",
            "error: could not compile",
        ];
        assert_eq!(failures(output).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn own_count_is_read_back() {
        let count = Count::new(12, 0, 3);
        assert_eq!(own_count(&count.to_string()), Some(count));
        assert_eq!(own_count("12 passed, 0 failed"), Some(Count::new(12, 0, 0)));
        assert_eq!(own_count("guests passed, none failed"), None);
    }
}

//! What the test image says: `begin NAME`, then `test NAME ... ok`, `... FAILED: WHY` or
//! `... skipped: WHY` for each test, then `@hwtests passed=N failed=N skipped=N`.

use crate::count::Count;

/// The line that a complete run ends with.
pub const TOTAL: &str = "@hwtests ";
/// What is said of a test that began and did not end, behind its name.
pub const UNFINISHED: &str = ": did not end";

/// The results of one run of the image.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The tests by result.
    pub count: Count,
    /// Failures and what else is wrong, one line each.
    pub wrong: Vec<String>,
    /// Names of the tests that were skipped.
    skipped: Vec<String>,
}

impl Report {
    /// Reads the console of a run; `troubles` are what was wrong with how it ended.
    pub fn read(console: &str, troubles: Vec<String>) -> Self {
        let mut report = Self::default();
        let mut announced = None;
        let mut running = None;
        for line in console.lines().map(str::trim_end) {
            if let Some(total) = line.strip_prefix(TOTAL) {
                announced = total_count(total);
            }
            if let Some(name) = line.strip_prefix("begin ") {
                running = Some(name);
            }
            let test = line.strip_prefix("test ");
            let result = test.and_then(|test| test.split_once(" ... "));
            if result.is_some() {
                running = None;
            }
            match result {
                Some((_, "ok")) => report.count.passed += 1,
                Some((name, how)) if how.starts_with("skipped") => {
                    report.count.skipped += 1;
                    report.skipped.push(name.into());
                }
                Some((name, how)) => report.fail(format!("{name}: {how}")),
                None => {}
            }
        }
        // An image that stops in the middle must not look like one that passed.
        if announced != Some(report.count) || report.count == Count::default() {
            let told = report.count;
            report.fail(match (announced, running) {
                (Some(announced), _) => format!("{told} told, but {announced} announced"),
                (None, Some(name)) => format!("{name}{UNFINISHED}"),
                (None, None) => format!("no total after {told}"),
            });
        }
        for trouble in troubles {
            report.fail(trouble);
        }
        report
    }

    /// Takes each test that was skipped, and whose name begins with `subject`, for failed: the machine was
    /// made for it.
    pub fn require(&mut self, subject: &str) {
        for name in std::mem::take(&mut self.skipped) {
            if name.starts_with(subject) {
                self.count.skipped -= 1;
                self.fail(format!("{name}: skipped on its own machine"));
            }
        }
    }

    fn fail(&mut self, why: String) {
        self.count.failed += 1;
        self.wrong.push(why);
    }
}

/// `passed=3 failed=0 skipped=1`
fn total_count(text: &str) -> Option<Count> {
    let mut words = text.split_whitespace();
    let mut field = |name: &str| words.next()?.strip_prefix(name)?.parse().ok();
    Some(Count::new(
        field("passed=")?,
        field("failed=")?,
        field("skipped=")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(console: &str) -> Report {
        Report::read(console, Vec::new())
    }

    #[test]
    fn each_result_is_counted() {
        let report = read(
            "bulkhead 0.1.0\r\ntest cores_up ... ok\r\ntest smmu ... skipped: none here\r\n\
             test alias ... FAILED: page 3 has two owners\r\n\
             @hwtests passed=1 failed=1 skipped=1\r\n",
        );
        assert_eq!(report.count, Count::new(1, 1, 1));
        assert_eq!(report.wrong, ["alias: FAILED: page 3 has two owners"]);
    }

    #[test]
    fn image_that_stops_early_or_runs_nothing_fails() {
        for console in [
            "",
            "test a ... ok\n",
            "test a ... ok\n@hwtests passed=2 failed=0 skipped=0\n",
            "@hwtests passed=0 failed=0 skipped=0\n",
        ] {
            assert_eq!(read(console).count.failed, 1, "{console}");
        }
    }

    #[test]
    fn a_test_that_does_not_end_is_named() {
        for console in ["begin a::b\n", "begin a::b\nhello\n"] {
            let before = "begin a::a\ntest a::a ... ok\n";
            let report = read(&format!("{before}{console}"));
            assert_eq!(report.count, Count::new(1, 1, 0));
            assert_eq!(report.wrong, ["a::b: did not end"]);
        }
        let between = read("begin a::b\ntest a::b ... ok\n");
        assert_eq!(between.wrong, ["no total after 1 passed, 0 failed"]);
    }

    #[test]
    fn what_a_machine_is_made_for_is_not_skipped() {
        let mut report = read(
            "test a::b ... ok\ntest a::c ... skipped: no a\ntest b::a ... skipped: no b\n\
             @hwtests passed=1 failed=0 skipped=2\n",
        );
        report.require("a::");
        assert_eq!(report.count, Count::new(1, 1, 1));
        assert_eq!(report.wrong, ["a::c: skipped on its own machine"]);
    }

    #[test]
    fn trouble_with_the_machine_is_a_failed_test() {
        let console = "test a ... ok\n@hwtests passed=1 failed=0 skipped=0\n";
        assert_eq!(read(console).count, Count::new(1, 0, 0));
        let report = Report::read(console, vec!["stopped after 60 s".into()]);
        assert_eq!(report.count, Count::new(1, 1, 0));
    }
}

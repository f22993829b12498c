//! What the test image says: `begin NAME`, then `test NAME ... ok`, `... FAILED: WHY` or
//! `... skipped: WHY` for each test, `took MICROS us` behind it, then `@hwtests passed=N failed=N skipped=N`.
//!
//! Invariant: whatever is wrong with a run is a failed result of its own, so a machine that stops, hangs or
//! crashes never looks like one that passed.

use std::fmt;
use std::time::Duration;

use crate::count::Count;

/// The line that a complete run ends with.
pub const TOTAL: &str = "@hwtests ";
/// What is said of a test that began and did not end, behind its name.
pub const UNFINISHED: &str = ": did not end";
/// Stands for the machine among the names of tests.
const MACHINE: &str = "machine";

/// How a test went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It held.
    Passed,
    /// It did not, for this reason.
    Failed(String),
    /// It could not be asked here, for this reason.
    Skipped(String),
}

/// One test's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// Its name, or [`MACHINE`].
    pub name: String,
    /// How it went.
    pub verdict: Verdict,
    /// The machine's own time.
    pub time: Duration,
}

impl fmt::Display for TestResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Passed => write!(f, "{}: ok", self.name),
            Verdict::Skipped(why) => write!(f, "{}: skipped: {why}", self.name),
            // A trouble speaks for itself; the name would hide what it begins with.
            Verdict::Failed(why) if self.name == MACHINE => f.write_str(why),
            Verdict::Failed(why) => write!(f, "{}{why}", self.name),
        }
    }
}

/// The results of one run of the image.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which they came.
    pub results: Vec<TestResult>,
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
            if let (Some(time), Some(last)) = (time_taken(line), report.results.last_mut()) {
                last.time = time;
            }
            let test = line.strip_prefix("test ");
            let Some((name, how)) = test.and_then(|test| test.split_once(" ... ")) else {
                continue;
            };
            running = None;
            let verdict = match (how, how.strip_prefix("skipped: ")) {
                ("ok", _) => Verdict::Passed,
                (_, Some(why)) => Verdict::Skipped(why.into()),
                _ => Verdict::Failed(format!(": {how}")),
            };
            report.add(name, verdict);
        }
        let told = report.count();
        if announced != Some(told) || told == Count::default() {
            match (announced, running) {
                (Some(announced), _) => {
                    report.fail(format!("{told} told, but {announced} announced"));
                }
                (None, Some(name)) => report.add(name, Verdict::Failed(UNFINISHED.into())),
                (None, None) => report.fail(format!("no total after {told}")),
            }
        }
        for trouble in troubles {
            report.fail(trouble);
        }
        report
    }

    /// The tests by result.
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        for result in &self.results {
            match result.verdict {
                Verdict::Passed => count.passed += 1,
                Verdict::Failed(_) => count.failed += 1,
                Verdict::Skipped(_) => count.skipped += 1,
            }
        }
        count
    }

    /// Takes each test that was skipped, and whose name contains one of `parts`, for failed, and a part that is
    /// in no name: the machine was made for it.
    pub fn require(&mut self, parts: &[String]) {
        for part in parts {
            let mut names = self.results.iter().map(|result| &result.name);
            if !names.any(|name| name.contains(part.as_str())) {
                self.fail(format!(
                    "no test has {part:?} in its name, which this machine is made for"
                ));
            }
        }
        for result in &mut self.results {
            let is_wanted = parts.iter().any(|part| result.name.contains(part.as_str()));
            if let (Verdict::Skipped(why), true) = (&result.verdict, is_wanted) {
                result.verdict = Verdict::Failed(format!(": skipped on its own machine: {why}"));
            }
        }
    }

    /// Adds what is wrong with the machine, whatever its tests say.
    pub fn fail(&mut self, why: String) {
        self.add(MACHINE, Verdict::Failed(why));
    }

    fn add(&mut self, name: &str, verdict: Verdict) {
        self.results.push(TestResult {
            name: name.into(),
            verdict,
            time: Duration::ZERO,
        });
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

/// `took 12 us`
fn time_taken(line: &str) -> Option<Duration> {
    let micros = line.strip_prefix("took ")?.strip_suffix(" us")?;
    Some(Duration::from_micros(micros.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(console: &str) -> Report {
        Report::read(console, Vec::new())
    }

    fn wrong(report: &Report) -> Vec<String> {
        let results = report.results.iter();
        results
            .filter(|result| matches!(result.verdict, Verdict::Failed(_)))
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn each_result_is_counted() {
        let report = read(
            "bulkhead 0.1.0\r\ntest cores_up ... ok\r\ntook 17 us\r\ntest smmu ... skipped: none here\r\n\
             test alias ... FAILED: page 3 has two owners\r\n\
             @hwtests passed=1 failed=1 skipped=1\r\n",
        );
        assert_eq!(report.count(), Count::new(1, 1, 1));
        assert_eq!(report.results[0].time, Duration::from_micros(17));
        assert_eq!(report.results[1].to_string(), "smmu: skipped: none here");
        assert_eq!(wrong(&report), ["alias: FAILED: page 3 has two owners"]);
    }

    #[test]
    fn image_that_stops_early_or_runs_nothing_fails() {
        for console in [
            "",
            "test a ... ok\n",
            "test a ... ok\n@hwtests passed=2 failed=0 skipped=0\n",
            "@hwtests passed=0 failed=0 skipped=0\n",
        ] {
            assert_eq!(read(console).count().failed, 1, "{console}");
        }
    }

    #[test]
    fn a_test_that_does_not_end_is_named() {
        for console in ["begin a::b\n", "begin a::b\nhello\n"] {
            let before = "begin a::a\ntest a::a ... ok\n";
            let report = read(&format!("{before}{console}"));
            assert_eq!(report.count(), Count::new(1, 1, 0));
            assert_eq!(wrong(&report), ["a::b: did not end"]);
        }
        let between = read("begin a::b\ntest a::b ... ok\n");
        assert_eq!(wrong(&between), ["no total after 1 passed, 0 failed"]);
    }

    #[test]
    fn what_a_machine_is_made_for_is_not_skipped() {
        let mut report = read(
            "test a::b ... ok\ntest a::c ... skipped: no a\ntest b::a ... skipped: no b\n\
             @hwtests passed=1 failed=0 skipped=2\n",
        );
        report.require(&["a::c".into()]);
        assert_eq!(report.count(), Count::new(1, 1, 1));
        assert_eq!(wrong(&report), ["a::c: skipped on its own machine: no a"]);
        report.require(&["a::".into(), "c::".into()]);
        assert_eq!(report.count(), Count::new(1, 2, 1));
        assert!(wrong(&report)[1].contains("\"c::\""));
    }

    #[test]
    fn trouble_with_the_machine_is_a_failed_test() {
        let console = "test a ... ok\n@hwtests passed=1 failed=0 skipped=0\n";
        assert_eq!(read(console).count(), Count::new(1, 0, 0));
        let report = Report::read(console, vec!["stopped after 60 s".into()]);
        assert_eq!(report.count(), Count::new(1, 1, 0));
        assert_eq!(wrong(&report), ["stopped after 60 s"]);
    }
}

//! Results in the forms that people and tools expect: the lines of `cargo test`, JUnit XML, JSON.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;

use super::manifest::Boot;
use super::report::{Report, Verdict};

/// The results of all boots, as far as they have run.
#[derive(Default)]
pub struct Output {
    rows: Vec<Row>,
    suites: Vec<TestSuite>,
}

/// A line of the JSON.
#[derive(Serialize)]
struct Row {
    name: String,
    group: String,
    cpus: u32,
    cpu: String,
    seed: u64,
    result: &'static str,
    reason: String,
}

impl Output {
    /// Keeps the results of a boot for the files.
    pub fn add(&mut self, boot: &Boot, seed: u64, report: &Report) {
        let mut suite = TestSuite::new(format!("{}, seed {seed}", boot.name));
        for result in &report.results {
            let (word, reason) = match &result.verdict {
                Verdict::Passed => ("pass", ""),
                Verdict::Failed(why) => ("fail", trim(why)),
                Verdict::Skipped(why) => ("skip", why.as_str()),
            };
            self.rows.push(Row {
                name: result.name.clone(),
                group: boot.group.clone(),
                cpus: boot.machine.cpus,
                cpu: boot.machine.cpu.clone(),
                seed,
                result: word,
                reason: reason.to_owned(),
            });
            let mut status = match word {
                "pass" => TestCaseStatus::success(),
                "skip" => TestCaseStatus::skipped(),
                _ => TestCaseStatus::non_success(NonSuccessKind::Failure),
            };
            if !reason.is_empty() {
                status.set_message(reason);
            }
            let mut case = TestCase::new(result.name.clone(), status);
            case.set_classname(boot.name.clone()).set_time(result.time);
            suite.add_test_case(case);
        }
        self.suites.push(suite);
    }

    /// Writes all results as a list of objects.
    pub fn write_json(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.rows)? + "\n";
        fs::write(file, text).with_context(|| format!("write {}", file.display()))
    }

    /// Writes all results as JUnit XML: a suite for each boot.
    pub fn write_junit(&self, file: &Path) -> Result<()> {
        let mut report = quick_junit::Report::new("bulkhead hardware tests");
        report.add_test_suites(self.suites.iter().cloned());
        fs::write(file, report.to_string()?).with_context(|| format!("write {}", file.display()))
    }
}

/// Prints the results of a boot in the lines of `cargo test`.
pub fn print(report: &Report) {
    let trials = report.results.iter().map(|result| {
        let verdict = result.verdict.clone();
        Trial::ignorable_test(result.name.clone(), move || match verdict {
            Verdict::Passed => Ok(Completion::Completed),
            Verdict::Failed(why) => Err(Failed::from(trim(&why))),
            Verdict::Skipped(why) => Ok(Completion::ignored_with(why)),
        })
    });
    // In their order; nothing is run here.
    let arguments = Arguments {
        test_threads: Some(1),
        ..Arguments::default()
    };
    // What counts is the report.
    let _ = libtest_mimic::run(&arguments, trials.collect());
}

/// A reason without what joins it to a name.
fn trim(why: &str) -> &str {
    why.trim_start_matches(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hw::manifest::Manifest;

    const CONSOLE: &str = "test a::b ... ok\ntook 12000 us\ntest a::c ... FAILED: 3 < 4\n\
                           test a::d ... skipped: one core\n@hwtests passed=1 failed=1 skipped=1\n";

    fn output() -> Output {
        let manifest = Manifest::parse(
            "[[group]]\nname = \"all\"\nfilter = \"\"\ncpus = [2]\nmodels = [\"max\"]\nmem = \"1G\"\n\
             timeout_s = 60\n",
        );
        let boot = &manifest.unwrap().boots().unwrap()[0];
        let mut output = Output::default();
        output.add(boot, 7, &Report::read(CONSOLE, Vec::new()));
        output
    }

    #[test]
    fn json_has_a_row_for_each_result() {
        let rows = serde_json::to_value(&output().rows).unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 3);
        assert_eq!(rows[0]["result"], "pass");
        assert_eq!(rows[1]["result"], "fail");
        assert_eq!(rows[1]["reason"], "FAILED: 3 < 4");
        assert_eq!(rows[2]["reason"], "one core");
        assert_eq!(rows[2]["group"], "all");
        assert_eq!(rows[2]["cpus"], 2);
    }

    #[test]
    fn junit_counts_failures_and_skipped_tests() {
        let mut report = quick_junit::Report::new("x");
        report.add_test_suites(output().suites);
        let text = report.to_string().unwrap();
        assert!(
            text.contains(r#"tests="3" skipped="1" errors="0" failures="1""#),
            "{text}"
        );
        assert!(
            text.contains(r#"classname="all-2-max" time="0.012""#),
            "{text}"
        );
        assert!(text.contains("3 &lt; 4"), "{text}");
    }
}

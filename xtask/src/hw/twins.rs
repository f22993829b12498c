//! A machine that firmware boots runs the very tests that it runs without: none may get lost, or be
//! skipped, for want of something that the firmware did not say. What was skipped without may run, where it
//! is of the firmware that a test has need.

use super::manifest::Boot;
use super::report::{Report, Verdict};
use crate::run::machine::Machine;

/// What decides which tests run, but for the filter.
#[derive(PartialEq, Eq)]
struct Case {
    machine: Machine,
    is_exact: bool,
    seed: u64,
}

/// The tests that machines without firmware have run.
pub struct Twins {
    known: Vec<Known>,
    /// Every machine with firmware has one without among those that run before it.
    is_complete: bool,
}

/// A machine without firmware, the filter of its tests, those that ran and those that were skipped.
struct Known {
    case: Case,
    filter: String,
    tests: Vec<String>,
    skipped: Vec<String>,
}

impl Twins {
    /// None yet; `is_complete`: each machine with firmware must find its twin.
    pub fn new(is_complete: bool) -> Self {
        Self {
            known: Vec::new(),
            is_complete,
        }
    }

    /// Notes the tests of a boot without firmware; fails a boot with one that has run others than the
    /// same machine did without.
    pub fn compare(&mut self, boot: &Boot, seed: u64, report: &mut Report) {
        let case = Case {
            machine: boot.machine.clone(),
            is_exact: boot.is_exact,
            seed,
        };
        let (tests, skipped) = asked(report);
        if boot.firmware.is_none() {
            if !boot.absent_ram && !boot.kept_ram && boot.late.is_none() && !boot.is_replayed {
                let filter = boot.filter.clone();
                self.known.push(Known {
                    case,
                    filter,
                    tests,
                    skipped,
                });
            }
            return;
        }
        let mut twins = self.known.iter().filter(|known| known.case == case);
        let expected =
            twins.find_map(|known| Some((known.tests_of(&boot.filter)?, &known.skipped)));
        match expected {
            Some((expected, may_run)) => {
                let without = |list: &[String], other: &[String]| -> Vec<String> {
                    let missing = list.iter().filter(|name| !other.contains(name));
                    missing.cloned().collect()
                };
                let lacks = without(&expected, &tests);
                let has = without(&without(&tests, &expected), may_run);
                if !(lacks.is_empty() && has.is_empty()) {
                    report.fail(format!(
                        "not the tests that run without firmware (as a whole `cargo xtask hw-test` compares \
                         them): lacks {lacks:?}, has {has:?}"
                    ));
                }
            }
            None if self.is_complete => {
                report.fail("no machine without firmware has run the same tests before".into());
            }
            None => {}
        }
    }
}

impl Known {
    /// The tests that `filter` would have let run; none where that can't be told.
    fn tests_of(&self, filter: &str) -> Option<Vec<String>> {
        if self.filter == filter {
            return Some(self.tests.clone());
        }
        let parts = filter.split(',');
        let is_told = self.filter.is_empty() && !self.case.is_exact;
        let tests = self.tests.iter();
        is_told.then(|| {
            tests
                .filter(|name| parts.clone().any(|part| name.contains(part)))
                .cloned()
                .collect()
        })
    }
}

/// Names of the tests that ran, and of those that were skipped.
fn asked(report: &Report) -> (Vec<String>, Vec<String>) {
    let results = report.results.iter().map(|result| {
        let is_skipped = matches!(result.verdict, Verdict::Skipped(_));
        (result.name.clone(), is_skipped)
    });
    let (skipped, asked): (Vec<_>, Vec<_>) = results.partition(|(_, is_skipped)| *is_skipped);
    let names = |list: Vec<(String, bool)>| list.into_iter().map(|(name, _)| name).collect();
    (names(asked), names(skipped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hw::manifest::Manifest;
    use std::path::Path;

    const TEXT: &str = r#"
        [[group]]
        name = "plain"
        filter = ""
        cpus = [1, 2]
        models = ["max"]
        mem = "1G"
        timeout_s = 60
        [[group]]
        name = "efi"
        filter = ""
        cpus = [1, 2]
        models = ["max"]
        mem = "1G"
        timeout_s = 60
        firmware = "edk2"
    "#;

    fn report(tests: &str, passed: u32, skipped: u32) -> Report {
        let total = format!("@hwtests passed={passed} failed=0 skipped={skipped}\n");
        let report = Report::read(&(tests.to_owned() + &total), Vec::new());
        assert_eq!(report.count().failed, 0);
        report
    }

    #[test]
    fn a_test_that_firmware_makes_vanish_is_a_failure() {
        let boots = Manifest::parse(TEXT).unwrap().boots().unwrap();
        let (plain, efi) = (&boots[0], &boots[2]);
        let both = "test a::b ... ok\ntest a::c ... ok\n";
        let mut twins = Twins::new(false);
        twins.compare(plain, 1, &mut report(both, 2, 0));
        let mut failed = |tests, passed, skipped, seed, boot| {
            let mut report = report(tests, passed, skipped);
            twins.compare(boot, seed, &mut report);
            report.count().failed
        };
        assert_eq!(failed(both, 2, 0, 1, efi), 0);
        assert_eq!(failed("test a::b ... ok\n", 1, 0, 1, efi), 1);
        let skipping = "test a::b ... ok\ntest a::c ... skipped: no c\n";
        assert_eq!(failed(skipping, 1, 1, 1, efi), 1);
        let more = "test a::b ... ok\ntest a::c ... ok\ntest a::d ... ok\n";
        assert_eq!(failed(more, 3, 0, 1, efi), 1);
        // Another machine, another seed: nothing to compare with.
        assert_eq!(failed(skipping, 1, 1, 2, efi), 0);
        assert_eq!(failed(skipping, 1, 1, 1, &boots[3]), 0);
    }

    #[test]
    fn a_test_that_needs_firmware_may_run_with_it() {
        let boots = Manifest::parse(TEXT).unwrap().boots().unwrap();
        let mut twins = Twins::new(true);
        let skipping = "test a::b ... ok\ntest a::d ... skipped: no firmware\n";
        twins.compare(&boots[0], 1, &mut report(skipping, 1, 1));
        let both = "test a::b ... ok\ntest a::d ... ok\n";
        let mut with = report(both, 2, 0);
        twins.compare(&boots[2], 1, &mut with);
        assert_eq!(with.count().failed, 0);
    }

    #[test]
    fn a_whole_run_has_a_twin_for_each_machine_with_firmware() {
        let boots = Manifest::parse(TEXT).unwrap().boots().unwrap();
        let mut twins = Twins::new(true);
        let both = "test a::b ... ok\ntest a::c ... ok\n";
        twins.compare(&boots[0], 1, &mut report(both, 2, 0));
        let mut failed = |boot: &Boot, tests, passed| {
            let mut report = report(tests, passed, 0);
            twins.compare(boot, 1, &mut report);
            report.count().failed
        };
        assert_eq!(failed(&boots[2], both, 2), 0);
        assert_eq!(failed(&boots[3], both, 2), 1);
        // Its list is a part of its twin's.
        let mut part = boots[2].clone();
        part.narrow("::c,::d", false);
        assert_eq!(failed(&part, "test a::c ... ok\n", 1), 0);
        assert_eq!(failed(&part, "test a::b ... ok\n", 1), 1);
        part.narrow("a::c", true);
        assert_eq!(failed(&part, "test a::c ... ok\n", 1), 1);
    }

    #[test]
    fn every_machine_with_firmware_has_a_twin_in_the_manifest() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut twins = Twins::new(true);
        for boot in Manifest::load(root).unwrap().boots().unwrap() {
            let mut report = Report::default();
            twins.compare(&boot, 1, &mut report);
            assert_eq!(report, Report::default(), "{}", boot.name);
        }
    }
}

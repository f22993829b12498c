//! A machine that firmware boots runs the very tests that it runs without: none may get lost, or be
//! skipped, for want of something that the firmware did not say.

use super::manifest::Boot;
use super::report::{Report, Verdict};
use crate::run::machine::Machine;

/// What decides which tests run.
#[derive(PartialEq, Eq)]
struct Case {
    machine: Machine,
    filter: String,
    is_exact: bool,
    seed: u64,
}

/// The tests that machines without firmware have run.
#[derive(Default)]
pub struct Twins(Vec<(Case, Vec<String>)>);

impl Twins {
    /// Notes the tests of a boot without firmware; fails a boot with one that has run others than the
    /// same machine did without. A machine that has not run without has nothing to be compared with.
    pub fn compare(&mut self, boot: &Boot, seed: u64, report: &mut Report) {
        let case = Case {
            machine: boot.machine.clone(),
            filter: boot.filter.clone(),
            is_exact: boot.is_exact,
            seed,
        };
        let asked = asked(report);
        if boot.firmware.is_none() {
            if !boot.absent_ram {
                self.0.push((case, asked));
            }
            return;
        }
        let twin = self.0.iter().find(|(known, _)| *known == case);
        if let Some((_, expected)) = twin
            && *expected != asked
        {
            let without = |list: &[String], other: &[String]| -> Vec<String> {
                let missing = list.iter().filter(|name| !other.contains(name));
                missing.cloned().collect()
            };
            report.fail(format!(
                "not the tests that run without firmware (as a whole `cargo xtask hw-test` compares them): lacks \
                 {:?}, has {:?}",
                without(expected, &asked),
                without(&asked, expected)
            ));
        }
    }
}

/// Names of the tests that were not skipped.
fn asked(report: &Report) -> Vec<String> {
    let results = report.results.iter();
    results
        .filter(|result| !matches!(result.verdict, Verdict::Skipped(_)))
        .map(|result| result.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hw::manifest::Manifest;

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
        let mut twins = Twins::default();
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
        // Another machine, another seed: nothing to compare with.
        assert_eq!(failed(skipping, 1, 1, 2, efi), 0);
        assert_eq!(failed(skipping, 1, 1, 1, &boots[3]), 0);
    }
}

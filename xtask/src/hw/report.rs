//! What a test image says: one `@test NAME ok|failed|skipped [WHY]` per test, then `@done N`.

use crate::count::Count;

/// The results of one run of an image.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub count: Count,
    /// Failures and what else is wrong, one line each.
    pub wrong: Vec<String>,
}

impl Report {
    /// Reads the `@` lines of a run; `troubles` are what was wrong with how it ended.
    pub fn read(records: &[String], troubles: Vec<String>) -> Self {
        let mut report = Self::default();
        let mut announced = None;
        for record in records {
            match record.split_whitespace().collect::<Vec<_>>()[..] {
                ["@test", _, "ok", ..] => report.count.passed += 1,
                ["@test", _, "skipped", ..] => report.count.skipped += 1,
                ["@test", name, ref why @ ..] => report.fail(format!("{name}: {}", why.join(" "))),
                ["@done", n] => announced = n.parse().ok(),
                _ => {}
            }
        }
        for trouble in troubles {
            report.fail(trouble);
        }
        // An image that stops in the middle must not look like one that passed.
        let told = report.count.passed + report.count.skipped + report.count.failed;
        if report.wrong.is_empty() && (announced != Some(told) || told == 0) {
            report.fail(match announced {
                Some(n) => format!("{told} tests of {n} reported"),
                None => format!("stopped after {told} tests"),
            });
        }
        report
    }

    fn fail(&mut self, why: String) {
        self.count.failed += 1;
        self.wrong.push(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Report {
        let records: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        Report::read(&records, Vec::new())
    }

    #[test]
    fn each_result_is_counted() {
        let report = read(&[
            "@test cores_up ok",
            "@test smmu skipped no SMMU here",
            "@test alias failed page 3 has two owners",
            "@done 3",
        ]);
        assert_eq!(
            (
                report.count.passed,
                report.count.failed,
                report.count.skipped
            ),
            (1, 1, 1)
        );
        assert_eq!(report.wrong, ["alias: failed page 3 has two owners"]);
    }

    #[test]
    fn image_that_stops_early_fails() {
        assert_eq!(read(&["@test a ok"]).count.failed, 1);
        assert_eq!(read(&["@test a ok", "@done 2"]).count.failed, 1);
        assert_eq!(read(&["@done 0"]).count.failed, 1);
        assert_eq!(read(&[]).count.failed, 1);
        assert_eq!(read(&["@test a ok", "@done 1"]).count.failed, 0);
    }

    #[test]
    fn trouble_with_the_machine_is_a_failed_test() {
        let records = ["@test a ok".to_owned(), "@done 1".to_owned()];
        let report = Report::read(&records, vec!["stopped after 60 s".into()]);
        assert_eq!((report.count.passed, report.count.failed), (1, 1));
    }
}

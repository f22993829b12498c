//! How far a peer's figures are from the recorded ones.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::bench::peers::recorded::Run;

/// More than this, in percent, is called a drift.
const DRIFT_PERCENT: f64 = 1.0;

/// A measurement, as recorded and as measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The run.
    pub peer: String,
    /// What was measured.
    pub measurement: String,
    /// What is recorded, if anything.
    pub recorded: Option<f64>,
    /// What was measured, if it was.
    pub measured: Option<f64>,
    /// By how much the second is above the first.
    pub drift_percent: Option<f64>,
}

impl Row {
    fn new(peer: String, measurement: &str, recorded: Option<f64>, measured: Option<f64>) -> Self {
        let both = recorded.zip(measured);
        Self {
            peer,
            measurement: measurement.to_owned(),
            recorded,
            measured,
            drift_percent: both
                .map(|(recorded, measured)| (measured - recorded) * 100.0 / recorded),
        }
    }

    /// Is it further off than figures that are the same?
    pub fn has_drifted(&self) -> bool {
        self.drift_percent
            .is_some_and(|percent| percent.abs() > DRIFT_PERCENT)
    }
}

/// The rows of `run` with `filter` in their names, of what was measured: nothing of a run that was skipped.
pub fn compare(run: &Run, measured: &BTreeMap<String, f64>, filter: &str) -> Vec<Row> {
    let row = |what: &String| {
        let [recorded, measured] = [&run.medians, measured].map(|of| of.get(what).copied());
        Row::new(run.name(), what, recorded, measured)
    };
    let new = measured
        .keys()
        .filter(|what| !run.medians.contains_key(*what));
    let all = run.medians.keys().chain(new);
    all.filter(|what| run.figure_name(what).contains(filter))
        .map(row)
        .collect()
}

/// How many there are of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Measured, drifted or not.
    pub measured: usize,
    /// Of these, those that drifted.
    pub drifted: usize,
    /// Of runs that this machine could not set up.
    pub skipped: usize,
    /// Of runs that were started and did not tell them.
    pub missing: usize,
}

impl Tally {
    /// Counts a run's rows, one that was `skipped` or one that was started.
    pub fn add(&mut self, rows: &[Row], skipped: bool) {
        let got = rows.iter().filter(|row| row.measured.is_some()).count();
        self.measured += got;
        self.drifted += rows.iter().filter(|row| row.has_drifted()).count();
        match skipped {
            true => self.skipped += rows.len() - got,
            false => self.missing += rows.len() - got,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            measured,
            drifted,
            skipped,
            missing,
        } = self;
        write!(
            f,
            "{measured} measured, {drifted} drifted, {skipped} skipped"
        )?;
        if *missing > 0 {
            write!(f, ", {missing} missing")?;
        }
        Ok(())
    }
}

/// A table of the rows, in the form of the benchmark's own.
pub fn render(rows: &[Row]) -> String {
    let mut text = String::from(
        "| peer | measurement | recorded | measured | drift |\n| --- | --- | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let number =
            |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.0}"));
        let drift = row.drift_percent.map_or("–".to_owned(), |percent| {
            let mark = if row.has_drifted() { " (drifted)" } else { "" };
            // Nothing is no drift downwards.
            let percent = if percent == 0.0 { 0.0 } else { percent };
            format!("{percent:+.1} %{mark}")
        });
        let (recorded, measured) = (number(row.recorded), number(row.measured));
        let Row {
            peer, measurement, ..
        } = row;
        text += &format!("| {peer} | `{measurement}` | {recorded} | {measured} | {drift} |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::recorded::Peer;

    fn run(medians: &[(&str, f64)]) -> Run {
        Run {
            peer: Peer::Xen,
            version: Some("4".into()),
            mode: "dom0".into(),
            cpu: "max".into(),
            cores: 1,
            medians: map(medians),
        }
    }

    fn map(medians: &[(&str, f64)]) -> BTreeMap<String, f64> {
        let owned = medians
            .iter()
            .map(|(name, median)| ((*name).to_owned(), *median));
        owned.collect()
    }

    #[test]
    fn one_percent_is_no_drift_and_more_is_in_either_direction() {
        let recorded = run(&[("a", 1000.0), ("b", 1000.0), ("c", 1000.0), ("d", 1000.0)]);
        let measured = map(&[("a", 1010.0), ("b", 1011.0), ("c", 989.0), ("d", 990.0)]);
        let rows = compare(&recorded, &measured, "");
        let drifted: Vec<_> = rows.iter().map(Row::has_drifted).collect();
        assert_eq!(drifted, [false, true, true, false]);
        let text = render(&rows);
        assert!(
            text.contains("| xen-4/dom0/max | `b` | 1000 | 1011 | +1.1 % (drifted) |\n"),
            "{text}"
        );
        assert!(text.contains("| `d` | 1000 | 990 | -1.0 % |\n"), "{text}");
    }

    #[test]
    fn what_is_new_has_no_drift_and_what_is_missing_is_told() {
        let rows = compare(
            &run(&[("a", 5.0), ("b", 5.0)]),
            &map(&[("b", 5.0), ("n", 6.0)]),
            "",
        );
        let mut tally = Tally::default();
        tally.add(&rows, false);
        assert_eq!(
            tally.to_string(),
            "2 measured, 0 drifted, 0 skipped, 1 missing"
        );
        let text = render(&rows);
        assert!(text.contains("| `a` | 5 | – | – |\n"), "{text}");
        assert!(text.contains("| `n` | – | 6 | – |\n"), "{text}");
        assert!(text.contains("| `b` | 5 | 5 | +0.0 % |\n"), "{text}");
    }

    #[test]
    fn a_skipped_run_has_nothing_missing() {
        let rows = compare(&run(&[("a", 5.0), ("b", 5.0)]), &map(&[]), "/max/b");
        let mut tally = Tally::default();
        tally.add(&rows, true);
        assert_eq!(tally.to_string(), "0 measured, 0 drifted, 1 skipped");
    }
}

//! What a measured peer's console says: `@peer name value unit`, and notes.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

const FIGURE: &str = "@peer ";
const NOTE: &str = "@peer-note ";
/// How the names of those figures end that are compared.
const MEDIAN: &str = ".median";
const UNIT: &str = "instructions";
/// What a probe measures of itself: its empty pair of reads is not compared.
const OF_PROBE: [&str; 3] = ["empty_raw", "nop1000", "guest_empty"];

/// Everything that a run told.
#[derive(Debug, Default, PartialEq)]
pub struct Told {
    /// By name, with the unit.
    values: BTreeMap<String, (i64, String)>,
    /// In words.
    pub notes: Vec<String>,
}

impl Told {
    /// Reads a console.
    pub fn read(console: &str) -> Result<Self> {
        let mut told = Self::default();
        for line in console.lines().map(str::trim_end) {
            if let Some(note) = line.strip_prefix(NOTE) {
                told.notes.push(note.to_owned());
            } else if let Some(text) = line.strip_prefix(FIGURE) {
                let (name, value, unit) =
                    figure(text).with_context(|| format!("no figure: {line}"))?;
                told.values.insert(name, (value, unit));
            }
        }
        Ok(told)
    }

    /// What is compared.
    pub fn medians(&self) -> BTreeMap<String, f64> {
        let medians = self.values.iter().filter(|(_, (_, unit))| unit == UNIT);
        let medians = medians.filter_map(|(name, (value, _))| {
            let name = name.strip_suffix(MEDIAN)?;
            let last = name.rsplit('.').next().unwrap_or(name);
            (!OF_PROBE.contains(&last)).then(|| (name.to_owned(), *value as f64))
        });
        medians.collect()
    }

    /// A value of any unit.
    pub fn value(&self, name: &str) -> Option<i64> {
        self.values.get(name).map(|(value, _)| *value)
    }

    /// The names of what was refused, though the figure counts that it was done.
    pub fn refused(&self) -> Vec<String> {
        let wrong = self.values.iter().filter(|(name, (value, _))| {
            *value != 0 && (name.ends_with("_errors") || name.ends_with("_status"))
        });
        wrong
            .map(|(name, (value, unit))| format!("{name}: {value} {unit}"))
            .collect()
    }
}

/// Exactly a name, a whole number and a unit.
fn figure(text: &str) -> Option<(String, i64, String)> {
    let mut words = text.split(' ');
    let (name, value, unit) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || name.is_empty() || unit.is_empty() {
        return None;
    }
    Some((name.to_owned(), value.parse().ok()?, unit.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_those_of_the_peer() {
        let console = "Booting\r\n@peer a.min 1 instructions\r\n@peer a.median 2 instructions\r\n\
                       @peer pvm.guest_empty.median 2 instructions\r\n@peer cntfrq 1000 Hz\r\n\
                       @peer vgic.b.median -3 instructions\n@peer-note kvm: no median 3 here\n\
                       @peer c.median 5 s\n";
        let told = Told::read(console).unwrap();
        let medians: Vec<_> = told.medians().into_iter().collect();
        assert_eq!(medians, [("a".into(), 2.0), ("vgic.b".into(), -3.0)]);
        assert_eq!(told.value("cntfrq"), Some(1000));
        assert_eq!(told.value("cnt"), None);
        assert_eq!(told.notes, ["kvm: no median 3 here"]);
    }

    #[test]
    fn a_broken_line_is_no_figure() {
        for text in [
            "@peer a",
            "@peer a 1",
            "@peer a 1 b c",
            "@peer a x b",
            "@peer  1 b",
        ] {
            assert!(Told::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_call_that_was_refused_is_told() {
        let console = "@peer x_errors 0 calls\n@peer pvm.mem_share_status -1 status\n@peer y_errors 2 calls\n";
        let refused = Told::read(console).unwrap().refused();
        assert_eq!(
            refused,
            ["pvm.mem_share_status: -1 status", "y_errors: 2 calls"]
        );
    }
}

//! What came of the trials: a table for people, a list for programs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::catcher::{Catcher, Kind};
use super::manifest::Manifest;
use super::trial::Trial;
use crate::count::Count;

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The test failed on it, as it must.
    Killed,
    /// Without a weakness of the models' hardware the test passed on it, as it must.
    Lives,
    /// The test passed on it.
    Survived,
    /// The test proved nothing, or did not pass where it must.
    Failed,
    /// Nothing catches it, and the manifest says why.
    Listed,
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct Row {
    name: String,
    result: Fate,
    killed_by: Option<String>,
    seconds: f64,
    #[serde(skip)]
    kind: Option<Kind>,
    /// What there is to say if it was not killed.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

/// All lines, in the order of trying.
#[derive(Debug, Default)]
pub struct Report(Vec<Row>);

impl Row {
    pub fn tried(trial: &Trial<'_>, result: Fate, why: &str, seconds: f64) -> Self {
        let catcher: &Catcher = &trial.catcher;
        let is_killed = result == Fate::Killed;
        Self {
            name: trial.name(),
            result,
            killed_by: is_killed.then(|| catcher.to_string()),
            seconds: (seconds * 10.0).round() / 10.0,
            kind: Some(catcher.kind),
            why: match result {
                Fate::Killed => String::new(),
                Fate::Lives => catcher.to_string(),
                _ if why.is_empty() => catcher.to_string(),
                _ => format!("{catcher}: {why}"),
            },
        }
    }

    pub fn listed(name: &str, why: &str) -> Self {
        Self {
            name: name.to_owned(),
            result: Fate::Listed,
            killed_by: None,
            seconds: 0.0,
            kind: None,
            why: why.to_owned(),
        }
    }

    fn said(&self) -> String {
        match self.result {
            Fate::Killed => self.killed_by.clone().unwrap_or_default(),
            Fate::Lives => format!("lives: {}", self.why),
            Fate::Survived => format!("SURVIVED: {}", self.why),
            Fate::Failed => format!("FAILED: {}", self.why),
            Fate::Listed => format!("nothing: {}", self.why),
        }
    }
}

impl Report {
    pub fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    pub fn count(&self) -> Count {
        let mut total = Count::default();
        for row in &self.0 {
            total += match row.result {
                Fate::Killed | Fate::Lives => Count::new(1, 0, 0),
                Fate::Survived | Fate::Failed => Count::new(0, 1, 0),
                Fate::Listed => Count::default(),
            };
        }
        total
    }

    /// The table, and below it how many were killed by what.
    pub fn render(&self, manifest: &Manifest) -> String {
        let width = self.0.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for row in &self.0 {
            let line = match row.result {
                Fate::Listed => format!("    {:width$}           {}", row.name, row.said()),
                _ => format!(
                    "    {:width$} {:7.1} s  {}",
                    row.name,
                    row.seconds,
                    row.said()
                ),
            };
            text.push_str(&line);
            text.push('\n');
        }
        let killed = |kind: Kind| {
            let by = |row: &&Row| row.result == Fate::Killed && row.kind == Some(kind);
            self.0.iter().filter(by).count()
        };
        let per_kind = |number: &dyn Fn(Kind) -> usize| {
            let one = |kind: &Kind| format!("{kind} {}", number(*kind));
            Kind::ALL.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let listed = self.0.iter().filter(|row| row.result == Fate::Listed);
        text.push_str(&format!(
            "killed by {}; by nothing, with the reason, {}\n\
             mutants in the manifest that each kind kills: {} of {}\n",
            per_kind(&killed),
            listed.count(),
            per_kind(&|kind| manifest.caught_by(kind)),
            manifest.mutants.len(),
        ));
        text
    }

    /// Writes the lines to `file`, for programs.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.0)? + "\n";
        fs::write(file, text).with_context(|| format!("write {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_the_same_to_people_and_to_programs() {
        let trial = |without| Trial {
            mutant: "a-no-dsb",
            catcher: Catcher::new(Kind::Loom, "percpu x"),
            without,
        };
        let mut report = Report::default();
        report.push(Row::tried(&trial(None), Fate::Killed, "I5", 1.26));
        report.push(Row::tried(&trial(Some("w")), Fate::Lives, "", 2.0));
        report.push(Row::listed("b-no-isb", "needs a core"));
        assert_eq!(report.count(), Count::new(2, 0, 0));
        report.push(Row::tried(&trial(None), Fate::Survived, "", 3.0));
        assert_eq!(report.count(), Count::new(2, 1, 0));

        let manifest =
            toml::from_str("[a-no-dsb]\nremoves = \"x\"\nloom = [\"percpu x\"]").unwrap();
        let text = report.render(&manifest);
        for said in [
            "a-no-dsb               1.3 s  percpu x".replace("percpu", "loom percpu"),
            "lives: loom percpu x".into(),
            "nothing: needs a core".into(),
            "SURVIVED: loom percpu x".into(),
            "killed by unit 0, sim 0, fuzz 0, loom 1,".into(),
            "storm 0, bench 0, stack 0 of 1".into(),
        ] {
            assert!(text.contains(&said), "{said} in\n{text}");
        }
        let json = serde_json::to_value(&report.0).unwrap();
        assert_eq!(json[0]["result"], "killed");
        assert_eq!(json[0]["killed_by"], "loom percpu x");
        assert_eq!(json[1]["name"], "a-no-dsb without w");
        assert_eq!(json[2]["result"], "listed");
        assert!(json[3]["killed_by"].is_null());
    }
}

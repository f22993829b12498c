//! cargo-mutants at work: one area, one round of tests, certain mutants.
//!
//! Invariant: a mutant's verdict is what cargo-mutants says of that very name; one of which it says nothing, or
//! something else than is known here, ends the sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::areas::{Area, FEATURES, Round, STEPS};
use crate::paths::Paths;
use crate::process::{run_logged, show, show_with_environment};
use crate::setup;
use crate::setup::toolchain::ordinary_cargo;

const CONFIG: &str = include_str!("cargo-mutants.toml");

/// Exit codes: all caught; some were missed; some hung.
const ORDERLY: [i32; 3] = [0, 2, 3];

/// What came of a mutant in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Verdict {
    #[serde(rename = "CaughtMutant")]
    Caught,
    #[serde(rename = "MissedMutant")]
    Missed,
    /// The tests hung.
    Timeout,
    /// It does not compile.
    Unviable,
}

/// cargo-mutants, and where it may write.
pub struct Tool {
    program: PathBuf,
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    scenario: Scenario,
    summary: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scenario {
    Mutant {
        #[serde(rename = "Mutant")]
        mutant: Named,
    },
    /// The tree as it is.
    Baseline(#[expect(dead_code, reason = "its name alone tells")] String),
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Tool {
    pub fn set_up(paths: &Paths) -> Result<Self> {
        let folder = paths.target.join("mutate");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self {
            program: setup::cargo_mutants::set_up(&paths.cache())?,
            folder,
        })
    }

    /// cargo-mutants over `area`, on the mutants with these full names or on all.
    pub fn command(&self, root: &Path, area: &Area, only: &[String]) -> Result<Command> {
        let config = self.folder.join("config.toml");
        let chosen: Vec<String> = only.iter().map(|name| exactly(name)).collect();
        let chosen = toml::Value::from(chosen);
        let text = format!("examine_re = {chosen}\n{CONFIG}");
        fs::write(&config, text).with_context(|| config.display().to_string())?;
        // Deleted fields of a struct are tried whatever names are asked for; of other files they need not be.
        let files: BTreeSet<&str> = match only {
            [] => area.files.iter().copied().collect(),
            _ => only
                .iter()
                .filter_map(|name| name.split(':').next())
                .collect(),
        };
        let mut command = Command::new(&self.program);
        command
            .args(["mutants", "--config"])
            .arg(config)
            .args(["--package", &format!("bulkhead-{}", area.name)])
            .args(files.into_iter().flat_map(|file| ["--file", file]))
            .current_dir(root);
        Ok(command)
    }

    /// The environment that tests are built and run in, with and without a mutant, so many at a time.
    ///
    /// What one builds is the next one's too, but not its neighbour's: cargo tells sources in two folders apart by when
    /// they were written alone, and would take what was built of the one for the other's.
    fn prepare(&self, command: &mut Command, jobs: usize) {
        match jobs {
            1 => command.env("CARGO_TARGET_DIR", self.folder.join("target")),
            _ => command.env_remove("CARGO_TARGET_DIR"),
        };
        command
            .env("BULKHEAD_STEPS", STEPS)
            // Nobody debugs a mutant, and linking is most of the time.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_TEST_DEBUG", "0");
    }

    /// Fails unless the round's tests pass without a mutant.
    fn require_pass(&self, paths: &Paths, round: &Round, log: &Path) -> Result<()> {
        let mut command = Command::new(ordinary_cargo());
        command
            .args(["test", "--package", &format!("bulkhead-{}", round.tests_of)])
            .args(["--features", FEATURES])
            .args(round.target)
            .arg("--")
            .args(round.arguments)
            .current_dir(&paths.root);
        self.prepare(&mut command, 1);
        let (status, _) = run_logged(&mut command, log)?;
        ensure!(
            status == Some(0),
            "the tests fail without a mutant\nlog: {}\nagain: {}",
            log.display(),
            show_with_environment(&command)
        );
        Ok(())
    }

    /// Plays a round on `names`; what came of each.
    pub fn play(
        &self,
        paths: &Paths,
        area: &Area,
        round: &Round,
        names: &[String],
        jobs: usize,
    ) -> Result<BTreeMap<String, Verdict>> {
        let label = round.name.replace(|c: char| !c.is_alphanumeric(), "-");
        let output = self.folder.join(format!("{}-{label}", area.name));
        let mut command = self.command(&paths.root, area, names)?;
        command
            .args(["--jobs", &jobs.to_string()])
            .args(["--test-package", &format!("bulkhead-{}", round.tests_of)])
            .args(["--timeout", &round.timeout.to_string(), "--output"])
            .arg(&output)
            .args(["--gitignore", "true", "--colors", "never"]);
        let log = paths.logs().join("mutate");
        let log = log.join(format!("{}-{label}.log", area.name));
        if round.tests_of != area.name {
            // cargo-mutants would play the mutated package's tests, with features that it has not.
            command.args(["--baseline", "skip"]);
            self.require_pass(paths, round, &log)?;
        }
        if round.tests_of == "engine" {
            command.args(["--features", FEATURES]);
        }
        // Of both the build and the run; what stands behind `--` is of the run alone.
        let target = round.target.iter();
        command.args(target.map(|part| format!("--cargo-arg={part}")));
        self.prepare(command.args(["--", "--"]).args(round.arguments), jobs);
        println!(
            "    {} on {}; log: {}",
            round.name,
            count(names.len()),
            log.display()
        );
        let (status, _) = run_logged(&mut command, &log)?;
        ensure!(
            status.is_some_and(|status| ORDERLY.contains(&status)),
            "cargo-mutants ended with {status:?} (4: the tests fail without a mutant)\nlog: {}\nagain: {}",
            log.display(),
            show(&command)
        );
        let file = output.join("mutants.out/outcomes.json");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        verdicts(&text, names).with_context(|| file.display().to_string())
    }
}

/// A number of mutants, in words.
fn count(number: usize) -> String {
    match number {
        1 => "1 mutant".to_owned(),
        _ => format!("{number} mutants"),
    }
}

/// A regular expression of this text and nothing else.
fn exactly(text: &str) -> String {
    let mut pattern = String::from("^");
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern + "$"
}

/// What `outcomes.json` says of each of `names`.
fn verdicts(text: &str, names: &[String]) -> Result<BTreeMap<String, Verdict>> {
    let said: Outcomes = serde_json::from_str(text)?;
    let mut verdicts = BTreeMap::new();
    for outcome in said.outcomes {
        if let Scenario::Mutant { mutant } = outcome.scenario {
            let summary = outcome.summary;
            let verdict = Verdict::deserialize(&summary)
                .with_context(|| format!("{}: {summary}", mutant.name))?;
            verdicts.insert(mutant.name, verdict);
        }
    }
    let unsaid = names.iter().find(|name| !verdicts.contains_key(*name));
    match unsaid {
        Some(name) => bail!("nothing is said of {name}"),
        None => Ok(verdicts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = r#"{"outcomes": [
        {"scenario": "Baseline", "summary": "Success", "log_path": "x"},
        {"scenario": {"Mutant": {"name": "a.rs:1:2: replace f with ()", "package": "p"}}, "summary": "MissedMutant"},
        {"scenario": {"Mutant": {"name": "a.rs:3:2: delete ! in f"}}, "summary": "Timeout"}
    ], "total_mutants": 2}"#;

    #[test]
    fn a_verdict_is_read_for_each_name() {
        let names = ["a.rs:1:2: replace f with ()", "a.rs:3:2: delete ! in f"].map(str::to_owned);
        let read = verdicts(SAID, &names).unwrap();
        assert_eq!(read[&names[0]], Verdict::Missed);
        assert_eq!(read[&names[1]], Verdict::Timeout);
    }

    #[test]
    fn a_name_of_which_nothing_is_said_is_an_error() {
        let names = ["b.rs:1:1: delete ! in g".to_owned()];
        let error = verdicts(SAID, &names).unwrap_err().to_string();
        assert!(error.contains("delete ! in g"), "{error}");
        let unknown = SAID.replace("Timeout", "Failure");
        assert!(verdicts(&unknown, &[]).is_err());
    }

    #[test]
    fn a_name_is_a_pattern_of_itself() {
        assert_eq!(
            exactly("a.rs:1:2: replace | with ^ in <impl X<'_> for Y>::f"),
            r"^a\.rs:1:2: replace \| with \^ in <impl X<'_> for Y>::f$"
        );
    }

    #[test]
    fn the_exclusions_are_read_as_toml_behind_the_names() {
        let text = format!("examine_re = []\n{CONFIG}");
        let table: toml::Table = toml::from_str(&text).unwrap();
        assert!(table.contains_key("exclude_re") && table.contains_key("exclude_globs"));
    }
}

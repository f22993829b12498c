//! How evidence is tried: by its command, once, with a log; and theorems all at once.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};

use super::evidence::Evidence;
use crate::mutants::{Catcher, Kind};
use crate::paths::Paths;
use crate::process;
use crate::test::rule::Rule;
use crate::test::stages::{self, Stage};

/// How a piece of evidence ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    /// It cannot be tried here, for this reason.
    Skipped(String),
    Failed,
}

/// What came of it, and how long it took.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    pub seconds: f64,
}

/// What has been tried.
pub struct Trial<'p> {
    paths: &'p Paths,
    known: BTreeMap<Evidence, Outcome>,
    /// What the proof assistant said of all theorems, and how long it took for each of them.
    spec: Option<(String, f64)>,
}

impl<'p> Trial<'p> {
    pub fn new(paths: &'p Paths) -> Self {
        Self {
            paths,
            known: BTreeMap::new(),
            spec: None,
        }
    }

    /// How this ends: tried now, unless it was before.
    pub fn of(&mut self, evidence: &Evidence) -> Result<Outcome> {
        if let Some(known) = self.known.get(evidence) {
            return Ok(known.clone());
        }
        let outcome = match evidence {
            Evidence::Theorem(name) => self.theorem(name)?,
            Evidence::Test(test) => self.command(evidence, &line_of(test), rule_of(test))?,
            Evidence::Stage(name) => {
                let stages = stages::all();
                let found = stages.iter().find(|stage| stage.name == name);
                self.stage(evidence, found.context("the map was checked")?)?
            }
        };
        self.known.insert(evidence.clone(), outcome.clone());
        Ok(outcome)
    }

    fn stage(&self, evidence: &Evidence, stage: &Stage) -> Result<Outcome> {
        match &stage.skip {
            Some(why) => {
                println!("    {evidence}: skipped, {why}");
                Ok(Outcome {
                    verdict: Verdict::Skipped(why.clone()),
                    seconds: 0.0,
                })
            }
            None => self.command(evidence, &stage.command, stage.rule),
        }
    }

    fn command(&self, evidence: &Evidence, line: &str, rule: Rule) -> Result<Outcome> {
        let file = evidence.to_string().replace([' ', ':', '@'], "-");
        let log = self.paths.logs().join(format!("assure-{file}.log"));
        let started = Instant::now();
        let mut command = process::command(line)?;
        command.current_dir(&self.paths.root);
        let (status, output) = process::run_logged(&mut command, &log)?;
        let seconds = started.elapsed().as_secs_f64();
        let count = rule.count(status, &output);
        // A test that was skipped has shown nothing.
        let verdict = match (count.failed, count.passed) {
            (0, 1..) => Verdict::Holds,
            _ => Verdict::Failed,
        };
        if verdict == Verdict::Failed {
            println!("    {evidence} ... FAILED: {count}");
            println!("    again: {line}");
            println!("    log:   {}", log.display());
        } else {
            println!("    {evidence} ... ok ({count}, {seconds:.0} s)");
        }
        Ok(Outcome { verdict, seconds })
    }

    fn theorem(&mut self, name: &str) -> Result<Outcome> {
        if self.spec.is_none() {
            let log = self.paths.logs().join("assure-spec.log");
            let started = Instant::now();
            println!("    all theorems: cargo xtask spec (3 minutes)");
            let mut command = process::command("cargo xtask spec")?;
            command.current_dir(&self.paths.root);
            let (_, output) = process::run_logged(&mut command, &log)?;
            let each = started.elapsed().as_secs_f64() / theorems_in(&output).max(1) as f64;
            self.spec = Some((output, each));
        }
        let (output, seconds) = self.spec.as_ref().context("it was asked")?;
        let verdict = if proves(output, name) {
            println!("    theorem {name} ... ok");
            Verdict::Holds
        } else {
            println!("    theorem {name} ... FAILED");
            println!("    again: cargo xtask spec --theorem {name}");
            Verdict::Failed
        };
        Ok(Outcome {
            verdict,
            seconds: *seconds,
        })
    }
}

/// What a person would repeat a test with; models are compiled in their own way.
fn line_of(test: &Catcher) -> String {
    match (test.kind, test.parts()) {
        (Kind::Loom, (file, name)) => format!("cargo xtask loom --test {file}::{name}"),
        _ => test.command(None),
    }
}

fn rule_of(test: &Catcher) -> Rule {
    match test.kind {
        Kind::Unit | Kind::Sim | Kind::Fuzz => Rule::CargoTest,
        Kind::Run => Rule::Status,
        _ => Rule::OwnCount,
    }
}

/// Does the output of `cargo xtask spec` say that the theorem is proved, and that nothing is taken for granted?
fn proves(output: &str, name: &str) -> bool {
    let begin = format!("{name}: ");
    let says = |line: &str| line.starts_with(&begin) && line.ends_with("... ok");
    output.lines().any(says) && output.contains("no axioms, nothing admitted ... ok")
}

/// Theorems that it says something about.
fn theorems_in(output: &str) -> usize {
    output
        .lines()
        .filter(|line| line.contains(": ") && line.contains(" ... "))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_asked_by_their_own_command() {
        let line = |kind, test| line_of(&Catcher::new(kind, test));
        assert_eq!(
            line(Kind::Loom, "engine life::a"),
            "cargo xtask loom --test engine::life::a"
        );
        assert_eq!(
            line(Kind::Litmus, "sequence::a"),
            "cargo xtask litmus --test sequence::a"
        );
    }

    #[test]
    fn a_theorem_is_proved_if_that_is_said_of_it() {
        let output = "no axioms, nothing admitted ... ok\nA.b: It is so ... ok\nA.c: It is not ... FAILED\nwhy\n";
        assert!(proves(output, "A.b"));
        for name in ["A.c", "A", "A.d", "why"] {
            assert!(!proves(output, name), "{name}");
        }
        assert!(!proves("A.b: It is so ... ok\n", "A.b"));
        assert_eq!(theorems_in(output), 2);
    }
}

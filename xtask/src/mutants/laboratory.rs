//! Where mutants are built and tried, and the tests on the whole engine before them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use super::catcher::{Catcher, Kind};
use super::judgement::Verdict;
use super::report::{Fate, Row};
use super::sources;
use super::trial::Trial;
use super::whole::Whole;
use super::workbench::Workbench;
use crate::paths::Paths;
use crate::process;

/// Seconds until a test counts as hanging, which proves nothing.
const LIMIT: &str = "1800";
/// The variable that switches weaknesses of the models' hardware off.
const WITHOUT: &str = "BULKHEAD_WITHOUT";

/// The builds, and what is known already.
pub struct Laboratory<'a> {
    paths: &'a Paths,
    /// Of each mutant the folders that have code of it.
    folders: BTreeMap<String, BTreeSet<&'static str>>,
    tests: Workbench,
    models: Workbench,
    whole: Whole,
}

impl<'a> Laboratory<'a> {
    pub fn open(paths: &'a Paths) -> Result<Self> {
        Ok(Self {
            paths,
            folders: sources::names(&paths.root)?,
            tests: Workbench::for_tests(paths)?,
            models: Workbench::for_loom(paths)?,
            whole: Whole::load(paths)?,
        })
    }

    /// Those of `tests` that do not pass on the whole engine.
    pub fn find_unfit<'t>(
        &mut self,
        tests: &BTreeSet<&'t Catcher>,
    ) -> Result<BTreeSet<&'t Catcher>> {
        println!("==> {} tests on the whole engine", tests.len());
        let mut unfit = BTreeSet::new();
        for &catcher in tests {
            if self.whole.has_passed(catcher) {
                println!("{catcher} ... ok before, with these sources");
                continue;
            }
            let started = Instant::now();
            let (verdict, log) = self.attempt(catcher, None, None)?;
            let seconds = started.elapsed().as_secs();
            match verdict {
                Verdict::Passed => {
                    println!("{catcher} ... ok in {seconds} s");
                    self.whole.note(catcher)?;
                }
                Verdict::Failed(why) | Verdict::Invalid(why) => {
                    println!("{catcher} ... FAILED in {seconds} s: {why}");
                    println!("    log:   {}", log.display());
                    unfit.insert(catcher);
                }
            }
        }
        Ok(unfit)
    }

    /// Tries it, says what came of it, and returns that; `unfit` are tests that do not pass on the
    /// whole engine.
    pub fn try_mutant(
        &mut self,
        progress: &str,
        trial: &Trial<'_>,
        unfit: &BTreeSet<&Catcher>,
    ) -> Result<Row> {
        let (name, catcher) = (trial.name(), &trial.catcher);
        if trial.without.is_none() && unfit.contains(catcher) {
            let why = "the whole engine does not pass";
            println!("{progress} {name} by {catcher} ... FAILED: {why}");
            return Ok(Row::tried(trial, Fate::Failed, why, 0.0));
        }
        let started = Instant::now();
        let (verdict, log) = self.attempt(catcher, Some(trial.mutant), trial.without)?;
        let seconds = started.elapsed().as_secs_f64();
        let (fate, why) = judge(trial, verdict);
        let how = match fate {
            Fate::Killed => format!("killed in {seconds:.0} s: {why}"),
            Fate::Lives => format!("lives in {seconds:.0} s"),
            Fate::Survived => format!("SURVIVED in {seconds:.0} s"),
            Fate::Failed | Fate::Listed => format!("FAILED in {seconds:.0} s: {why}"),
        };
        println!("{progress} {name} by {catcher} ... {how}");
        if matches!(fate, Fate::Survived | Fate::Failed) {
            let (mutant, kind) = (trial.mutant, catcher.kind);
            println!("    again: cargo xtask mutants {mutant} --by {kind} --all");
            println!("    log:   {}", log.display());
        }
        Ok(Row::tried(trial, fate, &why, seconds))
    }

    /// Runs the test on the mutant, or on the whole engine, with or without a weakness of the models'
    /// hardware; says what that proves, and where its output lies.
    fn attempt(
        &mut self,
        catcher: &Catcher,
        mutant: Option<&str>,
        without: Option<&str>,
    ) -> Result<(Verdict, PathBuf)> {
        let mut command = process::command(&catcher.command(mutant))?;
        let mut workbench = match catcher.kind {
            Kind::Unit | Kind::Sim | Kind::Fuzz => Some(&mut self.tests),
            Kind::Loom => Some(&mut self.models),
            Kind::Litmus
            | Kind::Conform
            | Kind::Linear
            | Kind::Hw
            | Kind::Run
            | Kind::Storm
            | Kind::Bench
            | Kind::Stack => None,
        };
        if let Some(workbench) = &mut workbench {
            workbench.take_up(mutant)?;
            workbench.equip(&mut command);
        }
        match without {
            Some(weakness) => command.env(WITHOUT, weakness),
            None => command.env_remove(WITHOUT),
        };
        let mut command = limited(command);
        let log = log_file(self.paths, mutant, without, catcher);
        let (status, output) = process::run_logged(command.current_dir(&self.paths.root), &log)?;
        let mut verdict = catcher.judge(status, &output);
        if let (Some(workbench), Some(mutant)) = (workbench, mutant)
            && !workbench.has_compiled(&output, &self.folders[mutant])
        {
            verdict = Verdict::Invalid("the mutant was not compiled for it".into());
        }
        Ok((verdict, log))
    }
}

/// What a test of a mutant came to, and what there is to say of it.
fn judge(trial: &Trial<'_>, verdict: Verdict) -> (Fate, String) {
    match (verdict, trial.without) {
        (Verdict::Failed(why), None) => (Fate::Killed, why),
        (Verdict::Passed, None) => (Fate::Survived, String::new()),
        (Verdict::Passed, Some(_)) => (Fate::Lives, String::new()),
        (Verdict::Failed(why), Some(_)) => {
            (Fate::Failed, format!("it is killed all the same: {why}"))
        }
        (Verdict::Invalid(why), _) => (Fate::Failed, why),
    }
}

fn log_file(
    paths: &Paths,
    mutant: Option<&str>,
    without: Option<&str>,
    catcher: &Catcher,
) -> PathBuf {
    let without = without.map_or_else(String::new, |weakness| format!(" without {weakness}"));
    let name = format!("{}{without} {catcher}.log", mutant.unwrap_or("whole"));
    paths
        .logs()
        .join("mutants")
        .join(name.replace("::", "-").replace(' ', "-"))
}

/// The same command, ended if it hangs.
fn limited(command: Command) -> Command {
    match process::find_program("timeout") {
        Some(timeout) => process::wrap(timeout, &["-k", "5", LIMIT], &command),
        None => command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_live_is_not_to_be_killed() {
        let judged = |verdict, without| {
            let catcher = Catcher::new(Kind::Loom, "percpu x");
            let trial = Trial {
                mutant: "a",
                catcher,
                without,
            };
            judge(&trial, verdict).0
        };
        let failed = || Verdict::Failed("I5".into());
        let invalid = || Verdict::Invalid("no end".into());
        assert_eq!(judged(failed(), None), Fate::Killed);
        assert_eq!(judged(Verdict::Passed, None), Fate::Survived);
        assert_eq!(judged(invalid(), None), Fate::Failed);
        assert_eq!(judged(failed(), Some("w")), Fate::Failed);
        assert_eq!(judged(Verdict::Passed, Some("w")), Fate::Lives);
        assert_eq!(judged(invalid(), Some("w")), Fate::Failed);
    }
}

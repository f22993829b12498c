//! `cargo xtask mutants`: builds protections away, one at a time, and sees each test that
//! `xtask/mutants.toml` names for it fail.
//!
//! Nothing counts as caught unless the same test passes on the whole engine, the mutant compiles,
//! and the test runs and says itself that it failed; on bare metal a machine that hangs in it has
//! failed too.

mod catcher;
mod manifest;
mod places;
mod sources;
mod workbench;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;

use crate::count::Count;
use crate::paths::Paths;
use crate::process;

use catcher::{Catcher, Kind, Verdict};
use workbench::Workbench;

pub use manifest::Manifest;
pub use sources::require;

/// Seconds until a test counts as hanging, which proves nothing.
const LIMIT: &str = "1800";

/// Which mutants to try on what.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only the mutants with this in their name
    #[arg(value_name = "FILTER", default_value = "")]
    pub filter: String,
    /// Only the tests of this kind
    #[arg(long, value_name = "KIND")]
    pub by: Option<Kind>,
    /// Only what is fit for every commit, whose other tests show that the whole engine passes
    #[arg(long)]
    pub quick: bool,
    /// Name them with what catches them, and try nothing
    #[arg(long)]
    pub list: bool,
}

/// A mutant, and a test that must fail on it.
type Trial<'a> = (&'a str, Catcher);

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let manifest = Manifest::load(&paths.root)?;
    if options.list {
        list(&manifest, options);
        return Ok(ExitCode::SUCCESS);
    }
    let trials = select(&manifest, options);
    ensure!(
        !trials.is_empty(),
        "no such mutant; `--list` names them all"
    );
    let mut laboratory = Laboratory::open(paths)?;

    // Of every commit the other stages show what passes on the whole engine.
    let tests: BTreeSet<&Catcher> = trials.iter().map(|(_, catcher)| catcher).collect();
    let unfit = match options.quick {
        true => BTreeSet::new(),
        false => laboratory.find_unfit(&tests)?,
    };
    println!("==> {} tests on mutants", trials.len());
    let mut total = Count::default();
    for (mutant, catcher) in &trials {
        let is_caught = if unfit.contains(catcher) {
            println!("{mutant} by {catcher} ... FAILED: the whole engine does not pass");
            false
        } else {
            laboratory.try_mutant(mutant, catcher)?
        };
        total += Count::new(u32::from(is_caught), u32::from(!is_caught), 0);
    }
    println!("{total}");
    Ok(total.exit_code())
}

fn list(manifest: &Manifest, options: &Options) {
    let wanted = manifest
        .mutants
        .iter()
        .filter(|(name, _)| name.contains(&options.filter));
    for (name, mutant) in wanted {
        println!("{name}: without {}", mutant.removes);
        if let Some(reason) = &mutant.survives {
            println!("    nothing: {reason}");
        }
        for catcher in mutant.catchers() {
            println!("    {catcher}");
        }
    }
}

fn select<'a>(manifest: &'a Manifest, options: &Options) -> Vec<Trial<'a>> {
    let mut trials = Vec::new();
    for (name, mutant) in &manifest.mutants {
        let catchers = if options.quick {
            mutant.quick_catchers()
        } else {
            mutant.catchers()
        };
        let wanted = catchers.into_iter().filter(|catcher| {
            name.contains(&options.filter) && options.by.is_none_or(|kind| kind == catcher.kind)
        });
        trials.extend(wanted.map(|catcher| (name.as_str(), catcher)));
    }
    trials
}

/// Where mutants are built and tried.
struct Laboratory<'a> {
    paths: &'a Paths,
    /// Of each mutant the folders that have code of it.
    folders: BTreeMap<String, BTreeSet<&'static str>>,
    tests: Workbench,
    models: Workbench,
}

impl<'a> Laboratory<'a> {
    fn open(paths: &'a Paths) -> Result<Self> {
        Ok(Self {
            paths,
            folders: sources::names(&paths.root)?,
            tests: Workbench::for_tests(paths)?,
            models: Workbench::for_loom(paths)?,
        })
    }

    /// Those of `tests` that do not pass on the whole engine.
    fn find_unfit<'t>(&mut self, tests: &BTreeSet<&'t Catcher>) -> Result<BTreeSet<&'t Catcher>> {
        println!("==> {} tests on the whole engine", tests.len());
        let mut unfit = BTreeSet::new();
        for &catcher in tests {
            let started = Instant::now();
            let (verdict, log) = self.attempt(catcher, None)?;
            let seconds = started.elapsed().as_secs();
            match verdict {
                Verdict::Passed => println!("{catcher} ... ok in {seconds} s"),
                Verdict::Failed(why) | Verdict::Invalid(why) => {
                    println!("{catcher} ... FAILED in {seconds} s: {why}");
                    println!("    log:   {}", log.display());
                    unfit.insert(catcher);
                }
            }
        }
        Ok(unfit)
    }

    /// Whether the mutant is caught.
    fn try_mutant(&mut self, mutant: &str, catcher: &Catcher) -> Result<bool> {
        let started = Instant::now();
        let (verdict, log) = self.attempt(catcher, Some(mutant))?;
        let seconds = started.elapsed().as_secs();
        let how = match verdict {
            Verdict::Failed(why) => {
                println!("{mutant} by {catcher} ... killed in {seconds} s: {why}");
                return Ok(true);
            }
            Verdict::Passed => "SURVIVED".to_owned(),
            Verdict::Invalid(why) => format!("FAILED: {why},"),
        };
        println!("{mutant} by {catcher} ... {how} in {seconds} s");
        println!(
            "    again: cargo xtask mutants {mutant} --by {}",
            catcher.kind
        );
        println!("    log:   {}", log.display());
        Ok(false)
    }

    /// Runs the test on the mutant, or on the whole engine; says what that proves, and where its
    /// output lies.
    fn attempt(&mut self, catcher: &Catcher, mutant: Option<&str>) -> Result<(Verdict, PathBuf)> {
        let mut command = process::command(&catcher.command(mutant))?;
        let mut workbench = match catcher.kind {
            Kind::Unit | Kind::Sim => Some(&mut self.tests),
            Kind::Loom => Some(&mut self.models),
            Kind::Hw | Kind::Run => None,
        };
        if let Some(workbench) = &mut workbench {
            workbench.take_up(mutant)?;
            workbench.equip(&mut command);
        }
        let mut command = limited(command);
        let log = log_file(self.paths, mutant, catcher);
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

fn log_file(paths: &Paths, mutant: Option<&str>, catcher: &Catcher) -> PathBuf {
    let name = format!("{} {catcher}.log", mutant.unwrap_or("whole"));
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
    use std::path::Path;

    use super::*;

    #[test]
    fn checkout_s_manifest_agrees_with_its_sources() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = Manifest::load(root).unwrap();
        assert_eq!(manifest.disagreements(root).unwrap(), Vec::<String>::new());
        assert!(manifest.caught_by_run().count() > 0);
    }
}

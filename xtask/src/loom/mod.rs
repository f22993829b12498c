//! `cargo xtask loom`: explores the models of `loom-tests`, each in a process of its own, and tells
//! what happened in an execution that failed.
//!
//! Invariant: a model has passed only when its search says that it was completed, or, of a test
//! that must panic, when it did; an empty selection has not passed either.

pub mod build;
mod folder;
pub mod outcome;
mod pool;
mod retell;
mod table;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::count::Count;
use crate::mutants;
use crate::paths::Paths;

use build::Test;
use folder::Folder;
use outcome::Outcome;
use table::Row;

/// How many failures are told at once; the command for the others is shown.
const TOLD: usize = 3;

/// Which models to explore, and how far.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only the tests with this in their name; only the one that has exactly this name
    #[arg(long, value_name = "NAME", default_value = "")]
    pub test: String,
    /// Try this many preemptions, instead of 3
    #[arg(long, value_name = "N")]
    pub preemptions: Option<u32>,
    /// Two threads without a bound, three with 4 preemptions (hours)
    #[arg(long, conflicts_with = "preemptions")]
    pub deep: bool,
    /// Go on where an interrupted run of the same build stopped
    #[arg(long)]
    pub resume: bool,
    /// So many processes at a time, instead of one for each core
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Build the engine without one of its protections
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
    /// Tell also what the models that must fail find
    #[arg(long)]
    pub tell: bool,
    /// Tell the execution in this file again
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub replay: Option<PathBuf>,
    /// Name the tests, and run none
    #[arg(long)]
    pub list: bool,
    /// Write the table to a file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Options {
    /// Sets the bound in a test's environment.
    fn bound(&self, command: &mut Command) {
        command
            .env_remove("BULKHEAD_LOOM_PREEMPTIONS")
            .env_remove("BULKHEAD_LOOM_DEEP");
        if let Some(number) = self.preemptions {
            command.env("BULKHEAD_LOOM_PREEMPTIONS", number.to_string());
        }
        if self.deep {
            command.env("BULKHEAD_LOOM_DEEP", "1");
        }
    }

    /// What of a command line decides which executions there are.
    fn arguments(&self) -> String {
        let mut arguments = String::new();
        if let Some(number) = self.preemptions {
            arguments += &format!(" --preemptions {number}");
        }
        if self.deep {
            arguments += " --deep";
        }
        if let Some(mutant) = &self.mutant {
            arguments += &format!(" --mutant {mutant}");
        }
        arguments
    }
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    if let Some(name) = &options.mutant {
        mutants::require(&paths.root, name)?;
    }
    let (tests, _workbench) = build::tests(paths, &options.test, options.mutant.as_deref())?;
    let tests = select(tests, &options.test);
    ensure!(!tests.is_empty(), "no such test; `--list` names them all");
    if options.list {
        for test in &tests {
            println!("{}", test.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(file) = &options.replay {
        let [test] = tests.as_slice() else {
            bail!("--replay: name the one test that failed with --test");
        };
        return retell::replay(paths, options, test, file);
    }
    let started = Instant::now();
    let rows = pool::run(paths, options, &tests)?;
    if let Some(file) = &options.json {
        table::write(file, &rows)?;
    }
    // What cannot be told must not keep the totals from being shown.
    let told = tell(paths, options, &tests, &rows);
    let executions: u64 = rows.iter().filter_map(|row| row.executions).sum();
    println!(
        "{executions} executions of {} tests in {} s",
        rows.len(),
        started.elapsed().as_secs()
    );
    let mut total = Count::default();
    for row in &rows {
        let has_passed = row.outcome.has_passed();
        total += Count::new(u32::from(has_passed), u32::from(!has_passed), 0);
    }
    println!("{total}");
    told?;
    Ok(total.exit_code())
}

/// What of the environment decides which executions there are, as it stands before a command.
fn environment() -> String {
    match without() {
        names if names.is_empty() => names,
        names => format!("BULKHEAD_WITHOUT={names} "),
    }
}

/// The weaknesses that the hardware is modelled without.
fn without() -> String {
    std::env::var("BULKHEAD_WITHOUT").unwrap_or_default()
}

fn select(tests: Vec<Test>, wanted: &str) -> Vec<Test> {
    let is_name = tests.iter().any(|test| test.name == wanted);
    tests
        .into_iter()
        .filter(|test| match is_name {
            true => test.name == wanted,
            false => test.name.contains(wanted),
        })
        .collect()
}

/// Tells the failures, and with `--tell` what the twins found.
fn tell(paths: &Paths, options: &Options, tests: &[Test], rows: &[Row]) -> Result<()> {
    let mut told = 0;
    for (test, row) in tests.iter().zip(rows) {
        match &row.outcome {
            Outcome::Failed(_) => {}
            Outcome::Twin if options.tell => {}
            _ => continue,
        }
        println!();
        println!("==> {}: {}", test.name, row.outcome);
        told += 1;
        let folder = Folder::of(paths, &test.name);
        println!("    log:   {}", folder.log().display());
        if told <= TOLD {
            retell::tell(paths, options, test, &folder)?;
        } else {
            let arguments = options.arguments();
            println!(
                "    story: {}cargo xtask loom --test {}{arguments}",
                environment(),
                test.name
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_name_selects_one_test_and_a_part_all_that_have_it() {
        let test = |name: &str| Test {
            name: name.into(),
            program: PathBuf::new(),
            own: String::new(),
        };
        let all = || vec![test("percpu::a"), test("percpu::a_b"), test("tool::a")];
        let names = |wanted| {
            let selected = select(all(), wanted);
            selected
                .into_iter()
                .map(|test| test.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("percpu::a"), ["percpu::a"]);
        assert_eq!(names("percpu"), ["percpu::a", "percpu::a_b"]);
        assert_eq!(names("").len(), 3);
        assert!(names("z").is_empty());
    }
}

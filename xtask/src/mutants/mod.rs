//! `cargo xtask mutants`: builds protections away, one at a time, and sees the tests that
//! `xtask/mutants.toml` names for them fail.
//!
//! Nothing counts as caught unless the same test passes on the whole engine, the mutant compiles,
//! and the test runs and says itself that it failed; on bare metal a machine that hangs in it has
//! failed too.

mod catcher;
mod judgement;
mod laboratory;
mod manifest;
mod places;
mod report;
mod sources;
mod trial;
mod whole;
mod workbench;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::paths::Paths;

use laboratory::Laboratory;
use report::{Report, Row};

pub use catcher::{Catcher, Kind};
pub use manifest::{Manifest, Mutant};
pub use places::check_test;
pub use sources::{SOURCES, require};
pub use workbench::Workbench;

/// Which mutants to try on what.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Only the mutants with this in their name
    #[arg(value_name = "FILTER", default_value = "")]
    pub filter: String,
    /// Only the tests of this kind
    #[arg(long, value_name = "KIND")]
    pub by: Option<Kind>,
    /// Every test that is named for a mutant, each of which must fail; without this the cheapest alone
    #[arg(long)]
    pub all: bool,
    /// Only what is fit for every commit, whose other tests show that the whole engine passes
    #[arg(long, conflicts_with = "all")]
    pub quick: bool,
    /// Write what the table shows to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Name them with what catches them, and try nothing
    #[arg(long)]
    pub list: bool,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let manifest = Manifest::load(&paths.root)?;
    if options.list {
        list(&manifest, options);
        return Ok(ExitCode::SUCCESS);
    }
    let trials = trial::select(&manifest, options)?;
    let mut laboratory = Laboratory::open(paths)?;

    // Of every commit the other stages show what passes on the whole engine; what lives without a
    // weakness shows itself that the test can pass.
    let tests: BTreeSet<&Catcher> = trials
        .iter()
        .filter(|trial| trial.without.is_none())
        .map(|trial| &trial.catcher)
        .collect();
    let unfit = match options.quick {
        true => BTreeSet::new(),
        false => laboratory.find_unfit(&tests)?,
    };
    println!("==> {} tests on mutants", trials.len());
    let mut report = Report::default();
    for (number, trial) in (1..).zip(&trials) {
        let progress = format!("[{number}/{}]", trials.len());
        report.push(laboratory.try_mutant(&progress, trial, &unfit)?);
    }
    if options.by.is_none() && !options.quick {
        for (name, mutant) in trial::wanted(&manifest, options) {
            if let Some(why) = &mutant.survives {
                report.push(Row::listed(name, why));
            }
        }
    }
    println!("==> what kills which mutant");
    print!("{}", report.render(&manifest));
    if let Some(file) = &options.json {
        report.write(file)?;
    }
    let total = report.count();
    println!("{total}");
    Ok(total.exit_code())
}

fn list(manifest: &Manifest, options: &Options) {
    for (name, mutant) in trial::wanted(manifest, options) {
        println!("{name}: without {}", mutant.removes);
        if let Some(reason) = &mutant.survives {
            println!("    nothing: {reason}");
        }
        for catcher in mutant.catchers() {
            println!("    {catcher}");
        }
        for weakness in &mutant.lives_without {
            println!("    lives without {weakness}");
        }
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

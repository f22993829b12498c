//! `cargo xtask linear`: are the results of calls that were made at the same time explained by some order of the
//! specification's atomic steps that respects real time?
//!
//! Histories come from loom's executions of the engine's models, or with `--cpus` from a machine in QEMU. The checker
//! is the extracted specification with a search (`xtask/conform/oracle/linear.ml`); `xtask/conform/histories` holds
//! histories of which it is known whether there is an order.
//!
//! Invariants: a model has passed only if loom completed its search, it left histories, and each of these is
//! explained; a checker that does not refuse what it must has failed.

mod checker;
mod machine;
mod models;
mod note;
mod rename;
mod runs;
mod samples;

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::conform::oracle;
use crate::count::Count;
use crate::mutants;
use crate::paths::Paths;
use crate::setup::coq::Coq;
use crate::setup::ocaml::Ocaml;

pub use checker::{Checker, Verdict};
pub use machine::rounds_of;

/// What to check
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only tests with this in their name; only the one that has exactly this name
    #[arg(long, value_name = "NAME", default_value = "")]
    pub only: String,
    /// Preemptions that loom tries; of models with three cores one fewer
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub preemptions: u32,
    /// Ask a machine with so many cores instead, 3 to 512
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// How long its cores make calls at most, by its clock
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub seconds: u64,
    /// Start of every core's random sequence there
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// So many models at a time [default: one a core]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Write what was shown as JSON: property, result, evidence, seconds
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Build the engine without one of its protections
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
}

impl Options {
    /// How many things are done at a time.
    fn jobs(&self) -> usize {
        match self.jobs {
            Some(jobs) => jobs.max(1),
            None => thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// What one test came to.
pub struct Row {
    name: String,
    evidence: String,
    fault: Option<String>,
    seconds: f64,
}

impl Row {
    /// Of a test that began then; it has failed if there is a fault to tell.
    fn new(name: impl Display, evidence: String, fault: Option<String>, begun: Instant) -> Self {
        let row = Self {
            name: name.to_string(),
            evidence,
            fault,
            seconds: begun.elapsed().as_secs_f64(),
        };
        row.show();
        row
    }

    fn show(&self) {
        let end = match &self.fault {
            None => "ok".to_owned(),
            // One line says what, for who reads only that; what it is about comes below.
            Some(fault) => format!("FAILED: {fault}"),
        };
        let Self {
            name,
            evidence,
            seconds,
            ..
        } = self;
        println!("{name} ({evidence}, {seconds:.1} s) ... {end}");
    }

    fn to_json(&self) -> Value {
        json!({
            "property": self.name,
            "result": if self.fault.is_none() { "passed" } else { "failed" },
            "evidence": self.evidence,
            "seconds": (self.seconds * 1000.0).round() / 1000.0,
        })
    }
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let mutant = options.mutant.as_deref();
    if let Some(name) = mutant {
        mutants::require(&paths.root, name)?;
    }
    let (coq, ocaml) = (Coq::set_up(&paths.cache())?, Ocaml::set_up(&paths.cache())?);
    let program = oracle::build(paths, &coq, &ocaml)?.orders;
    let rows = match options.cpus {
        Some(cpus) => machine::run(paths, &program, options, cpus)?,
        None => {
            let mut rows = samples::run(paths, &program, &options.only)?;
            rows.extend(models::run(paths, &program, options)?);
            rows
        }
    };
    ensure!(!rows.is_empty(), "no test is called {:?}", options.only);
    if let Some(file) = &options.json {
        let all: Vec<Value> = rows.iter().map(Row::to_json).collect();
        let text = serde_json::to_string_pretty(&all)? + "\n";
        fs::write(file, text).with_context(|| format!("--json {}", file.display()))?;
    }
    let mut count = Count::default();
    for row in &rows {
        let is_good = row.fault.is_none();
        count += Count::new(u32::from(is_good), u32::from(!is_good), 0);
    }
    println!("{count}");
    Ok(count.exit_code())
}

/// Of these names those that are wanted: the one that is named whole, or all that have it as a part.
fn is_wanted(name: &str, wanted: &str, all: &[&str]) -> bool {
    match all.contains(&wanted) {
        true => name == wanted,
        false => name.contains(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::is_wanted;

    #[test]
    fn a_whole_name_selects_one_test_and_a_part_all_that_have_it() {
        let all = ["a::b", "a::b_c", "d"];
        let of = |wanted| -> Vec<&str> {
            let wanted = all.iter().filter(|name| is_wanted(name, wanted, &all));
            wanted.copied().collect()
        };
        assert_eq!(of("a::b"), ["a::b"]);
        assert_eq!(of("a::"), ["a::b", "a::b_c"]);
        assert_eq!(of("").len(), 3);
    }
}

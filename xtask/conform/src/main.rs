//! `bulkhead-conform`: the engine on the simulated machine against the extracted specification. `cargo xtask
//! conform` builds the oracle and runs this.
//!
//! | file | what |
//! | --- | --- |
//! | `deed` | what is done to a machine |
//! | `rig`, `tape` | does it to engine and model, and compares |
//! | `weather` | what the specification leaves open, read off the engine's answer |
//! | `render` | the engine's state as text; `oracle/dump.ml` writes the model's |
//! | `oracle` | the model, a process: `oracle/main.ml`, extracted by `oracle/Extract.v` |
//! | `random`, `session` | random deeds on many machines |
//! | `menu`, `explore`, `worlds` | everything that can be done in every state of a small one |
//! | `shrink` | of deeds that lead to a difference the fewest |
//! | `corrupt`, `selftest` | differences that are made, to be seen |
//! | `tally`, `report` | what was met, and what it came to |

mod alike;
mod corrupt;
mod deed;
mod explore;
mod menu;
mod oracle;
mod random;
mod render;
mod report;
mod rig;
mod selftest;
mod session;
mod shrink;
mod tally;
mod tape;
mod weather;
mod worlds;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use explore::explore;
use report::Report;
use worlds::WORLDS;

/// What to play.
#[derive(Parser, Clone, Debug)]
pub struct Options {
    /// The oracle: the extracted specification as a program
    #[arg(long)]
    oracle: PathBuf,
    /// Only properties with this in their name
    #[arg(long, default_value = "")]
    only: String,
    /// Random deeds in all
    #[arg(long, default_value_t = 100_000)]
    calls: u64,
    /// Of the first random machine; each has the next
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Deeds of one machine
    #[arg(long, default_value_t = 400)]
    each: u64,
    /// How many at a time
    #[arg(long, default_value_t = 2)]
    shards: u64,
    /// Says how far it is each time so many are done
    #[arg(long, default_value_t = 250_000)]
    progress: u64,
    /// Explores each world for so many seconds at most
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Explores each world to its end
    #[arg(long)]
    whole: bool,
    /// Writes what was shown as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    let mut report = Report::default();
    if wanted(options, "corruption") {
        let (kinds, unseen) = selftest::run(&options.oracle)?;
        for unseen in &unseen {
            println!("    not seen: {unseen}");
        }
        let evidence = format!("{} of {kinds} kinds", kinds - unseen.len().min(kinds));
        let name = "corruption: whatever is seen otherwise is told";
        report.add(name, unseen.is_empty(), &evidence);
    }
    if wanted(options, "random") {
        let session = session::random(options)?;
        let evidence = format!(
            "{} deeds on {} machines, seeds from {}",
            session.compared, session.machines, options.seed
        );
        let name = "random: the engine does what the specification says";
        report.add(name, session.conforms, &evidence);
    }
    let tally = Arc::default();
    for world in WORLDS.iter().filter(|world| wanted(options, world.name)) {
        let time = match options.whole {
            true => Duration::MAX,
            false => Duration::from_secs(options.seconds),
        };
        let explored = explore(&options.oracle, world, options.shards, time, &tally)?;
        let of = match explored.expanded == explored.states {
            true => "all".to_owned(),
            false => explored.expanded.to_string(),
        };
        let evidence = format!(
            "everything in {of} of {} states, {} deeds",
            explored.states, explored.compared
        );
        let name = format!("{}: {}", world.name, world.says);
        report.add(&name, explored.conforms, &evidence);
    }
    if let Some(file) = &options.json {
        report.write(file)?;
    }
    Ok(report.close())
}

fn wanted(options: &Options, name: &str) -> bool {
    name.contains(options.only.as_str())
}

//! `cargo xtask assure`: of each property that `docs/assurance.md` maps, is what shows it still so?
//!
//! Every piece of evidence that the map names is tried by the command that a person would repeat it with, once, however
//! many properties rest on it. A property holds if all of its evidence does; what it assumes is believed. Theorems
//! are asked in one run of the proof assistant.

mod evidence;
mod map;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::count::Count;
use crate::paths::Paths;
use map::Property;
use trial::{Trial, Verdict};

pub use map::{check, wrong_evidence};

/// What to show.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only the property of this name
    #[arg(long, value_name = "NAME", default_value = "")]
    pub only: String,
    /// Write the table as JSON: property, result, evidence, seconds
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Name the properties with what shows them, and try nothing
    #[arg(long)]
    pub list: bool,
}

/// A property as `--json` has it.
#[derive(Serialize)]
struct Row<'m> {
    property: &'m str,
    result: &'static str,
    /// What was tried, each with how it ended.
    evidence: Vec<String>,
    /// Of all of the evidence, some of which others rest on too.
    seconds: f64,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let mut properties = map::load(&paths.root)?;
    properties.retain(|property| options.only.is_empty() || property.name == options.only);
    ensure!(
        !properties.is_empty(),
        "no such property; `--list` names them all"
    );
    if options.list {
        for Property { name, says, shown } in &properties {
            println!("{name}: {says}");
            shown.iter().for_each(|it| println!("    {it}"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut trial = Trial::new(paths);
    let mut rows = Vec::new();
    for property in &properties {
        println!("==> {}: {}", property.name, property.says);
        rows.push(judge(property, &mut trial)?);
    }
    println!(
        "\n{:30} {:>8} {:>9} {:>8}",
        "property", "result", "evidence", "seconds"
    );
    let mut count = Count::default();
    for row in &rows {
        let of = row.evidence.len();
        println!(
            "{:30} {:>8} {of:>9} {:>8.0}",
            row.property, row.result, row.seconds
        );
        count += match row.result {
            HOLDS => Count::new(1, 0, 0),
            SKIPPED => Count::skipped(1),
            _ => Count::new(0, 1, 0),
        };
    }
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&rows)?;
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    println!("{count}");
    Ok(count.exit_code())
}

const HOLDS: &str = "holds";
const SKIPPED: &str = "skipped";
const FAILED: &str = "FAILED";

/// Tries what shows a property.
fn judge<'m>(property: &'m Property, trial: &mut Trial<'_>) -> Result<Row<'m>> {
    let (mut result, mut seconds, mut tried) = (HOLDS, 0.0, Vec::new());
    for evidence in &property.shown {
        let outcome = trial.of(evidence)?;
        seconds += outcome.seconds;
        let (word, ends) = match &outcome.verdict {
            Verdict::Holds => ("ok", result),
            Verdict::Skipped(why) => {
                tried.push(format!("{evidence}: skipped, {why}"));
                if result == HOLDS {
                    result = SKIPPED;
                }
                continue;
            }
            Verdict::Failed => ("FAILED", FAILED),
        };
        result = ends;
        tried.push(format!("{evidence}: {word}"));
    }
    Ok(Row {
        property: &property.name,
        result,
        evidence: tried,
        seconds,
    })
}

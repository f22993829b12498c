//! What came of each test: one line each, a total, and a file for other programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::count::Count;

/// What came of one test.
pub enum Outcome {
    Passed,
    Failed {
        why: String,
        /// The file that shows it, if there is one.
        file: Option<PathBuf>,
    },
}

impl Outcome {
    /// Passed unless something is wrong.
    pub fn of(fault: Option<String>) -> Self {
        match fault {
            None => Self::Passed,
            Some(why) => Self::Failed { why, file: None },
        }
    }

    /// Failed, as `file` shows.
    pub fn failed(why: String, file: PathBuf) -> Self {
        Self::Failed {
            why,
            file: Some(file),
        }
    }
}

#[derive(Serialize)]
struct Record {
    name: String,
    result: &'static str,
    seconds: f64,
}

/// The tests so far.
pub struct Report<'a> {
    mutant: Option<&'a str>,
    count: Count,
    records: Vec<Record>,
}

impl<'a> Report<'a> {
    /// No tests yet, on the engine without `mutant`.
    pub fn new(mutant: Option<&'a str>) -> Self {
        Self {
            mutant,
            count: Count::default(),
            records: Vec::new(),
        }
    }

    /// Runs one test and tells what came of it.
    pub fn ask(&mut self, name: &str, test: impl FnOnce() -> Result<Outcome>) -> Result<()> {
        let started = Instant::now();
        let outcome = test().with_context(|| name.to_owned())?;
        let seconds = started.elapsed().as_secs_f64();
        let (result, count) = match &outcome {
            Outcome::Passed => ("passed", Count::new(1, 0, 0)),
            Outcome::Failed { .. } => ("failed", Count::new(0, 1, 0)),
        };
        match outcome {
            Outcome::Passed => println!("{name} ... ok in {seconds:.1} s"),
            Outcome::Failed { why, file } => {
                println!("{name} ... FAILED: {why}");
                let mutant = self.mutant.map(|it| format!(" --mutant {it}"));
                let mutant = mutant.unwrap_or_default();
                println!("    again: cargo xtask litmus --test {name}{mutant}");
                if let Some(file) = file {
                    println!("    file:  {}", file.display());
                    println!("    log:   {}", file.with_extension("log").display());
                }
            }
        }
        self.count += count;
        self.records.push(Record {
            name: name.to_owned(),
            result,
            seconds: (seconds * 1000.0).round() / 1000.0,
        });
        Ok(())
    }

    /// The total.
    pub fn count(&self) -> Count {
        self.count
    }

    /// Writes the results to `file`.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.records)?;
        fs::write(file, text + "\n").with_context(|| format!("write {}", file.display()))
    }
}

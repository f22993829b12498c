//! What was shown, in the lines of `cargo test` and as JSON.
//!
//! Invariant: a property that did not come to an end, or has nothing to show, has failed.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

#[derive(Serialize)]
struct Row {
    property: String,
    result: &'static str,
    evidence: String,
    seconds: f64,
}

/// Properties and what came of them.
pub struct Report {
    rows: Vec<Row>,
    started: Instant,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            started: Instant::now(),
        }
    }
}

impl Report {
    /// One more: does it hold, and what shows it? Its time is that since the one before.
    pub fn add(&mut self, property: &str, holds: bool, evidence: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.started = Instant::now();
        let said = if holds { "ok" } else { "FAILED" };
        println!("{property} ({evidence}, {seconds:.0} s) ... {said}");
        self.rows.push(Row {
            property: property.to_owned(),
            result: if holds { "passed" } else { "failed" },
            evidence: evidence.to_owned(),
            seconds,
        });
    }

    /// Writes the rows.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.rows)? + "\n";
        fs::write(file, text).with_context(|| format!("--json {}", file.display()))
    }

    /// Tells how many; whether all hold and there are some.
    pub fn close(&self) -> bool {
        let passed = self.rows.iter().filter(|row| row.result == "passed");
        let passed = passed.count();
        let failed = self.rows.len() - passed;
        println!("{passed} passed, {failed} failed");
        failed == 0 && passed > 0
    }
}

//! What a run shows of each test, and the same as JSON.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::loom::outcome::Outcome;

/// One test's line.
pub struct Row {
    /// `FILE::NAME`.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Executions that were tried, where there is a model.
    pub executions: Option<u64>,
    /// How long that took.
    pub seconds: f64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ... {}", self.name, self.outcome)?;
        if let Some(executions) = self.executions {
            write!(f, ", {executions} executions")?;
        }
        write!(f, " in {:.1} s", self.seconds)
    }
}

impl Row {
    fn to_json(&self) -> Value {
        let mut row = json!({
            "name": self.name,
            "result": if self.outcome.has_passed() { "passed" } else { "failed" },
            "seconds": (self.seconds * 1000.0).round() / 1000.0,
        });
        if let Some(executions) = self.executions {
            row["iterations"] = executions.into();
        }
        row
    }
}

/// Writes the table as a list of objects.
pub fn write(file: &Path, rows: &[Row]) -> Result<()> {
    let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
    let text = serde_json::to_string_pretty(&rows)? + "\n";
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(outcome: Outcome, executions: Option<u64>) -> Row {
        Row {
            name: "percpu::a".into(),
            outcome,
            executions,
            seconds: 1.23456,
        }
    }

    #[test]
    fn a_line_has_what_is_known() {
        let line = row(Outcome::Completed(17), Some(17)).to_string();
        assert_eq!(line, "percpu::a ... ok, 17 executions in 1.2 s");
        let line = row(Outcome::Failed("x".into()), None).to_string();
        assert_eq!(line, "percpu::a ... FAILED: x in 1.2 s");
    }

    #[test]
    fn json_says_iterations_only_of_models() {
        let model = row(Outcome::Twin, Some(3)).to_json();
        let expected = json!({
            "name": "percpu::a", "result": "passed", "iterations": 3, "seconds": 1.235
        });
        assert_eq!(model, expected);
        let plain = row(Outcome::Failed("x".into()), None).to_json();
        assert_eq!(plain["result"], "failed");
        assert!(plain.get("iterations").is_none());
    }
}

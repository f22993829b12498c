//! `@figure` lines, and the table made of them.
//!
//! Invariant: a figure is known by what it says it measured; the order is the order of measuring.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// How a figure's line begins.
const FIGURE: &str = "@figure ";

/// One operation, measured in one or more rounds.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// Pages that a round moved.
    pub pages: u64,
    /// Calls that a round took.
    pub calls: u64,
    /// Instructions of each round.
    pub rounds: Vec<u64>,
}

/// Figures of machines with different numbers of cores.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Table {
    machines: Vec<Measured>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Measured {
    cpus: u32,
    figures: Vec<Figure>,
}

/// The figures among a console's records.
pub fn read(records: &[String]) -> Result<Vec<Figure>> {
    let lines = records.iter().filter_map(|line| line.strip_prefix(FIGURE));
    lines
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

impl Figure {
    fn first(&self) -> u64 {
        self.rounds.first().copied().unwrap_or(0)
    }

    fn median(&self) -> u64 {
        let mut rounds = self.rounds.clone();
        rounds.sort_unstable();
        rounds.get(rounds.len() / 2).copied().unwrap_or(0)
    }

    fn min(&self) -> u64 {
        self.rounds.iter().copied().min().unwrap_or(0)
    }

    fn max(&self) -> u64 {
        self.rounds.iter().copied().max().unwrap_or(0)
    }
}

impl Table {
    /// Reads what [`Table::to_json`] wrote.
    pub fn load(file: &Path) -> Result<Self> {
        let name = || format!("figures {}", file.display());
        serde_json::from_str(&fs::read_to_string(file).with_context(name)?).with_context(name)
    }

    /// Adds a machine's figures.
    pub fn add(&mut self, cpus: u32, figures: Vec<Figure>) {
        self.machines.push(Measured { cpus, figures });
    }

    /// As text for a file.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    fn find(&self, cpus: u32, what: &str) -> Option<&Figure> {
        let machine = self.machines.iter().find(|machine| machine.cpus == cpus)?;
        machine.figures.iter().find(|figure| figure.what == what)
    }

    /// A Markdown table for each machine, with the medians of `before` where it has them.
    pub fn render(&self, before: Option<&Self>) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        for Measured { cpus, figures } in &self.machines {
            let _ = writeln!(text, "\n{cpus} cores online\n");
            let old = before.map_or("", |_| " before |");
            let rule = before.map_or("", |_| " ---: |");
            let _ = writeln!(
                text,
                "| operation | pages | calls |{old} median | min | max | first |"
            );
            let _ = writeln!(
                text,
                "| --- | ---: | ---: |{rule} ---: | ---: | ---: | ---: |"
            );
            for figure in figures {
                let old = before.map_or_else(String::new, |before| {
                    let old = before.find(*cpus, &figure.what);
                    let old = old.map_or_else(|| "–".to_owned(), |old| grouped(old.median()));
                    format!(" {old} |")
                });
                let _ = writeln!(
                    text,
                    "| {} | {} | {} |{old} {} | {} | {} | {} |",
                    figure.what,
                    figure.pages,
                    figure.calls,
                    grouped(figure.median()),
                    grouped(figure.min()),
                    grouped(figure.max()),
                    grouped(figure.first()),
                );
            }
        }
        text
    }
}

/// A number in groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        r#"@figure {"what":"VM_MAP","pages":1,"calls":1,"rounds":[900,700,800,100000]}"#;

    fn table(line: &str) -> Table {
        let mut table = Table::default();
        table.add(2, read(&["@mark".to_owned(), line.to_owned()]).unwrap());
        table
    }

    #[test]
    fn lines_become_rows() {
        let text = table(LINE).render(None);
        assert!(
            text.contains("| VM_MAP | 1 | 1 | 900 | 700 | 100 000 | 900 |"),
            "{text}"
        );
    }

    #[test]
    fn earlier_figures_stand_beside_them() {
        let before: Table = serde_json::from_str(&table(LINE).to_json().unwrap()).unwrap();
        let now = table(&LINE.replace("900,700,800", "90,70,80"));
        assert!(now.render(Some(&before)).contains("| 1 | 1 | 900 | 90 |"));
        let other = table(&LINE.replace("VM_MAP", "VM_LEND"));
        assert!(other.render(Some(&before)).contains("| 1 | 1 | – | 900 |"));
    }

    #[test]
    fn damaged_line_is_an_error() {
        let line = LINE.replace("rounds", "round");
        assert!(read(&[line]).is_err());
    }

    #[test]
    fn digits_stand_in_threes() {
        let pairs = [
            (0, "0"),
            (999, "999"),
            (1000, "1 000"),
            (1_234_567, "1 234 567"),
        ];
        for (number, text) in pairs {
            assert_eq!(grouped(number), text);
        }
    }
}

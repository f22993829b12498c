//! What the test image said of its cases, machine by machine.
//!
//! The image prints `@attack JSON` between a test's `begin` and its result.

use anyhow::{Context, Result};
use serde::Deserialize;

const MARK: &str = "@attack ";

/// A case's own words.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// The test's name.
    pub name: String,
    /// Who attacks.
    pub by: String,
    /// Numbers of the bugs that it tries.
    pub scenarios: Vec<u8>,
    /// How.
    pub mechanism: String,
    /// What must come.
    pub expected: String,
}

/// How a case ended on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Refused,
    /// The machine lacks what it takes.
    Skipped(String),
    /// Not as expected, or not at all.
    Failed,
}

/// A case and its outcomes, in the order of [`Book::machines`].
#[derive(Debug)]
pub struct Case {
    pub words: Words,
    pub outcomes: Vec<(String, Outcome)>,
}

/// All cases of several boots.
#[derive(Debug, Default)]
pub struct Book {
    machines: Vec<String>,
    cases: Vec<Case>,
}

impl Book {
    /// Takes in what a boot's console says.
    pub fn add(&mut self, machine: &str, console: &str) -> Result<()> {
        self.machines.push(machine.to_owned());
        let mut open: Option<Words> = None;
        for line in console.lines().map(str::trim_end) {
            if let Some(json) = line.strip_prefix(MARK) {
                self.close(machine, open.take(), Outcome::Failed);
                open = Some(serde_json::from_str(json).with_context(|| line.to_owned())?);
            }
            let Some((name, how)) = result(line) else {
                continue;
            };
            if open.as_ref().is_some_and(|words| words.name == name) {
                let outcome = match how.strip_prefix("skipped: ") {
                    Some(why) => Outcome::Skipped(why.to_owned()),
                    None if how == "ok" => Outcome::Refused,
                    None => Outcome::Failed,
                };
                self.close(machine, open.take(), outcome);
            }
        }
        self.close(machine, open, Outcome::Failed);
        Ok(())
    }

    fn close(&mut self, machine: &str, words: Option<Words>, outcome: Outcome) {
        let Some(words) = words else { return };
        let outcome = (machine.to_owned(), outcome);
        match self.cases.iter_mut().find(|case| case.words == words) {
            Some(case) => case.outcomes.push(outcome),
            None => self.cases.push(Case {
                words,
                outcomes: vec![outcome],
            }),
        }
    }

    /// The boots, in order.
    pub fn machines(&self) -> &[String] {
        &self.machines
    }

    /// The cases, in the order in which they were first met.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Was a case not refused, or missing on a machine?
    pub fn has_failures(&self) -> bool {
        let is_bad = |case: &Case| {
            case.outcomes.len() != self.machines.len()
                || case.outcomes.iter().any(|(_, how)| *how == Outcome::Failed)
        };
        self.cases.is_empty() || self.cases.iter().any(is_bad)
    }
}

/// `test NAME ... HOW`
fn result(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.split_once(" ... ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, how: &str) -> String {
        format!(
            "begin {name}\r\n@attack {{\"name\":\"{name}\",\"by\":\"host\",\"scenarios\":[7],\
             \"mechanism\":\"m\",\"expected\":\"e\"}}\r\n{how}"
        )
    }

    #[test]
    fn outcomes_are_kept_by_machine() {
        let mut book = Book::default();
        book.add("a", &told("x::y", "test x::y ... ok\r\n"))
            .unwrap();
        assert!(!book.has_failures());
        book.add(
            "b",
            &told("x::y", "noise\ntest x::y ... skipped: one core\n"),
        )
        .unwrap();
        assert!(!book.has_failures());
        assert_eq!(book.cases().len(), 1);
        assert_eq!(
            book.cases()[0].outcomes[1],
            ("b".into(), Outcome::Skipped("one core".into()))
        );
    }

    #[test]
    fn what_fails_or_does_not_end_is_no_refusal() {
        for how in ["test x::y ... FAILED: no\n", "", "test other ... ok\n"] {
            let mut book = Book::default();
            book.add("a", &told("x::y", how)).unwrap();
            assert!(book.has_failures(), "{how}");
        }
        assert!(Book::default().has_failures(), "no cases at all");
        let mut book = Book::default();
        book.add("a", &told("x::y", "test x::y ... ok\n")).unwrap();
        book.add("b", "").unwrap();
        assert!(book.has_failures(), "missing on one machine");
    }
}

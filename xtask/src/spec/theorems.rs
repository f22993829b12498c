//! The theorems by name, and what each rests on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::build::{Build, LIBRARY};
use crate::walk::files_with;

/// A theorem that is claimed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Theorem {
    /// Its Coq name, below the library's.
    pub name: String,
    /// What it says.
    pub says: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    theorem: Vec<Theorem>,
}

/// Those that `theorems.toml` lists.
pub fn load(source: &Path) -> Result<Vec<Theorem>> {
    let file = source.join("theorems.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let manifest: Manifest =
        toml::from_str(&text).with_context(|| format!("{} is not valid", file.display()))?;
    Ok(manifest.theorem)
}

/// Words by which a Coq file claims something without proof. (What a section supposes becomes a premise.)
const UNPROVED: [&str; 7] = [
    "Admitted",
    "admit",
    "Axiom",
    "Axioms",
    "Parameter",
    "Parameters",
    "Conjecture",
];

/// The first place where a file claims something without proof.
pub fn axioms(source: &Path) -> Result<Option<String>> {
    for file in files_with(source, &["v"])? {
        let text = fs::read_to_string(&file)?;
        let found = text.lines().enumerate().find(|(_, line)| is_unproved(line));
        if let Some((number, line)) = found {
            let file = file.display();
            return Ok(Some(format!("{file}:{}: {line}", number + 1)));
        }
    }
    Ok(None)
}

/// Does a line begin with such a word, or use the tactic?
fn is_unproved(line: &str) -> bool {
    let mut words = line
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    UNPROVED.contains(&first) || words.any(|word| word == "admit" || word == "Admitted")
}

/// What Coq says of a theorem that rests on nothing.
const CLOSED: &str = "Closed under the global context";
/// Stands before what it says of each.
const MARK: &str = "@@@";

/// What is wrong with each, in order.
pub fn ask<'t>(
    build: &Build<'_>,
    theorems: &'t [Theorem],
) -> Result<Vec<(&'t Theorem, Option<String>)>> {
    let mut text = String::new();
    for Theorem { name, .. } in theorems {
        let module = name.rsplit_once('.').context("a name has a module")?.0;
        text += &format!("Require {LIBRARY}.{module}.\n");
        text += &format!("Goal True. idtac \"{MARK}\". exact I. Qed.\n");
        text += &format!("Print Assumptions {LIBRARY}.{name}.\n");
    }
    let said = build.ask("Asked.v", &text)?;
    let answers: Vec<&str> = said.split(MARK).skip(1).map(str::trim).collect();
    ensure!(answers.len() == theorems.len(), "Coq said:\n{said}");
    let faults = answers.into_iter().map(fault_in);
    Ok(theorems.iter().zip(faults).collect())
}

fn fault_in(answer: &str) -> Option<String> {
    (answer != CLOSED).then(|| format!("    rests on: {answer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rests_on_something_is_a_fault() {
        assert_eq!(fault_in(CLOSED), None);
        assert!(fault_in("Axioms:\nexcluded_middle : ...").is_some());
        assert!(fault_in("").is_some());
    }

    #[test]
    fn claims_without_proof_are_seen() {
        for line in [
            "Admitted.",
            "Proof. admit. Qed.",
            "Axiom a : False.",
            "  Parameter p : nat.",
        ] {
            assert!(is_unproved(line), "{line}");
        }
        for line in [
            "Proof. auto. Qed.",
            "(** no axiom *)",
            "Definition parameter := 1.",
        ] {
            assert!(!is_unproved(line), "{line}");
        }
    }
}

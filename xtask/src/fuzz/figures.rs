//! How much was fuzzed in all: `engine/fuzz/figures.toml`, which deep runs add to.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::fuzz::outcome::Outcome;
use crate::paths::Paths;

const FILE: &str = "engine/fuzz/figures.toml";
const HEAD: &str = "# What was fuzzed by deep runs, in all: `cargo xtask fuzz --deep` adds to it.\n\
    # inputs   executions, by libFuzzer's count     seconds  of runs, on one core each\n\
    # edges    that the last run had gone           rate     inputs a second in the last run\n\n";

/// All targets' figures.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Figures {
    targets: BTreeMap<String, Figure>,
}

/// One target's.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Figure {
    inputs: u64,
    seconds: u64,
    edges: u64,
    rate: u64,
}

impl Figures {
    /// Reads the checkout's; none are none.
    pub fn load(paths: &Paths) -> Result<Self> {
        let file = paths.root.join(FILE);
        match fs::read_to_string(&file) {
            Ok(text) => toml::from_str(&text).context(FILE),
            Err(_) => Ok(Self::default()),
        }
    }

    /// Adds a run.
    pub fn add(&mut self, target: &str, outcome: &Outcome) {
        let figure = self.targets.entry(target.to_owned()).or_default();
        figure.inputs += outcome.inputs;
        figure.seconds += outcome.seconds;
        figure.edges = outcome.edges;
        figure.rate = outcome.rate();
    }

    /// Writes them down.
    pub fn store(&self, paths: &Paths) -> Result<()> {
        let text = format!("{HEAD}{}", toml::to_string(self)?);
        fs::write(paths.root.join(FILE), text).context(FILE)
    }

    /// Inputs of all targets.
    pub fn total(&self) -> u64 {
        self.targets.values().map(|figure| figure.inputs).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up() {
        let mut figures = Figures::default();
        let outcome = Outcome {
            inputs: 1000,
            seconds: 10,
            edges: 77,
            crash: None,
        };
        figures.add("calls", &outcome);
        figures.add("calls", &outcome);
        figures.add("acpi", &outcome);
        assert_eq!(figures.total(), 3000);
        let text = format!("{HEAD}{}", toml::to_string(&figures).unwrap());
        let read: Figures = toml::from_str(&text).unwrap();
        assert_eq!(read.targets["calls"].inputs, 2000);
        assert_eq!(read.targets["calls"].rate, 100);
    }
}

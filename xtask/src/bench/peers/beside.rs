//! What others take for the same work, and what an operation is to take at most: `xtask/peers.toml`.
//!
//! Invariant: a peer's figure is one of the recorded ones, and stands nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::bench::figure::Figure;
use crate::bench::peers::recorded::Recorded;

const FILE: &str = "xtask/peers.toml";

/// Beside what an operation's figure is put.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// The least that it can take.
    pub floor: Option<f64>,
    /// The most that it should take.
    pub most: Option<f64>,
    /// The most that it should take, as so many times what another operation does.
    pub times: Option<(f64, String)>,
    /// Whether a check fails when it takes more.
    pub is_held: bool,
    /// The most that a check lets it take meanwhile, where it takes more than it should.
    pub kept: Option<f64>,
    /// The nearest peer and what it takes.
    pub peer: Option<(String, f64)>,
}

impl Beside {
    /// The most that it should take, where `figures` are all that were taken.
    pub fn most_beside(&self, figures: &[Figure]) -> Option<f64> {
        let times = || {
            let (factor, op) = self.times.as_ref()?;
            let other = figures.iter().find(|figure| figure.op == *op)?;
            Some(factor * other.median)
        };
        self.most.or_else(times)
    }

    /// What a check holds it to, if to anything.
    pub fn bound_beside(&self, figures: &[Figure]) -> Option<f64> {
        let held = || {
            let most = self.is_held.then(|| self.most_beside(figures));
            most.flatten()
        };
        self.kept.or_else(held)
    }
}

/// By operation.
pub type Peers = BTreeMap<String, Beside>;

/// An operation in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    floor: Option<f64>,
    most: Option<f64>,
    times: Option<(f64, String)>,
    #[serde(default)]
    held: bool,
    kept: Option<f64>,
    peer: Option<Reference>,
}

/// A peer's name as the table shows it, and its recorded figure's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    name: String,
    figure: String,
}

/// Reads the file, and the recorded figures that it names.
pub fn load(root: &Path) -> Result<Peers> {
    let text = fs::read_to_string(root.join(FILE)).context(FILE)?;
    resolve(&text, &Recorded::load(root)?).context(FILE)
}

fn resolve(text: &str, recorded: &Recorded) -> Result<Peers> {
    let rows: BTreeMap<String, Row> = toml::from_str(text)?;
    let resolved = rows.into_iter().map(|(op, row)| {
        let peer = row.peer.map(|Reference { name, figure }| {
            let median = recorded.median(&figure);
            let median = median.with_context(|| format!("{op}: {figure} is not recorded"))?;
            anyhow::Ok((name, median))
        });
        let beside = Beside {
            floor: row.floor,
            most: row.most,
            times: row.times,
            is_held: row.held,
            kept: row.kept,
            peer: peer.transpose()?,
        };
        Ok((op, beside))
    });
    resolved.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_takes_what_is_recorded_of_it_and_an_unknown_one_is_refused() {
        let recorded = "[[run]]\npeer = \"NOVA\"\nmode = \"m\"\ncpu = \"c\"\nmedians = { a = 7 }\n";
        let recorded: Recorded = toml::from_str(recorded).unwrap();
        let text =
            "[x]\nfloor = 3\npeer = { name = \"N\", figure = \"nova/m/c/a\" }\n[y]\nmost = 4\n";
        let peers = resolve(text, &recorded).unwrap();
        assert_eq!(peers["x"].peer, Some(("N".to_owned(), 7.0)));
        assert_eq!((peers["x"].floor, peers["y"].most), (Some(3.0), Some(4.0)));
        assert_eq!(peers["y"].peer, None);
        let error = resolve(&text.replace("c/a", "c/b"), &recorded).unwrap_err();
        assert!(error.to_string().contains("x: nova/m/c/b"), "{error}");
    }

    #[test]
    fn every_nearest_peer_is_recorded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let peers = load(root).unwrap();
        assert!(peers.values().any(|beside| beside.peer.is_some()));
    }
}

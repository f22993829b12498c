//! What others take for the same work, and what an operation is to take at most: `xtask/peers.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

const FILE: &str = "xtask/peers.toml";

/// Beside what an operation's figure is put.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// The least that it can take.
    pub floor: Option<f64>,
    /// The most that it should take.
    pub most: Option<f64>,
    /// The nearest peer and what it takes.
    pub peer: Option<(String, f64)>,
}

/// By operation.
pub type Peers = BTreeMap<String, Beside>;

/// Reads the file.
pub fn load(root: &Path) -> Result<Peers> {
    let text = fs::read_to_string(root.join(FILE)).context(FILE)?;
    toml::from_str(&text).context(FILE)
}

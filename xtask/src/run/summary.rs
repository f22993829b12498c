//! The summary that the host prints at the end of a run: `@summary {json}`.
//!
//! Fields that this tool does not know are kept in the JSON file and not judged.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What happened, as the host and the engine counted it.
#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    /// `ok`, or why not.
    pub result: String,
    /// Cores that run the host.
    pub cpus_online: u32,
    /// One entry per guest.
    pub guests: Vec<Guest>,
    /// The engine's census after everything was reclaimed.
    pub pages: Pages,
    /// Hypercalls by name.
    pub hypercalls: Hypercalls,
    /// Exits to the host by reason.
    pub exits: BTreeMap<String, u64>,
    /// Attempts to reach what is not one's own.
    pub attacks: Attacks,
    /// Pages that held something before they were scrubbed.
    pub scrubbed_nonzero: u64,
    /// Pages that held something after.
    pub scrub_violations: u64,
    /// Pages that the host got back and did not find zero.
    pub dirty_returns: u64,
    /// Pages given to guests.
    pub donated: Donated,
    /// Bytes of page words that the engine has ever written.
    #[serde(default)]
    pub table_bytes: u64,
    /// The engine's other counters, by the names of the interface.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
}

/// One guest's run.
#[derive(Clone, Debug, Deserialize)]
pub struct Guest {
    /// Number, from 0.
    pub id: u32,
    /// As its Linux counted them.
    pub vcpus_online: u32,
    /// Its kernel release.
    pub kernel: String,
    /// Whether each digest is the expected one.
    pub workload_ok: bool,
    /// How it ended: `off` when it powered off.
    pub exit: String,
}

/// Pages by state, named as the engine's census names them. `total` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Pages {
    pub total: u64,
    pub reserved: u64,
    pub host: u64,
    pub host_fixed: u64,
    pub engine: u64,
    pub vm: u64,
    pub shared: u64,
    pub claimed: u64,
    pub poisoned: u64,
    pub lost: u64,
}

/// Hypercalls by name and by core.
#[derive(Clone, Debug, Deserialize)]
pub struct Hypercalls {
    /// Successful state-changing calls of each core.
    pub per_cpu: Vec<u64>,
    /// All calls by name.
    #[serde(flatten)]
    pub by_name: BTreeMap<String, Calls>,
}

/// How often one hypercall was made.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Calls {
    /// Times called.
    pub calls: u64,
    /// Of these, refused.
    pub errors: u64,
}

/// Pages given to guests, by when.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Donated {
    /// Before they started.
    pub built: u64,
    /// When they touched them.
    pub faulted: u64,
}

/// Attempts by host and guests to reach what is not theirs.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Attacks {
    /// Attempts made.
    pub tried: u64,
    /// Attempts answered by the architectural fault.
    pub blocked: u64,
}

impl Summary {
    /// Reads the host's line.
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).context("the host's summary line is not as documented")
    }
}

impl Pages {
    /// The states that `total` should be the sum of.
    pub fn by_state(&self) -> [(&'static str, u64); 9] {
        [
            ("reserved", self.reserved),
            ("host", self.host),
            ("host_fixed", self.host_fixed),
            ("engine", self.engine),
            ("vm", self.vm),
            ("shared", self.shared),
            ("claimed", self.claimed),
            ("poisoned", self.poisoned),
            ("lost", self.lost),
        ]
    }
}

//! `xtask/mutants.toml` names the mutants that the sources have, no more and no fewer, each with a
//! test that catches it or with the reason why none does.

use std::path::Path;

use anyhow::Result;

use crate::audit::Findings;
use crate::audit::workspace::Workspace;
use crate::mutants::Manifest;

pub fn check(root: &Path, _workspace: &Workspace) -> Result<Findings> {
    let manifest = match Manifest::load(root) {
        Ok(manifest) => manifest,
        Err(error) => return Ok(vec![format!("{error:#}")]),
    };
    println!(
        "    {:>6}  mutants, {} of them caught by nothing",
        manifest.mutants.len(),
        manifest.survivors()
    );
    manifest.disagreements(root)
}

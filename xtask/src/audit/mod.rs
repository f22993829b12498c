//! Rules that keep the project's shape, each checked by reading the source.
//!
//! A check returns what breaks its rule; what it finds out beside that it prints.

mod coverage;
mod forbidden;
mod imports;
mod inventory;
mod lines;
mod mutants;
mod packages;
mod private_paths;
mod protections;
pub mod regions;
pub mod source;
pub mod trusted_base;
mod unsafe_uses;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use crate::audit::workspace::Workspace;
use crate::count::Count;
use crate::walk::files_with;

/// Folders of the crates that everything's isolation rests on.
const TRUSTED: [&str; 6] = [
    "sync",
    "ownership",
    "percpu",
    "smp-boot",
    "engine/abi",
    "engine",
];

/// The simulated machine: part of the engine's library, never of its image.
const SIMULATION: &str = "engine/src/sim";

/// What breaks a rule, one line each.
type Findings = Vec<String>;

type Check = fn(&Path, &Workspace) -> Result<Findings>;

const CHECKS: [(&str, Check); 12] = [
    (
        "each crate imports only what the layering allows",
        imports::check,
    ),
    (
        "unsafe keeps to its budget, makes its claims, and something checks them",
        trusted_base::check,
    ),
    (
        "no dyn, todo!, unimplemented!, _unchecked or ignored test in the engine",
        forbidden::check,
    ),
    (
        "no committed file points outside the checkout",
        private_paths::check,
    ),
    (
        "each mutant is listed with what catches it, or why nothing does",
        mutants::check,
    ),
    (
        "each object that cores share names a test, or why it needs none",
        inventory::check,
    ),
    (
        "each protective step of the protocol has a mutant, or a reason for none",
        coverage::check,
    ),
    (
        "each row of protections says what its mutants' tests say",
        protections::check,
    ),
    (
        "each property of the map of assurance names what shows it",
        map,
    ),
    (
        "each mutant that may live is of a function that is there",
        survivors,
    ),
    ("lines of code of the trusted part", lines::report),
    ("where the chosen packages are used", packages::report),
];

fn map(root: &Path, _workspace: &Workspace) -> Result<Findings> {
    let (properties, wrong) = crate::assure::check(root)?;
    println!("    {properties:>6}  properties");
    Ok(wrong)
}

fn survivors(root: &Path, _workspace: &Workspace) -> Result<Findings> {
    let (mutants, wrong) = crate::mutate::survivors::check(root)?;
    println!(
        "    {mutants:>6}  mutants that no test of `cargo xtask mutate` notices, with a reason"
    );
    Ok(wrong)
}

/// Runs every check; the exit code tells whether all hold.
pub fn run(root: &Path) -> Result<ExitCode> {
    let workspace = Workspace::load(root)?;
    let mut total = Count::default();
    for (rule, check) in CHECKS {
        println!("==> {rule}");
        let findings = check(root, &workspace)?;
        for finding in &findings {
            println!("    broken: {finding}");
        }
        let holds = u32::from(findings.is_empty());
        total += Count::new(holds, 1 - holds, 0);
    }
    println!("{total}");
    Ok(total.exit_code())
}

/// The files of a trusted crate that its image is compiled from: neither tests nor simulation.
fn image_sources(root: &Path, folder: &str, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let is_test = |file: &Path| {
        let name = file.file_name().unwrap_or_default();
        name.to_string_lossy().ends_with("tests.rs")
    };
    let mut files = files_with(&root.join(folder).join("src"), extensions)?;
    files.retain(|file| !is_test(file) && !file.starts_with(root.join(SIMULATION)));
    Ok(files)
}

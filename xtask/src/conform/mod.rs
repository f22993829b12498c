//! `cargo xtask conform`: does the engine do what the specification says?
//!
//! Coq extracts `spec/` to OCaml; that program is the oracle. `xtask/conform/` runs the real engine library on
//! the simulated machine and has the oracle do the same: each answer, and the whole state after it, must agree. This
//! builds both and passes on what they say.

pub mod oracle;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::image::build::write_wrapper;
use crate::mutants;
use crate::paths::Paths;
use crate::process::{self, run as run_shown};
use crate::setup::coq::Coq;
use crate::setup::ocaml::Ocaml;

/// Cargo's profile for what is played: quick to build, and it outlives a panic of the engine's.
const BUILD: &str = "cargo build --quiet --profile conform -p bulkhead-conform";

/// What to play.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only properties with this in their name: corruption, random, or a world
    #[arg(long, value_name = "NAME", default_value = "")]
    pub only: String,
    /// Random deeds in all
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub calls: u64,
    /// Of the first random machine; each has the next
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Deeds of one random machine
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub each: u64,
    /// How many machines are played at a time [default: one a core]
    #[arg(long, value_name = "N")]
    pub shards: Option<u64>,
    /// Explore each world of a small machine for so many seconds at most
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub seconds: u64,
    /// Explore each world to its end (hours)
    #[arg(long)]
    pub whole: bool,
    /// Write what was shown as JSON: property, result, evidence, seconds
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Play an engine without this protection (xtask/mutants.toml)
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let mutant = options.mutant.as_deref();
    if let Some(name) = mutant {
        mutants::require(&paths.root, name)?;
    }
    let (coq, ocaml) = (Coq::set_up(&paths.cache())?, Ocaml::set_up(&paths.cache())?);
    println!("    {}", coq.describe());
    println!("    {}", ocaml.describe());
    let oracle = oracle::build(paths, &coq, &ocaml)?;
    let mut cargo = process::command(BUILD)?;
    cargo.current_dir(&paths.root);
    if let Some(name) = mutant {
        let wrapper = paths.target.join("mutants").join(format!("rustc-{name}"));
        write_wrapper(&wrapper, mutant)?;
        cargo.env("RUSTC_WORKSPACE_WRAPPER", wrapper);
    }
    run_shown(&mut cargo)?;
    let program = paths.target.join("conform/bulkhead-conform");
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let mut play = std::process::Command::new(&program);
    play.arg("--oracle").arg(oracle.follows);
    let numbers = [
        ("--calls", options.calls),
        ("--seed", options.seed),
        ("--each", options.each),
        ("--seconds", options.seconds),
        ("--shards", options.shards.unwrap_or(cores)),
    ];
    for (name, number) in numbers {
        play.arg(name).arg(number.to_string());
    }
    play.arg("--only").arg(&options.only);
    if options.whole {
        play.arg("--whole");
    }
    if let Some(file) = &options.json {
        play.arg("--json").arg(file);
    }
    let status = play
        .status()
        .with_context(|| format!("start {}", program.display()))?;
    Ok(match status.code() {
        Some(0) => ExitCode::SUCCESS,
        Some(1) => ExitCode::FAILURE,
        _ => ExitCode::from(2),
    })
}

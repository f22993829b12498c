//! `cargo xtask`: sets up, builds, runs, tests and audits Bulkhead.

mod assure;
mod attacks;
mod audit;
mod bench;
mod conform;
mod count;
mod figures;
mod fuzz;
mod hw;
mod image;
mod interface;
mod linear;
mod linux_host;
mod litmus;
mod loom;
mod mutants;
mod mutate;
mod paths;
mod process;
mod run;
mod setup;
mod spec;
mod stack;
mod stress;
mod test;
mod walk;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::paths::Paths;
use crate::run::options::RunOptions;

/// Sets up, builds, runs, tests and audits Bulkhead
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Boot engine, host and Linux guests in QEMU, and judge the run
    Run(RunOptions),
    /// Run the tests fit for every commit
    Test {
        /// Only the stages with this in their name
        #[arg(default_value = "")]
        filter: String,
    },
    /// Boot the bare-metal tests and count them
    HwTest(hw::Options),
    /// Boot an unmodified Debian kernel as the demoted host, and judge how it lives
    LinuxHost(linux_host::Options),
    /// Write the files that start the engine on a real machine
    Image(image::task::Options),
    /// Boot the hardware tests that are attacks and write docs/attacks.md (5 minutes)
    Attacks(attacks::Options),
    /// Count the instructions of each operation, and compare with the committed medians (`--check`)
    Bench(bench::Options),
    /// Show where an operation's instructions go, as a table and a flame graph
    Profile(bench::profile::Options),
    /// Measure memory operations in instructions (2 minutes)
    Figures(figures::Options),
    /// Count what bringing a VM home costs the engine on 1 to 192 cores (2 minutes)
    Teardown(figures::teardown::Options),
    /// Random calls on all cores at once, with every page looked after (`--seconds`, 60)
    Stress(stress::Options),
    /// Count what each call takes the engine while all cores take pages away at once
    Storm(figures::storm::Options),
    /// Measure how deep the engine's stacks are, beside what is possible, and have one overrun
    Stack(stack::Options),
    /// Explore the models of the protocols, and tell what failed
    Loom(loom::Options),
    /// Build protections away, one at a time, and see a test of each fail (`--all`: every test, hours)
    Mutants(mutants::Options),
    /// Change one expression after another of ownership, percpu, decoding and stage 2, and see a test notice (hours; `--shard`)
    Mutate(mutate::Options),
    /// Check the image's instruction sequences: order, litmus tests, solver queries (2 minutes)
    Litmus(litmus::Options),
    /// Check the proofs of the specification, and that each theorem rests on nothing (2 minutes)
    Spec(spec::Options),
    /// Play the engine against the extracted specification, call by call (1 minute; `--calls`, `--whole`)
    Conform(conform::Options),
    /// Look for an order of calls that were made at the same time, in which the specification tells the same (1 minute)
    Linear(linear::Options),
    /// Try all that shows a property, for each property of docs/assurance.md, and print the table (half an hour; `--only`)
    Assure(assure::Options),
    /// Fuzz the engine, guided by coverage (5 minutes; `--deep`)
    Fuzz(fuzz::Options),
    /// Check the rules that keep the project's shape
    Audit,
    /// Write what follows from engine/abi/interface.toml, and docs/trusted-base.md
    Gen {
        /// Only compare
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(task: Task) -> Result<ExitCode> {
    let paths = Paths::find()?;
    match task {
        Task::Run(options) => run::run(&paths, &options),
        Task::Test { filter } => test::run(&paths, &filter),
        Task::HwTest(options) => hw::run(&paths, &options),
        Task::LinuxHost(options) => linux_host::run(&paths, &options),
        Task::Image(options) => image::task::run(&paths, &options),
        Task::Attacks(options) => attacks::run(&paths, options),
        Task::Bench(options) => bench::run(&paths, &options),
        Task::Profile(options) => bench::profile::run(&paths, &options),
        Task::Figures(options) => figures::run(&paths, &options),
        Task::Teardown(options) => figures::teardown::run(&paths, &options),
        Task::Stress(options) => stress::run(&paths, &options),
        Task::Storm(options) => figures::storm::run(&paths, &options),
        Task::Stack(options) => stack::run(&paths, &options),
        Task::Loom(options) => loom::run(&paths, &options),
        Task::Mutants(options) => mutants::run(&paths, &options),
        Task::Mutate(options) => mutate::run(&paths, &options),
        Task::Litmus(options) => litmus::run(&paths, &options),
        Task::Spec(options) => spec::run(&paths, &options),
        Task::Conform(options) => conform::run(&paths, &options),
        Task::Linear(options) => linear::run(&paths, &options),
        Task::Assure(options) => assure::run(&paths, &options),
        Task::Fuzz(options) => fuzz::run(&paths, &options),
        Task::Audit => audit::run(&paths.root),
        Task::Gen { check } => {
            interface::generate(&paths.root, check)?;
            audit::trusted_base::write(&paths.root, check)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

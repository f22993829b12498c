//! `cargo xtask hw-test`: boots the bare-metal test image in the host's place, on the machines of
//! `hw-tests/tests.toml`, and counts its tests.

mod boot;
mod cases;
mod manifest;
mod output;
mod report;
mod select;
mod twins;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::attacks::Book;
use crate::count::Count;
use crate::hw::boot::{Images, run_boot};
use crate::hw::manifest::{Boot, Manifest};
use crate::hw::output::Output;
use crate::hw::select::select;
use crate::hw::twins::Twins;
use crate::image::build::{self, ENGINE, Program};
use crate::image::efi::EfiImages;
use crate::mutants;
use crate::paths::Paths;
use crate::setup::Tools;

pub use cases::play as play_attacks;
pub use report::{Report, TOTAL, UNFINISHED, Verdict};

/// The test image.
pub const TESTS: Program<'static> = Program {
    package: "bulkhead-hw-tests",
    binary: "hwtests",
};
/// Which tests to run, and on what.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only the tests with one of these in their name, separated by commas
    #[arg(value_name = "FILTER")]
    pub names: Option<String>,
    /// The same
    #[arg(long, conflicts_with = "names")]
    pub filter: Option<String>,
    /// Only the tests whose whole name is one of these
    #[arg(long)]
    pub exact: bool,
    /// Only on one machine, with so many cores
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// Only on one machine, with this processor model
    #[arg(long, value_name = "MODEL")]
    pub cpu: Option<String>,
    /// Only the machines of this group; on another number of cores or processor model too
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Boot through UEFI firmware, with ACPI and no device tree
    #[arg(long)]
    pub efi: bool,
    /// Start of the random tests' sequences
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Run everything so many times, with a seed more each time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub repeat: u64,
    /// Count time in instructions, so that a run is the same each time
    #[arg(long)]
    pub icount: bool,
    /// Write the results to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the results to this file as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Build the engine without one of its protections
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
}

/// Runs what `options` select.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let mut boots = select(&Manifest::load(&paths.root)?, options)?;
    if options.icount {
        boots.iter_mut().for_each(Boot::count_instructions);
    }
    let mutant = options.mutant.as_deref();
    if let Some(name) = mutant {
        mutants::require(&paths.root, name)?;
        for boot in &mut boots {
            boot.name = format!("{name}-{}", boot.name);
        }
    }
    let tools = Tools::set_up(&paths.cache(), None)?;
    let by_firmware = boots.iter().any(|boot| boot.firmware.is_some());
    let images = Images {
        efi: by_firmware.then(|| EfiImages::set_up(paths)).transpose()?,
        tests: build::build(paths, &tools.toolchain, TESTS, None)?,
        engine: build::build(paths, &tools.toolchain, ENGINE, mutant)?,
        tools,
    };
    let mut total = Count::default();
    let mut output = Output::default();
    let mut twins = Twins::new(select::are_all_machines(options));
    let mut book = Book::default();
    for round in 0..options.repeat {
        for boot in &boots {
            let seed = options.seed.wrapping_add(round);
            total += run_boot(paths, &images, boot, seed, mutant, &mut output, &mut twins)?;
            if round == 0 && cases::are_all_in(boot) {
                book.add(&boot.name, &cases::console_of(paths, boot)?)?;
            }
        }
    }
    if cases::are_all_selected(options) {
        total += cases::check(&paths.root, &book);
    }
    if let Some(file) = &options.json {
        output.write_json(file)?;
    }
    if let Some(file) = &options.junit {
        output.write_junit(file)?;
    }
    println!("{total}");
    Ok(total.exit_code())
}

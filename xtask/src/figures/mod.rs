//! `cargo xtask figures`: what memory operations cost, in instructions.
//!
//! Boots the hardware tests called `figures` on machines whose counter advances by one tick for each
//! instruction, and turns their `@figure` lines into a table. Nothing is judged: the numbers are
//! exact and the same in every run of the same image, so that two commits can be compared.

mod bounds;
pub mod plugin;
pub mod storm;
mod table;
pub mod teardown;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::figures::table::{Figure, Table};
use crate::hw::TESTS;
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE};
use crate::mutants;
use crate::paths::Paths;
use crate::run::machine::{Machine, cpu_argument};
use crate::run::size::{Bytes, GIB};
use crate::run::supervise::{Input, Supervision};
use crate::setup::Tools;

/// RAM: two GiB that no image lies in, and what is around them.
const MEM: Bytes = Bytes(4 * GIB);
/// One boot takes a minute or two.
const LIMIT: Duration = Duration::from_secs(1200);

/// What to measure, and where to put it
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Numbers of cores: one works, the others are online and sleep
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 5])]
    pub cpus: Vec<u32>,
    /// Only the tests with one of these in their name, separated by commas
    #[arg(long, default_value = "figures::")]
    pub filter: String,
    /// The processor model
    #[arg(long, value_name = "MODEL", default_value = "max")]
    pub cpu: String,
    /// Build the engine without one of its protections, or with another choice
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
    /// Ticks of a clock instead of instructions, all cores at once
    #[arg(long, conflicts_with = "twice")]
    pub timed: bool,
    /// Measure twice and insist that the numbers are the same
    #[arg(long)]
    pub twice: bool,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// A file that `--json` wrote earlier: its medians are shown too
    #[arg(long, value_name = "FILE")]
    pub before: Option<PathBuf>,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let before = options.before.as_deref().map(Table::load).transpose()?;
    let tools = Tools::set_up(&paths.cache(), None)?;
    let tests = build::build(paths, &tools.toolchain, TESTS, None)?;
    let mutant = options.mutant.as_deref();
    if let Some(name) = mutant {
        mutants::require(&paths.root, name)?;
    }
    let engine = build::build(paths, &tools.toolchain, ENGINE, mutant)?;
    let host = HostFiles {
        image: &tests,
        cmdline: &format!("filter={} seed=1", options.filter),
        initrd: &[],
    };
    let files = BootFiles::write(paths, "figures", &engine, &host)?;
    let mut table = Table::default();
    for &cpus in &options.cpus {
        ensure!((1..=512).contains(&cpus), "--cpus {cpus}: 1 to 512 can be");
        println!("==> {cpus} cores");
        let figures = measure(paths, &tools, &files, options, cpus)?;
        if options.twice {
            let again = measure(paths, &tools, &files, options, cpus)?;
            ensure!(figures == again, "{cpus} cores: a second run differs");
            println!("    the same in a second run");
        }
        table.add(cpus, figures);
    }
    print!("{}", table.render(before.as_ref()));
    if let Some(file) = &options.json {
        fs::write(file, table.to_json()?).with_context(|| format!("--json {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One boot's figures.
fn measure(
    paths: &Paths,
    tools: &Tools,
    files: &BootFiles,
    options: &Options,
    cpus: u32,
) -> Result<Vec<Figure>> {
    let machine = Machine {
        cpus,
        cpu: cpu_argument(&options.cpu, true),
        mem: MEM,
        icount: !options.timed,
        gdb: false,
        is_ram_clear: true,
    };
    let log = paths.logs().join(format!("figures-{cpus}.log"));
    let outcome = Supervision {
        limit: Some(LIMIT),
        input: Input::Nothing,
        log: &log,
    }
    .run(machine.command(&tools.qemu, files), io::sink())?;
    let mut troubles = outcome.troubles();
    let console = fs::read(&log)?;
    let console = String::from_utf8_lossy(&console);
    troubles.extend(
        console
            .lines()
            .filter(|line| line.starts_with("test ") && !line.trim_end().ends_with("... ok"))
            .map(str::to_owned),
    );
    if !troubles.is_empty() {
        bail!("{}\nconsole: {}", troubles.join("\n"), log.display());
    }
    let figures = table::read(&outcome.records)?;
    ensure!(!figures.is_empty(), "no figure; console: {}", log.display());
    Ok(figures)
}

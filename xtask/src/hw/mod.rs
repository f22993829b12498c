//! `cargo xtask hw-test`: boots the bare-metal test image in the host's place, on the machines of
//! `hw-tests/tests.toml`, and counts its tests.

mod manifest;
mod report;

use std::fs;
use std::io;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;

use crate::count::Count;
use crate::hw::manifest::{Boot, Group, Manifest};
use crate::hw::report::Report;
use crate::image::absent;
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE, Program};
use crate::mutants;
use crate::paths::Paths;
use crate::run::supervise::{Input, Supervision};
use crate::setup::Tools;

pub use report::{TOTAL, UNFINISHED};

/// The test image.
pub const TESTS: Program<'static> = Program {
    package: "bulkhead-hw-tests",
    binary: "hwtests",
};
/// The processor model when only the number of cores is given.
const MODEL: &str = "max";
/// Cores when only the processor model is given.
const CPUS: u32 = 2;

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
    /// Start of the random tests' sequences
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Run everything so many times, with a seed more each time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub repeat: u64,
    /// Build the engine without one of its protections
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
}

/// The images that a boot is made of.
struct Images {
    tools: Tools,
    tests: Vec<u8>,
    engine: Vec<u8>,
}

/// Runs what `options` select.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let mut boots = select(&Manifest::load(&paths.root)?, options)?;
    let mutant = options.mutant.as_deref();
    if let Some(name) = mutant {
        mutants::require(&paths.root, name)?;
        for boot in &mut boots {
            boot.name = format!("{name}-{}", boot.name);
        }
    }
    let tools = Tools::set_up(&paths.cache(), None)?;
    let images = Images {
        tests: build::build(paths, &tools.toolchain, TESTS, None)?,
        engine: build::build(paths, &tools.toolchain, ENGINE, mutant)?,
        tools,
    };
    let mut total = Count::default();
    for round in 0..options.repeat {
        for boot in &boots {
            total += run_boot(paths, &images, boot, options.seed + round, mutant)?;
        }
    }
    println!("{total}");
    Ok(total.exit_code())
}

/// The manifest's boots; or all tests on the one machine that the options name.
fn select(manifest: &Manifest, options: &Options) -> Result<Vec<Boot>> {
    let filter = options.filter.as_ref().or(options.names.as_ref());
    let mut boots = match (options.cpus, &options.cpu) {
        (None, None) => manifest.boots()?,
        (cpus, model) => {
            let (cpus, model) = (cpus.unwrap_or(CPUS), model.as_deref().unwrap_or(MODEL));
            ensure!((1..=512).contains(&cpus), "--cpus {cpus}: 1 to 512 can be");
            let is_listed = |group: &&Group| {
                group.cpus.contains(&cpus) && group.models.iter().any(|known| known == model)
            };
            // Where the machine is none of the manifest's, everything, with the last one's limits.
            let mut boots = Vec::new();
            for group in manifest.group.iter().filter(is_listed) {
                boots.push(group.boot(cpus, model)?);
            }
            if let (true, Some(group)) = (boots.is_empty(), manifest.group.last()) {
                boots.push(Boot {
                    filter: String::new(),
                    ..group.boot(cpus, model)?
                });
            }
            boots
        }
    };
    if let Some(filter) = filter {
        for boot in &mut boots {
            boot.filter.clone_from(filter);
            boot.is_exact = options.exact;
        }
    }
    Ok(boots)
}

/// Boots one machine and reads its tests' results.
fn run_boot(
    paths: &Paths,
    images: &Images,
    boot: &Boot,
    seed: u64,
    mutant: Option<&str>,
) -> Result<Count> {
    println!("==> hardware tests: {}, seed {seed}", boot.name);
    let report = observe(paths, images, boot, seed)?;
    println!("    {}", report.count);
    for line in &report.wrong {
        println!("    {line}");
    }
    if report.count.failed > 0 {
        let option = mutant.map_or_else(String::new, |name| format!(" --mutant {name}"));
        println!(
            "    again: cargo xtask hw-test --cpus {} --seed {seed}{option}",
            boot.machine.cpus
        );
        println!("    log:   {}", log_file(paths, boot).display());
    }
    Ok(report.count)
}

fn log_file(paths: &Paths, boot: &Boot) -> std::path::PathBuf {
    paths.logs().join(format!("hw-test-{}.log", boot.name))
}

fn observe(paths: &Paths, images: &Images, boot: &Boot, seed: u64) -> Result<Report> {
    let key = if boot.is_exact { "exact" } else { "filter" };
    let host = HostFiles {
        image: &images.tests,
        cmdline: &format!("{key}={} seed={seed}", boot.filter),
        initrd: &[],
    };
    let files = BootFiles::write(paths, "hw-test", &images.engine, &host)?;
    let log = log_file(paths, boot);
    let mut command = boot.machine.command(&images.tools.qemu, &files);
    if boot.absent_ram {
        let plain = boot.machine.command(&images.tools.qemu, &files);
        let tree = absent::write_tree(plain, &paths.images().join("hw-test"))?;
        command.arg("-dtb").arg(tree);
    }
    let outcome = Supervision {
        limit: Some(boot.limit),
        input: Input::Nothing,
        log: &log,
    }
    .run(command, io::sink())?;
    let troubles = outcome.troubles();
    let is_cut_short = !troubles.is_empty();
    let console = fs::read(&log)?;
    let mut report = Report::read(&String::from_utf8_lossy(&console), troubles);
    if is_cut_short {
        report.wrong.extend(outcome.quoted_tail());
    }
    Ok(report)
}

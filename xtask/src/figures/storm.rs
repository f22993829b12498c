//! `cargo xtask storm`: all cores take pages away at once, and what the engine executes in each call.
//!
//! Boots the hardware test `tlb::storm` under the plugin that counts each core's instructions in the engine: on one
//! core with one tick of time per instruction, so that the numbers are the same in every run; on several as fast as
//! these go. There counting ticks would make one thread of all cores, in which QEMU 10.0 gives a plugin's counters
//! to the core that a block was translated for, and takes the number of that core, where it is another, for a
//! constant of the block's (`accel/tcg/plugin-gen.c`): core 1 reads `MSR SPSel, #1` as 0. Invariants: each call
//! that was made has a window, in the same order; a call with more instructions or broadcasts than its kind may have
//! (`bounds`) fails, and so does a machine that tells less than all.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::count::Count;
use crate::figures::bounds::{BOUNDS, Kinds, Told, by_kind, judge, render};
use crate::figures::plugin::{Counts, Plugin};
use crate::hw::{Report, TESTS, Verdict};
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE};
use crate::mutants;
use crate::paths::Paths;
use crate::run::machine::{Machine, cpu_argument};
use crate::run::size::{Bytes, GIB};
use crate::run::supervise::{Input, Outcome, Supervision};
use crate::setup::Tools;

/// How the test's lines begin.
const RECORD: &str = "@storm ";
const LIMIT: Duration = Duration::from_secs(1200);

/// On which machines
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Numbers of cores, all of which take pages away
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 8])]
    pub cpus: Vec<u32>,
    /// The processor model
    #[arg(long, value_name = "MODEL", default_value = "max")]
    pub cpu: String,
    /// Build the engine without one of its protections
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
}

/// What is booted.
struct Bench<'a> {
    paths: &'a Paths,
    options: &'a Options,
    tools: Tools,
    files: BootFiles,
    plugin: Plugin,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    for cpus in &options.cpus {
        ensure!((1..=512).contains(cpus), "--cpus {cpus}: 1 to 512 can be");
    }
    if let Some(name) = &options.mutant {
        mutants::require(&paths.root, name)?;
    }
    let tools = Tools::set_up(&paths.cache(), None)?;
    let tests = build::build(paths, &tools.toolchain, TESTS, None)?;
    let engine = build::build(paths, &tools.toolchain, ENGINE, options.mutant.as_deref())?;
    let host = HostFiles {
        image: &tests,
        cmdline: "filter=tlb::storm",
        initrd: &[],
    };
    let bench = Bench {
        files: BootFiles::write(paths, "storm", &engine, &host)?,
        plugin: Plugin::build(paths, &engine, &paths.logs().join("storm-counts.json"))?,
        paths,
        options,
        tools,
    };
    let mut total = Count::default();
    for &cpus in &options.cpus {
        total += bench.judge(cpus)?;
    }
    println!("{total}");
    Ok(total.exit_code())
}

impl Bench<'_> {
    /// Boots a machine: a test for each kind of call, or one that failed before there was a call to judge.
    fn judge(&self, cpus: u32) -> Result<Count> {
        println!("==> storm: {cpus} cores, {}", self.options.cpu);
        let log = self.paths.logs().join(format!("storm-{cpus}.log"));
        let outcome = self.boot(cpus, &log)?;
        let console = fs::read(&log)?;
        let console = String::from_utf8_lossy(&console);
        let mut count = Count::default();
        match self.count(&outcome, &console, cpus) {
            Ok(kinds) => {
                print!("{}", render(&kinds));
                for (bound, exceeded) in BOUNDS.iter().zip(judge(&kinds, u64::from(cpus))) {
                    let how = match &exceeded {
                        None => "ok".to_owned(),
                        Some(why) => format!("FAILED: {why}"),
                    };
                    println!("test {}: within its bound ... {how}", bound.name);
                    let failed = u32::from(exceeded.is_some());
                    count += Count::new(1 - failed, failed, 0);
                }
            }
            Err(error) => {
                println!("    {error:#}");
                for line in outcome.quoted_events().chain(outcome.quoted_tail()) {
                    println!("    {line}");
                }
                count += Count::new(0, 1, 0);
            }
        }
        if count.failed > 0 {
            println!("    again: {}", again(self.options, cpus));
            println!("    log:   {}", log.display());
        }
        Ok(count)
    }

    fn boot(&self, cpus: u32, log: &Path) -> Result<Outcome> {
        let icount = cpus == 1;
        let machine = Machine {
            cpus,
            cpu: cpu_argument(&self.options.cpu, icount),
            mem: Bytes(2 * GIB),
            icount,
            gdb: false,
            is_ram_clear: true,
        };
        let mut command = machine.command(&self.tools.qemu, &self.files);
        self.plugin.add_to(&mut command);
        Supervision {
            limit: Some(LIMIT),
            input: Input::Nothing,
            log,
        }
        .run(command, io::sink())
    }

    /// What was counted of each kind of call; fails if the machine, its test or the plugin did.
    fn count(&self, outcome: &Outcome, console: &str, cpus: u32) -> Result<Kinds> {
        let report = Report::read(console, outcome.troubles());
        for result in &report.results {
            if matches!(result.verdict, Verdict::Failed(_)) {
                bail!("{result}");
            }
        }
        let records = outcome.records.iter();
        let told: Vec<Told> = records
            .filter_map(|line| line.strip_prefix(RECORD))
            .map(|text| serde_json::from_str(text).with_context(|| text.to_owned()))
            .collect::<Result<_>>()?;
        ensure!(
            told.len() == cpus as usize,
            "{} cores told what they did",
            told.len()
        );
        let cores = self.plugin.read(console)?.cores.into_iter();
        let windows: Vec<Vec<Counts>> = cores.map(|core| core.windows).collect();
        by_kind(&told, &windows)
    }
}

/// The command that boots one machine again.
fn again(options: &Options, cpus: u32) -> String {
    let mut line = format!("cargo xtask storm --cpus {cpus} --cpu {}", options.cpu);
    if let Some(name) = &options.mutant {
        line += &format!(" --mutant {name}");
    }
    line
}

//! `cargo xtask stress`: random calls of every kind on all cores at once, with guests that look after their
//! memory, while every page is counted and looked at now and then (`hw-tests/src/tests/stress`).
//!
//! Each thing that must hold is a test of its own in the closing count.

mod told;
mod verdict;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::count::Count;
use crate::hw::{Report, TESTS, Verdict};
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE};
use crate::mutants;
use crate::paths::Paths;
use crate::run::machine::{Machine, cpu_argument};
use crate::run::size::{Bytes, GIB};
use crate::run::supervise::{Input, Outcome, Supervision};
use crate::setup::Tools;
use crate::stress::told::Told;
use crate::stress::verdict::Check;

/// The hardware test that does it.
const TEST: &str = "stress::random_calls";
/// Seconds for boot, the last audit and what a busy machine takes longer.
const REST_S: u64 = 900;
/// The image goes on for so many times its time at most, until each core has done each kind of call.
const PATIENCE: u64 = 4;
/// Seconds that a machine which counts instructions may take for one of its own.
const ICOUNT_SLOWER: u64 = 200;

/// What to put under stress
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Cores of the machine, 1 to 512; each must come to make every call, so that 192 want 5 minutes and more on a
    /// development machine
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub cpus: u32,
    /// How long, by the machine's clock
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub seconds: u64,
    /// Start of every core's random sequence
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// RAM of the machine
    #[arg(long, value_name = "SIZE", default_value = "2G")]
    pub mem: Bytes,
    /// Processor model
    #[arg(long, value_name = "MODEL", default_value = "max")]
    pub cpu: String,
    /// Count time in instructions, one core at a time: the seed repeats the run exactly
    #[arg(long)]
    pub icount: bool,
    /// Do it twice and insist that both come out the same
    #[arg(long, requires = "icount")]
    pub twice: bool,
    /// Write what happened to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Build the engine without one of its protections
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let cpus = options.cpus;
    ensure!((1..=512).contains(&cpus), "--cpus {cpus}: 1 to 512 can be");
    ensure!(
        options.mem.0 >= GIB,
        "--mem {}: at least 1 GiB",
        options.mem
    );
    if let Some(name) = &options.mutant {
        mutants::require(&paths.root, name)?;
    }
    let tools = Tools::set_up(&paths.cache(), None)?;
    let tests = build::build(paths, &tools.toolchain, TESTS, None)?;
    let engine = build::build(paths, &tools.toolchain, ENGINE, options.mutant.as_deref())?;
    let host = HostFiles {
        image: &tests,
        cmdline: &format!(
            "exact={TEST} seed={} seconds={}",
            options.seed, options.seconds
        ),
        initrd: &[],
    };
    let files = BootFiles::write(paths, "stress", &engine, &host)?;
    let (told, mut checks) = boot(paths, options, &tools, &files)?;
    if options.twice {
        let (again, second) = boot(paths, options, &tools, &files)?;
        let is_same = told.is_some() && told == again;
        checks.extend(second);
        checks.push(("the same seed gives the same run", is_same));
    }
    if let Some(told) = &told {
        print!("{}", told.table());
        if let Some(file) = &options.json {
            let text = serde_json::to_string_pretty(&told.json(cpus))? + "\n";
            fs::write(file, text).with_context(|| format!("--json {}", file.display()))?;
        }
    }
    let mut count = Count::default();
    for (what, holds) in &checks {
        println!("test {what} ... {}", if *holds { "ok" } else { "FAILED" });
        count += Count::new(u32::from(*holds), u32::from(!holds), 0);
    }
    if count.failed > 0 {
        println!("    again: {}", again(options));
        println!("    log:   {}", log_file(paths, options).display());
    }
    println!("{count}");
    Ok(count.exit_code())
}

/// Boots once: what the machine told, if it came to that, and what must hold.
fn boot(
    paths: &Paths,
    options: &Options,
    tools: &Tools,
    files: &BootFiles,
) -> Result<(Option<Told>, Vec<Check>)> {
    let machine = Machine {
        cpus: options.cpus,
        cpu: cpu_argument(&options.cpu, options.icount),
        mem: options.mem,
        icount: options.icount,
        gdb: false,
        is_ram_clear: true,
    };
    println!(
        "==> stress: {} cores, {}, {} s, seed {}",
        options.cpus, options.mem, options.seconds, options.seed
    );
    let slower = if options.icount { ICOUNT_SLOWER } else { 1 };
    let log = log_file(paths, options);
    let outcome = Supervision {
        limit: Some(Duration::from_secs(
            REST_S + (1 + PATIENCE) * options.seconds * slower,
        )),
        input: Input::Nothing,
        log: &log,
    }
    .run(machine.command(&tools.qemu, files), io::sink())?;
    let console = fs::read(&log)?;
    let report = Report::read(&String::from_utf8_lossy(&console), outcome.troubles());
    let told = Told::read(&outcome.records)?;
    let is_good = report.count() == Count::new(1, 0, 0);
    if !is_good {
        explain(&report, &outcome);
    }
    let mut checks = vec![(
        "every page is somebody's and holds what its owner left",
        is_good,
    )];
    checks.extend(verdict::judge(told.as_ref(), options.cpus));
    Ok((told, checks))
}

fn explain(report: &Report, outcome: &Outcome) {
    for result in &report.results {
        if matches!(result.verdict, Verdict::Failed(_)) {
            println!("    {result}");
        }
    }
    for line in outcome.quoted_events() {
        println!("    {line}");
    }
    if !outcome.troubles().is_empty() {
        for line in outcome.quoted_tail() {
            println!("    {line}");
        }
    }
}

/// The command that does the same again.
fn again(options: &Options) -> String {
    let Options {
        cpus,
        seconds,
        seed,
        mem,
        cpu,
        ..
    } = options;
    let mut line = format!(
        "cargo xtask stress --cpus {cpus} --seconds {seconds} --seed {seed} --mem {} --cpu {cpu}",
        mem.0
    );
    if options.icount {
        line += " --icount";
    }
    if options.twice {
        line += " --twice";
    }
    if let Some(name) = &options.mutant {
        line += &format!(" --mutant {name}");
    }
    line
}

fn log_file(paths: &Paths, options: &Options) -> PathBuf {
    paths.logs().join(format!("stress-{}.log", options.cpus))
}

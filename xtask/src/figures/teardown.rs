//! `cargo xtask teardown`: one VM brought home by 1, 8, 64 and 192 cores, and what that costs the
//! engine on all of them together.
//!
//! Boots the hardware test `teardown` under the plugin that counts each core's instructions. The
//! machine runs at its own speed, several cores at once, so that the numbers vary a little from run
//! to run; they are counted, not timed.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::figures::plugin::{Counts, Plugin};
use crate::figures::table::grouped;
use crate::hw::TESTS;
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE};
use crate::paths::Paths;
use crate::run::machine::{Machine, cpu_argument};
use crate::run::size::{Bytes, GIB, MIB};
use crate::run::supervise::{Input, Supervision};
use crate::setup::Tools;

/// How the test's line begins.
const RECORD: &str = "@teardown ";
const LIMIT: Duration = Duration::from_secs(3600);

/// How large a VM, on which machines
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Numbers of cores, all of which reclaim; the first is what the others are compared with
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 8, 64, 192])]
    pub cpus: Vec<u32>,
    /// The VM's memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub mib: u64,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What the test says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    flush_vm: u64,
    flush_page: u64,
    pages: Vec<u64>,
    calls: Vec<u64>,
    vain: Vec<u64>,
}

/// One machine's figures.
#[derive(Debug, Serialize)]
struct Measured {
    cpus: u32,
    mib: u64,
    /// Engine instructions of all cores together.
    instructions: u64,
    /// Against the first machine's.
    ratio: f64,
    calls: u64,
    /// Calls that brought nothing.
    vain: u64,
    flush_vm: u64,
    flush_page: u64,
    whole_vm_tlbis: u64,
    broadcast_tlbis: u64,
    /// Engine instructions of each core.
    per_core: Vec<u64>,
    /// Pages that each core brought home.
    pages: Vec<u64>,
    seconds: u64,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let tools = Tools::set_up(&paths.cache(), None)?;
    let tests = build::build(paths, &tools.toolchain, TESTS, None)?;
    let engine = build::build(paths, &tools.toolchain, ENGINE, None)?;
    let host = HostFiles {
        image: &tests,
        cmdline: &format!("filter=teardown:: mib={}", options.mib),
        initrd: &[],
    };
    let files = BootFiles::write(paths, "teardown", &engine, &host)?;
    let plugin = Plugin::build(paths, &engine, &paths.logs().join("teardown-counts.json"))?;
    let mut all: Vec<Measured> = Vec::new();
    for &cpus in &options.cpus {
        ensure!((1..=512).contains(&cpus), "--cpus {cpus}: 1 to 512 can be");
        println!("==> {} MiB, {cpus} cores", options.mib);
        let mut measured = measure(paths, &tools, &files, &plugin, cpus, options.mib)?;
        let one = all
            .first()
            .map_or(measured.instructions, |first| first.instructions);
        measured.ratio = measured.instructions as f64 / one as f64;
        println!("    {} s", measured.seconds);
        all.push(measured);
    }
    print!("{}", render(&all));
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&all)? + "\n";
        fs::write(file, text).with_context(|| format!("--json {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(
    paths: &Paths,
    tools: &Tools,
    files: &BootFiles,
    plugin: &Plugin,
    cpus: u32,
    mib: u64,
) -> Result<Measured> {
    let machine = Machine {
        cpus,
        cpu: cpu_argument("max", false),
        mem: Bytes(2 * GIB + mib * MIB),
        icount: false,
        gdb: false,
        is_ram_clear: true,
    };
    let log = paths.logs().join(format!("teardown-{cpus}.log"));
    let mut command = machine.command(&tools.qemu, files);
    plugin.add_to(&mut command);
    let begin = Instant::now();
    let outcome = Supervision {
        limit: Some(LIMIT),
        input: Input::Nothing,
        log: &log,
    }
    .run(command, io::sink())?;
    let console = fs::read(&log)?;
    let console = String::from_utf8_lossy(&console);
    let mut records = outcome.records.iter();
    let Some(told) = records.find_map(|line| line.strip_prefix(RECORD)) else {
        let why: Vec<String> = outcome
            .troubles()
            .into_iter()
            .chain(outcome.quoted_tail())
            .collect();
        bail!("{}", why.join("\n"));
    };
    let told: Told = serde_json::from_str(told).with_context(|| told.to_owned())?;
    ensure!(
        outcome.troubles().is_empty(),
        "{}",
        outcome.troubles().join("\n")
    );
    ensure!(
        !console.contains("FAILED"),
        "the test failed; console: {}",
        log.display()
    );
    let counted = plugin.read(&console)?;
    let windows: Vec<Counts> = counted
        .cores
        .iter()
        .map(|core| {
            core.windows
                .first()
                .copied()
                .context("a core made no window")
        })
        .collect::<Result<_>>()?;
    let sum = |field: fn(&Counts) -> u64| windows.iter().map(field).sum();
    Ok(Measured {
        cpus,
        mib,
        instructions: sum(|window| window.engine),
        ratio: 1.0,
        calls: told.calls.iter().sum(),
        vain: told.vain.iter().sum(),
        flush_vm: told.flush_vm,
        flush_page: told.flush_page,
        whole_vm_tlbis: sum(|window| window.whole_vm),
        broadcast_tlbis: sum(|window| window.broadcasts),
        per_core: windows.iter().map(|window| window.engine).collect(),
        pages: told.pages,
        seconds: begin.elapsed().as_secs(),
    })
}

/// A Markdown table.
fn render(all: &[Measured]) -> String {
    let mut text = String::from(
        "\n| cores | MiB | engine instructions | ratio | a core: least | median | most | calls \
         | in vain | VMALLS12E1IS | all broadcasts | FLUSH_VM | FLUSH_PAGE |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for measured in all {
        let mut sorted = measured.per_core.clone();
        sorted.sort_unstable();
        let at = |index: usize| grouped(sorted.get(index).copied().unwrap_or(0));
        text += &format!(
            "| {} | {} | {} | {:.4} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            measured.cpus,
            measured.mib,
            grouped(measured.instructions),
            measured.ratio,
            at(0),
            at(sorted.len() / 2),
            at(sorted.len().saturating_sub(1)),
            grouped(measured.calls),
            grouped(measured.vain),
            measured.whole_vm_tlbis,
            measured.broadcast_tlbis,
            measured.flush_vm,
            measured.flush_page,
        );
    }
    text
}

//! `cargo xtask stack`: how deep the engine's stacks are while the hardware tests run, beside what is possible at all
//! by the linked image; and what happens when one has no room left.
//!
//! Invariants: a depth is SP's own, seen by the QEMU plugin at each instruction of the engine's that lowers it; the
//! possible is what `cargo xtask litmus --test stack::` computes of the very image that runs. A machine whose tests
//! fail, or that says nothing of a core, fails.

mod overrun;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::count::Count;
use crate::figures::plugin::{Counted, Deepest, Depths, LOADED_AT, Plugin};
use crate::hw::{Report, TESTS, Verdict};
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE};
use crate::litmus::{self, Program};
use crate::mutants;
use crate::paths::Paths;
use crate::run::machine::{Machine, cpu_argument};
use crate::run::size::{Bytes, GIB};
use crate::run::supervise::{Input, Outcome, Supervision};
use crate::setup::Tools;
use overrun::Overrun;

/// The test of depths while all goes well; the others' names are in `overrun`.
const MEASURED: &str = "measured";
/// How long a machine may run.
const LIMIT: Duration = Duration::from_secs(600);

/// On which machine
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Number of cores
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub cpus: u32,
    /// The processor model
    #[arg(long, value_name = "MODEL", default_value = "max")]
    pub cpu: String,
    /// Parts of names of hardware tests during which depths are measured
    #[arg(long, value_name = "PARTS", default_value = "")]
    pub filter: String,
    /// Only the test of this name
    #[arg(long, value_name = "NAME")]
    pub test: Option<String>,
    /// Build the engine without one of its protections
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    ensure!((2..=64).contains(&options.cpus), "--cpus: 2 to 64 can be");
    if let Some(name) = &options.mutant {
        mutants::require(&paths.root, name)?;
    }
    let tools = Tools::set_up(&paths.cache(), None)?;
    let tests = build::build(paths, &tools.toolchain, TESTS, None)?;
    let engine = build::build(paths, &tools.toolchain, ENGINE, options.mutant.as_deref())?;
    let bench = Bench {
        plugin: Plugin::build(paths, &engine, &paths.logs().join("stack-counts.json"))?,
        program: Program::read(&ENGINE.elf(paths), &paths.root)?,
        paths,
        options,
        tools,
        tests,
        engine,
    };
    let is_wanted = |name: &str| options.test.as_deref().is_none_or(|test| test == name);
    let mut count = Count::default();
    if is_wanted(MEASURED) {
        count += bench.tell(MEASURED, bench.measure());
    }
    for overrun in overrun::ALL {
        if is_wanted(overrun.name) {
            count += bench.tell(overrun.name, bench.overrun(&overrun));
        }
    }
    ensure!(count != Count::default(), "no such test");
    if count.failed > 0 {
        println!("    again: {}", again(options));
    }
    println!("{count}");
    Ok(count.exit_code())
}

/// What is booted.
struct Bench<'a> {
    paths: &'a Paths,
    options: &'a Options,
    tools: Tools,
    tests: Vec<u8>,
    engine: Vec<u8>,
    plugin: Plugin,
    program: Program,
}

impl Bench<'_> {
    /// The result of one test in a line.
    fn tell(&self, name: &str, result: Result<()>) -> Count {
        match result {
            Ok(()) => {
                println!("test {name} ... ok");
                Count::new(1, 0, 0)
            }
            Err(error) => {
                println!("test {name} ... FAILED: {error:#}");
                println!("    log:   {}", self.log(name).display());
                Count::new(0, 1, 0)
            }
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.paths.logs().join(format!("stack-{name}.log"))
    }

    /// The command that boots the tests in `filter`, with the plugin.
    fn command(&self, filter: &str) -> Result<Command> {
        let machine = Machine {
            cpus: self.options.cpus,
            cpu: cpu_argument(&self.options.cpu, false),
            mem: Bytes(GIB),
            icount: false,
            gdb: false,
            is_ram_clear: true,
        };
        let host = HostFiles {
            image: &self.tests,
            cmdline: &format!("filter={filter} seed=1"),
            initrd: &[],
        };
        let files = BootFiles::write(self.paths, "stack", &self.engine, &host)?;
        let mut command = machine.command(&self.tools.qemu, &files);
        self.plugin.watch_stacks(&mut command);
        Ok(command)
    }

    /// Boots, and what came of it with the console's text.
    fn boot(&self, name: &str, command: Command) -> Result<(Outcome, String)> {
        let log = self.log(name);
        let outcome = Supervision {
            limit: Some(LIMIT),
            input: Input::Nothing,
            log: &log,
        }
        .run(command, io::sink())?;
        let console = fs::read(&log)?;
        Ok((outcome, String::from_utf8_lossy(&console).into_owned()))
    }

    /// Depths of all cores while the tests run, held to what is possible.
    fn measure(&self) -> Result<()> {
        println!(
            "==> depths on {} cores, {}",
            self.options.cpus, self.options.cpu
        );
        let (outcome, console) = self.boot(MEASURED, self.command(&self.options.filter)?)?;
        for result in &Report::read(&console, outcome.troubles()).results {
            ensure!(!matches!(result.verdict, Verdict::Failed(_)), "{result}");
        }
        let counted = self.plugin.read(&console)?;
        let cores = self.options.cpus as usize;
        ensure!(counted.cores.len() == cores, "not all cores were counted");
        for (core, is) in (0..).zip(depths(&counted, |core| core.stack)?) {
            // The boot core's first stack is the one that it keeps.
            let entries: &[&str] = match core {
                0 => &["early", "primary"],
                _ => &["secondary"],
            };
            self.hold(&format!("core {core}"), is, entries)?;
        }
        for (core, is) in (0..).zip(depths(&counted, |core| core.emergency)?) {
            ensure!(is.bytes == 0, "core {core} was on its emergency stack");
        }
        Ok(())
    }

    /// Tells a depth, and insists that it is one, and possible.
    fn hold(&self, whose: &str, is: Deepest, entries: &[&str]) -> Result<u64> {
        let mut possible = (0, 0);
        for entry in entries {
            possible = possible.max(litmus::stack_bound(self.paths, &self.program, entry)?);
        }
        let (most, size) = possible;
        let place = self.program.function_at(is.at);
        let name = place.map_or("nothing", |it| it.name.as_str());
        let bytes = is.bytes;
        println!("    {whose}: {bytes} bytes, {most} possible, {size} there; in {name}");
        ensure!(bytes > 0, "{whose} has used no stack");
        ensure!(bytes <= most, "{whose} has used more than is possible");
        Ok(bytes)
    }

    /// Has one core run out of stack, and looks what becomes of it.
    fn overrun(&self, overrun: &Overrun) -> Result<()> {
        println!(
            "==> {}: SP is moved to the last words of its stack",
            overrun.name
        );
        let mut command = self.command(overrun.filter)?;
        let at = self.address_of(overrun.at)?;
        let room = overrun.room(&self.program)?;
        let folder = self.paths.images().join("stack");
        let moved = overrun::begin(&mut command, &folder, at, room)?;
        let (outcome, _) = self.boot(overrun.name, command)?;
        let place = overrun::end(moved)?;
        overrun::judge(overrun, &place, outcome.crash())?;
        // That the engine is where the plugin expects it is known: the core was stopped in a function of its.
        let counted = self.plugin.read_without_engine()?;
        let core = place.core as usize;
        let all = depths(&counted, |core| core.emergency)?;
        let is = all.get(core).context("the core was not counted")?;
        self.hold(&format!("core {core} in its crash"), *is, &["crash"])?;
        Ok(())
    }

    fn address_of(&self, name: &str) -> Result<u64> {
        let function = self.program.functions().find(|it| it.name == name);
        let start = function.with_context(|| format!("the image has no {name}"))?;
        Ok(LOADED_AT + start.start)
    }
}

/// One of each core's stacks.
fn depths(counted: &Counted, of: impl Fn(Depths) -> Deepest) -> Result<Vec<Deepest>> {
    let all = counted.cores.iter().map(|core| core.depth.map(&of));
    all.collect::<Option<_>>()
        .context("the plugin noted no depths")
}

/// The command that does it again.
fn again(options: &Options) -> String {
    let (cpus, cpu) = (options.cpus, &options.cpu);
    let mut line = format!("cargo xtask stack --cpus {cpus} --cpu {cpu}");
    if !options.filter.is_empty() {
        line += &format!(" --filter {}", options.filter);
    }
    if let Some(name) = &options.test {
        line += &format!(" --test {name}");
    }
    if let Some(name) = &options.mutant {
        line += &format!(" --mutant {name}");
    }
    line
}

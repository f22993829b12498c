//! `cargo xtask linux-host`: an unmodified Debian kernel in the host's place, with a load of its own.
//!
//! The engine runs beneath and nobody else: no VM, no driver for the engine. Everything that the kernel
//! does, it does as if it were alone on the machine, and each check is a test with a name.

mod disk;
mod initramfs;
mod said;
mod verdict;
mod work;

use std::fs;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE};
use crate::image::kernel;
use crate::image::symbols::Symbols;
use crate::linux_host::disk::Disk;
use crate::linux_host::verdict::{Expectation, Report};
use crate::mutants;
use crate::paths::Paths;
use crate::run::machine::{Machine, cpu_argument};
use crate::run::size::Bytes;
use crate::run::supervise::{Input, Supervision};
use crate::setup::Tools;
use crate::setup::guest::GuestFiles;

/// The kernel's own command line; a panic shall end the machine.
const COMMAND_LINE: &str = "console=ttyAMA0 panic=-1";
/// Cores that are turned off and on again, at most.
const HOTPLUG: u32 = 15;

/// The machine, and how long it works.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Cores of the machine, 1 to 512
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub cpus: u32,
    /// RAM of the machine
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    pub mem: Bytes,
    /// Processor model: max, neoverse-v1, neoverse-n1, cortex-a72, …
    #[arg(long, value_name = "MODEL", default_value = "max")]
    pub cpu: String,
    /// How long all cores hash and calculate, at least
    #[arg(long, value_name = "S", default_value_t = 10)]
    pub seconds: u64,
    /// One instruction takes one nanosecond: the kernel's timeouts do not depend on how fast this machine
    /// is, but one emulated core runs at a time
    #[arg(long)]
    pub icount: bool,
    /// Stop the machine after this time [default: 600 more than it works]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Build the engine without one of its protections
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
}

impl Options {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout.unwrap_or(600 + self.seconds))
    }

    fn hotplug(&self) -> u32 {
        (self.cpus - 1).min(HOTPLUG)
    }
}

/// The command that does the same again.
fn again(options: &Options) -> String {
    let Options {
        cpus,
        cpu,
        mem,
        seconds,
        icount,
        mutant,
        ..
    } = options;
    let icount = if *icount { " --icount" } else { "" };
    let mutant = mutant
        .as_ref()
        .map_or_else(String::new, |name| format!(" --mutant {name}"));
    let mem = mem.0;
    format!(
        "cargo xtask linux-host --cpus {cpus} --cpu {cpu} --mem {mem} --seconds {seconds}{icount}{mutant}"
    )
}

/// Boots the kernel and judges what it says.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    ensure!(
        (1..=512).contains(&options.cpus),
        "--cpus {}: 1 to 512 work",
        options.cpus
    );
    let mutant = options.mutant.as_deref();
    if let Some(name) = mutant {
        mutants::require(&paths.root, name)?;
    }
    println!("==> set-up");
    let debian = GuestFiles::set_up(&paths.cache());
    let tools = Tools::set_up(&paths.cache(), debian.as_ref().err())?;
    let debian = debian?;
    let kernel = kernel::load(&debian.kernel)?;
    let initrd = initramfs::build(&debian, options.seconds, options.hotplug())?;
    println!("==> building the engine");
    let host = HostFiles {
        image: &kernel,
        cmdline: COMMAND_LINE,
        initrd: &initrd,
    };
    let engine = build::build(paths, &tools.toolchain, ENGINE, mutant)?;
    let name = mutant.map_or_else(
        || "linux-host".to_owned(),
        |mutant| format!("linux-host-{mutant}"),
    );
    let files = BootFiles::write(paths, &name, &engine, &host)?;

    let machine = Machine {
        cpus: options.cpus,
        cpu: cpu_argument(&options.cpu, options.icount),
        mem: options.mem,
        icount: false,
        gdb: false,
        is_ram_clear: true,
    };
    let mut command = machine.command(&tools.qemu, &files);
    if options.icount {
        // While all cores wait, time goes on as it does here: else a disk's answer, which comes from outside,
        // could come after the kernel's patience.
        command.args(["-icount", "shift=0,sleep=on"]);
    }
    // A reset is no end that a run may have.
    command.arg("-no-reboot");
    let disks = Disk::all(&paths.images().join(&name));
    for disk in &disks {
        disk.write()?;
        disk.attach(&mut command, &tools.qemu);
    }
    println!(
        "==> booting Linux as host of {} cores of {} with {}",
        options.cpus, options.cpu, options.mem
    );
    let log = paths.logs().join(format!("{name}.log"));
    let outcome = Supervision {
        limit: Some(options.limit()),
        input: Input::Nothing,
        log: &log,
    }
    .run(command, io::sink())?;

    let console = fs::read(&log).with_context(|| format!("log {}", log.display()))?;
    let expected = Expectation {
        cpus: options.cpus,
        hotplug: options.hotplug(),
        release: &debian.release()?,
        disks: &disks,
    };
    let report = Report::judge(&expected, &String::from_utf8_lossy(&console));
    let mut count = report.print();
    for trouble in outcome.troubles() {
        println!("    {trouble}");
        count.failed += 1;
    }
    if let Some(crash) = outcome.crash() {
        for line in Symbols::read(&ENGINE.elf(paths))?.explain(crash) {
            println!("    {line}");
        }
    }
    if count.failed > 0 {
        outcome
            .quoted_tail()
            .for_each(|line| println!("    {line}"));
        outcome
            .quoted_events()
            .for_each(|line| println!("    {line}"));
        println!("    again:   {}", again(options));
        println!("    console: {}", log.display());
    }
    println!("{count}");
    Ok(count.exit_code())
}

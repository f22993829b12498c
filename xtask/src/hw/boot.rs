//! One boot of the test image: the machine, what it says, and what is told of its failures.

use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::Result;

use super::manifest::{Boot, Firmware};
use super::output::{self, Output};
use super::report::{Report, Verdict};
use super::twins::Twins;
use crate::count::Count;
use crate::image::absent;
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::ENGINE;
use crate::image::efi::EfiImages;
use crate::image::symbols::Symbols;
use crate::paths::Paths;
use crate::run::late::{self, Held};
use crate::run::supervise::{Input, Outcome, Supervision};
use crate::setup::Tools;

/// The images that a boot is made of.
pub struct Images {
    pub tools: Tools,
    pub tests: Vec<u8>,
    pub engine: Vec<u8>,
    pub efi: Option<EfiImages>,
}

/// Boots one machine and tells its tests' results.
pub fn run_boot(
    paths: &Paths,
    images: &Images,
    boot: &Boot,
    seed: u64,
    mutant: Option<&str>,
    output: &mut Output,
    twins: &mut Twins,
) -> Result<Count> {
    println!("==> hardware tests: {}, seed {seed}", boot.name);
    let (mut report, outcome) = observe(paths, images, boot, seed)?;
    twins.compare(boot, seed, &mut report);
    output::print(&report);
    output.add(boot, seed, &report);
    let count = report.count();
    println!("    {count}");
    if count.failed == 0 {
        return Ok(count);
    }
    for result in &report.results {
        if matches!(result.verdict, Verdict::Failed(_)) {
            println!("    {result}");
        }
    }
    for line in outcome.quoted_events() {
        println!("    {line}");
    }
    if !outcome.troubles().is_empty() {
        explain(paths, &outcome)?;
        for line in outcome.quoted_tail() {
            println!("    {line}");
        }
    }
    println!("    again: {}", again(boot, seed, mutant));
    println!("    log:   {}", log_file(paths, boot).display());
    Ok(count)
}

/// Names the functions of the engine in which it crashed or hung.
fn explain(paths: &Paths, outcome: &Outcome) -> Result<()> {
    let symbols = Symbols::read(&ENGINE.elf(paths))?;
    let lines = outcome.crash().into_iter().map(str::to_owned);
    for line in lines.chain(outcome.events.iter().cloned()) {
        for place in symbols.explain(&line) {
            println!("    {place}");
        }
    }
    Ok(())
}

/// The command that runs a boot again.
fn again(boot: &Boot, seed: u64, mutant: Option<&str>) -> String {
    let machine = &boot.machine;
    let cpu = machine.cpu.split(',').next().unwrap_or_default();
    let mut command = format!(
        "cargo xtask hw-test --group {} --cpus {} --cpu {cpu} --seed {seed}",
        boot.group, machine.cpus
    );
    if boot.firmware == Some(Firmware::Edk2) {
        command.push_str(" --efi");
    }
    if machine.icount && !boot.is_replayed {
        command.push_str(" --icount");
    }
    if let Some(name) = mutant {
        command.push_str(&format!(" --mutant {name}"));
    }
    if !boot.filter.is_empty() {
        command.push_str(&format!(" --filter {}", boot.filter));
    }
    if boot.is_exact {
        command.push_str(" --exact");
    }
    command
}

/// Where the console of a boot is kept.
pub fn log_file(paths: &Paths, boot: &Boot) -> PathBuf {
    paths.logs().join(format!("hw-test-{}.log", boot.name))
}

fn observe(paths: &Paths, images: &Images, boot: &Boot, seed: u64) -> Result<(Report, Outcome)> {
    let mut before = Vec::new();
    if boot.kept_ram {
        // What there was of a run before is no reset's.
        let file = ram_file(paths);
        if file.exists() {
            fs::remove_file(&file)?;
        }
        let first = boot_once(paths, images, boot, seed)?;
        before = failures(&Report::read(&first.console, first.troubles));
    }
    let Run {
        outcome,
        console,
        mut troubles,
    } = boot_once(paths, images, boot, seed)?;
    troubles.extend(before);
    if boot.is_replayed {
        let again = boot_once(paths, images, boot, seed)?;
        if !of_machine(&console).eq(of_machine(&again.console)) {
            troubles.push("the same seed gave another run".into());
        }
    }
    let mut report = Report::read(&console, troubles);
    report.require(&boot.must_run);
    Ok((report, outcome))
}

/// Where the RAM of a machine is that starts twice.
fn ram_file(paths: &Paths) -> PathBuf {
    paths.images().join("hw-test").join("ram")
}

/// What failed at the first of two starts.
fn failures(report: &Report) -> Vec<String> {
    let failed = report.results.iter();
    let failed = failed.filter(|result| matches!(result.verdict, Verdict::Failed(_)));
    failed
        .map(|result| format!("at the first start: {result}"))
        .collect()
}

/// The lines of a console without QEMU's own, which come by the clock on the wall.
fn of_machine(console: &str) -> impl Iterator<Item = &str> {
    let lines = console.lines();
    lines.filter(|line| !line.contains("qemu-system-aarch64: "))
}

/// How a machine ended, what it said, and what was wrong, whatever it said.
struct Run {
    outcome: Outcome,
    console: String,
    troubles: Vec<String>,
}

fn boot_once(paths: &Paths, images: &Images, boot: &Boot, seed: u64) -> Result<Run> {
    let key = if boot.is_exact { "exact" } else { "filter" };
    let host = HostFiles {
        image: &images.tests,
        cmdline: &format!("{key}={} seed={seed}", boot.filter),
        initrd: &[],
    };
    let files = BootFiles::write(paths, "hw-test", &images.engine, &host)?;
    let log = log_file(paths, boot);
    let qemu = &images.tools.qemu;
    let mut command = match &images.efi {
        Some(efi) if boot.firmware.is_some() => {
            let disk = efi.write_disk(&files)?;
            let acpi = boot.firmware == Some(Firmware::Edk2);
            boot.machine
                .command_by_firmware(qemu, &efi.firmware, &disk, acpi)
        }
        _ => boot.machine.command(qemu, &files),
    };
    if boot.kept_ram {
        boot.machine.keep_ram(&mut command, &ram_file(paths));
    }
    if boot.absent_ram {
        let plain = boot.machine.command(qemu, &files);
        let tree = absent::write_tree(plain, &paths.images().join("hw-test"))?;
        command.arg("-dtb").arg(tree);
    }
    let folder = paths.images().join("hw-test");
    let held = boot
        .late
        .map(|late| late::hold_last_core(&mut command, boot.machine.cpus, late, &folder))
        .transpose()?;
    let outcome = Supervision {
        limit: Some(boot.limit),
        input: Input::Nothing,
        log: &log,
    }
    .run(command, io::sink())?;
    let mut troubles = outcome.troubles();
    troubles.extend(held.and_then(Held::trouble));
    let console = fs::read(&log)?;
    Ok(Run {
        console: String::from_utf8_lossy(&console).into_owned(),
        outcome,
        troubles,
    })
}

//! `cargo xtask hw-test`: boots the bare-metal test image in the host's place, on the machines of
//! `hw-tests/tests.toml`, and counts its tests.

mod cases;
mod manifest;
mod output;
mod report;
mod twins;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;

use crate::attacks::Book;
use crate::count::Count;
use crate::hw::manifest::{Boot, Firmware, Manifest};
use crate::hw::output::Output;
use crate::hw::twins::Twins;
use crate::image::absent;
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE, Program};
use crate::image::efi::EfiImages;
use crate::image::symbols::Symbols;
use crate::mutants;
use crate::paths::Paths;
use crate::run::late;
use crate::run::supervise::{Input, Outcome, Supervision};
use crate::setup::Tools;

pub use cases::play as play_attacks;
pub use report::{Report, TOTAL, UNFINISHED, Verdict};

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

/// The images that a boot is made of.
struct Images {
    tools: Tools,
    tests: Vec<u8>,
    engine: Vec<u8>,
    efi: Option<EfiImages>,
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
    let mut twins = Twins::default();
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

/// The manifest's boots; or the one machine that the options name, as the groups have it that are for
/// everything or for what the options filter.
fn select(manifest: &Manifest, options: &Options) -> Result<Vec<Boot>> {
    let filter = options.filter.as_ref().or(options.names.as_ref());
    let firmware = options.efi.then_some(Firmware::Edk2);
    let mut boots = match (options.cpus, &options.cpu) {
        (None, None) => manifest.boots()?,
        (cpus, model) => {
            let (cpus, model) = (cpus.unwrap_or(CPUS), model.as_deref().unwrap_or(MODEL));
            ensure!((1..=512).contains(&cpus), "--cpus {cpus}: 1 to 512 can be");
            let wanted = filter.map_or("", String::as_str);
            let mut boots = Vec::new();
            for group in &manifest.group {
                let fits = group.has(cpus, model) && group.firmware.is_some() == options.efi;
                if fits && group.is_for(wanted) {
                    boots.push(group.boot(cpus, model)?);
                }
            }
            if boots.is_empty() {
                boots.push(Boot {
                    firmware,
                    ..manifest.any_machine(cpus, model)?
                });
            }
            boots
        }
    };
    boots.retain(|boot| boot.firmware.is_some() || !options.efi);
    if let Some(filter) = filter {
        for boot in &mut boots {
            boot.filter.clone_from(filter);
            boot.is_exact = options.exact;
        }
    }
    Ok(boots)
}

/// Boots one machine and tells its tests' results.
fn run_boot(
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
    let cpu = machine.cpu.split(',').next().unwrap_or(MODEL);
    let mut command = format!(
        "cargo xtask hw-test --cpus {} --cpu {cpu} --seed {seed}",
        machine.cpus
    );
    if boot.firmware.is_some() {
        command.push_str(" --efi");
    }
    if machine.icount {
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

fn log_file(paths: &Paths, boot: &Boot) -> PathBuf {
    paths.logs().join(format!("hw-test-{}.log", boot.name))
}

fn observe(paths: &Paths, images: &Images, boot: &Boot, seed: u64) -> Result<(Report, Outcome)> {
    let (outcome, console) = boot_once(paths, images, boot, seed)?;
    let mut troubles = outcome.troubles();
    if boot.is_replayed {
        let (_, again) = boot_once(paths, images, boot, seed)?;
        if !of_machine(&console).eq(of_machine(&again)) {
            troubles.push("the same seed gave another run".into());
        }
    }
    let mut report = Report::read(&console, troubles);
    report.require(&boot.must_run);
    Ok((report, outcome))
}

/// The lines of a console without QEMU's own, which come by the clock on the wall.
fn of_machine(console: &str) -> impl Iterator<Item = &str> {
    let lines = console.lines();
    lines.filter(|line| !line.contains("qemu-system-aarch64: "))
}

/// How the machine ended, and what it said.
fn boot_once(paths: &Paths, images: &Images, boot: &Boot, seed: u64) -> Result<(Outcome, String)> {
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
    if boot.absent_ram {
        let plain = boot.machine.command(qemu, &files);
        let tree = absent::write_tree(plain, &paths.images().join("hw-test"))?;
        command.arg("-dtb").arg(tree);
    }
    if let Some(late) = boot.late {
        let folder = paths.images().join("hw-test");
        late::hold_last_core(&mut command, boot.machine.cpus, late, &folder)?;
    }
    let outcome = Supervision {
        limit: Some(boot.limit),
        input: Input::Nothing,
        log: &log,
    }
    .run(command, io::sink())?;
    let console = fs::read(&log)?;
    Ok((outcome, String::from_utf8_lossy(&console).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const TEXT: &str = r#"
        [[group]]
        name = "all"
        filter = ""
        cpus = [1, 2]
        models = ["max", "cortex-a72"]
        mem = "1G"
        timeout_s = 60
        [[group]]
        name = "many"
        filter = "cores::,memory::"
        cpus = [64]
        models = ["max"]
        mem = "2G"
        timeout_s = 600
        [[group]]
        name = "absent-ram"
        filter = "absent::"
        cpus = [2, 64]
        models = ["max"]
        mem = "1G"
        timeout_s = 60
        absent_ram = true
    "#;

    /// Names and filters of the boots.
    fn selected(cpus: u32, filter: &str) -> Vec<(String, String)> {
        let manifest = Manifest::parse(TEXT).unwrap();
        let boots = select(&manifest, &options(cpus, filter)).unwrap();
        boots
            .into_iter()
            .map(|boot| (boot.name, boot.filter))
            .collect()
    }

    fn options(cpus: u32, filter: &str) -> Options {
        Options {
            names: None,
            filter: (!filter.is_empty()).then(|| filter.into()),
            cpus: Some(cpus),
            exact: false,
            efi: false,
            cpu: None,
            seed: 1,
            repeat: 1,
            icount: false,
            json: None,
            junit: None,
            mutant: None,
        }
    }

    #[test]
    fn a_machine_alone_runs_everything() {
        for (cpus, name) in [
            (2, "all-2-max"),
            // Groups for some of the tests are not asked.
            (64, "many-64-max"),
            (3, "many-3-max"),
            (100, "many-100-max"),
        ] {
            assert_eq!(selected(cpus, ""), [(name.into(), String::new())]);
        }
    }

    #[test]
    fn a_filter_finds_the_machines_that_are_for_it() {
        let names = |cpus, filter| -> Vec<String> {
            let boots = selected(cpus, filter).into_iter();
            boots
                .inspect(|boot| assert_eq!(boot.1, filter))
                .map(|boot| boot.0)
                .collect()
        };
        assert_eq!(names(2, "cores::up"), ["all-2-max"]);
        assert_eq!(names(2, "absent::list"), ["all-2-max", "absent-ram-2-max"]);
        assert_eq!(names(64, "a::b,memory::x"), ["many-64-max"]);
        assert_eq!(names(5, "absent::list"), ["many-5-max"]);
    }

    #[test]
    fn every_number_of_cores_has_a_machine_with_all_its_ram() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = Manifest::load(root).unwrap();
        for cpus in [1, 2, 3, 4, 8, 16, 64, 100, 192, 512] {
            for boot in select(&manifest, &options(cpus, "")).unwrap() {
                assert!(!boot.absent_ram && boot.filter.is_empty(), "{cpus}");
            }
        }
    }
}

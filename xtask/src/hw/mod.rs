//! `cargo xtask hw-test`: boots the bare-metal test image in the host's place, on machines from one
//! core to many, and counts its tests.

mod report;

use std::fs;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::count::Count;
use crate::hw::report::Report;
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE, Program};
use crate::paths::Paths;
use crate::run::machine::{Machine, cpu_argument};
use crate::run::size::{Bytes, GIB};
use crate::run::supervise::Supervision;
use crate::setup::Tools;
use crate::setup::qemu::Qemu;

pub use report::TOTAL;

const TESTS: Program<'static> = Program {
    package: "bulkhead-hw-tests",
    binary: "hwtests",
};

/// The machines: cores, and seconds that a run on them may take.
const MACHINES: [(u32, u64); 5] = [(1, 120), (2, 120), (8, 180), (64, 300), (192, LONGEST)];
/// Seconds for any machine.
const LONGEST: u64 = 600;

/// Runs the tests whose names contain `filter` (all if it is empty), on all machines or on one
/// with this number of cores.
pub fn run(paths: &Paths, filter: &str, cpus: Option<u32>) -> Result<ExitCode> {
    let Tools { qemu, toolchain } = Tools::set_up(&paths.cache(), None)?;
    let engine = build::build(paths, &toolchain, ENGINE, None)?;
    let files = HostFiles {
        image: &build::build(paths, &toolchain, TESTS, None)?,
        cmdline: &format!("filter={filter}"),
        initrd: &[],
    };
    let files = BootFiles::write(paths, "hw-test", &engine, &files)?;
    let mut total = Count::default();
    let machines = cpus.map_or(MACHINES.to_vec(), |cpus| vec![(cpus, LONGEST)]);
    for (cpus, seconds) in machines {
        total += run_on(paths, &qemu, &files, cpus, Duration::from_secs(seconds))?;
    }
    println!("{total}");
    Ok(total.exit_code())
}

fn run_on(
    paths: &Paths,
    qemu: &Qemu,
    files: &BootFiles,
    cpus: u32,
    limit: Duration,
) -> Result<Count> {
    println!("==> hardware tests on {cpus} cores");
    let machine = Machine {
        cpus,
        cpu: cpu_argument("max", false),
        mem: Bytes(GIB),
        icount: false,
        gdb: false,
    };
    let log = paths.logs().join(format!("hw-test-{cpus}.log"));
    let outcome = Supervision {
        limit: Some(limit),
        interactive: false,
        log: &log,
    }
    .run(machine.command(qemu, files), io::sink())?;

    let troubles = outcome.troubles();
    let is_cut_short = !troubles.is_empty();
    let console = fs::read(&log)?;
    let report = Report::read(&String::from_utf8_lossy(&console), troubles);
    println!("    {}", report.count);
    for line in &report.wrong {
        println!("    {line}");
    }
    if is_cut_short {
        for line in outcome.quoted_tail() {
            println!("    {line}");
        }
    }
    if report.count.failed > 0 {
        println!("    again: cargo xtask hw-test --cpus {cpus}");
        println!("    log:   {}", log.display());
    }
    Ok(report.count)
}

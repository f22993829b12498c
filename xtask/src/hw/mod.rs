//! `cargo xtask hw`: boots the bare-metal test images on the engine and counts their tests.

mod manifest;
mod report;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::count::Count;
use crate::hw::manifest::TestImage;
use crate::hw::report::Report;
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE, Program};
use crate::paths::Paths;
use crate::run::machine::{Machine, cpu_argument};
use crate::run::supervise::Supervision;
use crate::setup::Tools;
use crate::setup::qemu::Qemu;

const PACKAGE: &str = "bulkhead-hw-tests";

/// Runs the images whose names contain `filter`; all if it is empty.
pub fn run(paths: &Paths, filter: &str) -> Result<ExitCode> {
    let images = manifest::read(&paths.root)?;
    let Tools { qemu, toolchain } = Tools::set_up(&paths.cache(), None)?;
    let bench = Bench {
        paths,
        engine: build::build(paths, &toolchain, ENGINE, None)?,
        qemu,
    };
    let mut total = Count::default();
    for image in images.iter().filter(|image| image.bin.contains(filter)) {
        let program = Program {
            package: PACKAGE,
            binary: &image.bin,
        };
        let host = build::build(paths, &toolchain, program, None)?;
        for &cpus in &image.cpus {
            total += bench.run_image(image, &host, cpus)?;
        }
    }
    println!("{total}");
    Ok(total.exit_code())
}

/// What every image runs on.
struct Bench<'a> {
    paths: &'a Paths,
    engine: Vec<u8>,
    qemu: Qemu,
}

impl Bench<'_> {
    fn run_image(&self, image: &TestImage, host: &[u8], cpus: u32) -> Result<Count> {
        println!("==> {} on {cpus} cores", image.bin);
        let files = HostFiles {
            image: host,
            cmdline: &image.cmdline,
            initrd: &[],
        };
        let name = format!("hw-{}", image.bin);
        let files = BootFiles::write(self.paths, &name, &self.engine, &files)?;
        let machine = Machine {
            cpus,
            cpu: cpu_argument(&image.cpu, false),
            mem: image.mem(),
            icount: false,
            gdb: false,
        };
        let log = self.paths.logs().join(format!("{name}-{cpus}.log"));
        let outcome = Supervision {
            limit: Some(Duration::from_secs(image.timeout)),
            interactive: false,
            log: &log,
        }
        .run(machine.command(&self.qemu, &files), io::sink())?;

        let troubles = outcome.troubles();
        let is_cut_short = !troubles.is_empty();
        let report = Report::read(&outcome.records, troubles);
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
            println!("    again: cargo xtask hw {}", image.bin);
            println!("    log:   {}", log.display());
        }
        Ok(report.count)
    }
}

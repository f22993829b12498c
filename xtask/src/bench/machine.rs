//! The machine that the benchmark runs on: one core, a tick for each instruction.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::bench::figure::{self, Figure};
use crate::figures::plugin::Plugin;
use crate::hw::{Report, TESTS, Verdict};
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE};
use crate::mutants;
use crate::paths::Paths;
use crate::run::machine::{self, cpu_argument};
use crate::run::size::{Bytes, GIB};
use crate::run::supervise::{Input, Supervision};
use crate::setup::Tools;
use crate::setup::qemu::Qemu;
use crate::setup::toolchain::Toolchain;

const LIMIT: Duration = Duration::from_secs(600);

/// Images and tools.
pub struct Machine<'a> {
    paths: &'a Paths,
    tools: Tools,
    tests: Vec<u8>,
    engine: Vec<u8>,
    cpu: String,
    is_mutant: bool,
}

impl<'a> Machine<'a> {
    /// Builds the images.
    pub fn build(paths: &'a Paths, cpu: &str, mutant: Option<&str>) -> Result<Self> {
        if let Some(name) = mutant {
            mutants::require(&paths.root, name)?;
        }
        let tools = Tools::set_up(&paths.cache(), None)?;
        Ok(Self {
            tests: build::build(paths, &tools.toolchain, TESTS, None)?,
            engine: build::build(paths, &tools.toolchain, ENGINE, mutant)?,
            paths,
            tools,
            cpu: cpu.to_owned(),
            is_mutant: mutant.is_some(),
        })
    }

    /// The checkout.
    pub fn paths(&self) -> &Paths {
        self.paths
    }

    /// The hardware tests' image.
    pub fn tests(&self) -> &[u8] {
        &self.tests
    }

    /// The engine's image.
    pub fn engine(&self) -> &[u8] {
        &self.engine
    }

    /// The processor model.
    pub fn cpu(&self) -> &str {
        &self.cpu
    }

    /// Whether the engine is without something.
    pub fn is_mutant(&self) -> bool {
        self.is_mutant
    }

    /// What builds images.
    pub fn toolchain(&self) -> &Toolchain {
        &self.tools.toolchain
    }

    /// What boots them.
    pub fn qemu(&self) -> &Qemu {
        &self.tools.qemu
    }

    /// Which engine it is: the image's SHA-256, the beginning.
    pub fn engine_digest(&self) -> String {
        let digest = Sha256::digest(&self.engine);
        digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Which compiler made it: what rustc says of itself in the image.
    pub fn compiler(&self) -> Result<String> {
        let file = ENGINE.elf(self.paths);
        let elf = fs::read(&file).with_context(|| file.display().to_string())?;
        compiler_of(&elf)
            .with_context(|| format!("{}: no rustc in its debug information", file.display()))
    }

    /// One boot's figures, of operations with `filter` in their name; `trace` is where each instruction of the
    /// engine's in the measured calls goes.
    pub fn boot(&self, filter: &str, trace: Option<&Path>) -> Result<Vec<Figure>> {
        let host = HostFiles {
            image: &self.tests,
            cmdline: &format!("filter=bench::{filter} seed=1"),
            initrd: &[],
        };
        let files = BootFiles::write(self.paths, "bench", &self.engine, &host)?;
        let machine = machine::Machine {
            cpus: 1,
            cpu: cpu_argument(&self.cpu, true),
            mem: Bytes(2 * GIB),
            icount: true,
            gdb: false,
            is_ram_clear: true,
        };
        let mut command = machine.command(&self.tools.qemu, &files);
        if let Some(trace) = trace {
            let counts = self.paths.logs().join("bench-counts.json");
            Plugin::build(self.paths, &self.engine, &counts)?.trace_to(&mut command, trace);
        }
        let log = self.paths.logs().join("bench.log");
        let outcome = Supervision {
            limit: Some(LIMIT),
            input: Input::Nothing,
            log: &log,
        }
        .run(command, io::sink())?;
        let console = fs::read(&log)?;
        let report = Report::read(&String::from_utf8_lossy(&console), outcome.troubles());
        let failed = report.results.iter();
        let failed: Vec<String> = failed
            .filter(|result| !matches!(result.verdict, Verdict::Passed))
            .map(ToString::to_string)
            .collect();
        if !failed.is_empty() {
            bail!("{}\nlog: {}", failed.join("\n"), log.display());
        }
        let figures = figure::read(&outcome.records)?;
        ensure!(
            !figures.is_empty(),
            "no operation has {filter:?} in its name"
        );
        Ok(figures)
    }
}

/// `rustc version …` as the debug information names the producer.
fn compiler_of(elf: &[u8]) -> Option<String> {
    const SAYS: &[u8] = b"rustc version ";
    let at = elf.windows(SAYS.len()).position(|text| text == SAYS)?;
    let mut parts = elf.get(at..)?.split(|byte| matches!(byte, 0 | b'(' | b')'));
    String::from_utf8(parts.next()?.trim_ascii_end().to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_is_known_by_what_it_says_of_itself() {
        let elf = b"\0x\0clang LLVM (rustc version 1.95.0 (59807616e 2026-04-14))\0y\0";
        assert_eq!(compiler_of(elf).as_deref(), Some("rustc version 1.95.0"));
        assert_eq!(compiler_of(b"rustc"), None);
    }
}

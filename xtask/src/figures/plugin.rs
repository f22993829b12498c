//! The QEMU plugin (`xtask/plugin`): built, put on a command line, and what it counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use abi::Call;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::image::header::ImageHeader;
use crate::paths::Paths;
use crate::process;
use crate::setup::toolchain::ordinary_cargo;

const PACKAGE: &str = "bulkhead-plugin";
const LIBRARY: &str = "libbulkhead_plugin.so";
/// Where QEMU's `virt` machine puts the image: the engine does not move itself, and says in its
/// banner where it is.
pub const LOADED_AT: u64 = 0x4020_0000;
/// The identifier of the call with number 0.
const FIRST_CALL: u64 = Call::EngineInfo.function_id();

/// The plugin for one machine.
pub struct Plugin {
    library: PathBuf,
    engine_size: u64,
    out: PathBuf,
}

/// What the plugin counted, as far as it is used.
#[derive(Clone, Debug, Deserialize)]
pub struct Counted {
    /// Every core.
    pub cores: Vec<Core>,
}

/// What one core executed.
#[derive(Clone, Debug, Deserialize)]
pub struct Core {
    /// In each window that it marked.
    pub windows: Vec<Counts>,
    /// Between two returns from the engine.
    pub visits: Visits,
    /// How deep its stacks were, if that was asked.
    pub depth: Option<Depths>,
}

/// How deep a core's stacks were in the engine.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Depths {
    /// The one that it works on.
    pub stack: Deepest,
    /// The one on which it reports a crash.
    pub emergency: Deepest,
}

/// The deepest: bytes, and how far from the engine's start the instruction lies that went there.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Deepest {
    pub bytes: u64,
    pub at: u64,
}

/// What a core executed in the engine between two returns from it.
#[derive(Clone, Debug, Deserialize)]
pub struct Visits {
    /// Up to the first return.
    pub first: u64,
    /// The others by what began them: each of the engine's calls by its number, then other calls, then what was no
    /// call.
    pub kinds: Vec<Kind>,
}

/// Visits of one kind.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Kind {
    /// How many there were.
    pub count: u64,
    /// Instructions in the longest.
    pub longest: u64,
}

/// Instructions by where they are, and some by what they are.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Counts {
    /// In the engine.
    pub engine: u64,
    /// Beside it, in the lower half of the addresses.
    pub low: u64,
    /// And in the upper half.
    pub high: u64,
    /// The engine's broadcast TLBIs.
    pub broadcasts: u64,
    /// Of these, for all of a VM.
    pub whole_vm: u64,
}

impl Plugin {
    /// Builds it, to count the instructions of `engine`; the result goes to `out`.
    pub fn build(paths: &Paths, engine: &[u8], out: &Path) -> Result<Self> {
        let mut cargo = Command::new(ordinary_cargo());
        cargo
            .args(["build", "--quiet", "--release", "--package", PACKAGE])
            .current_dir(&paths.root)
            .env("CARGO_TARGET_DIR", &paths.target);
        process::run(&mut cargo).context("the plugin does not build")?;
        Ok(Self {
            library: paths.target.join("release").join(LIBRARY),
            engine_size: ImageHeader::parse(engine)?.image_size,
            out: out.to_owned(),
        })
    }

    /// Adds it to QEMU's command line.
    pub fn add_to(&self, command: &mut Command) {
        self.add(command, "");
    }

    /// Adds it, and has the engine's instructions in the first core's windows written to `trace`.
    pub fn trace_to(&self, command: &mut Command, trace: &Path) {
        let _ = fs::remove_file(trace);
        self.add(command, &format!(",trace={}", trace.display()));
    }

    /// Adds it, and has all of the engine's instructions on one core up to its first return written to `trace`.
    pub fn trace_start(&self, command: &mut Command, trace: &Path, core: u32) {
        let _ = fs::remove_file(trace);
        self.add(command, &format!(",trace={},start={core}", trace.display()));
    }

    /// Adds it to count instruction by instruction, with a window that was not begun from the machine's start.
    pub fn count_each(&self, command: &mut Command) {
        self.add(command, ",each=yes");
    }

    /// Adds it, and has the depths of stacks noted.
    pub fn watch_stacks(&self, command: &mut Command) {
        self.add(command, ",stack=yes");
    }

    fn add(&self, command: &mut Command, more: &str) {
        // What an earlier run left must not be taken for this one's.
        let _ = fs::remove_file(&self.out);
        command.arg("-plugin").arg(format!(
            "{},low={LOADED_AT:#x},high={:#x},calls={:#x},out={}{more}",
            self.library.display(),
            LOADED_AT + self.engine_size,
            FIRST_CALL,
            self.out.display()
        ));
    }

    /// What it counted; fails if the engine was elsewhere, as `console` has its banner.
    pub fn read(&self, console: &str) -> Result<Counted> {
        let place = format!("engine at {LOADED_AT:#x}..");
        ensure!(
            console.contains(&place),
            "the plugin expects the {place}, and the banner does not say so"
        );
        self.read_without_engine()
    }

    /// The same of a machine that has no engine.
    pub fn read_without_engine(&self) -> Result<Counted> {
        let name = || format!("counts {}", self.out.display());
        serde_json::from_str(&fs::read_to_string(&self.out).with_context(name)?).with_context(name)
    }
}

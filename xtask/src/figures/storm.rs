//! `cargo xtask storm`: all cores take pages away at once, and what the engine executes in each call.
//!
//! Boots the hardware test `tlb::storm` under the plugin that counts each core's instructions in the engine: on one
//! core with one tick of time per instruction, so that the numbers are the same in every run; on several as fast as
//! these go, as QEMU 10.0 with a plugin ends at once where several cores count ticks. They are counted, not timed,
//! there too. Invariant: each call that was made has a window, in the same order; a call with more instructions or
//! broadcasts than [`BOUNDS`] allows its kind fails.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Deserialize;

use crate::figures::plugin::{Counts, Plugin};
use crate::figures::table::grouped;
use crate::hw::TESTS;
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE};
use crate::paths::Paths;
use crate::run::machine::{Machine, cpu_argument};
use crate::run::size::{Bytes, GIB};
use crate::run::supervise::{Input, Supervision};
use crate::setup::Tools;

/// How the test's lines begin.
const RECORD: &str = "@storm ";
const LIMIT: Duration = Duration::from_secs(1200);

/// A kind of call: its letter in the test's lines, its name, and the most instructions and broadcasts that one may
/// take: what was measured (docs/figures.md) with room for tables that happen to be missing, and for each core what the engine's look at that core takes.
struct Bound {
    letter: char,
    name: &'static str,
    instructions: u64,
    per_core: u64,
    broadcasts: u64,
}

const BOUNDS: [Bound; 7] = [
    Bound::new('c', "VM_CREATE", 12_000, 0, 0),
    Bound::new('p', "VM_MAP, 1 page", 100_000, 0, 12),
    Bound::new('q', "VM_MAP, 24 pages", 100_000, 0, 32),
    Bound::new('l', "VM_LEND, 24 pages", 120_000, 0, 0),
    Bound::new('u', "VM_UNLEND, 24 pages", 120_000, 0, 32),
    Bound::new('d', "VM_DESTROY", 4_000, 200, 0),
    Bound::new('r', "VM_RECLAIM", 700_000, 200, 6),
];

impl Bound {
    const fn new(
        letter: char,
        name: &'static str,
        instructions: u64,
        per_core: u64,
        broadcasts: u64,
    ) -> Self {
        Self {
            letter,
            name,
            instructions,
            per_core,
            broadcasts,
        }
    }
}

/// On which machines
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Numbers of cores, all of which take pages away
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 8])]
    pub cpus: Vec<u32>,
    /// The processor model
    #[arg(long, value_name = "MODEL", default_value = "max")]
    pub cpu: String,
}

/// What one core of the test did.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    core: usize,
    calls: String,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let tools = Tools::set_up(&paths.cache(), None)?;
    let tests = build::build(paths, &tools.toolchain, TESTS, None)?;
    let engine = build::build(paths, &tools.toolchain, ENGINE, None)?;
    let host = HostFiles {
        image: &tests,
        cmdline: "filter=tlb::storm",
        initrd: &[],
    };
    let files = BootFiles::write(paths, "storm", &engine, &host)?;
    let plugin = Plugin::build(paths, &engine, &paths.logs().join("storm-counts.json"))?;
    let mut exceeded = Vec::new();
    for &cpus in &options.cpus {
        ensure!((1..=512).contains(&cpus), "--cpus {cpus}: 1 to 512 can be");
        println!("==> {cpus} cores, {}", options.cpu);
        let machine = Machine {
            cpus,
            cpu: cpu_argument(&options.cpu, true),
            mem: Bytes(2 * GIB),
            icount: cpus == 1,
            gdb: false,
        };
        let log = paths.logs().join(format!("storm-{cpus}.log"));
        let mut command = machine.command(&tools.qemu, &files);
        plugin.add_to(&mut command);
        let outcome = Supervision {
            limit: Some(LIMIT),
            input: Input::Nothing,
            log: &log,
        }
        .run(command, io::sink())?;
        let troubles = outcome.troubles();
        ensure!(troubles.is_empty(), "{}", troubles.join("\n"));
        let console = fs::read(&log)?;
        let console = String::from_utf8_lossy(&console);
        ensure!(
            !console.contains("FAILED"),
            "the test failed; console: {}",
            log.display()
        );
        let told = outcome.records.iter();
        let told: Vec<Told> = told
            .filter_map(|line| line.strip_prefix(RECORD))
            .map(|text| serde_json::from_str(text).with_context(|| text.to_owned()))
            .collect::<Result<_>>()?;
        ensure!(
            told.len() == cpus as usize,
            "{} cores told what they did",
            told.len()
        );
        let windows: Vec<Vec<Counts>> = plugin
            .read(&console)?
            .cores
            .into_iter()
            .map(|core| core.windows)
            .collect();
        let kinds = by_kind(&told, &windows)?;
        print!("{}", render(&kinds));
        exceeded.extend(above(&kinds, u64::from(cpus)));
    }
    for line in &exceeded {
        println!("    exceeded: {line}");
    }
    Ok(ExitCode::from(u8::from(!exceeded.is_empty())))
}

/// The windows of each kind of call.
fn by_kind(told: &[Told], windows: &[Vec<Counts>]) -> Result<BTreeMap<char, Vec<Counts>>> {
    let mut kinds: BTreeMap<char, Vec<Counts>> = BTreeMap::new();
    for Told { core, calls } in told {
        let own = windows.get(*core).map_or(&[][..], Vec::as_slice);
        ensure!(
            own.len() == calls.len(),
            "core {core} made {} calls in {} windows",
            calls.len(),
            own.len()
        );
        for (letter, counts) in calls.chars().zip(own) {
            kinds.entry(letter).or_default().push(*counts);
        }
    }
    Ok(kinds)
}

/// The kinds of which a call took more than it may.
fn above(kinds: &BTreeMap<char, Vec<Counts>>, cpus: u64) -> Vec<String> {
    let exceeded = BOUNDS.iter().flat_map(|bound| {
        let most = bound.instructions + bound.per_core * cpus;
        let calls = kinds.get(&bound.letter).into_iter().flatten();
        calls
            .filter(move |call| call.engine > most || call.broadcasts > bound.broadcasts)
            .map(move |call| {
                format!(
                    "{} on {cpus} cores: {} instructions of {most}, {} broadcasts of {}",
                    bound.name, call.engine, call.broadcasts, bound.broadcasts
                )
            })
    });
    let missing = BOUNDS
        .iter()
        .filter(|bound| !kinds.contains_key(&bound.letter))
        .map(|bound| format!("{}: no call", bound.name));
    exceeded.chain(missing).collect()
}

/// A Markdown table.
fn render(kinds: &BTreeMap<char, Vec<Counts>>) -> String {
    let mut text = String::from(
        "\n| call | calls | median | most | broadcasts, most |\n| --- | ---: | ---: | ---: | ---: |\n",
    );
    for bound in &BOUNDS {
        let calls = kinds.get(&bound.letter).map_or(&[][..], Vec::as_slice);
        let mut sorted: Vec<u64> = calls.iter().map(|call| call.engine).collect();
        sorted.sort_unstable();
        text += &format!(
            "| {} | {} | {} | {} | {} |\n",
            bound.name,
            sorted.len(),
            grouped(sorted.get(sorted.len() / 2).copied().unwrap_or(0)),
            grouped(sorted.last().copied().unwrap_or(0)),
            calls.iter().map(|call| call.broadcasts).max().unwrap_or(0),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(engine: u64, broadcasts: u64) -> Counts {
        Counts {
            engine,
            broadcasts,
            whole_vm: 0,
        }
    }

    fn told(core: usize, calls: &str) -> Told {
        let calls = calls.to_owned();
        Told { core, calls }
    }

    #[test]
    fn each_call_is_judged_by_its_kind() {
        let letters: String = BOUNDS.iter().map(|bound| bound.letter).collect();
        let within: Vec<Counts> = BOUNDS
            .iter()
            .map(|bound| counts(bound.instructions, bound.broadcasts))
            .collect();
        let kinds = by_kind(&[told(0, &letters)], std::slice::from_ref(&within)).unwrap();
        assert!(above(&kinds, 1).is_empty());
        for index in 0..BOUNDS.len() {
            for (more, broadcasts) in [(1, 0), (0, 1)] {
                let mut windows = within.clone();
                windows[index].engine += more + BOUNDS[index].per_core * more;
                windows[index].broadcasts += broadcasts;
                let kinds = by_kind(&[told(0, &letters)], &[windows]).unwrap();
                assert_eq!(above(&kinds, 1).len(), 1, "{}", BOUNDS[index].name);
            }
        }
        let kinds = by_kind(&[told(0, "c")], &[vec![within[0]]]).unwrap();
        assert_eq!(above(&kinds, 1).len(), BOUNDS.len() - 1);
    }

    #[test]
    fn calls_without_windows_are_refused() {
        assert!(by_kind(&[told(0, "cp")], &[vec![counts(1, 0)]]).is_err());
        assert!(by_kind(&[told(1, "c")], &[vec![counts(1, 0)]]).is_err());
    }
}

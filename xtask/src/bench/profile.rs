//! `cargo xtask profile OPERATION`: where an operation's instructions in the engine go, by function, and as a flame
//! graph.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use elf::ElfBytes;
use inferno::flamegraph;

use crate::bench::cores;
use crate::bench::machine::Machine;
use crate::bench::stacks::{self, Site, Stacks};
use crate::image::build::ENGINE;
use crate::image::lines::DebugLines;
use crate::litmus::Program;
use crate::paths::Paths;

/// Functions in the table.
const SHOWN: usize = 40;

/// Which operation
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The operation, as `cargo xtask bench` names it
    pub operation: String,
    /// Write the flame graph to this file [default: target/profile/OPERATION.svg]
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// The processor model
    #[arg(long, value_name = "MODEL", default_value = "max")]
    pub cpu: String,
    /// Build the engine without one of its protections, or with another choice
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let operation = &options.operation;
    let machine = Machine::build(paths, &options.cpu, options.mutant.as_deref())?;
    let trace = paths.logs().join("profile.trace");
    if let Some(core) = cores::core_of_start(operation) {
        cores::trace_start(&machine, core, &trace)?;
    } else {
        let figures = machine.boot(operation, Some(&trace))?;
        ensure!(
            figures.iter().any(|figure| figure.op == *operation),
            "no operation is called {operation:?}"
        );
    }
    let stacks = fold(paths, &median_window(&fs::read_to_string(&trace)?)?)?;
    let sums = stacks::by_function(&stacks);
    let total: u64 = stacks.values().sum();
    println!("{operation}: {total} instructions in the engine\n");
    for (function, count) in sums.iter().take(SHOWN) {
        println!("{count:>8}  {function}");
    }
    let rest: u64 = sums.iter().skip(SHOWN).map(|(_, count)| count).sum();
    println!("{rest:>8}  in others");
    let svg = options.svg.clone().unwrap_or_else(|| {
        let dir = paths.target.join("profile");
        dir.join(format!("{operation}.svg"))
    });
    draw(operation, &stacks, &svg)?;
    println!("\nflame graph: {}", svg.display());
    Ok(ExitCode::SUCCESS)
}

/// The window in the middle by length: distances from the engine's start.
fn median_window(text: &str) -> Result<Vec<u64>> {
    let mut windows: Vec<Vec<u64>> = text
        .lines()
        .map(|line| {
            let words = line.split_whitespace();
            words.map(|word| u64::from_str_radix(word, 16)).collect()
        })
        .collect::<Result<_, _>>()
        .context("the plugin's trace")?;
    windows.retain(|window| !window.is_empty());
    windows.sort_by_key(Vec::len);
    let middle = windows.len() / 2;
    ensure!(!windows.is_empty(), "no measured call enters the engine");
    Ok(windows.swap_remove(middle))
}

fn fold(paths: &Paths, trace: &[u64]) -> Result<Stacks> {
    let file = ENGINE.elf(paths);
    let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
    let elf = ElfBytes::<elf::endian::LittleEndian>::minimal_parse(&bytes)?;
    let lines = DebugLines::read(&elf, &paths.root)?;
    let program = Program::read(&file, &paths.root)?;
    let first = elf.segments().context("no segments")?.iter();
    let base = first
        .filter(|segment| segment.p_type == elf::abi::PT_LOAD)
        .map(|segment| segment.p_vaddr)
        .min()
        .context("nothing to load")?;
    Ok(stacks::fold(trace, |distance| {
        let address = base + distance;
        // An address without debug information is assembly: its symbol.
        let frames = lines.frames(address).unwrap_or_default();
        let mut functions: Vec<String> = frames.into_iter().map(|frame| frame.function).collect();
        if functions.is_empty() {
            let symbol = program.function_at(address);
            functions.push(symbol.map_or("?".into(), |function| function.name.clone()));
        }
        functions.reverse();
        Site {
            functions,
            flow: program.flow(address),
        }
    }))
}

fn draw(operation: &str, stacks: &Stacks, svg: &PathBuf) -> Result<()> {
    let name = || svg.display().to_string();
    if let Some(dir) = svg.parent() {
        fs::create_dir_all(dir).with_context(name)?;
    }
    let lines: Vec<String> = stacks
        .iter()
        .map(|(stack, count)| format!("{} {count}", stack.join(";")))
        .collect();
    let mut options = flamegraph::Options::default();
    options.title = format!("{operation}: instructions in the engine");
    options.count_name = "instructions".into();
    let file = fs::File::create(svg).with_context(name)?;
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), file).with_context(name)
}

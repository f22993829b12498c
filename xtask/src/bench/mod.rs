//! `cargo xtask bench` and `cargo xtask profile`: what each operation costs, in instructions, and where they go.
//!
//! Boots the hardware tests called `bench` on one core whose counter advances by one tick for each instruction.
//! With `--native` the table and the run queues are timed on this machine's cores instead (`native`).
//! Invariant: a figure in instructions is exact, and the same in every run of the same images.

mod baseline;
mod charts;
mod cores;
mod figure;
mod linux;
mod machine;
mod native;
mod peers;
pub mod profile;
mod stacks;
mod ways;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::bench::baseline::Baseline;
use crate::bench::figure::Figure;
use crate::bench::machine::Machine;
use crate::count::Count;
use crate::paths::Paths;

/// The processor model whose figures the documents show.
const DOCUMENTED: &str = "max";
/// Where the table stands, between two lines that say so.
const DOCUMENTS: [&str; 2] = ["README.md", "docs/performance.md"];
const BEGIN: &str = "<!-- cargo xtask bench --docs -->\n";
const END: &str = "<!-- end -->\n";

/// Which operations, and where to put their figures
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only operations with this in their name; with --peers, only figures
    #[arg(default_value = "")]
    pub filter: String,
    /// Measure KVM and Xen instead, and show how far they are from what is recorded of them (4 minutes)
    #[arg(long, conflicts_with_all = ["cpu", "check", "lower", "docs", "mutant"])]
    pub peers: bool,
    /// The processor model
    #[arg(long, value_name = "MODEL", default_value = "max")]
    pub cpu: String,
    /// What several cores execute, and what is counted in other things than instructions, by our QEMU plugin (2
    /// minutes)
    #[arg(long, conflicts_with_all = ["lower", "docs"])]
    pub cores: bool,
    /// What it takes a private Linux VM to boot, beside the same kernel without an engine (2 minutes)
    #[arg(long, conflicts_with_all = ["cores", "check", "lower", "docs"])]
    pub linux: bool,
    /// Fail if a median is more than 1 % above the committed one
    #[arg(long)]
    pub check: bool,
    /// Commit these medians where they are lower, and those of operations that have none
    #[arg(long, conflicts_with = "check")]
    pub lower: bool,
    /// Write the table into the README and docs/performance.md
    #[arg(long)]
    pub docs: bool,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw the figures into this folder, as SVG
    #[arg(long, value_name = "DIR")]
    pub charts: Option<PathBuf>,
    /// Time the table and the run queues on this machine's cores, beside locks, and count cache lines (2 minutes)
    #[arg(long, conflicts_with_all = ["cpu", "check", "lower", "docs", "mutant"])]
    pub native: bool,
    /// Threads of the native part, such as 1,2,16 [default: 1, 2, 4 and so on up to the cores there are]
    #[arg(long, value_name = "LIST", requires = "native")]
    pub threads: Option<String>,
    /// Build the engine without one of its protections, or with another choice
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
}

/// Puts the table into a document.
fn put_into(file: &Path, table: &str) -> Result<()> {
    let name = || file.display().to_string();
    let text = fs::read_to_string(file).with_context(name)?;
    let new = with_table(&text, table).with_context(name)?;
    fs::write(file, new).with_context(name)
}

/// The document with this table.
fn with_table(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    if options.peers {
        return peers::run(paths, &options.filter, options.json.as_ref());
    }
    if options.native {
        return native::run(paths, options);
    }
    let machine = Machine::build(paths, &options.cpu, options.mutant.as_deref())?;
    println!(
        "==> bench: {}, engine {}",
        options.cpu,
        machine.engine_digest()
    );
    let peers = peers::beside::load(&paths.root)?;
    let figures = match (options.cores, options.linux) {
        (true, _) => cores::run(&machine, &options.filter, options.check)?,
        (_, true) => linux::run(&machine, &options.filter)?,
        _ => machine.boot(&options.filter, None)?,
    };
    let figures: Vec<Figure> = figures
        .into_iter()
        .map(|figure| figure.beside(&peers))
        .collect();
    let (others, usual): (Vec<Figure>, Vec<Figure>) = figures
        .iter()
        .cloned()
        .partition(|figure| ways::is_one(&figure.op, &figures, &peers));
    let mut table = figure::render(&usual, &peers);
    if !others.is_empty() {
        table += &format!("\n{}", ways::render(&figures, &peers));
    }
    print!("\n{table}");
    if options.docs {
        ensure!(
            options.filter.is_empty() && options.cpu == DOCUMENTED && options.mutant.is_none(),
            "--docs: the documents hold all operations, of {DOCUMENTED}, of the engine as it is"
        );
        DOCUMENTS
            .iter()
            .try_for_each(|file| put_into(&paths.root.join(file), &table))?;
    }
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        fs::write(file, text).with_context(|| format!("--json {}", file.display()))?;
    }
    if let Some(dir) = &options.charts {
        charts::bars(&dir.join("instructions.svg"), &figures, &peers)?;
    }
    if options.cores {
        return Ok(match options.check {
            true => tell(cores::judge(&figures, &peers)),
            false => ExitCode::SUCCESS,
        });
    }
    if options.linux {
        return Ok(ExitCode::SUCCESS);
    }
    let compiler = machine.compiler()?;
    let mut baseline = Baseline::load(&paths.root, &options.cpu)?;
    if options.lower {
        baseline.lower(&figures, &compiler);
        baseline.save(&paths.root)?;
    }
    if !options.check {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(tell(baseline.judge(&figures, &options.filter, &compiler)))
}

/// Prints what came of each operation, and how many failed.
fn tell(verdicts: Vec<(String, Result<String, String>)>) -> ExitCode {
    let mut count = Count::default();
    for (operation, verdict) in verdicts {
        match verdict {
            Ok(seen) => {
                println!("test bench::{operation} ... ok ({seen})");
                count.passed += 1;
            }
            Err(why) => {
                println!("test bench::{operation} ... FAILED: {why}");
                count.failed += 1;
            }
        }
    }
    println!("{count}");
    count.exit_code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_last_one() {
        let text = format!("a\n{BEGIN}old\n{END}b\n");
        let new = with_table(&text, "| 1 |\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\n| 1 |\n\n{END}b\n"));
        assert_eq!(with_table(&new, "| 1 |\n"), Some(new));
        assert_eq!(with_table("none", "x"), None);
    }
}

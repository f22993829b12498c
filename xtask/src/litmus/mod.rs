//! `cargo xtask litmus`: is the order of instructions in the built engine one that Arm's model of
//! memory and translation allows?
//!
//! Kinds of tests, all about the linked image and listed in `loom-tests/litmus/litmus.toml`:
//! - `panic::after-boot`, `panic::image`: whether a way leads to a panic, and whether there is one at all;
//! - `stack::ENTRY`, `stack::pointers`: how deep a stack can get from each way into the engine on;
//! - `approved::FORM`: every barrier, TLBI, cache maintenance and write of a translation register is
//!   of an approved form and comes from an approved function;
//! - `sequence::NAME`: every way through a function of the engine keeps to a pattern of these;
//! - `herd::NAME`, `smt::NAME`: herd7 (stage 1, Arm's axiomatic model) and z3 (both stages, any number
//!   of cores) decide that the pattern is enough, and that it is not with one word less.
//!
//! A test of the last kind counts only if the image keeps to its sequence. And `sweep::FORM`: each
//! instruction of that form can not be lost unseen, or is listed with a reason.

mod approved;
mod callers;
mod frames;
mod herd;
mod instruction;
mod manifest;
mod order;
mod panics;
mod pattern;
mod pointers;
mod program;
mod report;
mod row;
mod smt;
mod sp;
mod stack;
mod sweep;
mod switch;
mod ways;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::image::build::{self, ENGINE};
use crate::mutants;
use crate::paths::Paths;
use crate::setup::litmus::{Herd, Solver};
use crate::setup::toolchain::{BARE, Toolchain};

pub use instruction::Flow;
use manifest::{Manifest, Sequence};
pub use program::Program;
use report::{Outcome, Report};
use sweep::Sweep;

/// What to test.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only this test, or those whose names begin so
    #[arg(long, value_name = "NAME")]
    pub test: Option<String>,
    /// Build the engine without this protection
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
    /// Write the results to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Name the tests, and try nothing
    #[arg(long)]
    pub list: bool,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    if let Some(mutant) = &options.mutant {
        mutants::require(&paths.root, mutant)?;
    }
    let manifest = Manifest::load(&paths.root)?;
    if options.list {
        let wanted = options.test.as_deref();
        let forms = manifest.approved.keys().cloned().collect();
        // Which forms are swept only the image says; the others are these.
        let tests = names(&manifest, forms, BTreeSet::new(), wanted);
        tests.iter().for_each(|test| println!("{test}"));
        return Ok(ExitCode::SUCCESS);
    }
    let toolchain = Toolchain::set_up(&paths.cache(), BARE)?;
    println!("==> building the engine");
    build::build(paths, &toolchain, ENGINE, options.mutant.as_deref())?;
    let bench = Bench {
        paths,
        sequences: manifest.sequences()?,
        program: Program::read(&ENGINE.elf(paths), &paths.root)?,
        manifest,
        sweep: OnceCell::new(),
    };

    let tests = bench.select(options.test.as_deref());
    ensure!(!tests.is_empty(), "no such test; `--list` names them all");
    let tools = bench.tools(&tests)?;
    println!("==> {} tests of the image's instructions", tests.len());
    let mut report = Report::new(options.mutant.as_deref());
    for test in &tests {
        report.ask(test, || bench.test(test, &tools))?;
    }
    if let Some(file) = &options.json {
        report.write(file)?;
    }
    let count = report.count();
    println!("{count}");
    Ok(count.exit_code())
}

/// The most bytes of stack that are possible by `entry`, and how many there are.
pub fn stack_bound(paths: &Paths, program: &Program, entry: &str) -> Result<(u64, u64)> {
    let manifest = Manifest::load(&paths.root)?;
    stack::possible(program, &manifest.stack, entry)
}

/// The tests, of these forms too, with that name or beginning; all if there is none.
fn names(
    manifest: &Manifest,
    forms: BTreeSet<String>,
    swept: BTreeSet<String>,
    wanted: Option<&str>,
) -> Vec<String> {
    let panics: Vec<String> = panics::TESTS.map(String::from).into();
    let stacks = manifest.stack.tests();
    let kinds: [(&str, Vec<&String>); 7] = [
        ("panic", panics.iter().collect()),
        ("stack", stacks.iter().collect()),
        ("approved", forms.iter().collect()),
        ("sequence", manifest.sequence_names().collect()),
        ("sweep", swept.iter().collect()),
        ("herd", manifest.herd.keys().collect()),
        ("smt", manifest.smt.keys().collect()),
    ];
    let named = kinds.iter().flat_map(|(kind, names)| {
        let names = names.iter();
        names.map(move |name| format!("{kind}::{name}"))
    });
    let mut all: Vec<String> = named.collect();
    let Some(wanted) = wanted else { return all };
    if all.iter().any(|test| test == wanted) {
        return vec![wanted.to_owned()];
    }
    all.retain(|test| test.starts_with(wanted));
    all
}

/// What decides the tests that are not decided here; fetched only if there are any.
struct Tools {
    herd: Option<Herd>,
    solver: Option<Solver>,
}

/// The image and what it is compared with.
struct Bench<'a> {
    paths: &'a Paths,
    manifest: Manifest,
    sequences: BTreeMap<String, Sequence>,
    program: Program,
    sweep: OnceCell<Sweep>,
}

impl Bench<'_> {
    /// The tests with that name or beginning, all if there is none.
    fn select(&self, wanted: Option<&str>) -> Vec<String> {
        let forms = approved::forms(&self.program, &self.manifest);
        let swept = sweep::forms(&self.program, &self.manifest);
        names(&self.manifest, forms, swept, wanted)
    }

    fn tools(&self, tests: &[String]) -> Result<Tools> {
        let cache = self.paths.cache();
        let has = |kind: &str| tests.iter().any(|test| test.starts_with(kind));
        let herd = has("herd::").then(|| Herd::set_up(&cache)).transpose()?;
        let solver = has("smt::").then(|| Solver::set_up(&cache)).transpose()?;
        for said in [
            herd.as_ref().map(Herd::describe),
            solver.as_ref().map(Solver::describe),
        ] {
            said.iter().for_each(|said| println!("    {said}"));
        }
        Ok(Tools { herd, solver })
    }

    fn test(&self, test: &str, tools: &Tools) -> Result<Outcome> {
        let (kind, name) = test.split_once("::").unwrap_or(("", test));
        match (kind, &tools.herd, &tools.solver) {
            ("panic", ..) => {
                let fault = panics::check(&self.program, &self.manifest.panic, name)?;
                Ok(Outcome::of(fault))
            }
            ("stack", ..) => {
                let depth = stack::check(&self.program, &self.manifest.stack, name)?;
                depth.tell(name);
                Ok(Outcome::of(depth.fault))
            }
            ("approved", ..) => {
                let fault = approved::check(&self.program, &self.manifest, name);
                Ok(Outcome::of(fault))
            }
            ("sequence", ..) => Ok(Outcome::of(self.fault_in(name)?)),
            ("sweep", ..) => Ok(Outcome::of(self.sweep()?.fault(name, &self.manifest))),
            ("herd", Some(herd), _) => self.test_by_herd(name, herd),
            ("smt", _, Some(solver)) => self.test_by_solver(name, solver),
            _ => anyhow::bail!("no test {test}"),
        }
    }

    /// What of the image could be lost unseen, found out once.
    fn sweep(&self) -> Result<&Sweep> {
        if let Some(sweep) = self.sweep.get() {
            return Ok(sweep);
        }
        let sweep = Sweep::of(&self.program, &self.manifest, &self.sequences)?;
        Ok(self.sweep.get_or_init(|| sweep))
    }

    /// What is wrong about the image's sequence `name`.
    fn fault_in(&self, name: &str) -> Result<Option<String>> {
        let sequence = self
            .sequences
            .get(name)
            .with_context(|| format!("no sequence {name}"))?;
        if let Some(fault) = order::check(&self.program, sequence)? {
            return Ok(Some(fault));
        }
        Ok(callers::check(&self.program, sequence))
    }

    fn test_by_herd(&self, name: &str, herd: &Herd) -> Result<Outcome> {
        let test = &self.manifest.herd[name];
        let used = test.with.keys().chain([&test.of]).map(String::as_str);
        if let Some(outcome) = self.unkept(used)? {
            return Ok(outcome);
        }
        let folder = self.paths.logs().join("litmus");
        for case in herd::cases(&self.paths.root, name, test, &self.sequences)? {
            let (said, file) = herd::decide(herd, &folder, &case, test.tables)?;
            let fault = match said {
                Ok(verdict) if verdict == case.expect => continue,
                Ok(verdict) => {
                    format!(
                        "{}: herd7 says {verdict:?}, not {:?}",
                        case.name, case.expect
                    )
                }
                Err(why) => format!("{}: {why}", case.name),
            };
            return Ok(Outcome::failed(fault, file));
        }
        Ok(Outcome::Passed)
    }

    fn test_by_solver(&self, name: &str, solver: &Solver) -> Result<Outcome> {
        let test = &self.manifest.smt[name];
        if let Some(outcome) = self.unkept(test.rows.iter().map(|row| row.of.as_str()))? {
            return Ok(outcome);
        }
        let folder = self.paths.logs().join("litmus");
        for case in smt::cases(&self.paths.root, name, test, &self.sequences)? {
            let (said, file) = smt::decide(solver, &folder, &case)?;
            let fault = match said {
                Ok(out) if out == case.expect => continue,
                Ok(out) => format!(
                    "{}: out of the invariant lead [{}], not [{}]",
                    case.name,
                    out.join(", "),
                    case.expect.join(", ")
                ),
                Err(why) => format!("{}: {why}", case.name),
            };
            return Ok(Outcome::failed(fault, file));
        }
        Ok(Outcome::Passed)
    }

    /// The outcome of a test about sequences that the image does not keep to.
    fn unkept<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<Option<Outcome>> {
        for name in names {
            if let Some(fault) = self.fault_in(name)? {
                let why = format!("the image does not keep to sequence {name}: {fault}");
                return Ok(Some(Outcome::of(Some(why))));
            }
        }
        Ok(None)
    }
}

//! `cargo xtask mutate`: cargo-mutants changes one expression or function after another of `ownership`, `percpu`, decoding and
//! stage 2, and a test must notice each, or `survivors.toml` says why none does.
//!
//! `cargo xtask mutants` is about protective steps, which were chosen by hand; this is about everything else that is
//! written there. It takes long, so it is a matter of shards and of what a change touches.

mod areas;
mod listing;
mod mutant;
pub mod survivors;
mod tool;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::count::Count;
use crate::paths::Paths;
use areas::{AREAS, Area};
use mutant::Key;
use survivors::{FILE, Judgement, Survivors};
use tool::{Tool, Verdict};

/// What to mutate.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only this package: ownership, percpu, engine
    #[arg(long, value_name = "NAME", default_value = "")]
    package: String,
    /// Only files with this in their path
    #[arg(long, value_name = "PART", default_value = "")]
    file: String,
    /// Only what this diff touches, as `git diff` writes it
    #[arg(long, value_name = "FILE")]
    in_diff: Option<PathBuf>,
    /// The k-th of n parts, k from 0
    #[arg(long, value_name = "K/N", default_value = "0/1")]
    shard: Shard,
    /// How many mutants are tried at a time
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Try those that have a reason on the later rounds' tests too
    #[arg(long)]
    all: bool,
    /// Name them, and try none
    #[arg(long)]
    list: bool,
}

/// A part of all mutants; those that share a name are in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    index: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (index, of) = text.split_once('/').ok_or("K/N")?;
        let number = |text: &str| text.parse::<usize>().map_err(|_| "K/N".to_owned());
        let (index, of) = (number(index)?, number(of)?);
        match index < of {
            true => Ok(Self { index, of }),
            false => Err("K is below N".to_owned()),
        }
    }
}

impl Shard {
    fn choose(self, names: &mut Vec<String>) {
        let keys: BTreeSet<Key> = names.iter().filter_map(|name| Key::of(name)).collect();
        let mine: BTreeSet<&Key> = keys.iter().skip(self.index).step_by(self.of).collect();
        names.retain(|name| Key::of(name).is_some_and(|key| mine.contains(&key)));
    }
}

/// What came of the mutants of an area.
struct Sweep {
    /// Those that compile.
    tried: Vec<String>,
    alive: Vec<String>,
    unviable: usize,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let tool = Tool::set_up(paths)?;
    let survivors = Survivors::load()?;
    let diff = match &options.in_diff {
        Some(file) => Some(
            file.canonicalize()
                .with_context(|| file.display().to_string())?,
        ),
        None => None,
    };
    let mut known = BTreeSet::new();
    let mut work = Vec::new();
    for area in &AREAS {
        let mut names = listing::list(&paths.root, &tool, area, None)?;
        known.extend(names.iter().filter_map(|name| Key::of(name)));
        if let Some(diff) = &diff {
            names = listing::list(&paths.root, &tool, area, Some(diff))?;
        }
        names.retain(|name| is_in(name, &options.file));
        options.shard.choose(&mut names);
        if area.name.contains(&options.package) && !names.is_empty() {
            work.push((area, names));
        }
    }
    ensure!(!work.is_empty(), "there is no such mutant");
    let mut total = Count::default();
    for (area, names) in &work {
        if options.list {
            names.iter().for_each(|name| println!("{name}"));
            continue;
        }
        let started = Instant::now();
        println!("==> {}: {} mutants", area.name, names.len());
        let sweep = play(paths, &tool, area, names, &survivors, options)?;
        let judgement = survivors.judge(&sweep.tried, &sweep.alive, &known);
        report(area, &sweep, &judgement, started.elapsed().as_secs());
        total += judgement.count();
    }
    if options.list {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{total}");
    Ok(total.exit_code())
}

fn is_in(name: &str, part: &str) -> bool {
    let file = name.split(':').next().unwrap_or_default();
    file.contains(part)
}

/// Plays the area's rounds, each on what the one before let live and has no reason.
fn play(
    paths: &Paths,
    tool: &Tool,
    area: &Area,
    names: &[String],
    survivors: &Survivors,
    options: &Options,
) -> Result<Sweep> {
    let mut open = names.to_vec();
    let mut unviable = BTreeSet::new();
    let mut alive = Vec::new();
    for round in area.rounds {
        if open.is_empty() {
            break;
        }
        let verdicts = tool.play(paths, area, round, &open, options.jobs.max(1))?;
        let of = |wanted| -> Vec<String> {
            let names = open.iter();
            let names = names.filter(|name| verdicts.get(*name) == Some(&wanted));
            names.cloned().collect()
        };
        let (missed, hung) = (of(Verdict::Missed), of(Verdict::Timeout).len());
        unviable.extend(of(Verdict::Unviable));
        println!(
            "    {} of {} left alive, {hung} hung",
            missed.len(),
            open.len()
        );
        let explained = match options.all {
            true => BTreeSet::new(),
            false => survivors.explained(&missed),
        };
        open = missed;
        open.retain(|name| !explained.contains(name));
        alive.extend(explained);
    }
    alive.extend(open);
    let viable = names.iter().filter(|name| !unviable.contains(*name));
    Ok(Sweep {
        tried: viable.cloned().collect(),
        alive,
        unviable: unviable.len(),
    })
}

fn report(area: &Area, sweep: &Sweep, judgement: &Judgement, seconds: u64) {
    let killed = sweep.tried.len() - sweep.alive.len();
    for name in &judgement.unexplained {
        println!("{name} ... FAILED: no test notices");
        let file = name.split(':').next().unwrap_or_default();
        println!(
            "again: cargo xtask mutate --package {} --file {file}",
            area.name
        );
        println!("    a test that notices it, or its reason in {FILE}");
    }
    for name in &judgement.unneeded {
        println!("{name} ... FAILED: the reason in {FILE} is not needed");
    }
    println!(
        "{}: {} tried, {killed} killed, {} alive with a reason, {} without, {} that do not compile; {seconds} s",
        area.name,
        sweep.tried.len(),
        judgement.reasoned,
        judgement.unexplained.len(),
        sweep.unviable
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_all_names_and_part_none_that_are_alike() {
        let names: Vec<String> = (0..20)
            .map(|n| format!("a.rs:{n}:1: delete ! in f{}", n / 2))
            .collect();
        let mut found = Vec::new();
        for index in 0..3 {
            let mut part = names.clone();
            Shard { index, of: 3 }.choose(&mut part);
            assert_eq!(part.len() % 2, 0, "{part:?}");
            found.extend(part);
        }
        found.sort();
        let mut all = names;
        all.sort();
        assert_eq!(found, all);
    }

    #[test]
    fn a_shard_is_a_part_of_so_many() {
        assert_eq!("1/4".parse(), Ok(Shard { index: 1, of: 4 }));
        for bad in ["4/4", "1", "a/4", "0/0", "-1/2"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}

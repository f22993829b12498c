//! `cargo xtask fuzz`: coverage-guided fuzzing of the engine with libFuzzer, by cargo-fuzz.
//!
//! What an input means and what must hold is `engine/fuzz/inputs`; this builds the targets with the nightly compiler,
//! runs two at a time from the kept corpus, and says how many inputs were played. A deep run adds to the corpus and to
//! `engine/fuzz/figures.toml`.

mod corpus;
mod figures;
mod outcome;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::count::Count;
use crate::fuzz::figures::Figures;
use crate::fuzz::outcome::Outcome;
use crate::paths::Paths;
use crate::process::{self, run_logged};
use crate::setup::fuzz::FuzzTools;

/// A target, and how long its inputs may be.
const TARGETS: [(&str, u32); 4] = [
    ("calls", 256),
    ("traps", 512),
    ("device_tree", 1024),
    ("acpi", 1024),
];
/// Seconds of each target's run: fit for every commit, and deep.
const SHORT: u64 = 120;
const DEEP: u64 = 3600;
/// How often one who waits is told.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// What to fuzz.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only the targets with this in their name: calls, traps, device_tree, acpi
    #[arg(long, value_name = "NAME", default_value = "")]
    target: String,
    /// How long each target runs [default: 120, deep 3600]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Keep what is new: add to the kept corpus and to engine/fuzz/figures.toml
    #[arg(long)]
    deep: bool,
    /// Where libFuzzer's choices begin: the same seed goes the same way, as far as it comes [default: 1, deep the time]
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    /// How many targets run at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// Play this input of `--target` again, and nothing else
    #[arg(long, value_name = "FILE", conflicts_with = "deep")]
    replay: Option<PathBuf>,
}

/// A target that can be run.
struct Target {
    name: &'static str,
    most_bytes: u32,
    program: PathBuf,
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let wanted: Vec<_> = TARGETS
        .into_iter()
        .filter(|(name, _)| name.contains(&options.target))
        .collect();
    if wanted.is_empty() {
        bail!("--target {}: no such target", options.target);
    }
    let tools = FuzzTools::set_up(&paths.cache())?;
    println!("    {}", tools.describe());
    println!("==> building {} targets", wanted.len());
    let targets = build(paths, &tools, &wanted)?;
    if let Some(input) = &options.replay {
        return replay(&targets, input);
    }
    let seconds = options
        .seconds
        .unwrap_or(if options.deep { DEEP } else { SHORT });
    // At every commit the same way from the kept inputs: what is new to find is for deep runs.
    let seed = options
        .seed
        .unwrap_or(if options.deep { clock() } else { 1 });
    let jobs = options.jobs.max(1);
    println!("==> {seconds} s of each from seed {seed}, {jobs} at a time");
    let outcomes = play(paths, &targets, seconds, seed, options)?;
    let mut total = Count::default();
    for (target, outcome) in targets.iter().zip(&outcomes) {
        total += report(paths, target, outcome);
    }
    if options.deep {
        keep(paths, &targets, &outcomes)?;
    }
    println!("{total}");
    Ok(total.exit_code())
}

/// Builds the targets: without a sanitizer, since what is fuzzed is safe Rust but for a few lines, and without
/// tracing of comparisons, which takes four fifths of the time.
fn build(paths: &Paths, tools: &FuzzTools, wanted: &[(&'static str, u32)]) -> Result<Vec<Target>> {
    let folder = paths.target.join("fuzz");
    let mut targets = Vec::new();
    for (name, most_bytes) in wanted {
        let mut command = tools.command();
        command
            .args([
                "build",
                "--sanitizer",
                "none",
                "--no-trace-compares",
                "--fuzz-dir",
            ])
            .arg(paths.root.join("engine/fuzz"))
            .arg(name)
            .current_dir(paths.root.join("engine"))
            .env("CARGO_TARGET_DIR", &folder);
        let log = log_file(paths, &format!("build-{name}"));
        let (status, said) = run_logged(&mut command, &log)?;
        if status != Some(0) {
            let errors = said.lines().filter(|line| line.starts_with("error"));
            let errors: Vec<&str> = errors.take(5).collect();
            bail!(
                "{name} does not build: {}\nlog: {}",
                errors.join("\n"),
                log.display()
            );
        }
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        targets.push(Target {
            name,
            most_bytes: *most_bytes,
            program: folder.join(triple).join("release").join(name),
        });
    }
    Ok(targets)
}

fn log_file(paths: &Paths, name: &str) -> PathBuf {
    paths.logs().join("fuzz").join(format!("{name}.log"))
}

/// Runs all targets, some at a time.
fn play(
    paths: &Paths,
    targets: &[Target],
    seconds: u64,
    seed: u32,
    options: &Options,
) -> Result<Vec<Outcome>> {
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..targets.len()).collect());
    let outcomes = Mutex::new(vec![None; targets.len()]);
    let next = || queue.lock().expect("nobody panicked").pop_front();
    let work = || -> Result<()> {
        while let Some(index) = next() {
            let outcome = play_one(paths, &targets[index], seconds, seed, options.deep)?;
            outcomes.lock().expect("nobody panicked")[index] = Some(outcome);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1))
            .map(|_| scope.spawn(work))
            .collect();
        let mut results = workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"));
        results.try_for_each(|result| result)
    })?;
    let outcomes = outcomes.into_inner().expect("nobody panicked");
    Ok(outcomes.into_iter().flatten().collect())
}

/// Runs one target from the kept corpus.
fn play_one(
    paths: &Paths,
    target: &Target,
    seconds: u64,
    seed: u32,
    is_deep: bool,
) -> Result<Outcome> {
    let name = target.name;
    let kept = corpus::unpack(paths, name, is_deep)?;
    let crashes = paths.target.join("fuzz/crashes");
    fs::create_dir_all(&crashes).with_context(|| crashes.display().to_string())?;
    let log = log_file(paths, name);
    fs::create_dir_all(paths.logs().join("fuzz"))?;
    let file = fs::File::create(&log).with_context(|| log.display().to_string())?;
    println!("    {name}: from {kept} kept inputs");
    let mut command = Command::new(&target.program);
    command
        .arg(corpus::folder(paths, name, is_deep))
        .arg(format!("-artifact_prefix={}/{name}-", crashes.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-seed={seed}"))
        .arg(format!("-max_len={}", target.most_bytes))
        .args([
            "-len_control=20",
            "-reload=0",
            "-timeout=60",
            "-print_final_stats=1",
        ])
        .stdin(std::process::Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let started = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start: {}", process::show(&command)))?;
    let mut told = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(200));
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            if let Some(line) = outcome::progress(&read_log(&log)) {
                println!("    {name}: {line}");
            }
        }
    };
    let mut outcome = Outcome::read(&read_log(&log), started.elapsed().as_secs());
    if !status.success() && outcome.crash.is_none() {
        outcome.crash = Some(String::new());
    }
    Ok(outcome)
}

/// A seed that no run had: seconds, but never 0, which libFuzzer takes for none.
fn clock() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |now| (now.as_secs() as u32).max(1))
}

fn read_log(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

/// Says what came of a run.
fn report(paths: &Paths, target: &Target, outcome: &Outcome) -> Count {
    let name = target.name;
    let (inputs, rate, edges) = (outcome.inputs, outcome.rate(), outcome.edges);
    let figures = format!("{inputs} inputs, {rate} a second, {edges} edges");
    let log = log_file(paths, name);
    let Some(crash) = &outcome.crash else {
        if inputs == 0 {
            println!("{name} ... FAILED: no input was played");
            println!("    log:   {}", log.display());
            return Count::new(0, 1, 0);
        }
        println!("{name} ... ok: {figures}");
        return Count::new(1, 0, 0);
    };
    let why = outcome::panic(&read_log(&log)).unwrap_or_else(|| "it ended by itself".into());
    println!("{name} ... FAILED: {why}");
    println!("    {figures}");
    if !crash.is_empty() {
        println!("    input: {crash}");
        println!("again: cargo xtask fuzz --target {name} --replay {crash}");
    }
    println!("    log:   {}", log.display());
    Count::new(0, 1, 0)
}

/// Adds what was new to the corpus and to the figures.
fn keep(paths: &Paths, targets: &[Target], outcomes: &[Outcome]) -> Result<()> {
    let mut figures = Figures::load(paths)?;
    for (target, outcome) in targets.iter().zip(outcomes) {
        figures.add(target.name, outcome);
        // An input that breaks something is no part of what must hold.
        if outcome.crash.is_none() {
            let log = log_file(paths, &format!("merge-{}", target.name));
            let kept = corpus::keep(paths, target.name, &target.program, &log)?;
            println!("    {}: {kept} inputs are kept", target.name);
        }
    }
    figures.store(paths)?;
    println!("    {} inputs in all deep runs", figures.total());
    Ok(())
}

/// Plays one input, and shows what comes of it.
fn replay(targets: &[Target], input: &Path) -> Result<ExitCode> {
    let [target] = targets else {
        bail!("--replay needs the name of one target");
    };
    let mut command = Command::new(&target.program);
    command.arg(input);
    let status = command
        .status()
        .with_context(|| format!("cannot start: {}", process::show(&command)))?;
    let total = Count::new(u32::from(status.success()), u32::from(!status.success()), 0);
    println!("{total}");
    Ok(total.exit_code())
}

//! `cargo xtask test`: everything fit for every commit, in stages, with one count at the end.

mod rule;
mod stages;

use std::fs::{self, File};
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::count::Count;
use crate::paths::Paths;
use crate::test::stages::Stage;

/// Runs the stages whose names contain `filter`; all if it is empty.
pub fn run(paths: &Paths, filter: &str) -> Result<ExitCode> {
    let mut total = Count::default();
    let stages = stages::all(paths)?;
    for stage in stages.iter().filter(|stage| stage.name.contains(filter)) {
        total += run_stage(paths, stage)?;
    }
    println!("{total}");
    Ok(total.exit_code())
}

fn run_stage(paths: &Paths, stage: &Stage) -> Result<Count> {
    if let Some(reason) = &stage.skip {
        println!("==> {}: skipped, {reason}", stage.name);
        return Ok(Count::skipped(1));
    }
    println!("==> {}", stage.name);
    let log = paths.logs().join(format!("test-{}.log", stage.name));
    fs::create_dir_all(paths.logs())?;
    let file = File::create(&log).with_context(|| format!("log {}", log.display()))?;
    let started = Instant::now();
    let words: Vec<&str> = stage.command.split_whitespace().collect();
    let status = stages::program(&words)?
        .current_dir(&paths.root)
        .envs(stage.env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start {}", stage.command))?;
    let output = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let count = stage.rule.count(status.code(), &output);
    println!("    {count} in {} s", started.elapsed().as_secs());
    if count.failed > 0 {
        println!("    again: {}", stage.command_line());
        println!("    log:   {}", log.display());
    }
    Ok(count)
}

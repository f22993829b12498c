//! `cargo xtask test`: everything fit for every commit, in stages, with one count at the end.

pub mod rule;
pub mod stages;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::count::Count;
use crate::paths::Paths;
use crate::process;
use crate::test::stages::Stage;

/// Lines of a failed stage that are shown beside its log, at most.
const FAILURES_SHOWN: usize = 20;

/// Runs the stages whose names contain `filter`; all if it is empty.
pub fn run(paths: &Paths, filter: &str) -> Result<ExitCode> {
    let mut total = Count::default();
    let mut stages = stages::all();
    stages.retain(|stage| stage.name.contains(filter));
    ensure!(!stages.is_empty(), "no stage has {filter:?} in its name");
    for stage in &stages {
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
    let started = Instant::now();
    let mut command = process::command(&stage.command)?;
    command.current_dir(&paths.root);
    let (status, output) = process::run_logged(&mut command, &log)?;
    let count = stage.rule.count(status, &output);
    println!("    {count} in {} s", started.elapsed().as_secs());
    if count.failed > 0 {
        for line in rule::failures(&output).take(FAILURES_SHOWN) {
            println!("    {line}");
        }
        println!("    again: {}", stage.command);
        println!("    log:   {}", log.display());
    }
    Ok(count)
}

//! Histories of loom's executions: the models of the whole engine are explored once more, each in a process of its own
//! that leaves what was called and told in every execution, and the checker is asked for an order of each.
//!
//! Invariants: two histories that are alike are asked for once; a model that leaves none is named here, with the reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use crate::linear::checker::split;
use crate::linear::{Checker, Options, Row, Verdict, is_wanted};
use crate::loom::build::{self, Test};
use crate::loom::outcome::Outcome;
use crate::mutants::Workbench;
use crate::paths::Paths;
use crate::process;

/// The file of the models that boot an engine.
const FILE: &str = "engine::";

/// Models with three cores, which take long.
const THREE_CORES: [&str; 2] = [
    "engine::ending::share_against_unshare_against_destroy",
    "engine::queueing::enqueue_against_dequeue_against_run",
];

/// Models whose executions cannot be told as calls.
const WITHOUT: [(&str, &str); 3] = [
    ("engine::cores::cpu_on_against_cpu_on", "the host's PSCI"),
    ("engine::cores::cpu_on_against_cpu_off", "the host's PSCI"),
    (
        "engine::reclaiming::what_is_put_back_is_not_forgotten",
        "the model claims a page itself",
    ),
];

/// Explores those that are wanted and has their histories judged.
pub fn run(paths: &Paths, program: &Path, options: &Options) -> Result<Vec<Row>> {
    let folder = paths.target.join("linear");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let (tests, _workbench) = build::tests_at(
        paths,
        FILE,
        options.mutant.as_deref(),
        Workbench::for_linear,
    )?;
    let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
    for name in THREE_CORES
        .iter()
        .chain(WITHOUT.iter().map(|(name, _)| name))
    {
        ensure!(names.contains(name), "there is no model {name}");
    }
    let is_without = |name: &str| WITHOUT.iter().any(|(without, _)| *without == name);
    let mut wanted: Vec<&Test> = tests
        .iter()
        .filter(|test| is_wanted(&test.name, &options.only, &names) && !is_without(&test.name))
        .collect();
    // The long ones first; they are taken from the end.
    wanted.sort_by_key(|test| THREE_CORES.contains(&test.name.as_str()));
    let waiting = Mutex::new(wanted);
    let work = || -> Result<Vec<Row>> {
        let mut checker = Checker::start(program)?;
        let mut rows = Vec::new();
        loop {
            let next = waiting
                .lock()
                .map_err(|_| anyhow!("a worker has panicked"))?
                .pop();
            let Some(test) = next else {
                return Ok(rows);
            };
            rows.push(judge(paths, &folder, options, test, &mut checker)?);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs()).map(|_| scope.spawn(work)).collect();
        let mut rows = Vec::new();
        for worker in workers {
            let done = worker
                .join()
                .map_err(|_| anyhow!("a worker has panicked"))?;
            rows.extend(done?);
        }
        Ok(rows)
    })
}

/// Explores one and judges its histories.
fn judge(
    paths: &Paths,
    folder: &Path,
    options: &Options,
    test: &Test,
    checker: &mut Checker,
) -> Result<Row> {
    let begun = Instant::now();
    let place = |what| folder.join(format!("{}.{what}", test.name.replace("::", ".")));
    let (histories, log) = (place("histories"), place("log"));
    let _ = fs::remove_file(&histories);
    let mut command = command(paths, options, test, &histories);
    let (status, said) = process::run_logged(&mut command, &log)?;
    let searched = match Outcome::judge(&test.own, status, &said, true) {
        Outcome::Failed(why) => Some(format!("{why}; {}", log.display())),
        _ => None,
    };
    let text = fs::read_to_string(&histories).unwrap_or_default();
    let all = split(&text);
    let mut refused = None;
    let mut number = 0;
    for history in &all {
        if let Verdict::Refused(why) = checker.check(history)? {
            number += 1;
            refused.get_or_insert((history, why));
        }
    }
    let evidence = format!("{} histories", all.len());
    let fault = match refused {
        Some((history, why)) => {
            let file = place("refused");
            fs::write(&file, format!("{history}.\n"))?;
            let again = again(options, test);
            let file = file.display();
            Some(format!(
                "{number} without an order\n{history}{why}    again: {again}\n    history: {file}"
            ))
        }
        None if searched.is_some() => searched,
        None if all.is_empty() => Some("no history".into()),
        None => None,
    };
    Ok(Row::new(&test.name, evidence, fault, begun))
}

fn command(paths: &Paths, options: &Options, test: &Test, histories: &PathBuf) -> Command {
    let has_three = THREE_CORES.contains(&test.name.as_str());
    let preemptions = options.preemptions.saturating_sub(u32::from(has_three));
    let mut command = Command::new(&test.program);
    command
        .args(["--exact", &test.own, "--show-output"])
        .current_dir(paths.root.join("loom-tests"))
        // A model's thread has no room for a backtrace, and would hang.
        .env("RUST_BACKTRACE", "0")
        .env("BULKHEAD_LOOM_PREEMPTIONS", preemptions.to_string())
        .env("BULKHEAD_LOOM_HISTORIES", histories)
        .env_remove("BULKHEAD_LOOM_RUN")
        .env_remove("BULKHEAD_LOOM_DEEP");
    command
}

fn again(options: &Options, test: &Test) -> String {
    let mut line = format!("cargo xtask linear --only {}", test.name);
    if options.preemptions != 2 {
        line += &format!(" --preemptions {}", options.preemptions);
    }
    if let Some(name) = &options.mutant {
        line += &format!(" --mutant {name}");
    }
    line
}

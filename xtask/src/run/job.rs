//! One run from its options to its verdict.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::image::boot::{BootFiles, GuestContent, HostFiles};
use crate::image::build::{self, ENGINE, HOST};
use crate::image::symbols::Symbols;
use crate::mutants::Manifest;
use crate::paths::Paths;
use crate::run::options::RunOptions;
use crate::run::plan::Plan;
use crate::run::summary::Summary;
use crate::run::supervise::{Input, Outcome, Supervision};
use crate::run::table;
use crate::run::verdict::{Expectation, judge};
use crate::setup::Tools;

/// Does what `options` say. The exit code is 0 when the run held everything, 1 when it did not;
/// an error means that it could not be run.
pub fn run(paths: &Paths, options: &RunOptions) -> Result<ExitCode> {
    if options.mutant.as_deref() == Some("list") {
        for name in Manifest::load(&paths.root)?.caught_by_run() {
            println!("{name}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &options.mutant {
        Manifest::load(&paths.root)?.require_run(name)?;
    }

    let plan = Plan::new(options)?;
    if let Some(file) = &options.json {
        // Refused now, not after the run.
        let mut open = OpenOptions::new();
        open.append(true)
            .create(true)
            .open(file)
            .with_context(|| format!("--json {}", file.display()))?;
    }
    println!("==> set-up");
    let content = GuestContent::load(paths, options);
    let Tools { qemu, toolchain } = Tools::set_up(&paths.cache(), content.as_ref().err())?;
    let content = content?;
    plan.check(options, &qemu.cpu_models()?, content.size())?;

    println!("==> building the engine and the host");
    let mutant = options.mutant.as_deref();
    let engine = build::build(paths, &toolchain, ENGINE, mutant)?;
    let host = HostFiles {
        image: &build::build(paths, &toolchain, HOST, None)?,
        cmdline: &plan.host_cmdline,
        initrd: &content.archive()?,
    };
    let name = mutant.map_or_else(|| "run".to_owned(), |mutant| format!("run-{mutant}"));
    let files = BootFiles::write(paths, &name, &engine, &host)?;

    println!(
        "==> booting {} cores of {}, {} guests with {} vCPUs and {}",
        options.cpus, options.cpu, options.guests, options.vcpus, options.guest_mem
    );
    if options.gdb {
        println!("    waiting for a debugger: target remote localhost:1234");
    }
    let log = paths.logs().join(format!("{name}.log"));
    let command = plan.machine.command(&qemu, &files);
    let outcome = Supervision {
        limit: options.time_limit(),
        input: input(options)?,
        log: &log,
    }
    .run(command, io::stdout())?;

    let expected = Expectation {
        cpus: options.cpus,
        guests: options.guests,
        vcpus: options.vcpus,
        own_workload: content.has_expected_results(),
        fates: plan.fates,
    };
    let broken = conclude(&expected, &outcome);
    if let Some(file) = &options.json {
        write_json(file, &outcome, &broken)?;
    }
    if broken.is_empty() {
        println!("==> ok");
        return Ok(ExitCode::SUCCESS);
    }
    println!("==> failed");
    for line in &broken {
        println!("    {line}");
    }
    if let Some(crash) = outcome.crash() {
        let symbols = Symbols::read(&ENGINE.elf(paths))?;
        for line in symbols.explain(crash) {
            println!("    {line}");
        }
    }
    for line in outcome.quoted_events() {
        println!("    {line}");
    }
    println!("    console: {}", log.display());
    Ok(ExitCode::FAILURE)
}

/// What the machine's console reads.
fn input(options: &RunOptions) -> Result<Input> {
    match (&options.console_script, options.console) {
        (Some(file), _) => {
            let script = fs::read(file).with_context(|| format!("script {}", file.display()))?;
            Ok(Input::Script(script))
        }
        (None, Some(_)) => Ok(Input::Ours),
        (None, None) => Ok(Input::Nothing),
    }
}

/// Shows the summary and returns what is wrong with the run.
fn conclude(expected: &Expectation, outcome: &Outcome) -> Vec<String> {
    let mut broken = outcome.troubles();
    match (outcome.summary().map(Summary::parse), outcome.refusal()) {
        // It ended before it began: the reason says all.
        (
            Some(Ok(Summary {
                result,
                cpus_online: 0,
                ..
            })),
            _,
        ) if result != "ok" => {
            broken.push(format!("the host does not start: {result}"));
        }
        (Some(Ok(summary)), _) => {
            print!("{}", table::render(&summary));
            broken.extend(judge(expected, &summary));
        }
        (Some(Err(error)), _) => broken.push(format!("{error:#}")),
        (None, Some(reason)) => broken.push(format!("the engine does not start: {reason}")),
        (None, None) => {
            broken.push("the host printed no summary".into());
            broken.extend(outcome.quoted_tail());
        }
    }
    broken
}

/// Writes the host's summary with our verdict as its `result`.
fn write_json(file: &Path, outcome: &Outcome, broken: &[String]) -> Result<()> {
    let said = outcome.summary().map(serde_json::from_str);
    let mut value = match said {
        Some(Ok(value @ Value::Object(_))) => value,
        _ => json!({}),
    };
    let verdict = broken.first().map_or("ok", String::as_str);
    value["result"] = json!(verdict);
    let text = serde_json::to_string_pretty(&value)? + "\n";
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;
    use crate::run::supervise::End;

    fn conclude_on(records: &[&str], tail: &[&str]) -> Vec<String> {
        let expected = Expectation {
            cpus: 1,
            guests: 1,
            vcpus: 1,
            own_workload: true,
            fates: BTreeMap::new(),
        };
        let owned = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
        let outcome = Outcome {
            end: End::Exited(ExitStatus::from_raw(0)),
            records: owned(records),
            tail: owned(tail),
            events: Vec::new(),
        };
        conclude(&expected, &outcome)
    }

    #[test]
    fn a_run_that_never_began_is_told_in_one_line() {
        let tail = ["bulkhead: cannot start: device tree: no GICv3"];
        let broken = conclude_on(&[], &tail);
        assert_eq!(broken, ["the engine does not start: device tree: no GICv3"]);

        let summary = r#"@summary {"result":"too little RAM","cpus_online":0,"guests":[],
            "pages":{"total":0,"reserved":0,"host":0,"host_fixed":0,"engine":0,"vm":0,"shared":0,
            "claimed":0,"poisoned":0,"lost":0},"hypercalls":{"per_cpu":[]},"exits":{},
            "donated":{"built":0,"faulted":0},"attacks":{"tried":0,"blocked":0},
            "scrubbed_nonzero":0,"scrub_violations":0,"dirty_returns":0}"#;
        let broken = conclude_on(&[summary], &[]);
        assert_eq!(broken, ["the host does not start: too little RAM"]);
    }

    #[test]
    fn silence_is_a_failure() {
        let broken = conclude_on(&[], &["last words"]);
        assert_eq!(broken[0], "the host printed no summary");
        assert_eq!(broken.last().map(String::as_str), Some("| last words"));
    }
}

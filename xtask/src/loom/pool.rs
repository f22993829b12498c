//! Running the tests, some at a time, each as a process with a folder of its own.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::loom::build::Test;
use crate::loom::folder::Folder;
use crate::loom::outcome::Outcome;
use crate::loom::table::Row;
use crate::loom::{self, Options};
use crate::paths::Paths;
use crate::process;

/// How often the processes are looked at.
const POLL: Duration = Duration::from_millis(20);
/// Between two lines that say how far the searches are: a tenth of the time so far, within these.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(120);

/// A test under way.
struct Job<'a> {
    /// Its place in the list.
    index: usize,
    test: &'a Test,
    folder: Folder,
    child: Child,
    started: Instant,
}

/// The models that take the longest. Nothing but the order of starting in a fresh checkout depends on this.
const LONG: [&str; 2] = [
    "ending::share_against_unshare_against_destroy",
    "joining::a_whole_giant_against_one_page_of_it",
];

/// Runs all tests; their rows, in the same order.
pub fn run(paths: &Paths, options: &Options, tests: &[Test]) -> Result<Vec<Row>> {
    let at_once = match options.jobs {
        Some(jobs) => jobs.max(1),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let mut jobs: Vec<Job> = Vec::new();
    let mut rows: Vec<Option<Row>> = tests.iter().map(|_| None).collect();
    let mut waiting = order(paths, tests).into_iter();
    let started = Instant::now();
    let mut said = Duration::ZERO;
    loop {
        while jobs.len() < at_once {
            let Some(index) = waiting.next() else {
                break;
            };
            match Job::start(paths, options, index, &tests[index])? {
                Start::Runs(job) => jobs.push(job),
                Start::Done(row) => rows[index] = Some(show(row)),
            }
        }
        if jobs.is_empty() {
            break;
        }
        let mut running = Vec::new();
        for mut job in jobs {
            match job.child.try_wait()? {
                Some(status) => {
                    let index = job.index;
                    rows[index] = Some(show(job.end(status)?));
                }
                None => running.push(job),
            }
        }
        jobs = running;
        let now = started.elapsed();
        if now - said >= (now / 10).clamp(SHORTEST, LONGEST) {
            said = now;
            show_progress(&jobs, now);
        }
        thread::sleep(POLL);
    }
    Ok(rows.into_iter().flatten().collect())
}

/// The tests' places in the order of starting: where nothing is known of them, those that are known to be [`LONG`]
/// first; then what took longest, so that the last ones to end are short.
fn order(paths: &Paths, tests: &[Test]) -> Vec<usize> {
    let seconds = |index: usize| Folder::of(paths, &tests[index].name).seconds();
    let is_long = |index: usize| LONG.iter().any(|name| tests[index].name.contains(name));
    let mut order: Vec<usize> = (0..tests.len()).collect();
    order.sort_by_cached_key(|&index| {
        let seconds = seconds(index).unwrap_or(u64::MAX);
        Reverse((seconds, is_long(index)))
    });
    order
}

fn show(row: Row) -> Row {
    println!("{row}");
    row
}

fn show_progress(jobs: &[Job], now: Duration) {
    for job in jobs.iter().filter(|job| job.started.elapsed() >= SHORTEST) {
        let executions = job.folder.executions().unwrap_or(0);
        let since = job.started.elapsed().as_secs();
        println!(
            "    at {} s: {}, {executions} executions so far, in {since} s",
            now.as_secs(),
            job.test.name
        );
    }
}

impl Drop for Job<'_> {
    /// Whatever ends the run, no search goes on behind it.
    fn drop(&mut self) {
        // Either fails only if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Start<'a> {
    Runs(Job<'a>),
    Done(Row),
}

impl<'a> Job<'a> {
    fn start(paths: &Paths, options: &Options, index: usize, test: &'a Test) -> Result<Start<'a>> {
        let folder = Folder::of(paths, &test.name);
        let key = key(&test.program, options)?;
        if options.resume {
            if let Some(row) = folder
                .result(&key)
                .and_then(|text| earlier(&test.name, &text))
            {
                return Ok(Start::Done(row));
            }
            folder.keep(&key)?;
        } else {
            folder.clear(&key)?;
        }
        let log = File::create(folder.log())
            .with_context(|| format!("log {}", folder.log().display()))?;
        let mut command = command(paths, options, test);
        folder.equip(&mut command);
        let child = command
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start: {}", process::show(&command)))?;
        Ok(Start::Runs(Self {
            index,
            test,
            folder,
            child,
            started: Instant::now(),
        }))
    }

    fn end(self, status: ExitStatus) -> Result<Row> {
        let said = fs::read(self.folder.log())?;
        let output = String::from_utf8_lossy(&said);
        let is_model = self.folder.executions().is_some();
        let outcome = Outcome::judge(&self.test.own, status.code(), &output, is_model);
        let seconds = self.started.elapsed().as_secs_f64();
        let executions = match &outcome {
            Outcome::Completed(number) => {
                self.folder.set_result(&format!("{number} {seconds}"))?;
                Some(*number)
            }
            Outcome::Twin | Outcome::Failed(_) => self.folder.failed(),
            Outcome::Plain => None,
        };
        Ok(Row {
            name: self.test.name.clone(),
            outcome,
            executions,
            seconds,
        })
    }
}

/// The row of a model that an earlier run completed.
fn earlier(name: &str, result: &str) -> Option<Row> {
    let (executions, seconds) = result.split_once(' ')?;
    let executions = executions.parse().ok()?;
    Some(Row {
        name: name.to_owned(),
        outcome: Outcome::Completed(executions),
        executions: Some(executions),
        seconds: seconds.parse().ok()?,
    })
}

/// The command that runs one test.
pub fn command(paths: &Paths, options: &Options, test: &Test) -> Command {
    let mut command = Command::new(&test.program);
    command
        .args(["--exact", &test.own, "--show-output"])
        .current_dir(paths.root.join("loom-tests"))
        // A model's thread has no room for a backtrace, and would hang.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null());
    options.bound(&mut command);
    command
}

/// What decides which executions there are: the program, the bound, the model's weaknesses.
pub fn key(program: &Path, options: &Options) -> Result<String> {
    let content = fs::read(program).with_context(|| program.display().to_string())?;
    let digest = Sha256::digest(&content);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "{digest}{} {}",
        options.arguments(),
        loom::without()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_completed_earlier_is_read_back() {
        let row = earlier("a::b", "17 1.5").unwrap();
        assert_eq!(row.to_string(), "a::b ... ok, 17 executions in 1.5 s");
        assert!(earlier("a::b", "17").is_none());
        assert!(earlier("a::b", "").is_none());
    }
}

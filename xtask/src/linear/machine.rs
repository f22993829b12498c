//! Histories of a whole machine: the bare-metal test `order::calls_at_once` on many cores, told over the console when it
//! is over.
//!
//! Invariants: each round of each team is judged, and each team has some; a run in which nothing was at the same time
//! shows nothing and has failed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use abi::{ExitReason, Status};
use anyhow::{Context, Result, anyhow, ensure};

use crate::count::Count;
use crate::hw::{Report, TESTS};
use crate::image::boot::{BootFiles, HostFiles};
use crate::image::build::{self, ENGINE};
use crate::linear::note::{Note, What};
use crate::linear::rename::Team;
use crate::linear::{Checker, Options, Row, Verdict};
use crate::paths::Paths;
use crate::run::machine::{Machine, cpu_argument};
use crate::run::size::{Bytes, GIB};
use crate::run::supervise::{Input, Supervision};
use crate::setup::Tools;

/// The hardware test.
const TEST: &str = "order::calls_at_once";
/// Cores of a team, as the test has them.
const CORES: usize = 3;
/// How a team's line begins, and that of what a core did.
const TEAM: &str = "@order-team ";
const NOTE: &str = "@order ";
/// Seconds for boot, for telling, and for what a busy machine takes longer.
const REST_S: u64 = 900;

/// What is shown of a machine of so many cores by its histories.
pub fn rounds_of(cpus: u32) -> String {
    format!("{cpus} cores: every round has an order")
}

/// What the machine told.
#[derive(Default)]
struct Told {
    teams: BTreeMap<u64, Team>,
    /// By team and round.
    rounds: BTreeMap<(u64, u64), Vec<Note>>,
}

/// Boots a machine of so many cores and has its histories judged.
pub fn run(paths: &Paths, program: &Path, options: &Options, cpus: u32) -> Result<Vec<Row>> {
    let begun = Instant::now();
    ensure!(
        (CORES as u32..=512).contains(&cpus),
        "--cpus {cpus}: {CORES} to 512 can be"
    );
    let tools = Tools::set_up(&paths.cache(), None)?;
    let tests = build::build(paths, &tools.toolchain, TESTS, None)?;
    let engine = build::build(paths, &tools.toolchain, ENGINE, options.mutant.as_deref())?;
    let (seed, seconds) = (options.seed, options.seconds);
    let host = HostFiles {
        image: &tests,
        cmdline: &format!("exact={TEST} seed={seed} seconds={seconds}"),
        initrd: &[],
    };
    let files = BootFiles::write(paths, "linear", &engine, &host)?;
    let machine = Machine {
        cpus,
        cpu: cpu_argument("max", false),
        mem: Bytes(2 * GIB),
        icount: false,
        gdb: false,
        is_ram_clear: true,
    };
    println!("==> {cpus} cores, {seconds} s, seed {seed}");
    let log = paths.logs().join(format!("linear-{cpus}.log"));
    let outcome = Supervision {
        limit: Some(Duration::from_secs(REST_S + seconds)),
        input: Input::Nothing,
        log: &log,
    }
    .run(machine.command(&tools.qemu, &files), io::sink())?;
    let console = fs::read(&log)?;
    let report = Report::read(&String::from_utf8_lossy(&console), outcome.troubles());
    let mut fault = None;
    if report.count() != Count::new(1, 0, 0) {
        let what = report.results.iter().map(ToString::to_string);
        fault = Some(
            what.chain(outcome.quoted_tail())
                .collect::<Vec<_>>()
                .join("\n    "),
        );
    }
    let evidence = format!("log {}", log.display());
    let machine = format!("{cpus} cores: the machine");
    let mut rows = vec![Row::new(machine, evidence, fault, begun)];
    let begun = Instant::now();
    let told = Told::read(&outcome.records)?;
    let (evidence, fault) = told.judge(program, options, &log)?;
    let again =
        format!("    again: cargo xtask linear --cpus {cpus} --seconds {seconds} --seed {seed}");
    let fault = fault.map(|fault| format!("{fault}{again}"));
    rows.push(Row::new(rounds_of(cpus), evidence, fault, begun));
    Ok(rows)
}

/// How much of what the rounds had.
#[derive(Default)]
struct Seen {
    calls: usize,
    calls_beside: usize,
    busy: usize,
    accesses: usize,
    accesses_beside: usize,
    /// Runs of guests: all, and those that ended at a page that was not there.
    runs: usize,
    faults: usize,
    /// Loads that found zeroes where something had been stored, and accesses that ended in an abort.
    zeroes: usize,
    denied: usize,
}

impl Seen {
    fn of<'a>(rounds: impl Iterator<Item = &'a Vec<Note>>) -> Self {
        let mut seen = Self::default();
        for notes in rounds {
            for note in notes {
                let is_beside = usize::from(notes.iter().any(|other| note.overlaps(other)));
                match &note.what {
                    What::Call(call) => {
                        seen.calls += 1;
                        seen.calls_beside += is_beside;
                        seen.busy += usize::from(call.status() == Some(Status::Busy));
                        let exit = call.exit();
                        seen.runs += usize::from(exit.is_some());
                        seen.faults += usize::from(exit == Some(ExitReason::RamFault));
                    }
                    What::Load { found, .. } => {
                        seen.accesses += 1;
                        seen.accesses_beside += is_beside;
                        seen.zeroes += usize::from(*found == Some(0));
                        seen.denied += usize::from(found.is_none());
                    }
                    What::Store { is_done, .. } => {
                        seen.accesses += 1;
                        seen.accesses_beside += is_beside;
                        seen.denied += usize::from(!is_done);
                    }
                }
            }
        }
        seen
    }

    /// What there must be in a run that shows something, and was not.
    fn lacks(&self) -> Option<&'static str> {
        match self {
            Self {
                calls_beside: 0, ..
            } => Some("no call was beside another"),
            Self {
                accesses_beside: 0, ..
            } => Some("no access was beside a call"),
            Self { denied: 0, .. } => Some("no access was denied"),
            Self { zeroes: 0, .. } => Some("no page came home with zeroes"),
            Self { faults: 0, .. } => Some("no guest missed a page"),
            _ => None,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            calls,
            calls_beside,
            busy,
            accesses,
            accesses_beside,
            runs,
            faults,
            zeroes,
            denied,
        } = self;
        write!(
            f,
            "{calls} calls, {calls_beside} of them beside others, {busy} BUSY, {accesses} loads and stores, \
             {accesses_beside} beside others, {denied} denied, {zeroes} found zeroes, {runs} runs of guests, {faults} of them \
             to a page that was not there"
        )
    }
}

impl Told {
    fn read(records: &[String]) -> Result<Self> {
        let mut told = Self::default();
        for line in records {
            if let Some(line) = line.strip_prefix(TEAM) {
                let (number, team) = Team::parse(line, CORES)?;
                told.teams.insert(number, team);
            } else if let Some(line) = line.strip_prefix(NOTE) {
                let (key, note) = Note::parse(line)?;
                told.rounds.entry(key).or_default().push(note);
            }
        }
        Ok(told)
    }

    /// What there was, and what is wrong with it.
    fn judge(
        &self,
        program: &Path,
        options: &Options,
        log: &Path,
    ) -> Result<(String, Option<String>)> {
        let seen = Seen::of(self.rounds.values());
        let rounds: Vec<_> = self.rounds.iter().collect();
        let jobs = options.jobs();
        let part = rounds.len().div_ceil(jobs).max(1);
        let (refused, most_places) = std::thread::scope(|scope| {
            let work = |part| scope.spawn(move || self.check(program, part));
            let workers: Vec<_> = rounds.chunks(part).map(work).collect();
            let (mut refused, mut most_places) = (Vec::new(), 0);
            for worker in workers {
                let (its, places) = worker
                    .join()
                    .map_err(|_| anyhow!("a worker has panicked"))??;
                refused.extend(its);
                most_places = most_places.max(places);
            }
            Ok::<_, anyhow::Error>((refused, most_places))
        })?;
        let evidence = format!(
            "{} rounds of {} teams, {seen}, looked at {most_places} places at most",
            rounds.len(),
            self.teams.len()
        );
        let idle = self
            .teams
            .keys()
            .find(|team| !rounds.iter().any(|((of, _), _)| of == *team));
        let fault = match (refused.first(), idle) {
            (Some((history, why)), _) => {
                let file = log.with_extension("refused");
                fs::write(&file, format!("{history}.\n"))?;
                let file = file.display();
                let number = refused.len();
                Some(format!(
                    "{number} without an order\n{history}{why}    history: {file}\n"
                ))
            }
            (None, Some(team)) => Some(format!("team {team} told nothing\n")),
            (None, None) => seen.lacks().map(|what| format!("{what}\n")),
        };
        Ok((evidence, fault))
    }

    /// Those of these rounds that have no order, and why; and the most places that one of the others took.
    fn check(
        &self,
        program: &Path,
        rounds: &[(&(u64, u64), &Vec<Note>)],
    ) -> Result<(Vec<(String, String)>, u64)> {
        let mut checker = Checker::start(program)?;
        let (mut refused, mut most_places) = (Vec::new(), 0);
        for ((team, _), notes) in rounds {
            let team = self.teams.get(team).context("a call of no team")?;
            let history = team.history(notes)?;
            match checker.check(&history)? {
                Verdict::Explained(places) => most_places = most_places.max(places),
                Verdict::Refused(why) => refused.push((history, why)),
            }
        }
        Ok((refused, most_places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::Call;

    fn seen(lines: &[&str]) -> Seen {
        let notes: Vec<Note> = lines
            .iter()
            .map(|line| Note::parse(line).unwrap().1)
            .collect();
        Seen::of([&notes].into_iter())
    }

    #[test]
    fn a_run_without_an_abort_or_zeroes_or_neighbours_shows_nothing() {
        let call = "0 0 0 10 20 call| 1 2 3 4 5 6 7 | 0 |";
        let (beside, after) = ("0 0 1 15 25 load| 1000 |", "0 0 1 21 25 load| 1000 |");
        let zeroes = "0 0 2 16 17 load| 1000 | 0";
        let run = Call::CpuRun.function_id();
        let exit = |reason: ExitReason| {
            let reason = reason.raw();
            format!("0 0 2 30 31 call| {run:x} 0 0 0 0 0 0 | 0 {reason:x} 5 0 0 0 0 0 0 0 |")
        };
        let (fault, idle) = (&*exit(ExitReason::RamFault), &*exit(ExitReason::Idle));
        assert_eq!(seen(&[call, beside, zeroes, fault]).lacks(), None);
        for lines in [
            &[call, after, fault] as &[&str],
            &[call, zeroes, fault],
            &[call, beside, fault],
            &[beside, zeroes, fault],
            &[call, beside, zeroes],
            &[call, beside, zeroes, idle],
            &[],
        ] {
            assert!(seen(lines).lacks().is_some(), "{lines:?}");
        }
    }

    #[test]
    fn what_there_was_is_counted() {
        let busy = Status::Busy.raw() as u64;
        let seen = seen(&[
            &format!("0 0 0 10 20 call| 1 2 3 4 5 6 7 | {busy:x} |"),
            "0 0 1 15 16 store| 1000 5 | 1",
            "0 0 1 17 18 store| 1000 6 | 0",
            "0 0 1 30 31 load| 1000 | 5",
        ]);
        assert_eq!((seen.calls, seen.calls_beside, seen.busy), (1, 1, 1));
        assert_eq!((seen.accesses, seen.accesses_beside), (3, 2));
        assert_eq!((seen.denied, seen.zeroes), (1, 0));
        assert_eq!((seen.runs, seen.faults), (0, 0));
    }
}

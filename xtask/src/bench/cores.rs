//! `cargo xtask bench --cores`: what several cores execute, and what is counted in other things than instructions.
//!
//! Under `-icount` one counter adds up all cores, so here the machine runs at its own speed and our QEMU plugin counts
//! what each core executes in the engine, in the windows that tests mark and from one return to the next. Invariant: each
//! window is of the case that its test says, in the order of the core's windows; a machine that tells fewer or more
//! fails. What cores do to each other varies a little from run to run, so these figures are in no baseline.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use abi::Call;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::bench::figure::Figure;
use crate::bench::machine::Machine;
use crate::bench::peers::beside::Peers;
use crate::figures::plugin::{Core, Counted, Counts, Kind, Plugin};
use crate::hw::{Report, Verdict};
use crate::image::boot::{BootFiles, HostFiles};
use crate::run::machine;
use crate::run::machine::cpu_argument;
use crate::run::size::{Bytes, GIB};
use crate::run::supervise::{Input, Supervision};

/// How the tests' lines begin.
const RECORD: &str = "@cores ";
const LIMIT: Duration = Duration::from_secs(600);
/// RAM of the machines; of that with the longest calls twice as much, so that a whole GiB is free.
const MEM: u64 = 2 * GIB;
/// Cores of the large machine.
const MANY: u32 = 192;
/// And of that of a mutant: 192 emulated cores that wait for a lock by looking at it take hours.
const MANY_OF_MUTANT: u32 = 4;
/// Cores and seconds of the machine under stress.
const STRESS: (u32, u32) = (4, 20);

/// The windows that follow on a core.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    case: String,
    core: usize,
    windows: usize,
    things: u64,
}

/// The windows of a case, on all cores, and how many things they are about.
#[derive(Debug, Default, PartialEq)]
struct Case {
    windows: Vec<u64>,
    things: u64,
}

/// What is counted in a window.
#[derive(Clone, Copy)]
enum What {
    Instructions,
    Broadcasts,
}

impl What {
    fn of(self, counts: &Counts) -> u64 {
        match self {
            Self::Instructions => counts.engine,
            Self::Broadcasts => counts.broadcasts,
        }
    }
}

/// Gives each core's windows to the cases that the tests told of.
fn by_case(told: &[Told], cores: &[Core], what: What) -> Result<BTreeMap<String, Case>> {
    let mut rests: Vec<&[Counts]> = cores.iter().map(|core| &core.windows[..]).collect();
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    for line in told {
        let name = &line.case;
        let rest = rests
            .get_mut(line.core)
            .context("a core that is not there")?;
        ensure!(
            rest.len() >= line.windows,
            "{name}: {} windows on core {}, not {}",
            rest.len(),
            line.core,
            line.windows
        );
        let (own, others) = rest.split_at(line.windows);
        *rest = others;
        let case = cases.entry(name.clone()).or_default();
        case.windows
            .extend(own.iter().map(|counts| what.of(counts)));
        case.things += line.things;
    }
    let more: usize = rests.iter().map(|rest| rest.len()).sum();
    ensure!(more == 0, "{more} windows of no case");
    Ok(cases)
}

/// One boot's counts: of the tests that `words` of the command line choose. `start` is where each instruction of the
/// engine's in a core's start goes, and which core.
fn boot(
    machine: &Machine<'_>,
    cpus: u32,
    mem: u64,
    words: &str,
    start: Option<(&Path, u32)>,
) -> Result<(Vec<Told>, Counted)> {
    let host = HostFiles {
        image: machine.tests(),
        cmdline: words,
        initrd: &[],
    };
    let paths = machine.paths();
    let files = BootFiles::write(paths, "bench-cores", machine.engine(), &host)?;
    let counts = paths.logs().join("bench-cores.json");
    let plugin = Plugin::build(paths, machine.engine(), &counts)?;
    let mut command = machine::Machine {
        cpus,
        cpu: cpu_argument(machine.cpu(), false),
        mem: Bytes(mem),
        icount: false,
        gdb: false,
        is_ram_clear: true,
    }
    .command(machine.qemu(), &files);
    match start {
        Some((trace, core)) => plugin.trace_start(&mut command, trace, core),
        None => plugin.add_to(&mut command),
    }
    let log = paths.logs().join("bench-cores.log");
    let outcome = Supervision {
        limit: Some(LIMIT),
        input: Input::Nothing,
        log: &log,
    }
    .run(command, io::sink())?;
    let console = fs::read(&log)?;
    let console = String::from_utf8_lossy(&console);
    let report = Report::read(&console, outcome.troubles());
    for result in &report.results {
        if !matches!(result.verdict, Verdict::Passed) {
            bail!("{result}\nlog: {}", log.display());
        }
    }
    let told = outcome.records.iter();
    let told = told
        .filter_map(|line| line.strip_prefix(RECORD))
        .map(|text| serde_json::from_str(text).with_context(|| text.to_owned()))
        .collect::<Result<_>>()?;
    let counted = plugin.read(&console)?;
    ensure!(
        counted.cores.len() == cpus as usize,
        "a core was not counted"
    );
    Ok((told, counted))
}

/// One boot's cases.
fn cases(
    machine: &Machine<'_>,
    cpus: u32,
    test: &str,
    what: What,
) -> Result<BTreeMap<String, Case>> {
    println!("==> {test} on {cpus} cores");
    let words = format!("exact=bench_several::{test} seed=1");
    let (told, counted) = boot(machine, cpus, MEM, &words, None)?;
    by_case(&told, &counted.cores, what)
}

/// The case of this name.
fn take(cases: &mut BTreeMap<String, Case>, name: &str) -> Result<Case> {
    cases.remove(name).with_context(|| format!("no {name}"))
}

/// An SGI to a vCPU on another core: its sender's instructions and its receiver's, each round's.
fn guest_ipi(machine: &Machine<'_>) -> Result<Vec<Figure>> {
    let mut cases = cases(machine, 2, "guest_ipi", What::Instructions)?;
    let sent = take(&mut cases, "guest_ipi_sender")?.windows;
    let taken = take(&mut cases, "guest_ipi_receiver")?.windows;
    let both = sent.iter().zip(&taken).map(|(sent, taken)| sent + taken);
    Ok(vec![
        Figure::counted("guest_ipi", "instructions", both.collect(), 1)?,
        Figure::counted("guest_ipi_sender", "instructions", sent, 1)?,
        Figure::counted("guest_ipi_receiver", "instructions", taken, 1)?,
    ])
}

/// All cores give pages away at once, each to its own VM: a page's instructions on average, against one core's.
fn donate_192x(machine: &Machine<'_>) -> Result<Vec<Figure>> {
    let many = if machine.is_mutant() {
        MANY_OF_MUTANT
    } else {
        MANY
    };
    let mut means = Vec::new();
    for cpus in [1, many] {
        let mut cases = cases(machine, cpus, "donate_4k_each", What::Instructions)?;
        // Calls that were told BUSY count, pages don't grow by them.
        let Case { windows, things } = take(&mut cases, "donate_4k_each")?;
        let all: u64 = windows.iter().sum();
        means.push(all as f64 / things as f64);
    }
    let ratio = means[1] / means[0];
    println!(
        "    {:.1} instructions a page on one core, {:.1} on {many}",
        means[0], means[1]
    );
    Ok(vec![Figure::single(
        "donate_4k_192x",
        "times one core's",
        ratio,
    )])
}

/// Broadcast TLBIs of one call.
fn broadcasts(machine: &Machine<'_>) -> Result<Vec<Figure>> {
    let cases = cases(machine, 1, "broadcasts_list", What::Broadcasts)?;
    cases
        .into_iter()
        .map(|(name, case)| Figure::counted(&name, "broadcasts a call", case.windows, 1))
        .collect()
}

/// The longest that the engine has a core, under stress and in calls that are as long as they can be: of all, and of
/// each kind.
fn longest_call(machine: &Machine<'_>) -> Result<Vec<Figure>> {
    let (cpus, seconds) = STRESS;
    println!("==> longest_call: stress on {cpus} cores, {seconds} s, and the longest of each kind");
    let words = format!("exact=stress::random_calls seed=1 seconds={seconds}");
    let (_, mut counted) = boot(machine, cpus, MEM, &words, None)?;
    let (_, worst) = boot(
        machine,
        1,
        2 * MEM,
        "exact=bench_longest::each_kind seed=1",
        None,
    )?;
    counted.cores.extend(worst.cores);
    let kinds = by_kind(&counted.cores);
    for (name, kind) in &kinds {
        println!("    {name}: {} of {}", kind.longest, kind.count);
    }
    let longest = kinds.iter().map(|(_, kind)| kind.longest).max();
    let all = longest.context("nobody was in the engine")?;
    let single = |name: &str, longest: u64| Figure::single(name, "instructions", longest as f64);
    let mut figures = vec![single("longest_call", all)];
    let each = kinds
        .iter()
        .map(|(name, kind)| single(&format!("longest_call {name}"), kind.longest));
    figures.extend(each);
    Ok(figures)
}

/// The visits of all cores by kind: those that there were, the longest first.
fn by_kind(cores: &[Core]) -> Vec<(&'static str, Kind)> {
    let call_of = |number: usize| {
        Call::ALL
            .iter()
            .find(|call| call.number() as usize == number)
    };
    let mut kinds: BTreeMap<&str, Kind> = BTreeMap::new();
    for core in cores {
        let [calls @ .., other, none] = &core.visits.kinds[..] else {
            continue;
        };
        let calls = calls.iter().enumerate();
        let named = calls.map(|(number, kind)| {
            (
                call_of(number).map_or("another call", |call| call.name()),
                kind,
            )
        });
        for (name, kind) in named.chain([("another call", other), ("no call", none)]) {
            let sum = kinds.entry(name).or_default();
            sum.count += kind.count;
            sum.longest = sum.longest.max(kind.longest);
        }
    }
    let mut kinds: Vec<_> = kinds
        .into_iter()
        .filter(|(_, kind)| kind.count > 0)
        .collect();
    kinds.sort_by_key(|(_, kind)| Reverse(kind.longest));
    kinds
}

/// What a machine does that is there for its start.
const NOTHING: &str = "exact=bench::host_null seed=1";

/// The core whose start an operation is about.
pub fn core_of_start(operation: &str) -> Option<u32> {
    match operation {
        "smp_boot_192_first" => Some(0),
        "smp_boot_192_others" => Some(1),
        _ => None,
    }
}

/// Writes the engine's instructions in a core's start to `trace`.
pub fn trace_start(machine: &Machine<'_>, core: u32, trace: &Path) -> Result<()> {
    boot(machine, MANY, MEM, NOTHING, Some((trace, core))).map(drop)
}

/// Every core's start, up to its first step as the host's.
fn smp_boot(machine: &Machine<'_>) -> Result<Vec<Figure>> {
    println!("==> smp_boot_192: {MANY} cores");
    let (_, counted) = boot(machine, MANY, MEM, NOTHING, None)?;
    let mut starts = counted.cores.iter().map(|core| core.visits.first);
    let first = starts.next().context("no core")?;
    let others: Vec<u64> = starts.collect();
    let all = first + others.iter().sum::<u64>();
    Ok(vec![
        Figure::single("smp_boot_192", "instructions, all cores", all as f64),
        Figure::single("smp_boot_192_first", "instructions", first as f64),
        Figure::counted("smp_boot_192_others", "instructions a core", others, 1)?,
    ])
}

/// Operations that are counted together.
struct Row {
    name: &'static str,
    count: fn(&Machine<'_>) -> Result<Vec<Figure>>,
    /// Whether a check holds one of them to something.
    is_held: bool,
}

impl Row {
    const fn new(
        name: &'static str,
        count: fn(&Machine<'_>) -> Result<Vec<Figure>>,
        is_held: bool,
    ) -> Self {
        Self {
            name,
            count,
            is_held,
        }
    }
}

const ROWS: [Row; 5] = [
    Row::new("guest_ipi", guest_ipi, true),
    Row::new("broadcasts", broadcasts, true),
    Row::new("longest_call", longest_call, true),
    Row::new("smp_boot_192", smp_boot, true),
    Row::new("donate_4k_192x", donate_192x, true),
];

/// Of each operation that is held to something, whether it keeps to it.
pub fn judge(figures: &[Figure], peers: &Peers) -> Vec<(String, Result<String, String>)> {
    let held = figures.iter().filter_map(|figure| {
        let most = peers.get(&figure.op)?.bound_beside(figures)?;
        let seen = format!("{} of {most}", figure.median);
        let verdict = if figure.median <= most {
            Ok(seen)
        } else {
            Err(seen)
        };
        Some((figure.op.clone(), verdict))
    });
    held.collect()
}

/// The figures of operations with `filter` in their name; `for_check`: of those that a check holds to something.
pub fn run(machine: &Machine<'_>, filter: &str, for_check: bool) -> Result<Vec<Figure>> {
    let rows = ROWS.iter().filter(|row| row.name.contains(filter));
    let rows: Vec<&Row> = rows.filter(|row| row.is_held || !for_check).collect();
    ensure!(
        !rows.is_empty(),
        "no operation of several cores has {filter:?} in its name"
    );
    let mut figures = Vec::new();
    for row in rows {
        figures.extend((row.count)(machine)?);
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::beside::Beside;

    fn core(engine: &[u64]) -> Core {
        let windows: Vec<String> = engine
            .iter()
            .map(|engine| {
                format!(
                    "{{\"engine\":{engine},\"low\":0,\"high\":0,\"broadcasts\":1,\"whole_vm\":0}}"
                )
            })
            .collect();
        let visits = "{\"first\":0,\"kinds\":[]}";
        let windows = windows.join(",");
        serde_json::from_str(&format!("{{\"windows\":[{windows}],\"visits\":{visits}}}")).unwrap()
    }

    #[test]
    fn visits_of_all_cores_are_told_by_kind() {
        let kind = |count, longest| Kind { count, longest };
        let mut cores = [core(&[]), core(&[])];
        cores[0].visits.kinds = vec![kind(1, 5), kind(0, 0), kind(2, 7), kind(1, 1)];
        cores[1].visits.kinds = vec![kind(2, 9), kind(0, 0), kind(0, 0), kind(3, 2)];
        let told = by_kind(&cores).into_iter();
        let told: Vec<_> = told
            .map(|(name, kind)| (name, kind.count, kind.longest))
            .collect();
        assert_eq!(
            told,
            [
                ("ENGINE_INFO", 3, 9),
                ("another call", 2, 7),
                ("no call", 4, 2)
            ]
        );
    }

    fn told(case: &str, core: usize, windows: usize) -> Told {
        let case = case.to_owned();
        Told {
            case,
            core,
            windows,
            things: 1,
        }
    }

    #[test]
    fn what_misses_its_aim_is_held_to_what_it_keeps() {
        let known = |is_held, kept| Beside {
            most: Some(10.0),
            is_held,
            kept,
            ..Beside::default()
        };
        let peers = [
            ("a", known(true, None)),
            ("b", known(false, Some(20.0))),
            ("c", known(false, None)),
        ];
        let peers = peers.map(|(name, known)| (name.to_owned(), known)).into();
        let all = |value| ["a", "b", "c"].map(|name| Figure::single(name, "x", value));
        let failed = |value| {
            let verdicts = judge(&all(value), &peers);
            assert_eq!(verdicts.len(), 2);
            verdicts
                .iter()
                .filter(|(_, verdict)| verdict.is_err())
                .count()
        };
        assert_eq!([10.0, 11.0, 20.0, 21.0].map(failed), [0, 1, 1, 2]);
    }

    #[test]
    fn windows_go_to_cases_in_order() {
        let cores = [core(&[1, 2, 3]), core(&[4])];
        let told = [told("a", 0, 2), told("b", 1, 1), told("b", 0, 1)];
        let cases = by_case(&told, &cores, What::Instructions).unwrap();
        assert_eq!(cases["a"].windows, [1, 2]);
        assert_eq!(cases["b"].windows, [4, 3]);
        assert_eq!((cases["a"].things, cases["b"].things), (1, 2));
        let counted = by_case(&told, &cores, What::Broadcasts).unwrap();
        assert_eq!(counted["a"].windows, [1, 1]);
    }

    #[test]
    fn windows_too_few_or_too_many_are_refused() {
        let cores = [core(&[1, 2])];
        for wrong in [[told("a", 0, 1)], [told("a", 0, 3)], [told("a", 1, 0)]] {
            assert!(by_case(&wrong, &cores, What::Instructions).is_err());
        }
    }
}

//! `cargo xtask bench --native`: the table and the run queues on this machine's cores, beside locks, and how many
//! cache lines travel by the model.
//!
//! Invariant: what is timed and what is observed are two builds; a record is told by the benches and shown here as
//! it was told.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::bench::charts::{Panel, Series};
use crate::bench::{Options, charts};
use crate::paths::Paths;
use crate::process;

/// How a line begins that tells something.
const RECORD: &str = "@native ";
const TIMED: &str = "cargo bench --quiet -p bulkhead-native --bench table --bench queues";
const OBSERVED: &str = "cargo bench --quiet -p bulkhead-native --features observed --bench lines";
/// Where the benches read how many threads they are to start.
const THREADS: &str = "BULKHEAD_THREADS";
/// Whose way of doing it the others are compared with.
const OURS: &str = "ours";

/// What a bench tells.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
enum Record {
    /// On real cores.
    Measured(Measured),
    /// By the model.
    Travelled(Travelled),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Measured {
    bench: String,
    variant: String,
    workload: String,
    threads: u16,
    per_second: f64,
    refused_share: f64,
    fairness: f64,
    least_of_most: f64,
    median_ns: u64,
    p99_ns: u64,
    on_core: Option<f64>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Travelled {
    bench: String,
    variant: String,
    workload: String,
    cores: u16,
    lines_per_operation: f64,
}

/// Does what `options` say of the native part.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let mut records = Vec::new();
    for (name, line) in [("timed", TIMED), ("observed", OBSERVED)] {
        println!("==> bench: {name}");
        records.extend(bench(paths, options, name, line)?);
    }
    let filter = &options.filter;
    records.retain(|record| record.name().contains(filter));
    ensure!(!records.is_empty(), "nothing has {filter:?} in its name");
    print!("{}", render(&records));
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&records)? + "\n";
        fs::write(file, text).with_context(|| format!("--json {}", file.display()))?;
    }
    if let Some(dir) = &options.charts {
        draw(&records, dir)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs benches and reads what they tell.
fn bench(paths: &Paths, options: &Options, name: &str, line: &str) -> Result<Vec<Record>> {
    let log = paths.logs().join(format!("bench-{name}.log"));
    let mut command = process::command(line)?;
    command.current_dir(&paths.root);
    if let Some(threads) = &options.threads {
        command.env(THREADS, threads);
    }
    if !options.filter.is_empty() {
        command.args(["--", &options.filter]);
    }
    let (status, output) = process::run_logged(&mut command, &log)?;
    ensure!(status == Some(0), "{line}: log {}", log.display());
    output
        .lines()
        .filter(|line| is_said_beside(line))
        .for_each(|line| println!("    {line}"));
    read(&output)
}

/// What a person is to know beside the records: where randomness begins, and what the clock costs.
fn is_said_beside(line: &str) -> bool {
    line.starts_with("seed ")
}

/// The records among a bench's output.
fn read(output: &str) -> Result<Vec<Record>> {
    let lines = output.lines().filter_map(|line| line.strip_prefix(RECORD));
    lines
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

impl Record {
    /// As criterion names it: what a filter is about.
    fn name(&self) -> String {
        let (bench, workload, variant) = match self {
            Self::Measured(it) => (&it.bench, &it.workload, &it.variant),
            Self::Travelled(it) => (&it.bench, &it.workload, &it.variant),
        };
        format!("{}-{workload}/{variant}", bench.trim_end_matches("-lines"))
    }
}

/// The tables, in Markdown: one for each bench.
fn render(records: &[Record]) -> String {
    let mut measured: BTreeMap<&str, Vec<&Measured>> = BTreeMap::new();
    let mut travelled: BTreeMap<&str, Vec<&Travelled>> = BTreeMap::new();
    for record in records {
        match record {
            Record::Measured(it) => measured.entry(&it.bench).or_default().push(it),
            Record::Travelled(it) => travelled.entry(&it.bench).or_default().push(it),
        }
    }
    let measured = measured
        .iter()
        .map(|(bench, of)| format!("\n{bench}:\n\n{}", table(of)));
    let travelled = travelled
        .iter()
        .map(|(bench, of)| format!("\n{bench}:\n\n{}", curve(of)));
    measured.chain(travelled).collect()
}

fn table(of: &[&Measured]) -> String {
    let mut text = String::from(
        "| workload | threads | variant | operations/s | of ours | refused | fairness | least/most | median ns \
         | p99 ns | on core |\n\
         | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for it in of {
        let is_ours = |other: &&&Measured| {
            other.variant == OURS && (&other.workload, other.threads) == (&it.workload, it.threads)
        };
        let ours = of
            .iter()
            .find(is_ours)
            .map(|ours| it.per_second / ours.per_second);
        text += &format!(
            "| {} | {} | {} | {:.0} | {} | {:.2} % | {:.3} | {:.2} | {} | {} | {} |\n",
            it.workload,
            it.threads,
            it.variant,
            it.per_second,
            ours.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
            it.refused_share * 100.0,
            it.fairness,
            it.least_of_most,
            it.median_ns,
            it.p99_ns,
            it.on_core
                .map_or("–".to_owned(), |share| format!("{:.0} %", share * 100.0)),
        );
    }
    text
}

/// A row for each variant under each workload, a column for each number of cores.
fn curve(of: &[&Travelled]) -> String {
    let mut cores: Vec<u16> = of.iter().map(|it| it.cores).collect();
    cores.sort_unstable();
    cores.dedup();
    let heads: String = cores.iter().map(|cores| format!(" {cores} |")).collect();
    let marks = " ---: |".repeat(cores.len());
    let mut text = format!("| workload | variant |{heads}\n| --- | --- |{marks}\n");
    for row in
        of.chunk_by(|one, next| (&one.workload, &one.variant) == (&next.workload, &next.variant))
    {
        let cell = |cores: &u16| {
            let it = row.iter().find(|it| it.cores == *cores);
            it.map_or(" – |".to_owned(), |it| {
                format!(" {:.2} |", it.lines_per_operation)
            })
        };
        let cells: String = cores.iter().map(cell).collect();
        text += &format!("| {} | {} |{cells}\n", row[0].workload, row[0].variant);
    }
    text
}

/// A file for each bench: a row of panels for each workload.
fn draw(records: &[Record], dir: &Path) -> Result<()> {
    let mut files: BTreeMap<&str, Vec<Panel>> = BTreeMap::new();
    for record in records {
        match record {
            Record::Measured(it) => {
                let panels = files.entry(&it.bench).or_default();
                let threads = f64::from(it.threads);
                let title = |what: &str| format!("{}: {what}", it.workload);
                let mut put = |what: &str, value| {
                    point(
                        panels,
                        title(what),
                        "threads",
                        &it.variant,
                        (threads, value),
                    );
                };
                put("million operations/s", it.per_second / 1e6);
                put("fairness (Jain)", it.fairness);
                put("p99, µs", it.p99_ns as f64 / 1e3);
            }
            Record::Travelled(it) => {
                let panels = files.entry(&it.bench).or_default();
                let title = format!("{}: lines per operation", it.workload);
                let at = (f64::from(it.cores), it.lines_per_operation);
                point(panels, title, "cores", &it.variant, at);
            }
        }
    }
    for (bench, panels) in files {
        charts::lines(&dir.join(format!("native-{bench}.svg")), &panels)?;
    }
    Ok(())
}

/// Adds a point to a variant's line in the panel of this title.
fn point(
    panels: &mut Vec<Panel>,
    title: String,
    along: &'static str,
    variant: &str,
    at: (f64, f64),
) {
    let index = panels.iter().position(|panel| panel.title == title);
    let index = index.unwrap_or_else(|| {
        panels.push(Panel {
            title,
            along,
            series: Vec::new(),
        });
        panels.len() - 1
    });
    let series = &mut panels[index].series;
    match series.iter_mut().find(|one| one.name == variant) {
        Some(one) => one.points.push(at),
        None => series.push(Series {
            name: variant.to_owned(),
            points: vec![at],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = r#"seed 0x1
Benchmarking
@native {"bench":"table","variant":"ours","workload":"one","threads":2,"per_second":1e6,"refused_share":0.5,"fairness":1.0,"least_of_most":0.9,"median_ns":7,"p99_ns":2000,"on_core":0.75}
@native {"bench":"table","variant":"other","workload":"one","threads":2,"per_second":5e5,"refused_share":0.0,"fairness":0.5,"least_of_most":0.0,"median_ns":9,"p99_ns":10}
@native {"bench":"table-lines","variant":"ours","workload":"one","cores":1,"lines_per_operation":0.0}
@native {"bench":"table-lines","variant":"ours","workload":"one","cores":192,"lines_per_operation":1.999}
@native {"bench":"table-lines","variant":"other","workload":"one","cores":192,"lines_per_operation":3.0}
"#;

    #[test]
    fn what_benches_tell_becomes_a_table_each() {
        let text = render(&read(OUTPUT).unwrap());
        let has = |line: &str| assert!(text.lines().any(|of| of == line), "{line}: {text}");
        has("| one | 2 | ours | 1000000 | 1.00 | 50.00 % | 1.000 | 0.90 | 7 | 2000 | 75 % |");
        has("| one | 2 | other | 500000 | 0.50 | 0.00 % | 0.500 | 0.00 | 9 | 10 | – |");
        has("| workload | variant | 1 | 192 |");
        has("| one | ours | 0.00 | 2.00 |");
        has("| one | other | – | 3.00 |");
    }

    #[test]
    fn a_record_is_named_as_the_bench_names_it_and_wrong_ones_are_refused() {
        let records = read(OUTPUT).unwrap();
        assert_eq!(records[0].name(), "table-one/ours");
        assert_eq!(records[4].name(), "table-one/other");
        assert!(read("@native {\"bench\":\"table\"}").is_err());
    }

    #[test]
    fn a_bench_s_points_become_panels() {
        let dir = std::env::temp_dir().join(format!("bulkhead-charts-{}", std::process::id()));
        draw(&read(OUTPUT).unwrap(), &dir).unwrap();
        let text = fs::read_to_string(dir.join("native-table-lines.svg")).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert!(text.contains("one: lines per operation") && text.contains("other"));
    }
}

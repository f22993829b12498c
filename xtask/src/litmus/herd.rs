//! Litmus tests: a template with the engine's sequences put in, and what herd7 says of it.
//!
//! A template is a litmus file in which a cell `@NAME` stands for the instructions of sequence NAME,
//! `@` for those of the sequence in question. That one is put in as each of its rows; then, as one of them is broken in one
//! place after the other, herd7 must say that the condition can or cannot come true, as listed. What
//! is put in are the words of a sequence that the image was just checked against.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::litmus::manifest::{FOLDER, HerdTest, Sequence, Verdict};
use crate::litmus::row::{broken, is_row, words};
use crate::process;
use crate::setup::litmus::Herd;

/// Seconds until herd7 is ended.
const LIMIT: &str = "120";

/// One file for herd7.
pub struct Case {
    pub name: String,
    pub text: String,
    pub expect: Verdict,
}

/// The cases of a test: of every row, and of every way to break the base.
pub fn cases(
    root: &Path,
    name: &str,
    test: &HerdTest,
    sequences: &BTreeMap<String, Sequence>,
) -> Result<Vec<Case>> {
    let file = root.join(FOLDER).join(&test.file);
    let template = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let sequence = &sequences[&test.of];
    let own = sequence.pattern.rows();
    let base = words(&test.base);
    let others = test.with.iter();
    for (of, row) in others.chain(
        test.rows
            .iter()
            .chain([&test.base])
            .map(|row| (&test.of, row)),
    ) {
        ensure!(
            is_row(sequences, of, row),
            "{name}: `{row}` is no row of sequence {of}"
        );
    }

    let rows = rows_of(test, sequences);
    let is_used = |word: &String| {
        let changes = test.broken.keys().flat_map(|change| words(change));
        rows.iter().flatten().any(|it| it == word)
            || words(&test.before).contains(word)
            || changes
                .into_iter()
                .any(|it| it.trim_end_matches(',') == word)
    };
    if let Some(word) = test.write.keys().find(|word| !is_used(word)) {
        bail!("{name}: `write` has {word}, which is in no row");
    }

    let mut cases = Vec::new();
    let mut seen = BTreeSet::new();
    let mut add = |name: String, row: &[String], expect| -> Result<()> {
        let text = fill(&template, &test.of, row, test)?;
        // Rows may differ only in what herd7 does not see.
        if seen.insert(text.clone()) {
            let text = text.replacen(&test.of_title(&template), &name, 1);
            cases.push(Case { name, text, expect });
        }
        Ok(())
    };
    add(name.to_owned(), &base, test.expect)?;
    let only = |row: &&Vec<String>| test.rows.is_empty() || test.rows.contains(&row.join(" "));
    for (number, row) in own.iter().filter(only).enumerate() {
        add(format!("{name}-row-{number}"), row, test.expect)?;
    }
    for (change, &expect) in &test.broken {
        let row = broken(&base, change).with_context(|| format!("{name}: `{change}`"))?;
        let suffix: String = change
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let text = fill(&template, &test.of, &row, test)?;
        let name = format!("{name}-{}", suffix.trim_matches('-').to_lowercase());
        cases.push(Case { name, text, expect });
    }
    Ok(cases)
}

/// The rows of every sequence that the test has.
fn rows_of(test: &HerdTest, sequences: &BTreeMap<String, Sequence>) -> Vec<Vec<String>> {
    let names = test.with.keys().chain([&test.of]);
    names
        .flat_map(|name| sequences[name].pattern.rows())
        .collect()
}

impl HerdTest {
    /// The name in the template's first line.
    fn of_title(&self, template: &str) -> String {
        let first = template.lines().next().unwrap_or_default();
        first
            .split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    }
}

/// The template with its cells filled.
fn fill(template: &str, of: &str, row: &[String], test: &HerdTest) -> Result<String> {
    let mut head = Vec::new();
    let mut columns: Vec<Vec<String>> = Vec::new();
    let mut tail = Vec::new();
    for line in template.lines() {
        let is_code = line.trim_end().ends_with(';') && line.starts_with(' ') && tail.is_empty();
        let is_setting = columns.is_empty() && !line.trim_start().starts_with("P0");
        if !is_code || is_setting {
            let part = if columns.is_empty() {
                &mut head
            } else {
                &mut tail
            };
            part.push(line);
            continue;
        }
        let cells = line.trim_end().trim_end_matches(';').split('|');
        for (index, cell) in cells.enumerate() {
            if columns.len() <= index {
                columns.push(Vec::new());
            }
            let cell = cell.trim();
            match cell.strip_prefix('@') {
                Some(name) if name.is_empty() || name == of => {
                    let row = [words(&test.before), row.to_vec()].concat();
                    columns[index].extend(written(&row, test));
                }
                Some(name) => {
                    let row = test
                        .with
                        .get(name)
                        .with_context(|| format!("with no @{name}"))?;
                    columns[index].extend(written(&words(row), test));
                }
                None if cell.is_empty() => {}
                None => columns[index].push(cell.to_owned()),
            }
        }
    }
    let height = columns.iter().map(Vec::len).max().unwrap_or(0);
    let mut text = head.join("\n");
    for line in 0..height {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| format!(" {:24}", column.get(line).map_or("", String::as_str)))
            .collect();
        text += &format!("\n{};", cells.join("|"));
    }
    Ok(format!("{text}\n{}\n", tail.join("\n")))
}

/// The row's words as herd7 writes them. Accesses of one kind in a row are to different places, of which the test has one.
fn written(row: &[String], test: &HerdTest) -> Vec<String> {
    let write = |word: &String| -> Option<String> {
        if let Some(text) = test.write.get(word) {
            return (!text.is_empty()).then(|| text.clone());
        }
        Some(match word.split_once('.') {
            Some(("TLBI", form)) if form.starts_with("VA") || form.contains("IPA") => {
                format!("TLBI {form},X9")
            }
            Some((verb, rest)) => format!("{verb} {rest}"),
            None => word.clone(),
        })
    };
    let mut words: Vec<&String> = row.iter().collect();
    words.dedup_by(|next, last| next == last && test.write.contains_key(*next));
    words.into_iter().filter_map(write).collect()
}

/// What herd7 says of the case, or what went wrong; and the file that it was asked about.
pub fn decide(
    herd: &Herd,
    folder: &Path,
    case: &Case,
    tables: bool,
) -> Result<(std::result::Result<Verdict, String>, PathBuf)> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join(format!("{}.litmus", case.name));
    std::fs::write(&file, &case.text)?;
    let mut command = herd.command();
    if tables {
        command.args(["-variant", "vmsa,fatal"]);
    }
    command.arg(&file);
    let timeout = process::find_program("timeout").context("no `timeout` here")?;
    let mut command = process::wrap(timeout, &["-k", "5", LIMIT], &command);
    let (status, said) = process::run_logged(&mut command, &file.with_extension("log"))?;
    if status == Some(124) {
        return Ok((Err(format!("herd7 did not end in {LIMIT} s")), file));
    }
    let mut observations = said.lines().filter(|line| line.starts_with("Observation "));
    let verdict = match (observations.next(), observations.next()) {
        (Some(line), None) => match line.split_whitespace().nth(2) {
            Some("Never") => Ok(Verdict::Never),
            Some("Sometimes" | "Always") => Ok(Verdict::Sometimes),
            _ => Err(format!("herd7 says {line}")),
        },
        _ => Err("herd7 decides nothing".to_owned()),
    };
    // A test that no execution passes through says nothing; nor does one in which the program does
    // what architecture leaves undefined, as a change without break.
    let is_empty = said.lines().any(|line| line == "States 0");
    let flag = said
        .lines()
        .find(|line| line.starts_with("Flag requires-BBM"));
    let verdict = match (is_empty, flag, &verdict) {
        (true, ..) => Err("no execution".into()),
        (_, Some(flag), Ok(Verdict::Never)) => Err(format!("herd7 says {flag}")),
        _ if status != Some(0) => Err(format!("herd7 ended with {status:?}")),
        _ => verdict,
    };
    Ok((verdict, file))
}

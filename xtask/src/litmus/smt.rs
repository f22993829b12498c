//! Inductive invariants, by the SMT solver: what holds for any number of cores, VMs and addresses.
//!
//! A file describes the machine as relations over unbounded sets, and its operations as transitions.
//! Between two `(echo "NAME")` stands one question: can this transition lead out of the invariant?
//! `unsat` is no. In which order the engine's words come the file does not say: their places are
//! defined in front of it, from a row of the engine's sequence. With a row that lacks a word or has two
//! in the other order, exactly the listed transitions must be able to lead out. And each transition must
//! be possible within the invariant: one that is not would lead out of nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::litmus::manifest::{BrokenSolverRow, FOLDER, Sequence, SolverTest};
use crate::litmus::row::{broken, is_row, words};
use crate::process;
use crate::setup::litmus::Solver;

/// Seconds until the solver is ended.
const LIMIT: &str = "60";

/// The file with the row's steps, and the transitions that must lead out.
pub struct Case {
    pub name: String,
    pub text: String,
    pub expect: Vec<String>,
}

/// The cases of a test: the engine's rows, and each change of one.
pub fn cases(
    root: &Path,
    name: &str,
    test: &SolverTest,
    sequences: &BTreeMap<String, Sequence>,
) -> Result<Vec<Case>> {
    let file = root.join(FOLDER).join(&test.file);
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    for row in &test.rows {
        let is_row = is_row(sequences, &row.of, &row.row);
        ensure!(
            is_row,
            "{name}: `{}` is no row of sequence {}",
            row.row,
            row.of
        );
    }
    ensure!(
        !test.broken.is_empty(),
        "{name}: nothing shows that it can fail"
    );
    let mut cases = vec![Case {
        name: name.to_owned(),
        text: in_front(test, None)? + &text,
        expect: Vec::new(),
    }];
    let negated = "(assert (not (inv next)))";
    ensure!(
        text.matches(negated).count() == 1,
        "{name}: the invariant is not asked once"
    );
    let possible = text.replace(negated, "(assert (inv next))");
    cases.push(Case {
        name: format!("{name}-possible"),
        expect: questions(&text).into_iter().map(str::to_owned).collect(),
        text: in_front(test, None)? + &possible,
    });
    for (number, change) in test.broken.iter().enumerate() {
        let head = in_front(test, Some(change));
        let head = head.with_context(|| format!("{name}: `{}`", change.change))?;
        cases.push(Case {
            name: format!("{name}-broken-{}", number + 1),
            text: head + &text,
            expect: change.leads_out.clone(),
        });
    }
    Ok(cases)
}

/// The constants that stand in front of the file.
fn in_front(test: &SolverTest, change: Option<&BrokenSolverRow>) -> Result<String> {
    let mut head = String::new();
    for row in &test.rows {
        let change = change.filter(|change| change.of == row.of);
        let words = words(&row.row);
        let words = change.map_or(Ok(words.clone()), |it| broken(&words, &it.change))?;
        head += &format!("; {}: {}\n", row.of, words.join(" "));
        for (constant, word) in &row.places {
            let place = place(&words, word)?;
            head += &format!("(define-const {constant} Int {place})\n");
        }
        head += &format!("(define-const {} Int {})\n", row.end, words.len());
    }
    for constant in &test.constants {
        head += &format!("(define-const {constant})\n");
    }
    Ok(head)
}

/// The place of `WORD` or `WORD N` in the row, from 1 on; 0 if it is not there.
fn place(words: &[String], wanted: &str) -> Result<usize> {
    let (word, nth) = match wanted.split_once(' ') {
        Some((word, nth)) => (word, nth.parse()?),
        None => (wanted, 1_usize),
    };
    let mut places = words.iter().enumerate().filter(|(_, it)| *it == word);
    let place = places.nth(nth.saturating_sub(1));
    Ok(place.map_or(0, |(at, _)| at + 1))
}

/// The transitions that can lead out of the invariant, or what went wrong; and the file.
pub fn decide(
    solver: &Solver,
    folder: &Path,
    case: &Case,
) -> Result<(std::result::Result<Vec<String>, String>, PathBuf)> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join(format!("{}.smt2", case.name));
    std::fs::write(&file, &case.text)?;
    let mut command = solver.command();
    command.arg(format!("-T:{LIMIT}")).arg(&file);
    let (status, said) = process::run_logged(&mut command, &file.with_extension("log"))?;
    let answer = match status {
        Some(0) => read(&case.text, &said),
        _ => Err(format!("z3 ended with {status:?}")),
    };
    Ok((answer, file))
}

/// Reads the answers: for each question of `text`, in order, its name, then `sat` or `unsat`.
fn read(text: &str, said: &str) -> std::result::Result<Vec<String>, String> {
    let asked = questions(text);
    if asked.is_empty() {
        return Err("nothing is asked".into());
    }
    let mut lines = said.lines().map(str::trim).filter(|it| !it.is_empty());
    let mut out = Vec::new();
    for name in asked {
        match (lines.next(), lines.next()) {
            (Some(said), Some("unsat")) if said == name => {}
            (Some(said), Some("sat")) if said == name => out.push(name.to_owned()),
            _ => return Err(format!("no answer about {name}")),
        }
    }
    match lines.next() {
        None => Ok(out),
        Some(line) => Err(format!("z3 also says {line}")),
    }
}

/// The names of the questions in `text`.
fn questions(text: &str) -> Vec<&str> {
    let names = text.split("(echo \"").skip(1);
    names.filter_map(|rest| rest.split('"').next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_has_its_answer() {
        let text = "(echo \"fill\") (check-sat)\n(echo \"release\") (check-sat)";
        let out = vec!["release".to_owned()];
        assert_eq!(read(text, "fill\nunsat\nrelease\nsat\n"), Ok(out));
        assert_eq!(read(text, "fill\nunsat\nrelease\nunsat\n"), Ok(vec![]));
        for bad in [
            "",
            "fill\nunsat\n",
            "release\nunsat\nfill\nunsat\n",
            "fill\nunknown\nrelease\nunsat\n",
            "fill\nunsat\nrelease\nunsat\n(error \"line 3\")\nunsat\n",
            "(error \"line 3\")\nfill\nsat\n",
        ] {
            assert!(read(text, bad).is_err(), "{bad}");
        }
        assert!(read("", "").is_err());
    }

    #[test]
    fn places_are_counted_in_the_row() {
        let row = words("DSB.ISH T DSB.ISH");
        for (word, at) in [
            ("DSB.ISH", 1),
            ("DSB.ISH 2", 3),
            ("T", 2),
            ("DSB.ISH 3", 0),
            ("V", 0),
        ] {
            assert_eq!(place(&row, word).unwrap(), at, "{word}");
        }
    }
}

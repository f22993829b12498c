//! `loom-tests/litmus/litmus.toml`: the sequences and the tests with their expected verdicts;
//! `approved.toml`: the approved instructions; `unnoticed.toml`: those that could be lost unseen.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::litmus::panics::Panics;
use crate::litmus::pattern::Pattern;
use crate::litmus::program::{Instruction, Place};
use crate::litmus::stack::Stack;

/// The folder in the checkout.
pub const FOLDER: &str = "loom-tests/litmus";

/// Everything that is tested.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Memory accesses by what they are for.
    mark: BTreeMap<String, Mark>,
    /// Parts of patterns.
    pattern: BTreeMap<String, String>,
    sequence: BTreeMap<String, RawSequence>,
    /// Where each of the instructions that are not to be anywhere may be: a file of its own.
    #[serde(skip)]
    pub approved: BTreeMap<String, Vec<Place>>,
    /// What could be lost without a test that notices: a file of its own.
    #[serde(skip)]
    pub unnoticed: Vec<Unnoticed>,
    /// Where the engine may give up.
    pub panic: Panics,
    /// How deep its stacks may get.
    pub stack: Stack,
    pub herd: BTreeMap<String, HerdTest>,
    pub smt: BTreeMap<String, SolverTest>,
}

/// Instructions that could be lost without a test that notices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unnoticed {
    pub form: String,
    /// The function that they are in, not one that it is inlined into.
    pub place: Place,
    /// How many lines of that function they are; in assembly, instructions.
    pub lines: usize,
    /// Why nothing looks for them.
    why: String,
}

#[cfg(test)]
impl Unnoticed {
    /// So many lines of a place.
    pub fn of(form: &str, place: &str, lines: usize) -> Self {
        let (form, place, why) = (form.into(), place.into(), "a test".into());
        Self {
            form,
            place,
            lines,
            why,
        }
    }
}

/// The list of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnnoticedList {
    unnoticed: Vec<Unnoticed>,
}

/// A kind of memory access.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    /// Its instructions.
    is: Vec<String>,
    /// Where it comes from, all of these; a name alone is a function's in any file.
    of: Vec<Place>,
    /// Where it does not come from, any of these.
    #[serde(default, rename = "not-of")]
    not_of: Vec<Place>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSequence {
    /// Whose instructions they are.
    place: Vec<Place>,
    pattern: String,
    /// Instructions that do not count here.
    #[serde(default)]
    ignore: Vec<String>,
    /// Instructions that count here though the pattern does not have them.
    #[serde(default)]
    watch: Vec<String>,
    /// The functions that use it, all of them, if that is to be so.
    #[serde(default)]
    callers: Vec<Place>,
    /// How many instructions of the place are which word, where a walk alone would not miss one.
    #[serde(default)]
    copies: BTreeMap<String, usize>,
}

/// A sequence of the engine's.
#[derive(Debug)]
pub struct Sequence {
    pub place: Vec<Place>,
    pub pattern: Pattern,
    pub ignore: Vec<String>,
    pub watch: Vec<String>,
    pub callers: Vec<Place>,
    pub copies: BTreeMap<String, usize>,
    marks: Vec<(String, Mark)>,
}

/// A test that herd7 decides.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HerdTest {
    /// The file with the threads; `@NAME` in it is a sequence, `@` the one in question.
    pub file: String,
    /// What herd7 must say of every row of the sequence in question.
    pub expect: Verdict,
    /// The sequence whose rows are tried.
    pub of: String,
    /// How the template calls what herd7 has no word for, or nothing.
    #[serde(default)]
    pub write: BTreeMap<String, String>,
    /// What stands in front of each row: a store that is the caller's.
    #[serde(default)]
    pub before: String,
    /// The rows of other sequences in the template.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    /// The rows that are tried; all if there are none.
    #[serde(default)]
    pub rows: Vec<String>,
    /// The row that is broken below.
    pub base: String,
    /// Whether translation tables are part of it.
    #[serde(default)]
    pub tables: bool,
    /// By what is changed in `base`: what herd7 must say then.
    #[serde(default)]
    pub broken: BTreeMap<String, Verdict>,
}

/// Whether the condition of a test can come true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Verdict {
    Never,
    Sometimes,
}

/// A file for the solver.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SolverTest {
    pub file: String,
    /// The rows of the engine's that it is about.
    pub rows: Vec<SolverRow>,
    /// Constants that are not places in a row, with their definitions.
    #[serde(default)]
    pub constants: Vec<String>,
    pub broken: Vec<BrokenSolverRow>,
}

/// A row that a file for the solver is about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SolverRow {
    /// The sequence that it is of.
    pub of: String,
    pub row: String,
    /// By constant: the word, with its number if it is there several times, whose place it is.
    pub places: BTreeMap<String, String>,
    /// The constant that is the row's length.
    pub end: String,
}

/// A change of a row, and what it makes possible.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokenSolverRow {
    /// The sequence whose row is changed.
    pub of: String,
    pub change: String,
    /// The transitions that then lead out of the invariant.
    #[serde(rename = "leads-out")]
    pub leads_out: Vec<String>,
}

impl Manifest {
    /// Reads the checkout's.
    pub fn load(root: &Path) -> Result<Self> {
        let mut manifest: Self = read(&root.join(FOLDER).join("litmus.toml"))?;
        manifest.approved = read(&root.join(FOLDER).join("approved.toml"))?;
        let list: UnnoticedList = read(&root.join(FOLDER).join("unnoticed.toml"))?;
        manifest.unnoticed = list.unnoticed;
        for it in &manifest.unnoticed {
            ensure!(
                !it.why.trim().is_empty(),
                "{} of {} has no reason",
                it.form,
                it.place
            );
        }
        Ok(manifest)
    }

    /// One that has nothing but these.
    #[cfg(test)]
    pub fn of_unnoticed(unnoticed: impl IntoIterator<Item = Unnoticed>) -> Self {
        Self {
            mark: BTreeMap::new(),
            pattern: BTreeMap::new(),
            sequence: BTreeMap::new(),
            approved: BTreeMap::new(),
            unnoticed: unnoticed.into_iter().collect(),
            panic: Panics::default(),
            stack: Stack::default(),
            herd: BTreeMap::new(),
            smt: BTreeMap::new(),
        }
    }

    /// The sequences' names.
    pub fn sequence_names(&self) -> impl Iterator<Item = &String> {
        self.sequence.keys()
    }

    /// The sequences by name.
    pub fn sequences(&self) -> Result<BTreeMap<String, Sequence>> {
        let sequence = |(name, raw): (&String, &RawSequence)| {
            let text = self.expand(&raw.pattern).with_context(|| name.clone())?;
            let pattern = Pattern::parse(&text).with_context(|| name.clone())?;
            let used = self.mark.iter().filter(|(mark, _)| pattern.has(mark));
            let marks = used
                .map(|(name, mark)| (name.clone(), mark.clone()))
                .collect();
            let sequence = Sequence {
                place: raw.place.clone(),
                pattern,
                ignore: raw.ignore.clone(),
                watch: raw.watch.clone(),
                callers: raw.callers.clone(),
                copies: raw.copies.clone(),
                marks,
            };
            Ok((name.clone(), sequence))
        };
        let sequences: BTreeMap<_, _> =
            self.sequence.iter().map(sequence).collect::<Result<_>>()?;
        for (name, test) in &self.herd {
            ensure!(
                sequences.contains_key(&test.of),
                "herd {name}: no sequence {}",
                test.of
            );
        }
        Ok(sequences)
    }

    /// The pattern with its parts in place; parts may have parts, a few deep.
    fn expand(&self, text: &str) -> Result<String> {
        let mut text = text.to_owned();
        for _ in 0..8 {
            for (name, part) in &self.pattern {
                text = text.replace(&format!("{{{name}}}"), &format!("({part})"));
            }
        }
        ensure!(!text.contains('{'), "`{text}`: no such part");
        Ok(text)
    }
}

impl Sequence {
    /// The sequence of one place.
    #[cfg(test)]
    pub fn of(place: &str, pattern: &str) -> Self {
        Self {
            place: vec![place.to_owned()],
            pattern: Pattern::parse(pattern).unwrap(),
            ignore: Vec::new(),
            watch: Vec::new(),
            callers: Vec::new(),
            copies: BTreeMap::new(),
            marks: Vec::new(),
        }
    }

    /// Whether the instruction comes from the sequence's place.
    pub fn is_from(&self, instruction: &Instruction) -> bool {
        instruction
            .places
            .iter()
            .any(|place| self.place.contains(place))
    }

    /// The mark that the memory access has here.
    pub fn mark_of(&self, instruction: &Instruction, name: &str) -> Option<&str> {
        let marks = self.marks.iter().find(|(_, mark)| {
            mark.is.iter().any(|it| it == name)
                && mark.of.iter().all(|it| is_within(instruction, it))
                && !mark.not_of.iter().any(|it| is_within(instruction, it))
        });
        marks.map(|(mark, _)| mark.as_str())
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let name = || file.display().to_string();
    let text = fs::read_to_string(file).with_context(name)?;
    toml::from_str(&text).with_context(name)
}

fn is_within(instruction: &Instruction, place: &str) -> bool {
    let mut places = instruction.places.iter();
    places.any(|it| it == place || it.rsplit(' ').next() == Some(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::litmus::{herd, smt};

    #[test]
    fn checkout_s_tests_are_about_rows_of_its_sequences() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = Manifest::load(root).unwrap();
        let sequences = manifest.sequences().unwrap();
        for (name, test) in &manifest.herd {
            let cases = herd::cases(root, name, test, &sequences).unwrap();
            assert!(cases.iter().any(|case| case.expect == Verdict::Never));
            assert!(
                cases.iter().any(|case| case.expect == Verdict::Sometimes),
                "{name}"
            );
        }
        for (name, test) in &manifest.smt {
            let cases = smt::cases(root, name, test, &sequences).unwrap();
            assert!(cases[0].expect.is_empty());
            assert!(
                cases[1..].iter().all(|case| !case.expect.is_empty()),
                "{name}"
            );
        }
    }
}

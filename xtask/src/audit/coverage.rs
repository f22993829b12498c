//! Every protective step of the protocol code has a mutant, or `unmutated.txt` says why it needs none.
//!
//! Protective are: an ordering stronger than Relaxed (of an access or a fence), a barrier or TLB
//! invalidation, as a call or as an instruction, and a comparison of generations. A step has a mutant if the
//! mutant's `cfg` is of the statement that the step stands in, or of a block around it. What has no form of
//! its own, such as a second look under a claim, is for whoever reads the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::audit::regions::regions;
use crate::audit::source::{code_only, has_word, without_tests};
use crate::audit::workspace::Workspace;
use crate::audit::{Findings, image_sources};

const LIST: &str = include_str!("unmutated.txt");
const LIST_NAME: &str = "unmutated.txt";

/// Where protocol code lies.
const PLACES: [&str; 12] = [
    "engine/src/arch",
    "engine/src/gic",
    "engine/src/host",
    "engine/src/hypercall",
    "engine/src/memory",
    "engine/src/stage2",
    "engine/src/trap",
    "engine/src/vcpu",
    "engine/src/vm",
    "ownership/src",
    "percpu/src",
    "smp-boot/src",
];
const CRATES: [&str; 4] = ["engine", "ownership", "percpu", "smp-boot"];

const ORDERINGS: [&str; 4] = ["Acquire", "Release", "AcqRel", "SeqCst"];
const CALLS: [&str; 2] = [".barrier(", ".tlbi("];
const INSTRUCTIONS: [&str; 4] = ["dsb ", "dmb ", "isb", "tlbi "];

/// A line with a protective step that no mutant removes.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    file: String,
    number: usize,
    line: String,
}

/// A line of the list: steps in `file` with `part` in their line need no mutant.
#[derive(Debug)]
struct Entry<'a> {
    file: &'a str,
    part: &'a str,
}

pub fn check(root: &Path, _workspace: &Workspace) -> Result<Findings> {
    let mut bare = Vec::new();
    let mut covered = 0;
    for file in files(root)? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let name = file.strip_prefix(root).unwrap_or(&file);
        let (steps, others) = steps(&name.display().to_string(), &text);
        bare.extend(others);
        covered += steps;
    }
    println!(
        "    {covered:>6}  lines with protective steps that a mutant removes, {} that need none",
        bare.len()
    );
    Ok(compare(LIST, &bare))
}

fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in CRATES {
        files.extend(image_sources(root, folder, &["rs"])?);
    }
    files.retain(|file| {
        let is_test = file.components().any(|part| part.as_os_str() == "tests");
        !is_test
            && PLACES
                .iter()
                .any(|place| file.starts_with(root.join(place)))
    });
    Ok(files)
}

/// How many lines with protective steps `text` has that a mutant removes, and those that none does.
fn steps(file: &str, text: &str) -> (usize, Vec<Step>) {
    let code = code_only(text);
    let end = without_tests(&code).lines().count();
    let covered = regions(&code, text);
    let covered: BTreeSet<usize> = covered.into_iter().flat_map(|own| own.lines).collect();
    let mut bare = Vec::new();
    let mut count = 0;
    let lines = code.lines().zip(text.lines()).zip(1..).take(end);
    for ((_, line), number) in lines.filter(|((code, line), _)| is_protective(code, line)) {
        if covered.contains(&number) {
            count += 1;
        } else {
            bare.push(Step {
                file: file.to_owned(),
                number,
                line: line.trim().to_owned(),
            });
        }
    }
    (count, bare)
}

/// Whether a line, `code` without comments and literals, has a protective step.
fn is_protective(code: &str, line: &str) -> bool {
    let start = code.trim_start();
    if start.starts_with("use ") || start.starts_with("pub use ") {
        return false;
    }
    let is_instruction = || {
        let quotes = code.chars().zip(line.char_indices());
        let mut quotes = quotes.filter(|&(c, (_, kept))| c == '"' && kept == '"');
        quotes.any(|(_, (at, _))| {
            let literal = &line[at + 1..];
            INSTRUCTIONS.iter().any(|name| literal.starts_with(name))
        })
    };
    let compares = |sign: &str| {
        let mut sides = code.split(sign).zip(code.split(sign).skip(1));
        sides.any(|(left, right)| {
            let right = right.split([' ', ')']).next().unwrap_or_default();
            right.contains("generation") || left.trim_end_matches("()").ends_with("generation")
        })
    };
    ORDERINGS.iter().any(|word| has_word(code, word))
        || CALLS.iter().any(|call| code.contains(call))
        || compares(" == ")
        || compares(" != ")
        || is_instruction()
}

fn compare(list: &str, bare: &[Step]) -> Findings {
    let mut findings = Findings::new();
    let mut entries = Vec::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        match *line.split(" | ").map(str::trim).collect::<Vec<_>>() {
            [""] => {}
            [file, part, reason] if !(part.is_empty() || reason.is_empty()) => {
                entries.push(Entry { file, part });
            }
            _ => findings.push(format!(
                "{LIST_NAME}: not `file | part of the line | why`: {line}"
            )),
        }
    }
    let is_listed =
        |entry: &Entry<'_>, step: &Step| entry.file == step.file && step.line.contains(entry.part);
    for step in bare {
        if !entries.iter().any(|entry| is_listed(entry, step)) {
            let Step { file, number, line } = step;
            findings.push(format!(
                "{file}:{number}: `{line}` has no mutant and is not in {LIST_NAME}"
            ));
        }
    }
    for entry in &entries {
        if !bare.iter().any(|step| is_listed(entry, step)) {
            findings.push(format!(
                "{LIST_NAME}: no step without a mutant in {} has `{}`",
                entry.file, entry.part
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = r#"
use core::sync::atomic::Ordering::Acquire;
fn f() {
    #[cfg(not(mutant = "a"))]
    word
        .compare_exchange(x, y, Ordering::Acquire, Ordering::Relaxed)
        .map_err(|met| { met })?;
    word.store(z, Ordering::Release); // Acquire
    if generation != seen {
        platform.barrier(cpu, Barrier::DsbIsh);
    }
    asm!("dsb ishst");
    print!("isn't dsb");
}
#[cfg(test)]
mod tests { fn g() { word.load(Ordering::Acquire); } }
"#;

    #[test]
    fn steps_are_found_where_no_mutant_is() {
        let (covered, bare) = steps("a.rs", CODE);
        assert_eq!(covered, 1);
        let numbers: Vec<usize> = bare.iter().map(|step| step.number).collect();
        assert_eq!(numbers, [8, 9, 10, 12]);
    }

    #[test]
    fn list_and_source_must_agree() {
        let (_, bare) = steps("a.rs", CODE);
        let list = "# why\na.rs | Ordering::Release | x\na.rs | generation | y\n\
                    a.rs | Barrier | z\na.rs | dsb ishst | w\n";
        assert_eq!(compare(list, &bare), Findings::new());
        let shorter = list.replace("a.rs | Barrier | z\n", "");
        let said = compare(&shorter, &bare);
        assert!(
            said[0].contains("a.rs:10: `platform.barrier(cpu"),
            "{said:?}"
        );
        for wrong in [
            "b.rs | Release | x\n",
            "a.rs | AcqRel | x\n",
            "a.rs | Release\n",
        ] {
            let said = compare(&(list.to_owned() + wrong), &bare);
            assert_eq!(said.len(), 1, "{said:?}");
        }
    }
}

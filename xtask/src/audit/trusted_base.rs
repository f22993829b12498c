//! The trusted base: every use of `unsafe`, held against the budget of `unsafe.toml`, and the page that lists them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::unsafe_uses::{Use, uses};
use super::workspace::Workspace;
use super::{Findings, SIMULATION, TRUSTED};
use crate::assure::wrong_evidence;
use crate::walk::rust_files;

/// What runs before the engine, outside of it.
const LOADER: &str = "smp-boot/efi";
const BUDGET: &str = include_str!("unsafe.toml");
const PAGE: &str = "docs/trusted-base.md";
/// Compiled for models and tests only.
const NOT_IN_IMAGE: [&str; 2] = ["sync/src/modelled.rs", SIMULATION];

#[derive(Deserialize)]
struct Budget {
    file: Vec<Allowed>,
}

/// What a file may have.
#[derive(Deserialize)]
struct Allowed {
    path: String,
    uses: usize,
    checked: Vec<String>,
}

/// A file that has some.
struct File {
    path: String,
    /// The first paragraph of what it says of itself.
    purpose: String,
    uses: Vec<Use>,
}

/// Compares the sources with the budget.
pub fn check(root: &Path, _workspace: &Workspace) -> Result<Findings> {
    let (budget, files) = (budget()?, files(root)?);
    let total: usize = files.iter().map(|file| file.uses.len()).sum();
    println!("    {total:>6}  uses of unsafe in {} files", files.len());
    let evidence = budget.iter().flat_map(|allowed| {
        let wrong = allowed
            .checked
            .iter()
            .filter_map(|it| wrong_evidence(root, it));
        wrong.map(|why| format!("unsafe.toml: {}: {why}", allowed.path))
    });
    let evidence: Vec<_> = evidence.collect();
    Ok(compare(&budget, &files)
        .into_iter()
        .chain(evidence)
        .collect())
}

fn compare(budget: &[Allowed], files: &[File]) -> Findings {
    let mut left: BTreeMap<&str, &Allowed> = budget
        .iter()
        .map(|allowed| (allowed.path.as_str(), allowed))
        .collect();
    let mut wrong = Vec::new();
    for File { path, uses, .. } in files {
        match left.remove(path.as_str()) {
            None => wrong.push(format!("{path} has unsafe and is not in unsafe.toml")),
            Some(allowed) if allowed.uses != uses.len() => wrong.push(format!(
                "{path} has {} uses of unsafe, and unsafe.toml says {}",
                uses.len(),
                allowed.uses
            )),
            Some(allowed) if allowed.checked.is_empty() => {
                wrong.push(format!("unsafe.toml names nothing that checks {path}"));
            }
            Some(_) => {}
        }
        let silent = uses
            .iter()
            .filter(|it| it.claim.is_empty() && !it.of.starts_with("functions"));
        wrong.extend(silent.map(|it| format!("{path}:{} makes no claim", it.line)));
    }
    let stale = left.keys();
    wrong.extend(stale.map(|path| format!("{path} is in unsafe.toml and has no unsafe")));
    wrong
}

/// Writes the page, or with `check` fails if it is another.
pub fn write(root: &Path, check: bool) -> Result<()> {
    let (wanted, target) = (page(root)?, root.join(PAGE));
    if fs::read_to_string(&target).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    ensure!(
        !check,
        "{PAGE} is not what the sources say (run `cargo xtask gen`)"
    );
    fs::write(&target, wanted).with_context(|| format!("write {PAGE}"))
}

/// The page's text.
fn page(root: &Path) -> Result<String> {
    let (budget, files) = (budget()?, files(root)?);
    let mut text = String::from(HEAD);
    for folder in TRUSTED.into_iter().chain([LOADER]) {
        let of_it = |path: &str| owner_of(path) == folder;
        let uses: usize = files
            .iter()
            .filter(|file| of_it(&file.path))
            .map(|file| file.uses.len())
            .sum();
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {folder} | {uses} |");
    }
    text.push_str(BETWEEN);
    for file in &files {
        let checked = budget.iter().find(|allowed| allowed.path == file.path);
        let checked = checked.map_or(&[][..], |allowed| &allowed.checked);
        let checked: Vec<String> = checked.iter().map(|it| format!("`{it}`")).collect();
        let _ = writeln!(text, "\n## {}\n\n{}\n", file.path, file.purpose);
        for Use { of, claim, .. } in &file.uses {
            let claim = if claim.is_empty() {
                "declared as they are defined."
            } else {
                claim
            };
            let _ = writeln!(text, "- {of}: {claim}");
        }
        let _ = writeln!(text, "\nChecked by {}.", checked.join(", "));
    }
    Ok(text)
}

const HEAD: &str = "\
# Trusted base

Written by `cargo xtask gen`; change the sources, or `xtask/src/audit/unsafe.toml`, and not this page.

What has to be right for the rest to hold: the code below, above all its `unsafe`, of which each use makes a claim that the
compiler cannot check. `cargo xtask audit` holds the number of uses of each file, sees that each makes its claim, and that
what is named to check it is there. Beside the code: rustc and LLVM, the processor, and the firmware at EL3
([spec/ASSUMPTIONS.md](../spec/ASSUMPTIONS.md)). The simulated machine and what is compiled for models alone are in no image
and not listed.

| crate | uses of `unsafe` |
| --- | ---: |
";

const BETWEEN: &str = "
`cargo xtask audit` prints the lines of each. smp-boot/efi is the UEFI loader, which ends before the engine begins.
Assembly of more than single instructions is in the files with `global_asm!`: the vectors and the ways in and out
(`engine/src/arch/{calls,enter,fp,foreign}.rs`), and the image's first steps (`smp-boot/src/{entry,copies,crash}.rs`).
";

fn budget() -> Result<Vec<Allowed>> {
    let budget: Budget = toml::from_str(BUDGET).context("xtask/src/audit/unsafe.toml")?;
    Ok(budget.file)
}

/// The files of the image and its loader that have uses, in order.
fn files(root: &Path) -> Result<Vec<File>> {
    let mut found = Vec::new();
    for folder in TRUSTED.iter().chain(&[LOADER]) {
        for file in rust_files(&root.join(folder).join("src"))? {
            let path = file
                .strip_prefix(root)
                .unwrap_or(&file)
                .display()
                .to_string();
            let is_test = path.ends_with("_tests.rs") || path.ends_with("/tests.rs");
            if is_test || NOT_IN_IMAGE.iter().any(|folder| path.starts_with(folder)) {
                continue;
            }
            let text = fs::read_to_string(&file).with_context(|| format!("read {path}"))?;
            let uses = uses(&text);
            if !uses.is_empty() {
                let purpose = purpose(&text);
                found.push(File {
                    path,
                    purpose,
                    uses,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The crate that a file is counted with.
fn owner_of(path: &str) -> &str {
    let folders = TRUSTED.into_iter().chain([LOADER]);
    let around = folders.filter(|folder| path.starts_with(&format!("{folder}/")));
    around.max_by_key(|folder| folder.len()).unwrap_or_default()
}

fn purpose(text: &str) -> String {
    let said = text.lines().map_while(|line| line.strip_prefix("//!"));
    let said: Vec<&str> = said
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    said.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, claims: &[&str]) -> File {
        let uses = claims.iter().map(|claim| Use {
            line: 7,
            of: "fn f".to_owned(),
            claim: (*claim).to_owned(),
        });
        File {
            path: path.to_owned(),
            purpose: String::new(),
            uses: uses.collect(),
        }
    }

    #[test]
    fn budget_and_sources_must_agree() {
        let text = "[[file]]\npath = \"a\"\nuses = 1\nchecked = [\"x\"]\n[[file]]\npath = \"b\"\nuses = 1\nchecked = []\n\
                    [[file]]\npath = \"c\"\nuses = 1\nchecked = [\"x\"]\n";
        let budget: Budget = toml::from_str(text).expect("a budget");
        let files = [
            file("a", &["so", "so"]),
            file("b", &[""]),
            file("d", &["so"]),
        ];
        assert_eq!(
            compare(&budget.file, &files),
            [
                "a has 2 uses of unsafe, and unsafe.toml says 1",
                "unsafe.toml names nothing that checks b",
                "b:7 makes no claim",
                "d has unsafe and is not in unsafe.toml",
                "c is in unsafe.toml and has no unsafe",
            ]
        );
    }
}

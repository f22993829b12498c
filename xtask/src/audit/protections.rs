//! docs/protections.md says which tool shows which protection: it says what `xtask/mutants.toml` says of the mutants
//! that each row names, and leaves none out that is of an instruction sequence or that a test `tlb::` catches.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::audit::Findings;
use crate::audit::workspace::Workspace;
use crate::mutants::{Kind, Manifest, Mutant};

const FILE: &str = "docs/protections.md";
/// What the columns behind the mutants stand for.
const TOOLS: [(&str, &[Kind]); 4] = [
    ("QEMU", &[Kind::Hw, Kind::Run, Kind::Stack]),
    ("simulated", &[Kind::Sim, Kind::Unit]),
    ("loom", &[Kind::Loom]),
    ("litmus", &[Kind::Litmus]),
];
/// How the names of the hardware tests begin that the document is about.
const SUBJECT: &str = "tlb::";

pub fn check(root: &Path, _workspace: &Workspace) -> Result<Findings> {
    let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("reading {FILE}"))?;
    let manifest = Manifest::load(root)?;
    let rows: Vec<Vec<&str>> = text.lines().filter_map(row).collect();
    println!("    {:>6}  protections", rows.len());
    let mut findings: Findings = rows
        .iter()
        .flat_map(|cells| wrong_in(cells, &manifest))
        .collect();
    let named: BTreeSet<&str> = rows
        .iter()
        .flat_map(|cells| names(cells.get(1).copied().unwrap_or_default()))
        .collect();
    let left_out = manifest.mutants.iter().filter(|(name, mutant)| {
        let mut catchers = mutant.catchers().into_iter();
        let is_ours = catchers.any(|catcher| {
            catcher.kind == Kind::Litmus
                || (catcher.kind == Kind::Hw && catcher.parts().1.starts_with(SUBJECT))
        });
        is_ours && !named.contains(name.as_str())
    });
    findings.extend(left_out.map(|(name, _)| format!("{FILE} does not name {name}")));
    Ok(findings)
}

/// The cells of a row that names mutants.
fn row(line: &str) -> Option<Vec<&str>> {
    let cells = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
    let is_head = cells.first() == Some(&"protection") || cells.first() == Some(&"---");
    (!is_head).then_some(cells)
}

/// What stands in backticks.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Cells that say something else than the manifest, and mutants that it does not know.
fn wrong_in(cells: &[&str], manifest: &Manifest) -> Findings {
    let [what, list, tools @ .., _] = cells else {
        return vec![format!("{FILE}: a row of {} cells", cells.len())];
    };
    let mut findings = Vec::new();
    let mut mutants = Vec::new();
    for name in names(list) {
        match manifest.mutants.get(name) {
            Some(mutant) => mutants.push(mutant),
            None => findings.push(format!("{what}: no mutant is called {name}")),
        }
    }
    if mutants.is_empty() || tools.len() != TOOLS.len() {
        findings.push(format!("{what}: not a row of the table"));
    }
    for ((tool, kinds), says) in TOOLS.iter().zip(tools) {
        let shown = shown(&mutants, kinds);
        if *says != shown {
            findings.push(format!("{what}: {tool} is {shown}, not {says}"));
        }
    }
    findings
}

/// How many of the mutants a tool catches, in the document's words.
fn shown(mutants: &[&Mutant], kinds: &[Kind]) -> &'static str {
    let is_caught = |mutant: &&&Mutant| {
        let mut catchers = mutant.catchers().into_iter();
        catchers.any(|catcher| kinds.contains(&catcher.kind))
    };
    match mutants.iter().filter(is_caught).count() {
        0 => "–",
        count if count == mutants.len() => "yes",
        _ => "some",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let text = "[a]\nremoves = \"x\"\nhw = [\"tlb::t\"]\nloom = [\"m n\"]\n[b]\nremoves = \"y\"\nsim = [\"s\"]\n";
        Manifest::parse(text).unwrap()
    }

    #[test]
    fn cells_say_what_the_manifest_says() {
        let wrong = |line: &str| wrong_in(&row(line).unwrap(), &manifest());
        assert!(wrong("| x | `a` | yes | – | yes | – | why |").is_empty());
        assert!(wrong("| x | `a`, `b` | some | some | some | – | – |").is_empty());
        for (line, found) in [
            ("| x | `a` | yes | – | – | – | why |", 1),
            ("| x | `a`, `b` | yes | some | some | – | – |", 1),
            ("| x | `a`, `c` | yes | – | yes | – | – |", 1),
            ("| x | `a` | yes | – | yes | – |", 1),
            ("| x | – | – | – | – | – | why |", 1),
        ] {
            assert_eq!(wrong(line).len(), found, "{line}");
        }
    }

    #[test]
    fn heads_and_text_are_no_rows() {
        assert!(row("| protection | mutants |").is_none());
        assert!(row("| --- | --- |").is_none());
        assert!(row("some text").is_none());
    }
}

//! `xtask/mutants.toml` names the mutants that the sources have, no more and no fewer, each with a
//! test that catches it or with the reason why none does; and at most two mutants are of any one line, so
//! that their number says something.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::audit::Findings;
use crate::audit::regions::regions;
use crate::audit::source::code_only;
use crate::audit::workspace::Workspace;
use crate::mutants::{Manifest, SOURCES};
use crate::walk::rust_files;

/// Mutants that a line may be of.
const MOST: usize = 2;

pub fn check(root: &Path, _workspace: &Workspace) -> Result<Findings> {
    let manifest = match Manifest::load(root) {
        Ok(manifest) => manifest,
        Err(error) => return Ok(vec![format!("{error:#}")]),
    };
    println!(
        "    {:>6}  mutants, {} of them caught by nothing",
        manifest.mutants.len(),
        manifest.survivors()
    );
    let mut findings = manifest.disagreements(root)?;
    for folder in SOURCES {
        for file in rust_files(&root.join(folder))? {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let name = file.strip_prefix(root).unwrap_or(&file).display();
            let crowds = crowded(&text).into_iter();
            findings.extend(crowds.map(|(line, names)| format!("{name}:{line}: mutants {names}")));
        }
    }
    Ok(findings)
}

/// The lines of more mutants than are allowed, with their names.
fn crowded(text: &str) -> Vec<(usize, String)> {
    let mut lines: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for region in regions(&code_only(text), text) {
        for line in region.lines {
            lines.entry(line).or_default().insert(region.name.clone());
        }
    }
    let too_many = lines.into_iter().filter(|(_, names)| names.len() > MOST);
    too_many
        .map(|(line, names)| (line, names.into_iter().collect::<Vec<_>>().join(", ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_of_two_mutants_at_most() {
        let two = "#[cfg(not(any(mutant = \"a\", mutant = \"b\")))]\nx();\n#[cfg(mutant = \"c\")]\ny();\n";
        assert_eq!(crowded(two), []);
        let three = two.replace("y();", "y(cfg!(mutant = \"d\"), cfg!(mutant = \"e\"));");
        assert_eq!(crowded(&three)[0], (3, "c, d, e".to_owned()));
    }
}

//! Compiling the specification, below the target folder.
//!
//! Invariant: what is compiled there is what the checkout holds: a file is compiled again when its
//! text, or any file before it in the order of dependence, has changed.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Source;
use crate::process::{capture, show_with_environment};
use crate::setup::coq::Coq;
use crate::walk::files_with;

/// The logical name of the folder.
pub const LIBRARY: &str = "Bulkhead";

/// A build of the specification.
pub struct Build<'c> {
    coq: &'c Coq,
    folder: PathBuf,
    files: Vec<Source>,
    changed: BTreeSet<Source>,
    /// A file before was compiled in this run, or could not be.
    is_stale: Cell<bool>,
}

impl<'c> Build<'c> {
    /// Copies the files of `source` into `folder` and puts them in order.
    pub fn new(coq: &'c Coq, source: &Path, folder: PathBuf) -> Result<Self> {
        let mut changed = BTreeSet::new();
        let mut names: Vec<Source> = Vec::new();
        for file in files_with(source, &["v"])? {
            let name = file.strip_prefix(source)?.to_path_buf();
            let text = fs::read(&file)?;
            let copy = folder.join(&name);
            let is_same = fs::read(&copy).is_ok_and(|known| known == text);
            if !is_same || !copy.with_extension("vo").exists() {
                fs::create_dir_all(copy.parent().context("a file lies in a folder")?)?;
                fs::write(&copy, text).with_context(|| format!("write {}", copy.display()))?;
                changed.insert(name.clone());
            }
            names.push(name);
        }
        // What is not there any more must not be found by those that name it.
        for old in files_with(&folder, &["v", "vo"])? {
            let name = old.strip_prefix(&folder)?.with_extension("v");
            if !names.contains(&name) {
                fs::remove_file(&old)?;
            }
        }
        let mut build = Self {
            coq,
            folder,
            files: Vec::new(),
            changed,
            is_stale: Cell::new(false),
        };
        let sorted = capture(build.command("coqdep").arg("-sort").args(&names))?;
        build.files = sorted
            .split_whitespace()
            .map(|name| PathBuf::from(name.trim_start_matches("./")).with_extension("v"))
            .collect();
        Ok(build)
    }

    /// The files, each after those that it needs.
    pub fn files(&self) -> &[Source] {
        &self.files
    }

    /// Those of the files that `file`, which is none of them, needs: each after those that it needs itself.
    pub fn needed_by(&self, file: &Path) -> Result<Vec<Source>> {
        let mut names: Vec<&Path> = self.files.iter().map(PathBuf::as_path).collect();
        names.push(file);
        let said = capture(self.command("coqdep").args(&names))?;
        let rules: Vec<(&str, Vec<&str>)> = said.lines().filter_map(rule_of).collect();
        let mut needed: BTreeSet<String> = BTreeSet::new();
        let mut todo = vec![file.with_extension("vo").to_string_lossy().into_owned()];
        while let Some(target) = todo.pop() {
            for (_, others) in rules.iter().filter(|(made, _)| *made == target) {
                for other in others.iter().filter(|other| other.ends_with(".vo")) {
                    if needed.insert((*other).to_owned()) {
                        todo.push((*other).to_owned());
                    }
                }
            }
        }
        let is_needed = |source: &&Source| {
            let made = source.with_extension("vo");
            needed.contains(made.to_string_lossy().as_ref())
        };
        Ok(self.files.iter().filter(is_needed).cloned().collect())
    }

    /// Would [`Self::compile`] compile it?
    pub fn is_due(&self, file: &Source) -> bool {
        self.is_stale.get() || self.changed.contains(file)
    }

    /// Compiles one; what is wrong with it.
    pub fn compile(&self, file: &Source) -> Result<Option<String>> {
        if !self.is_due(file) {
            return Ok(None);
        }
        self.is_stale.set(true);
        let compiled = self.folder.join(file).with_extension("vo");
        if compiled.exists() {
            fs::remove_file(&compiled)?;
        }
        let mut coqc = self.command("coqc");
        Ok(self.fault_of(coqc.arg("-q").arg(file)))
    }

    /// What Coq says to `text`, a file of commands about the compiled library.
    pub fn ask(&self, name: &str, text: &str) -> Result<String> {
        let file = self.folder.join(name);
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let said = capture(self.command("coqc").arg("-q").arg(name));
        for extension in ["v", "vo", "vok", "vos", "glob"] {
            let _ = fs::remove_file(file.with_extension(extension));
        }
        said
    }

    /// Has the independent checker look at all that was compiled.
    pub fn check_again(&self) -> Result<Option<String>> {
        let modules = self.files.iter().map(|file| module_of(file));
        let mut coqchk = self.command("coqchk");
        Ok(self.fault_of(coqchk.args(["-silent", "-o"]).args(modules)))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.coq.command(program);
        command.current_dir(&self.folder).args(["-Q", ".", LIBRARY]);
        command
    }

    fn fault_of(&self, command: &mut Command) -> Option<String> {
        let error = capture(command).err()?;
        let again = show_with_environment(command);
        let folder = self.folder.display();
        Some(format!("{error}\n    again: cd {folder} && {again}"))
    }
}

/// What a line of `coqdep`'s makes first, and from what.
fn rule_of(line: &str) -> Option<(&str, Vec<&str>)> {
    let (made, from) = line.split_once(':')?;
    let first = made.split_whitespace().next()?;
    let cut = |path| str::trim_start_matches(path, "./");
    Some((cut(first), from.split_whitespace().map(cut).collect()))
}

/// `Proofs/Moves.v` as Coq names it.
fn module_of(file: &Path) -> String {
    let path = file.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy());
    std::iter::once(LIBRARY.into())
        .chain(parts)
        .collect::<Vec<_>>()
        .join(".")
}

#[cfg(test)]
mod tests {
    use super::module_of;
    use std::path::Path;

    #[test]
    fn files_are_modules() {
        assert_eq!(module_of(Path::new("Base.v")), "Bulkhead.Base");
        assert_eq!(
            module_of(Path::new("Proofs/Moves.v")),
            "Bulkhead.Proofs.Moves"
        );
    }
}

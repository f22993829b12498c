//! Specifications with a hole: does a proof fail that should?
//!
//! Invariant: a variant differs from the specification by one replacement, whose place is there once; it
//! counts as seen only if the first file that does not compile is the one that the list names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::build::Build;
use crate::setup::coq::Coq;
use crate::walk::files_with;

/// What is played there may change with a hole; it is an example and no proof.
const EXAMPLE: &str = "Scenario.v";

/// A hole.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leak {
    /// Short name.
    pub name: String,
    /// What leaks.
    pub says: String,
    /// The file that is changed.
    pub file: PathBuf,
    /// What stands there.
    pub from: String,
    /// What stands there instead.
    pub to: String,
    /// The file whose proof fails.
    pub breaks: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    leak: Vec<Leak>,
}

/// Those that `leaks.toml` lists.
pub fn load(source: &Path) -> Result<Vec<Leak>> {
    let file = source.join("leaks.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let manifest: Manifest =
        toml::from_str(&text).with_context(|| format!("{} is not valid", file.display()))?;
    Ok(manifest.leak)
}

/// The holes that have no place any more, or several: what is wrong, if any.
pub fn misplaced(source: &Path) -> Result<Option<String>> {
    let faults: Vec<String> = load(source)?
        .iter()
        .filter_map(|leak| with_hole(source, leak).err())
        .map(|fault| format!("    {fault}"))
        .collect();
    Ok((!faults.is_empty()).then(|| faults.join("\n")))
}

/// The file with the hole in it.
fn with_hole(source: &Path, leak: &Leak) -> Result<String> {
    let file = source.join(&leak.file);
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    ensure!(
        text.matches(&leak.from).count() == 1,
        "{}: its place is not there once in {}",
        leak.name,
        leak.file.display()
    );
    Ok(text.replace(&leak.from, &leak.to))
}

/// Compiles the variant below `folder`, from what was compiled in `whole`; what is wrong, if no proof
/// fails or another than the one that is named.
pub fn attempt(
    coq: &Coq,
    source: &Path,
    whole: &Path,
    folder: &Path,
    leak: &Leak,
) -> Result<Option<String>> {
    let (variant, compiled) = (folder.join("source"), folder.join("compiled"));
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    copy(source, &variant, &["v"])?;
    copy(whole, &compiled, &["v", "vo"])?;
    fs::write(variant.join(&leak.file), with_hole(source, leak)?)?;

    let build = Build::new(coq, &variant, compiled)?;
    for file in build.files() {
        if file.as_path() != Path::new(EXAMPLE) && build.compile(file)?.is_some() {
            let (found, wanted) = (file.display(), leak.breaks.display());
            return Ok((*file != leak.breaks).then(|| format!("    {found} fails, not {wanted}")));
        }
    }
    Ok(Some("    every proof holds".to_owned()))
}

fn copy(from: &Path, to: &Path, extensions: &[&str]) -> Result<()> {
    for file in files_with(from, extensions)? {
        let copy = to.join(file.strip_prefix(from)?);
        fs::create_dir_all(copy.parent().context("a file lies in a folder")?)?;
        fs::copy(&file, &copy).with_context(|| format!("write {}", copy.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_gone_or_there_twice_is_told() {
        let folder = std::env::temp_dir().join(format!("bulkhead-leaks-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let told = |text: &str| {
            let leak = "[[leak]]\nname = \"n\"\nsays = \"s\"\nfile = \"A.v\"\nfrom = \"here\"\nto = \"\"\nbreaks = \"A.v\"\n";
            fs::write(folder.join("leaks.toml"), leak).expect("written");
            fs::write(folder.join("A.v"), text).expect("written");
            misplaced(&folder).expect("read").is_some()
        };
        let found = ["is here", "is gone", "here and here"].map(told);
        fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(found, [false, true, true]);
    }
}

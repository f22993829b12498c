//! The kept corpus: `engine/fuzz/corpus/TARGET.txt`, an input a line in hexadecimal; and the folder that libFuzzer
//! works in.
//!
//! Invariant: what is kept has each edge that the working folder has, as far as [`MOST`] allows; short inputs first.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::paths::Paths;
use crate::process::run_logged;

/// Most bytes of one target's file.
const MOST: usize = 200_000;

/// The kept file of a target.
pub fn file(paths: &Paths, target: &str) -> PathBuf {
    paths
        .root
        .join("engine/fuzz/corpus")
        .join(format!("{target}.txt"))
}

/// The folder that libFuzzer works in: deep runs go on where the last one ended, others begin with what is kept.
pub fn folder(paths: &Paths, target: &str, is_deep: bool) -> PathBuf {
    let name = if is_deep { "deep" } else { "short" };
    paths.target.join("fuzz").join(name).join(target)
}

/// Puts the kept inputs where libFuzzer takes them from; how many.
pub fn unpack(paths: &Paths, target: &str, is_deep: bool) -> Result<usize> {
    let folder = folder(paths, target, is_deep);
    if !is_deep && folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let inputs = read(paths, target)?;
    for input in &inputs {
        fs::write(folder.join(name_of(input)), input)?;
    }
    Ok(inputs.len())
}

/// The kept inputs.
fn read(paths: &Paths, target: &str) -> Result<Vec<Vec<u8>>> {
    let file = file(paths, target);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        // A new target's.
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => bail!("read {}: {error}", file.display()),
    };
    parse(&text).with_context(|| file.display().to_string())
}

/// Keeps what of the working folder has all edges, by the target's own `program`; how many inputs.
pub fn keep(paths: &Paths, target: &str, program: &Path, log: &Path) -> Result<usize> {
    let merged = paths.target.join("fuzz/merged").join(target);
    if merged.exists() {
        fs::remove_dir_all(&merged)?;
    }
    fs::create_dir_all(&merged)?;
    // What is kept stays: some of it is there for more than the edges that it goes.
    for input in read(paths, target)? {
        fs::write(merged.join(name_of(&input)), input)?;
    }
    let mut merge = Command::new(program);
    // By edges alone: how often each was gone would keep a hundred times as much.
    merge.args(["-merge=1", "-use_counters=0"]);
    merge.arg(&merged).arg(folder(paths, target, true));
    let (status, _) = run_logged(&mut merge, log)?;
    if status != Some(0) {
        bail!("the corpus of {target} does not merge: {}", log.display());
    }
    let mut inputs = Vec::new();
    for entry in fs::read_dir(&merged)? {
        inputs.push(fs::read(entry?.path())?);
    }
    let text = render(inputs);
    fs::write(file(paths, target), &text)?;
    Ok(text.lines().count())
}

fn name_of(input: &[u8]) -> String {
    let hash = Sha256::digest(input);
    hash[..20]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn parse(text: &str) -> Result<Vec<Vec<u8>>> {
    let byte = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok();
        digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())
    };
    let input = |(number, line): (usize, &str)| -> Result<Vec<u8>> {
        let digits = line.as_bytes().chunks(2);
        digits
            .map(|two| byte(two).filter(|_| two.len() == 2))
            .collect::<Option<_>>()
            .with_context(|| format!("line {} is not hexadecimal", number + 1))
    };
    text.lines().enumerate().map(input).collect()
}

fn render(mut inputs: Vec<Vec<u8>>) -> String {
    inputs.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    inputs.dedup();
    let mut text = String::new();
    for input in inputs.iter().filter(|input| !input.is_empty()) {
        if text.len() + 2 * input.len() + 1 > MOST {
            break;
        }
        for byte in input {
            text += &format!("{byte:02x}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_inputs_are_read_back_the_short_ones_first() {
        let inputs = vec![vec![1, 2, 0xff], vec![7], vec![1, 2, 0xff]];
        let text = render(inputs);
        assert_eq!(text, "07\n0102ff\n");
        assert_eq!(parse(&text).unwrap(), [vec![7], vec![1, 2, 0xff]]);
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let inputs = vec![vec![1; 10], vec![2; MOST], vec![3; 20]];
        assert_eq!(render(inputs).lines().count(), 2);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["0", "0g", "01\n2"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

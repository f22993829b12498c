//! `cargo xtask attacks`: boots the hardware tests that are attacks and writes `docs/attacks.md`; with
//! `--check` it compares. A full `cargo xtask hw-test` compares too, with the boots that it makes anyway.
//!
//! Invariant: the page is a function of what the test image says of its cases, how they ended on each
//! machine, and which mutants name them; nothing of it depends on the time or on the machine below.

mod book;
mod page;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::hw;
use crate::paths::Paths;

pub use book::Book;

/// What the image's filter says for the cases alone.
pub const FILTER: &str = "@attack";
/// The page.
const FILE: &str = "docs/attacks.md";

/// What to do with the page
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// Only compare
    #[arg(long)]
    pub check: bool,
}

/// Boots, and writes or compares.
pub fn run(paths: &Paths, options: Options) -> Result<ExitCode> {
    let (book, count) = hw::play_attacks(paths)?;
    if options.check {
        check(&paths.root, &book)?;
        println!("{FILE} says the same");
    } else {
        let text = page::render(&paths.root, &book)?;
        fs::write(paths.root.join(FILE), text).with_context(|| format!("write {FILE}"))?;
        println!("{FILE}: {} cases", book.cases().len());
    }
    println!("{count}");
    Ok(match book.has_failures() {
        true => ExitCode::FAILURE,
        false => count.exit_code(),
    })
}

/// Fails unless the page says what `book` does.
pub fn check(root: &Path, book: &Book) -> Result<()> {
    let wanted = page::render(root, book)?;
    let found = fs::read_to_string(root.join(FILE)).with_context(|| format!("read {FILE}"))?;
    if found == wanted {
        return Ok(());
    }
    let differs = found.lines().zip(wanted.lines()).find(|(a, b)| a != b);
    match differs {
        Some((found, wanted)) => bail!(
            "{FILE} is not what the tests say (run `cargo xtask attacks`):\n  has   {found}\n  wants {wanted}"
        ),
        None => bail!("{FILE} is longer or shorter than what the tests say: `cargo xtask attacks`"),
    }
}

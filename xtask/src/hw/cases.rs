//! The hardware tests that are attacks: which boots play them all, and whether their page says the same.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::boot::{Images, log_file, run_boot};
use super::manifest::{Boot, Manifest};
use super::output::Output;
use super::select::are_all_machines;
use super::twins::Twins;
use super::{Options, TESTS};
use crate::attacks::{self, Book};
use crate::count::Count;
use crate::image::build::{self, ENGINE};
use crate::paths::Paths;
use crate::setup::Tools;

/// Do these options leave out no test, no machine and no part of the engine?
pub fn are_all_selected(options: &Options) -> bool {
    let selects = options.filter.is_some() || options.names.is_some();
    let changes = options.mutant.is_some() || options.icount;
    !selects && !changes && are_all_machines(options)
}

/// Does this boot run all tests, the attacks among them, once? (One with firmware has a twin without.)
pub fn are_all_in(boot: &Boot) -> bool {
    boot.filter.is_empty() && !boot.is_replayed && boot.firmware.is_none()
}

/// One test more: the page of the attacks says what the boots did.
pub fn check(root: &Path, book: &Book) -> Count {
    match attacks::check(root, book) {
        Ok(()) if book.has_failures() => Count::new(0, 1, 0),
        Ok(()) => Count::new(1, 0, 0),
        Err(error) => {
            println!("    {error:#}");
            Count::new(0, 1, 0)
        }
    }
}

/// Boots the attacks alone, on every machine that runs all tests; how its tests ended, the machine's own among them.
pub fn play(paths: &Paths) -> Result<(Book, Count)> {
    let tools = Tools::set_up(&paths.cache(), None)?;
    let images = Images {
        tests: build::build(paths, &tools.toolchain, TESTS, None)?,
        engine: build::build(paths, &tools.toolchain, ENGINE, None)?,
        efi: None,
        tools,
    };
    let mut boots = Manifest::load(&paths.root)?.boots()?;
    boots.retain(are_all_in);
    let mut book = Book::default();
    let (mut output, mut twins) = (Output::default(), Twins::new(false));
    let mut count = Count::default();
    for boot in &mut boots {
        boot.filter = attacks::FILTER.into();
        count += run_boot(paths, &images, boot, 1, None, &mut output, &mut twins)?;
        book.add(&boot.name, &console_of(paths, boot)?)?;
    }
    Ok((book, count))
}

/// What a boot's console said.
pub fn console_of(paths: &Paths, boot: &Boot) -> Result<String> {
    let console = fs::read(log_file(paths, boot))?;
    Ok(String::from_utf8_lossy(&console).into_owned())
}

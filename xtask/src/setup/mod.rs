//! Set-up: everything a run needs beside cargo, found or fetched.
//!
//! Nothing is installed on the system. What is missing is fetched as Debian packages and unpacked
//! below `target/cache`, so it needs no root, changes no configuration, and removing the target
//! folder removes all of it. What is cached is used without asking the network again.

pub mod cargo_mutants;
pub mod coq;
pub mod cross;
pub mod debian;
pub mod edk2;
pub mod fuzz;
pub mod guest;
pub mod litmus;
pub mod loader;
pub mod ocaml;
pub mod qemu;
pub mod toolchain;

use std::path::Path;

use anyhow::{Error, Result, bail};

use crate::setup::qemu::Qemu;
use crate::setup::toolchain::{BARE, Toolchain};

/// What every image needs to be built and booted.
pub struct Tools {
    /// The emulator.
    pub qemu: Qemu,
    /// The compiler.
    pub toolchain: Toolchain,
}

impl Tools {
    /// Finds the tools, or fetches them into `cache`. What is missing is told together, `further`
    /// (another part of the set-up that failed) included.
    pub fn set_up(cache: &Path, further: Option<&Error>) -> Result<Self> {
        let (qemu, toolchain) = (Qemu::set_up(cache), Toolchain::set_up(cache, BARE));
        match (qemu, toolchain, further) {
            (Ok(qemu), Ok(toolchain), None) => {
                println!("    {}", qemu.describe());
                println!("    {}", toolchain.describe());
                Ok(Self { qemu, toolchain })
            }
            (qemu, toolchain, further) => {
                let (qemu, toolchain) = (qemu.err(), toolchain.err());
                let missing: Vec<String> = [qemu.as_ref(), toolchain.as_ref(), further]
                    .into_iter()
                    .flatten()
                    .map(|error| format!("{error:#}"))
                    .collect();
                bail!(missing.join("\nerror: "))
            }
        }
    }
}

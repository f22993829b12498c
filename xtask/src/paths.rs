//! Where things lie: the checkout and what is built or cached below its target folder.
//!
//! Nothing outside the target folder is ever written, and `cache/` holds only what a download
//! can restore.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The folders that every part of the tool works in.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The checkout.
    pub root: PathBuf,
    /// Cargo's target folder for builds on the development machine.
    pub target: PathBuf,
}

impl Paths {
    /// Finds the checkout (`cargo run` tells where this package is; without cargo, where it was
    /// compiled) and the target folder as cargo does.
    pub fn find() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package
            .parent()
            .context("xtask lies in a folder of the checkout")?
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// Downloads, unpacked; survives as long as the target folder does.
    pub fn cache(&self) -> PathBuf {
        self.target.join("cache")
    }

    /// Cargo's target folder for bare-metal builds.
    pub fn metal(&self) -> PathBuf {
        self.target.join("metal")
    }

    /// Images that QEMU boots.
    pub fn images(&self) -> PathBuf {
        self.target.join("images")
    }

    /// Logs of runs and of test stages.
    pub fn logs(&self) -> PathBuf {
        self.target.join("logs")
    }
}

//! `hw-tests/images.toml`: the test images and the machines to run them on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::run::size::{Bytes, MIB};

/// One image, run once per number of cores.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestImage {
    /// Binary of the package `bulkhead-hw-tests`; it runs in the host's place.
    pub bin: String,
    /// Numbers of cores to run it with.
    pub cpus: Vec<u32>,
    /// Processor model.
    #[serde(default = "default_cpu")]
    pub cpu: String,
    /// RAM in MiB.
    #[serde(default = "default_mem_mib")]
    pub mem_mib: u64,
    /// Command line.
    #[serde(default)]
    pub cmdline: String,
    /// Seconds that one run may take.
    pub timeout: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    image: Vec<TestImage>,
}

impl TestImage {
    /// RAM of the machine.
    pub fn mem(&self) -> Bytes {
        Bytes(self.mem_mib.saturating_mul(MIB))
    }
}

/// Reads the manifest below `root`.
pub fn read(root: &Path) -> Result<Vec<TestImage>> {
    let file = root.join("hw-tests/images.toml");
    let name = || file.display().to_string();
    let text = fs::read_to_string(&file).with_context(name)?;
    parse(&text).with_context(name)
}

fn parse(text: &str) -> Result<Vec<TestImage>> {
    let manifest: Manifest = toml::from_str(text)?;
    for image in &manifest.image {
        ensure!(!image.cpus.is_empty(), "{}: no number of cores", image.bin);
    }
    Ok(manifest.image)
}

fn default_cpu() -> String {
    "max".to_owned()
}

fn default_mem_mib() -> u64 {
    1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_take_defaults() {
        let images = parse("[[image]]\nbin = \"smp\"\ncpus = [1, 8]\ntimeout = 60\n").unwrap();
        assert_eq!(images[0].mem(), Bytes(1024 * MIB));
        assert_eq!(
            (images[0].cpu.as_str(), images[0].cmdline.as_str()),
            ("max", "")
        );
    }

    #[test]
    fn mistakes_are_refused() {
        for text in [
            "[[image]]\nbin = \"a\"\ncpus = []\ntimeout = 60",
            "[[image]]\nbin = \"a\"\ncpus = [1]",
            "[[image]]\nbin = \"a\"\ncpus = [1]\ntimeout = 60\nmemory = 1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

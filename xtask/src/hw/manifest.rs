//! `hw-tests/tests.toml`: on which machines the tests run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::run::machine::{Machine, cpu_argument};
use crate::run::size::Bytes;

/// Where it lies in the checkout.
const FILE: &str = "hw-tests/tests.toml";

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Tests with the machines that they run on.
    pub group: Vec<Group>,
}

/// Tests that run on the same machines.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What to call it.
    pub name: String,
    /// Parts of test names, separated by commas.
    pub filter: String,
    /// Numbers of cores.
    pub cpus: Vec<u32>,
    /// Processor models.
    pub models: Vec<String>,
    mem: String,
    timeout_s: u64,
    /// The device tree names RAM that is not there.
    #[serde(default)]
    pub absent_ram: bool,
    /// The machine starts twice, the second time with what was left in its RAM.
    #[serde(default)]
    pub kept_ram: bool,
    /// What boots the machine, if it is not QEMU itself.
    #[serde(default)]
    pub firmware: Option<Firmware>,
    /// The last core begins to run so many seconds after the others.
    #[serde(default)]
    late_s: Option<u64>,
    /// Parts of names of tests that this machine is made for: one that is skipped has failed.
    #[serde(default)]
    must_run: Vec<String>,
    /// The machine runs twice, counting instructions, and must say the same.
    #[serde(default)]
    replayed: bool,
}

/// Firmware that boots a machine.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// UEFI, with ACPI and without a device tree.
    Edk2,
    /// UEFI, with a device tree and without ACPI.
    #[serde(rename = "edk2-tree")]
    Edk2Tree,
}

/// One boot.
#[derive(Clone, Debug)]
pub struct Boot {
    /// For people and for the log's name.
    pub name: String,
    /// The group whose machine it is.
    pub group: String,
    /// Tests to run.
    pub filter: String,
    /// Their whole names, not parts of them.
    pub is_exact: bool,
    /// The machine.
    pub machine: Machine,
    /// How long it may run.
    pub limit: Duration,
    /// The device tree names RAM that is not there.
    pub absent_ram: bool,
    /// The machine starts twice, the second time with what was left in its RAM.
    pub kept_ram: bool,
    /// What boots the machine, if it is not QEMU itself.
    pub firmware: Option<Firmware>,
    /// The last core begins to run so long after the others.
    pub late: Option<Duration>,
    /// Parts of names of tests that must not be skipped.
    pub must_run: Vec<String>,
    /// It is to run twice and say the same.
    pub is_replayed: bool,
}

impl Boot {
    /// From now on a tick of the machine's time is an instruction, and a run is the same each time.
    pub fn count_instructions(&mut self) {
        let machine = &mut self.machine;
        // A model's name, without what stands behind it.
        let model = machine.cpu.split(',').next().unwrap_or_default();
        machine.cpu = cpu_argument(model, true);
        machine.icount = true;
    }

    /// From now on it runs these tests in place of its group's; what it must run is left out where none of them
    /// is that.
    pub fn narrow(&mut self, filter: &str, is_exact: bool) {
        filter.clone_into(&mut self.filter);
        self.is_exact = is_exact;
        let is_wanted = |part: &str| filter.split(',').any(|want| overlap(want, part));
        self.must_run.retain(|part| is_wanted(part));
    }
}

impl Manifest {
    /// Reads the checkout's manifest.
    pub fn load(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("read {FILE}"))?;
        Self::parse(&text).context(FILE)
    }

    /// Reads a manifest's text.
    pub fn parse(text: &str) -> Result<Self> {
        let manifest: Self = toml::from_str(text)?;
        for group in &manifest.group {
            let name = &group.name;
            ensure!(
                !group.cpus.is_empty() && !group.models.is_empty(),
                "group {name} has no machine"
            );
            ensure!(!group.cpus.contains(&0), "group {name} has no cores");
            group.mem().with_context(|| format!("group {name}"))?;
        }
        Ok(manifest)
    }

    /// The boots of all groups, in order.
    pub fn boots(&self) -> Result<Vec<Boot>> {
        let mut boots = Vec::new();
        for group in &self.group {
            boots.extend(group.boots()?);
        }
        Ok(boots)
    }

    /// Everything on a machine that no group has, with the limits of the group that goes to most cores.
    pub fn any_machine(&self, cpus: u32, model: &str) -> Result<Boot> {
        let group = self
            .group
            .iter()
            .filter(|group| group.is_ordinary())
            .max_by_key(|group| group.cpus.iter().max())
            .context("no group has an ordinary machine")?;
        Ok(Boot {
            filter: String::new(),
            ..group.boot(cpus, model)?
        })
    }
}

impl Group {
    /// Does it have this machine?
    pub fn has(&self, cpus: u32, model: &str) -> bool {
        self.cpus.contains(&cpus) && self.models.iter().any(|known| known == model)
    }

    /// Is it for everything, or for tests that `wanted` (such a list too) may name?
    pub fn is_for(&self, wanted: &str) -> bool {
        let is_wanted = |part| wanted.split(',').any(|want| overlap(want, part));
        self.filter.is_empty() || self.filter.split(',').any(is_wanted)
    }

    /// Is it a machine like any other?
    pub fn is_ordinary(&self) -> bool {
        let is_plain =
            !self.absent_ram && !self.kept_ram && self.late_s.is_none() && !self.replayed;
        is_plain && self.firmware.is_none()
    }

    /// Is its machine made for tests that this part of a name may mean?
    pub fn is_made_for(&self, wanted: &str) -> bool {
        let mut parts = self.must_run.iter();
        parts.any(|part| overlap(wanted, part))
    }

    /// The boots on its machines, in order.
    pub fn boots(&self) -> Result<Vec<Boot>> {
        let mut boots = Vec::new();
        for model in &self.models {
            for cpus in &self.cpus {
                boots.push(self.boot(*cpus, model)?);
            }
        }
        Ok(boots)
    }

    fn mem(&self) -> Result<Bytes> {
        self.mem.parse().context("mem")
    }

    /// The boot on a machine with these.
    pub fn boot(&self, cpus: u32, model: &str) -> Result<Boot> {
        let mut boot = Boot {
            name: format!("{}-{cpus}-{model}", self.name),
            group: self.name.clone(),
            filter: self.filter.clone(),
            is_exact: false,
            machine: Machine {
                cpus,
                cpu: cpu_argument(model, false),
                mem: self.mem()?,
                icount: false,
                gdb: false,
                is_ram_clear: !self.kept_ram,
            },
            limit: Duration::from_secs(self.timeout_s),
            absent_ram: self.absent_ram,
            kept_ram: self.kept_ram,
            firmware: self.firmware,
            late: self.late_s.map(Duration::from_secs),
            must_run: self.must_run.clone(),
            is_replayed: self.replayed,
        };
        if self.replayed {
            boot.count_instructions();
        }
        Ok(boot)
    }
}

/// May a test's name have both parts? Nothing is no part.
fn overlap(wanted: &str, part: &str) -> bool {
    !wanted.is_empty() && (wanted.contains(part) || part.contains(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::size::GIB;

    const TEXT: &str = r#"
        [[group]]
        name = "all"
        filter = ""
        cpus = [1, 192]
        models = ["max", "cortex-a72"]
        mem = "2G"
        timeout_s = 60
    "#;

    #[test]
    fn every_model_runs_with_every_number_of_cores() {
        let boots = Manifest::parse(TEXT).unwrap().boots().unwrap();
        let names: Vec<&str> = boots.iter().map(|boot| boot.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "all-1-max",
                "all-192-max",
                "all-1-cortex-a72",
                "all-192-cortex-a72"
            ]
        );
        assert_eq!(boots[1].machine.cpus, 192);
        assert_eq!(boots[1].machine.mem, Bytes(2 * GIB));
        assert_eq!(boots[1].limit, Duration::from_secs(60));
    }

    #[test]
    fn nonsense_is_refused() {
        for (good, bad) in [
            ("[1, 192]", "[]"),
            ("[1, 192]", "[0]"),
            ("\"2G\"", "\"2X\""),
            ("timeout_s", "timeout"),
        ] {
            let text = TEXT.replacen(good, bad, 1);
            assert!(Manifest::parse(&text).is_err(), "{bad}");
        }
    }

    #[test]
    fn checkout_has_a_manifest() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert!(!Manifest::load(root).unwrap().boots().unwrap().is_empty());
    }
}

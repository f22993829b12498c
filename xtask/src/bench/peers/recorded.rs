//! What the peers took when they were recorded: `xtask/peers/recorded.toml`.
//!
//! Invariant: a run's name is of one run, and a figure's of one figure: `peer-version/mode/cpu/measurement`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

const FILE: &str = "xtask/peers/recorded.toml";

/// Who is measured.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Peer {
    /// Linux's hypervisor, protected or not.
    #[serde(rename = "KVM")]
    Kvm,
    /// Xen, with Linux as dom0.
    Xen,
    /// Data only.
    #[serde(rename = "NOVA")]
    Nova,
    /// Data only.
    Jailhouse,
}

impl Peer {
    /// Whether this tool can set it up and measure it.
    pub fn is_measured(self) -> bool {
        matches!(self, Self::Kvm | Self::Xen)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Xen => "xen",
            Self::Nova => "nova",
            Self::Jailhouse => "jailhouse",
        }
    }
}

/// One boot of a peer, and what it took.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Who.
    pub peer: Peer,
    /// The series of its versions.
    pub version: Option<String>,
    /// How it was configured, or from which seat it was measured.
    pub mode: String,
    /// The processor model.
    pub cpu: String,
    /// Cores; on more than one, what two of them do together is measured.
    #[serde(default = "one")]
    pub cores: u32,
    /// By measurement.
    pub medians: BTreeMap<String, f64>,
}

fn one() -> u32 {
    1
}

impl Run {
    /// `peer-version/mode/cpu`, the last with the number of cores if it is not one.
    pub fn name(&self) -> String {
        let version = self.version.as_ref();
        let version = version.map_or_else(String::new, |version| format!("-{version}"));
        let cores = match self.cores {
            1 => String::new(),
            cores => format!("-smp{cores}"),
        };
        format!(
            "{}{version}/{}/{}{cores}",
            self.peer.name(),
            self.mode,
            self.cpu
        )
    }

    /// A measurement's name with the run's in front.
    pub fn figure_name(&self, measurement: &str) -> String {
        format!("{}/{measurement}", self.name())
    }
}

/// All runs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// In the file's order.
    #[serde(rename = "run")]
    pub runs: Vec<Run>,
}

impl Recorded {
    /// Reads the file.
    pub fn load(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(FILE)).context(FILE)?;
        Self::parse(&text).context(FILE)
    }

    fn parse(text: &str) -> Result<Self> {
        let recorded: Self = toml::from_str(text)?;
        for (at, run) in recorded.runs.iter().enumerate() {
            let name = run.name();
            if recorded.runs[..at].iter().any(|other| other.name() == name) {
                bail!("{name} is there twice");
            }
            ensure!(!run.medians.is_empty(), "{name} has no figures");
            ensure!(
                !run.peer.is_measured() || run.version.is_some(),
                "{name} cannot be fetched without a version"
            );
            if let Some((what, _)) = run.medians.iter().find(|(_, median)| **median < 1.0) {
                bail!("{name}/{what}: nothing takes less than an instruction");
            }
        }
        Ok(recorded)
    }

    /// The median of that name.
    pub fn median(&self, figure: &str) -> Option<f64> {
        let (run, measurement) = figure.rsplit_once('/')?;
        let run = self.runs.iter().find(|other| other.name() == run)?;
        run.medians.get(measurement).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[run]]\npeer = \"KVM\"\nversion = \"6.1\"\nmode = \"vhe\"\ncpu = \"max\"\n\
                        medians = { \"vgic.a\" = 7 }\n\
                        [[run]]\npeer = \"NOVA\"\nmode = \"root-task\"\ncpu = \"max\"\nmedians = { b = 8 }\n";

    #[test]
    fn figures_are_found_by_their_names() {
        let two = GOOD.replace("cpu", "cores = 2\ncpu");
        let two = Recorded::parse(&two).unwrap();
        assert_eq!(two.median("kvm-6.1/vhe/max-smp2/vgic.a"), Some(7.0));
        let recorded = Recorded::parse(GOOD).unwrap();
        assert_eq!(recorded.median("kvm-6.1/vhe/max/vgic.a"), Some(7.0));
        assert_eq!(recorded.median("nova/root-task/max/b"), Some(8.0));
        for wrong in ["kvm-6.1/vhe/max/b", "kvm-6.1/vhe/max", "b", ""] {
            assert_eq!(recorded.median(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_with_a_figure_of_nothing_or_a_run_twice_is_refused() {
        let why = |text: &str| Recorded::parse(text).unwrap_err().to_string();
        let twice = GOOD.to_owned() + GOOD;
        assert!(why(&twice).contains("kvm-6.1/vhe/max is there twice"));
        assert!(why(&GOOD.replace("= 7", "= 0")).contains("vgic.a"));
        assert!(why(&GOOD.replace("{ b = 8 }", "{}")).contains("no figures"));
        assert!(why(&GOOD.replace("version = \"6.1\"\n", "")).contains("without a version"));
        assert!(Recorded::parse(&GOOD.replace("KVM", "Unheard")).is_err());
    }

    #[test]
    fn the_committed_file_is_well_formed_and_has_every_peer() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let recorded = Recorded::load(root).unwrap();
        for peer in [Peer::Kvm, Peer::Xen, Peer::Nova, Peer::Jailhouse] {
            assert!(recorded.runs.iter().any(|run| run.peer == peer), "{peer:?}");
        }
    }
}

//! One test that catches a mutant: its kind and name, and how to run it.

use std::fmt;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::Deserialize;

/// Cores and processor model of a hardware test that does not say `@CPUS-MODEL`.
const HW_MACHINE: &str = "2-max";
/// How a machine whose histories are judged is named among the models of `linear`, with `@CPUS` behind it.
const ORDERS: &str = "machine";
/// Seconds for which its cores make calls.
const ORDERS_S: u32 = 20;

/// Where a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A test beside the code
    Unit,
    /// A test on the simulated machine
    Sim,
    /// A model, explored by loom
    Loom,
    /// A litmus test of an instruction sequence
    Litmus,
    /// A target's kept corpus of fuzzing
    Fuzz,
    /// A property of the engine beside the extracted specification
    Conform,
    /// An order of what a model's or a machine's cores did at the same time, by the extracted specification
    Linear,
    /// A bare-metal test in QEMU
    Hw,
    /// The main run with Linux guests in QEMU
    Run,
    /// The instructions and broadcasts of calls in a storm, counted in QEMU
    Storm,
    /// An operation of several cores, counted in QEMU
    Bench,
    /// A core that runs out of stack, in QEMU
    Stack,
}

/// A test by its kind and name: `fuzz`, `hw`, `litmus`, `sim`, `conform`, `linear`, `bench` and `stack` by the test's, `unit` by crate and test,
/// `loom` by file and test, the main run and the storm by nothing. Behind a hardware test's name its machine may stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Catcher {
    pub kind: Kind,
    /// Its name, with the machine where one stands behind it.
    pub test: String,
}

impl Kind {
    /// What is quick to try first.
    pub const ALL: [Self; 12] = [
        Self::Unit,
        Self::Sim,
        Self::Fuzz,
        Self::Loom,
        Self::Litmus,
        Self::Conform,
        Self::Linear,
        Self::Hw,
        Self::Run,
        Self::Storm,
        Self::Bench,
        Self::Stack,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unit => "unit",
            Self::Sim => "sim",
            Self::Fuzz => "fuzz",
            Self::Conform => "conform",
            Self::Linear => "linear",
            Self::Loom => "loom",
            Self::Litmus => "litmus",
            Self::Hw => "hw",
            Self::Run => "run",
            Self::Storm => "storm",
            Self::Bench => "bench",
            Self::Stack => "stack",
        })
    }
}

impl fmt::Display for Catcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if !self.test.is_empty() {
            write!(f, " {}", self.test)?;
        }
        Ok(())
    }
}

impl Catcher {
    pub fn new(kind: Kind, test: &str) -> Self {
        let test = test.to_owned();
        Self { kind, test }
    }

    /// Refuses a name of the wrong shape.
    pub fn check(&self) -> Result<()> {
        let words = match self.kind {
            Kind::Run | Kind::Storm => 0,
            Kind::Sim
            | Kind::Fuzz
            | Kind::Conform
            | Kind::Linear
            | Kind::Litmus
            | Kind::Hw
            | Kind::Bench
            | Kind::Stack => 1,
            Kind::Unit | Kind::Loom => 2,
        };
        ensure!(
            self.test.split_whitespace().count() == words,
            "{self}: bench, conform, fuzz, hw, linear, litmus, sim and stack tests have one word, unit and loom tests two"
        );
        if self.kind == Kind::Linear {
            let named = self.test.split_once('@').is_none() || self.order_cpus().is_some();
            ensure!(named, "{self}: a machine is {ORDERS}@CPUS");
            return Ok(());
        }
        let (cpus, model) = self.machine();
        ensure!(
            cpus.parse::<u32>().is_ok() && !model.is_empty(),
            "{self}: a machine is @CPUS-MODEL"
        );
        Ok(())
    }

    /// Cores of the machine whose histories are judged, if it is not a model's.
    pub fn order_cpus(&self) -> Option<u32> {
        let (name, cpus) = self.test.split_once('@')?;
        (self.kind == Kind::Linear && name == ORDERS).then(|| cpus.parse().ok())?
    }

    /// The crate or file, and the test's own name.
    pub fn parts(&self) -> (&str, &str) {
        match self.kind {
            Kind::Hw => ("", self.test.split('@').next().unwrap_or_default()),
            _ => self.test.split_once(' ').unwrap_or(("", &self.test)),
        }
    }

    /// Cores and processor model of a hardware test.
    fn machine(&self) -> (&str, &str) {
        let machine = self.test.split_once('@').map_or(HW_MACHINE, |(_, at)| at);
        machine.split_once('-').unwrap_or((machine, ""))
    }

    /// The command line; litmus tests, hardware tests and the run build `mutant` themselves, the others
    /// are to be compiled with it.
    pub fn command(&self, mutant: Option<&str>) -> String {
        let (place, test) = self.parts();
        let option = mutant.map_or_else(String::new, |name| format!(" --mutant {name}"));
        match self.kind {
            Kind::Unit => {
                let features = match place {
                    "engine" => " --features sim",
                    _ => "",
                };
                format!("cargo test -p bulkhead-{place}{features} --lib -- --exact {test}")
            }
            Kind::Sim => format!(
                "cargo test -p bulkhead-engine --features sim --test simulated -- --exact {test}"
            ),
            Kind::Fuzz => format!("cargo test -p bulkhead-fuzz --test corpus -- --exact {test}"),
            Kind::Conform => {
                format!("cargo xtask conform --only {test} --calls 30000 --seconds 30{option}")
            }
            Kind::Linear => match self.order_cpus() {
                Some(cpus) => {
                    format!("cargo xtask linear --cpus {cpus} --seconds {ORDERS_S}{option}")
                }
                None => format!("cargo xtask linear --only engine::{test}{option}"),
            },
            Kind::Loom => format!(
                "cargo test --release -p bulkhead-loom-tests --test {place} -- --exact {test} \
                 --show-output"
            ),
            Kind::Litmus => format!("cargo xtask litmus --test {test}{option}"),
            Kind::Hw => {
                let (cpus, model) = self.machine();
                format!(
                    "cargo xtask hw-test --cpus {cpus} --cpu {model} --exact --filter {test}{option}"
                )
            }
            Kind::Run => format!("cargo xtask run{option}"),
            Kind::Storm => format!("cargo xtask storm --cpus 1{option}"),
            Kind::Bench => format!("cargo xtask bench --cores {test} --check{option}"),
            Kind::Stack => format!("cargo xtask stack --test {test}{option}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_select_one_test() {
        let line = |kind, test, mutant| Catcher::new(kind, test).command(mutant);
        assert_eq!(
            line(Kind::Unit, "ownership claim_tests::a", None),
            "cargo test -p bulkhead-ownership --lib -- --exact claim_tests::a"
        );
        assert_eq!(
            line(Kind::Hw, "tlb::a", Some("m")),
            "cargo xtask hw-test --cpus 2 --cpu max --exact --filter tlb::a --mutant m"
        );
        assert_eq!(
            line(Kind::Hw, "tlb::a@8-cortex-a72", None),
            "cargo xtask hw-test --cpus 8 --cpu cortex-a72 --exact --filter tlb::a"
        );
        assert_eq!(line(Kind::Run, "", Some("m")), "cargo xtask run --mutant m");
        assert_eq!(
            line(Kind::Conform, "random", Some("m")),
            "cargo xtask conform --only random --calls 30000 --seconds 30 --mutant m"
        );
        assert_eq!(
            line(Kind::Linear, "life::a", Some("m")),
            "cargo xtask linear --only engine::life::a --mutant m"
        );
        assert_eq!(
            line(Kind::Linear, "machine@6", Some("m")),
            "cargo xtask linear --cpus 6 --seconds 20 --mutant m"
        );
        assert_eq!(
            line(Kind::Storm, "", Some("m")),
            "cargo xtask storm --cpus 1 --mutant m"
        );
        assert_eq!(
            line(Kind::Bench, "donate_4k_192x", Some("m")),
            "cargo xtask bench --cores donate_4k_192x --check --mutant m"
        );
        assert_eq!(
            line(Kind::Stack, "overrun-boot", Some("m")),
            "cargo xtask stack --test overrun-boot --mutant m"
        );
    }
}

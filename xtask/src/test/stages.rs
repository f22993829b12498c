//! The stages of `cargo xtask test`, in order: the cheap ones first.
//!
//! A stage is a command line that a person can repeat. To add one, add an entry to [`all`].

use crate::process::find_program;
use crate::setup::fuzz;
use crate::test::rule::Rule;

/// One stage.
pub struct Stage {
    /// Short name, also of its log.
    pub name: &'static str,
    /// The command line; words without spaces in them.
    pub command: String,
    /// How its tests are counted.
    pub rule: Rule,
    /// Why it cannot run here.
    pub skip: Option<String>,
}

/// Every stage.
pub fn all() -> Vec<Stage> {
    let mut deny = Stage::new(
        "deny",
        "cargo deny check bans licenses sources",
        Rule::Status,
    );
    if find_program("cargo-deny").is_none() {
        deny = deny.skipped_because("cargo-deny is not installed");
    }
    let mut fuzzing = Stage::new("fuzz", "cargo xtask fuzz", Rule::OwnCount);
    let missing = fuzz::missing();
    if !missing.is_empty() {
        fuzzing = fuzzing.skipped_because(missing.join("; "));
    }
    vec![
        Stage::new("format", "cargo fmt --all --check", Rule::Status),
        deny,
        Stage::new("audit", "cargo xtask audit", Rule::OwnCount),
        Stage::new("generated", "cargo xtask gen --check", Rule::Status),
        Stage::new(
            "clippy",
            "cargo clippy --workspace --all-targets --features bulkhead-engine/sim -- -D warnings",
            Rule::Status,
        ),
        Stage::new(
            "unit",
            "cargo test --no-fail-fast --workspace --exclude bulkhead-loom-tests \
             --features bulkhead-engine/sim",
            Rule::CargoTest,
        ),
        Stage::new(
            "lines",
            "cargo test -p bulkhead-native --features observed --test lines",
            Rule::CargoTest,
        ),
        Stage::new("spec", "cargo xtask spec", Rule::OwnCount),
        Stage::new("conform", "cargo xtask conform", Rule::OwnCount),
        fuzzing,
        Stage::new("linear", "cargo xtask linear", Rule::OwnCount),
        Stage::new("loom", "cargo xtask loom", Rule::OwnCount),
        Stage::new("litmus", "cargo xtask litmus", Rule::OwnCount),
        Stage::new("hw-test", "cargo xtask hw-test", Rule::OwnCount),
        Stage::new("stack", "cargo xtask stack", Rule::OwnCount),
        Stage::new("bench", "cargo xtask bench --check", Rule::OwnCount),
        Stage::new(
            "bench-cores",
            "cargo xtask bench --cores --check",
            Rule::OwnCount,
        ),
        Stage::new("storm", "cargo xtask storm --cpus 1,4", Rule::OwnCount),
        Stage::new(
            "stress",
            "cargo xtask stress --cpus 16 --seconds 60",
            Rule::OwnCount,
        ),
        Stage::new(
            "stress-replayed",
            "cargo xtask stress --cpus 4 --seconds 1 --icount --twice",
            Rule::OwnCount,
        ),
        Stage::new(
            "stress-1t",
            "cargo xtask stress --cpus 8 --seconds 20 --mem 1T",
            Rule::OwnCount,
        ),
        Stage::new(
            "linear-machine",
            "cargo xtask linear --cpus 12 --seconds 5",
            Rule::OwnCount,
        ),
        Stage::new("run", "cargo xtask run", Rule::Status),
        Stage::new(
            "fates",
            "cargo xtask run --cpus 4 --guests 4 --guest-mem 128M \
             --fate 1=crash --fate 2=spin --fate 3=kill",
            Rule::Status,
        ),
        Stage::new(
            "linux-host",
            "cargo xtask linux-host --mem 512M --icount --seconds 2",
            Rule::OwnCount,
        ),
        Stage::new("mutants", "cargo xtask mutants --quick", Rule::OwnCount),
    ]
}

impl Stage {
    fn new(name: &'static str, command: impl Into<String>, rule: Rule) -> Self {
        Self {
            name,
            command: command.into(),
            rule,
            skip: None,
        }
    }

    fn skipped_because(mut self, reason: impl Into<String>) -> Self {
        self.skip = Some(reason.into());
        self
    }
}

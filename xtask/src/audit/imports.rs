//! The layering: which crate of the workspace may import which other (docs/architecture.md).

use std::path::Path;

use anyhow::Result;

use crate::audit::Findings;
use crate::audit::workspace::Workspace;

/// Each folder with the folders that it may import.
const MAY_IMPORT: [(&str, &[&str]); 17] = [
    ("sync", &[]),
    ("ownership", &["sync"]),
    ("percpu", &["sync"]),
    ("smp-boot", &["percpu", "sync"]),
    ("smp-boot/efi", &["smp-boot"]),
    ("engine/abi", &[]),
    (
        "engine",
        &["engine/abi", "ownership", "percpu", "smp-boot", "sync"],
    ),
    (
        "engine/fuzz/inputs",
        &["engine", "engine/abi", "smp-boot", "smp-boot/efi"],
    ),
    (
        "xtask/conform",
        &["engine", "engine/abi", "ownership", "percpu"],
    ),
    (
        "loom-tests",
        &[
            "engine",
            "engine/abi",
            "ownership",
            "percpu",
            "smp-boot",
            "sync",
        ],
    ),
    (
        "loom-tests/examples/own-engine",
        &["loom-tests", "ownership", "percpu", "sync"],
    ),
    ("hw-tests/el1", &["engine/abi"]),
    ("hw-tests", &["engine/abi", "hw-tests/el1", "smp-boot"]),
    ("host", &["engine/abi", "hw-tests/el1"]),
    ("xtask", &["engine/abi", "host"]),
    ("xtask/native", &["ownership", "percpu", "sync"]),
    ("xtask/plugin", &[]),
];

pub fn check(_root: &Path, workspace: &Workspace) -> Result<Findings> {
    let mut findings = Findings::new();
    for (folder, package) in &workspace.packages {
        let members = package.members.iter().map(String::as_str);
        findings.extend(broken_by(folder, members));
    }
    Ok(findings)
}

fn broken_by<'a>(folder: &str, members: impl Iterator<Item = &'a str>) -> Findings {
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == folder) else {
        return vec![format!("{folder} has no line in the layering")];
    };
    members
        .filter(|member| !allowed.contains(member))
        .map(|member| format!("{folder} imports {member}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layering_is_one_way() {
        assert!(broken_by("engine", ["ownership", "sync"].into_iter()).is_empty());
        let upwards = broken_by("ownership", ["engine"].into_iter());
        assert_eq!(upwards, ["ownership imports engine"]);
    }

    #[test]
    fn clients_reach_the_engine_only_by_its_interface() {
        let direct = broken_by("host", ["engine/abi", "engine"].into_iter());
        assert_eq!(direct, ["host imports engine"]);
    }

    #[test]
    fn new_crate_needs_a_place_in_the_layering() {
        assert_eq!(broken_by("extra", [].into_iter()).len(), 1);
    }
}

//! A device tree that names RAM which is not there, for tests of memory errors: QEMU answers an access
//! to it with an external abort; and that reserves memory for a firmware, as real ones do.
//!
//! QEMU writes the tree of a machine, and given it back rewrites its `memory` nodes; but RAM is any node
//! with `device_type = "memory"`, and one of another name stays. The flattened format is that of the
//! Devicetree Specification v0.4, chapter 5.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where the RAM is said to be; `hw-tests/src/tests/absent.rs` knows.
const BASE: u64 = 0x3f00_0000;
/// Its size.
const SIZE: u64 = 6 << 20;

/// What the firmware keeps: RAM in which nothing is loaded.
const KEPT: u64 = 0x7000_0000;
/// Its size.
const KEPT_SIZE: u64 = 64 << 10;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const END: u32 = 9;

/// The machine's tree with both, written by QEMU's `command` for it, as a file in `dir`.
pub fn write_tree(mut command: Command, dir: &Path) -> Result<PathBuf> {
    let (plain, file) = (dir.join("plain.dtb"), dir.join("absent.dtb"));
    command.arg("-machine");
    command.arg(format!("dumpdtb={}", plain.display()));
    let status = command.output().context("QEMU for its device tree")?.status;
    ensure!(status.success(), "QEMU writes no device tree: {status}");
    fs::write(&file, with_absent_ram(&fs::read(&plain)?)?)?;
    Ok(file)
}

/// The tree with one more reservation and one more child of the root.
fn with_absent_ram(tree: &[u8]) -> Result<Vec<u8>> {
    let header = |at: usize| word(tree, at);
    let (structure, strings) = (header(8)?, header(12)?);
    let (strings_size, structure_size) = (header(32)?, header(36)?);
    ensure!(structure_size >= 8, "the tree is empty");
    ensure!(structure < strings, "the blocks are in another order");
    let end = structure + structure_size;
    // The root's end and the tree's.
    ensure!(
        word(tree, end - 8)? == END_NODE as usize && word(tree, end - 4)? == END as usize,
        "the tree does not end as it should"
    );
    let names = tree
        .get(strings..strings + strings_size)
        .context("no strings")?;
    let name_at = |name: &[u8]| {
        let found = names.windows(name.len()).position(|bytes| bytes == name);
        found.context("a property name is missing")
    };

    let mut node = Vec::new();
    node.extend(BEGIN_NODE.to_be_bytes());
    node.extend(b"absent@3f000000\0");
    let mut add = |name: usize, value: &[u8]| {
        node.extend(PROPERTY.to_be_bytes());
        node.extend((value.len() as u32).to_be_bytes());
        node.extend((name as u32).to_be_bytes());
        node.extend(value);
        node.resize(node.len().next_multiple_of(4), 0);
    };
    add(name_at(b"device_type\0")?, b"memory\0");
    let reg = [BASE.to_be_bytes(), SIZE.to_be_bytes()].concat();
    // As a name of its own, not the end of another's.
    add(name_at(b"\0reg\0")? + 1, &reg);
    node.extend(END_NODE.to_be_bytes());

    // The reservation before all others. The new node before the root's end; the strings behind all, where
    // nothing else is in their way.
    let reservations = header(16)?;
    ensure!(reservations < structure, "the blocks are in another order");
    let kept = [KEPT.to_be_bytes(), KEPT_SIZE.to_be_bytes()].concat();
    let mut edited = tree[..reservations].to_vec();
    edited.extend(&kept);
    edited.extend(&tree[reservations..end - 8]);
    edited.extend(&node);
    edited.extend(&tree[end - 8..end]);
    let strings_now = edited.len();
    edited.extend(names);
    let total = edited.len();
    for (at, value) in [
        (4, total),
        (8, structure + kept.len()),
        (12, strings_now),
        (36, structure_size + node.len()),
    ] {
        edited[at..at + 4].copy_from_slice(&(value as u32).to_be_bytes());
    }
    Ok(edited)
}

/// A big-endian word of a tree.
fn word(tree: &[u8], at: usize) -> Result<usize> {
    let bytes = tree.get(at..at + 4).context("the tree is cut short")?;
    Ok(u32::from_be_bytes(bytes.try_into()?) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tree_is_refused() {
        assert!(with_absent_ram(&[]).is_err());
        assert!(with_absent_ram(&[0; 64]).is_err());
    }
}

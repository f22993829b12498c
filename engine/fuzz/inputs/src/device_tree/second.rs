//! A second reading of trees, by dtoolkit's reader: what the engine's own must agree with.

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use smp_boot::PaRange;

/// One property, or a node where there is no name of one: the path of the node, name, value.
pub type Entry = (String, String, Vec<u8>);

/// All of a tree, in order.
pub fn flatten(tree: &Fdt<'_>, keep: impl Fn(&str, &FdtNode<'_>) -> bool) -> Vec<Entry> {
    let mut flat = Vec::new();
    // Nodes still to be visited, the next one last.
    let mut todo = vec![(String::new(), tree.root())];
    while let Some((path, node)) = todo.pop() {
        if !keep(&path, &node) {
            continue;
        }
        flat.push((path.clone(), String::new(), Vec::new()));
        for property in node.properties() {
            flat.push((
                path.clone(),
                property.name().into(),
                property.value().into(),
            ));
        }
        let mut children: Vec<_> = node
            .children()
            .map(|child| (format!("{path}/{}", child.name()), child))
            .collect();
        children.reverse();
        todo.extend(children);
    }
    flat
}

/// The first property of a node with this name.
pub fn value(node: &FdtNode<'_>, name: &str) -> Option<Vec<u8>> {
    node.properties()
        .find(|property| property.name() == name)
        .map(|property| property.value().to_vec())
}

fn cell(node: &FdtNode<'_>, name: &str, or: u32) -> usize {
    let value = value(node, name).and_then(|value| value.try_into().ok());
    value.map_or(or, u32::from_be_bytes) as usize
}

fn number(cells: &[u8]) -> u64 {
    cells
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn base_name<'n>(node: &'n FdtNode<'_>) -> &'n str {
    node.name().split('@').next().unwrap_or_default()
}

/// RAM as the tree's root says it: whole pages, ascending, neighbours joined.
pub fn ram(tree: &Fdt<'_>) -> Vec<PaRange> {
    let root = tree.root();
    let address = 4 * cell(&root, "#address-cells", 2);
    let size = 4 * cell(&root, "#size-cells", 1);
    let mut ranges = Vec::new();
    for node in root.children() {
        let is_memory = value(&node, "device_type").as_deref() == Some(b"memory\0");
        let status = value(&node, "status");
        let is_okay = status.is_none_or(|status| [&b"okay\0"[..], b"ok\0"].contains(&&*status));
        if !is_memory || !is_okay {
            continue;
        }
        for entry in value(&node, "reg")
            .unwrap_or_default()
            .chunks_exact(address + size)
        {
            let (start, bytes) = entry.split_at(address);
            let end = number(start) + number(bytes);
            let first = number(start).next_multiple_of(4096);
            if first < end / 4096 * 4096 {
                ranges.push((first, end / 4096 * 4096));
            }
        }
    }
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    let range = |(start, end)| PaRange::between(start, end).expect("ascending");
    joined.into_iter().map(range).collect()
}

/// How many cores there are, those that never will be left out.
pub fn cores(tree: &Fdt<'_>) -> usize {
    let root = tree.root();
    let cpus = root.children().find(|node| node.name() == "cpus");
    let is_core = |node: &FdtNode<'_>| {
        let status = value(node, "status");
        let is_gone =
            status.is_some_and(|status| [&b"fail\0"[..], b"fail-sss\0"].contains(&&*status));
        base_name(node) == "cpu" && !is_gone
    };
    cpus.map_or(0, |cpus| cpus.children().filter(is_core).count())
}

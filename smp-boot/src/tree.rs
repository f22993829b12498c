//! Walking a device tree with the way back up, which translating an address needs.
//!
//! A node's `reg` is an address on its parent's bus; each bus above says by `ranges` how it
//! appears one level up (Devicetree Specification 2.3.8). The walk keeps its own stack of bounded
//! depth: a deeper tree is an error, never recursion.

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use heapless::Vec;

use crate::error::BootError;
use crate::range::PaRange;

/// Deepest node that is looked at, the root counted.
pub const MAX_DEPTH: usize = 16;

/// Nodes from the root (first) to the one meant (last).
pub type Path<'p, 'fdt> = &'p [FdtNode<'fdt>];

type Children<'fdt> = <FdtNode<'fdt> as Node>::Children<'fdt>;

const TOO_DEEP: BootError = BootError::TooMany {
    what: "levels",
    most: MAX_DEPTH,
};

/// Calls `visit` with the path of every node, parents before children.
pub fn each<'fdt>(
    fdt: Fdt<'fdt>,
    mut visit: impl FnMut(Path<'_, 'fdt>) -> Result<(), BootError>,
) -> Result<(), BootError> {
    let mut path: Vec<FdtNode<'fdt>, MAX_DEPTH> = Vec::new();
    let mut below: Vec<Children<'fdt>, MAX_DEPTH> = Vec::new();
    let mut next = Some(fdt.root());
    loop {
        if let Some(node) = next {
            path.push(node).map_err(|_| TOO_DEEP)?;
            visit(&path)?;
            below.push(node.children()).map_err(|_| TOO_DEEP)?;
        } else {
            below.pop();
            path.pop();
        }
        let Some(children) = below.last_mut() else {
            return Ok(());
        };
        next = children.next();
    }
}

/// The node with a full name such as `/soc/serial@9000000`.
pub fn find<'fdt>(fdt: Fdt<'fdt>, full: &str) -> Option<Vec<FdtNode<'fdt>, MAX_DEPTH>> {
    let mut path = Vec::new();
    let mut node = fdt.root();
    path.push(node).ok()?;
    for name in full.strip_prefix('/')?.split('/') {
        node = node.child(name)?;
        path.push(node).ok()?;
    }
    Some(path)
}

/// The first node, wherever it is, that `is_wanted`.
pub fn find_first<'fdt>(
    fdt: Fdt<'fdt>,
    is_wanted: impl Fn(&FdtNode<'fdt>) -> bool,
) -> Result<Option<FdtNode<'fdt>>, BootError> {
    let mut found = None;
    each(fdt, |path| {
        if let Some(node) = path
            .last()
            .filter(|node| found.is_none() && is_wanted(node))
        {
            found = Some(*node);
        }
        Ok(())
    })?;
    Ok(found)
}

/// The `reg` of the last node of `path` as the CPU sees it; nothing if it has none.
pub fn regs<'p>(path: Path<'p, '_>) -> impl Iterator<Item = Result<PaRange, BootError>> + 'p {
    const BAD: BootError = BootError::BadNode("a reg that does not fit its bus");
    let (node, buses) = match path.split_last() {
        Some((node, buses)) => (Some(node), buses),
        None => (None, path),
    };
    let (entries, bad) = match node.map(|node| node.reg()) {
        Some(Ok(entries)) => (entries, None),
        Some(Err(_)) => (None, Some(Err(BAD))),
        None => (None, None),
    };
    let good = entries.into_iter().flatten().map(move |reg| {
        let address = reg.address::<u64>().map_err(|_| BAD)?;
        let size = reg.size::<u64>().map_err(|_| BAD)?;
        let range = PaRange::new(address, size).ok_or(BAD)?;
        translate(buses, range)
    });
    bad.into_iter().chain(good)
}

/// Takes `range` from the bus of the last of `buses` up to the root's.
fn translate(buses: Path<'_, '_>, mut range: PaRange) -> Result<PaRange, BootError> {
    const BAD: BootError = BootError::BadNode("an address that its bus does not pass on");
    for bus in buses.iter().skip(1).rev() {
        let property = bus.property("ranges").ok_or(BAD)?;
        if property.value().is_empty() {
            continue;
        }
        let mut windows = bus.ranges().ok().flatten().ok_or(BAD)?;
        range = windows
            .find_map(|window| {
                let from = window.child_bus_address::<u64>().ok()?;
                let to = window.parent_bus_address::<u64>().ok()?;
                let from = PaRange::new(from, window.length::<u64>().ok()?)?;
                let offset = range.start().checked_sub(from.start())?;
                let moved = PaRange::new(to.checked_add(offset)?, range.size())?;
                from.contains(range).then_some(moved)
            })
            .ok_or(BAD)?;
    }
    Ok(range)
}

//! The machine's device tree made into the tree that the demoted host gets.
//!
//! The host is to see the machine less what the engine keeps: its memory, the virtual timer and
//! the interrupt translation services. What is not named here stays byte for byte. Leaving things
//! out is a courtesy that spares the host a fault: what protects the engine is stage 2, not this.
//!
//! Pure: runs on any machine. As for [`mod@crate::fdt`], an odd tree ends in an error, never in a
//! panic, and there is no recursion. After an error the buffer holds a tree half edited.
//!
//! Properties are those of the Devicetree Specification v0.4 (3.5 `/reserved-memory`, 3.6
//! `/chosen`) and of the kernel's bindings for `arm,gic-v3`, `arm,psci`, `arm,armv8-timer`,
//! `interrupt-controller/msi` and `pci-msi`.

mod blob;

use core::fmt::Write;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node, Property};
use heapless::{String, Vec};
use thiserror::Error;

use self::blob::{Blob, Find, Found};
use crate::error::BootError;
use crate::range::PaRange;
use crate::tree;

/// What the host's tree says that the machine's does not.
#[derive(Clone, Copy, Debug)]
pub struct HostTree<'a> {
    /// The host's command line.
    pub bootargs: &'a str,
    /// Where the host's own initrd lies.
    pub initrd: Option<PaRange>,
    /// Memory that is the engine's, and that the host must not touch.
    pub engine: &'a [PaRange],
}

/// Why there is no tree for the host.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EditError {
    /// The boot loader's tree is damaged or lacks something.
    #[error(transparent)]
    Tree(#[from] BootError),
    /// The caller's buffer is too small, or the tree would pass the boot protocol's limit.
    #[error("the host's device tree needs {need} bytes, there is room for {have}")]
    NoRoom {
        /// Bytes the tree would have had by the change that failed.
        need: usize,
        /// Bytes it may have.
        have: usize,
    },
}

/// Edits the tree at the start of `buffer` in place; returns the bytes it has then. All of `buffer`
/// may be written, up to what the arm64 boot protocol allows a tree to have.
pub fn edit_for_host(buffer: &mut [u8], tree: &HostTree<'_>) -> Result<usize, EditError> {
    let mut blob = Blob::open(buffer)?;
    remove_its(&mut blob)?;
    keep_virtual_timer(&mut blob)?;
    call_psci_by_smc(&mut blob)?;
    write_chosen(&mut blob, tree)?;
    reserve(&mut blob, tree.engine)?;
    Ok(blob.len())
}

/// Removes every ITS, and the properties that would send a driver to one: that driver would wait
/// for it for good, where without them it takes wired interrupts.
fn remove_its(blob: &mut Blob<'_>) -> Result<(), EditError> {
    // Ends: each round takes a node or a property out.
    while let Some(its) = tree::find_first(blob.tree(), is_its)? {
        let phandle = phandle_of(&its);
        blob.remove_node(|fdt| tree::find_first(fdt, is_its))?;
        let Some(phandle) = phandle else { continue };
        for name in ["msi-parent", "msi-map"] {
            let refers = |node: &FdtNode<'_>| refers_to(phandle, node, name);
            while blob.remove_property(|fdt| tree::find_first(fdt, refers), name)? {}
        }
    }
    Ok(())
}

fn is_its(node: &FdtNode<'_>) -> bool {
    node.is_compatible("arm,gic-v3-its")
}

/// The cell that other nodes refer to `node` by. The second name predates the specification.
fn phandle_of(node: &FdtNode<'_>) -> Option<[u8; 4]> {
    ["phandle", "linux,phandle"]
        .iter()
        .find_map(|name| node.property(name)?.value().try_into().ok())
}

/// Whether the MSI property `name` of `node` names `phandle`. A map's entries are of four cells,
/// the second a phandle. A parent is followed by as many cells as it likes: any of them counts,
/// and a device that loses its MSIs to an identifier that looks like the ITS has wired interrupts.
fn refers_to(phandle: [u8; 4], node: &FdtNode<'_>, name: &str) -> bool {
    node.property(name).is_some_and(|property| {
        let mut cells = property.value().chunks_exact(4).enumerate();
        cells.any(|(at, cell)| cell == phandle && (name != "msi-map" || at % 4 == 1))
    })
}

/// Leaves the host the physical timers: the virtual ones' interrupts are the engine's, and Linux
/// at EL1 takes the virtual timer wherever it sees one.
fn keep_virtual_timer(blob: &mut Blob<'_>) -> Result<(), EditError> {
    const IN_ORDER: [&[u8]; 5] = [
        b"sec-phys\0",
        b"phys\0",
        b"virt\0",
        b"hyp-phys\0",
        b"hyp-virt\0",
    ];
    const FOR_HOST: [&[u8]; 3] = [b"sec-phys\0", b"phys\0", b"hyp-phys\0"];
    let node = timer(blob.tree())?.ok_or(BootError::BadNode("no arm,armv8-timer"))?;
    let interrupts = node
        .property("interrupts")
        .ok_or(BootError::BadNode("the timer has no interrupts"))?;
    // A GICv3 specifier of a PPI: type, number, flags.
    let (specifiers, rest) = interrupts.value().as_chunks::<12>();
    if !rest.is_empty() {
        return Err(BootError::BadNode("the timer's interrupts are not of three cells").into());
    }
    let names = node.property("interrupt-names");
    let specifier_of = |name: &&[u8]| {
        let at = match &names {
            Some(names) => names
                .value()
                .split_inclusive(|&byte| byte == 0)
                .position(|it| it == *name),
            None => IN_ORDER.iter().position(|it| it == name),
        };
        specifiers.get(at?).copied()
    };
    let named = FOR_HOST
        .into_iter()
        .filter_map(|name| Some((name, specifier_of(&name)?)));
    let (names, specifiers): (Vec<&[u8], 3>, Vec<[u8; 12], 3>) = named.unzip();
    if !names.contains(&b"phys\0".as_slice()) {
        return Err(BootError::BadNode("the timer has no interrupt for EL1").into());
    }
    blob.set(timer, "interrupts", &[specifiers.as_flattened()])?;
    blob.set(timer, "interrupt-names", &names)
}

fn timer(fdt: Fdt<'_>) -> Found<'_> {
    tree::find_first(fdt, |node| node.is_compatible("arm,armv8-timer"))
}

/// The engine is below the host now, and takes its calls where the firmware did.
fn call_psci_by_smc(blob: &mut Blob<'_>) -> Result<(), EditError> {
    let node = psci(blob.tree())?.ok_or(BootError::NoPsci)?;
    let method = node.property("method");
    if method.is_some_and(|method| method.value() == b"smc\0") {
        return Ok(());
    }
    blob.set(psci, "method", &[b"smc\0"])
}

fn psci(fdt: Fdt<'_>) -> Found<'_> {
    let is_psci = |node: &FdtNode<'_>| {
        ["arm,psci-0.2", "arm,psci-1.0"]
            .iter()
            .any(|it| node.is_compatible(it))
    };
    tree::find_first(fdt, is_psci)
}

/// What the boot loader said to the engine becomes what the engine says to the host.
fn write_chosen(blob: &mut Blob<'_>, tree: &HostTree<'_>) -> Result<(), EditError> {
    add_missing(blob, root, "chosen")?;
    blob.set(chosen, "bootargs", &[tree.bootargs.as_bytes(), b"\0"])?;
    let Some(initrd) = tree.initrd else {
        blob.remove_property(chosen, "linux,initrd-start")?;
        blob.remove_property(chosen, "linux,initrd-end")?;
        return Ok(());
    };
    let start = initrd.start().to_be_bytes();
    let end = initrd.end().to_be_bytes();
    blob.set(chosen, "linux,initrd-start", &[&start])?;
    blob.set(chosen, "linux,initrd-end", &[&end])
}

/// Tells the host to map nothing where the engine is.
fn reserve(blob: &mut Blob<'_>, engine: &[PaRange]) -> Result<(), EditError> {
    let like_root = blob.tree().root().address_space();
    if add_missing(blob, root, "reserved-memory")? {
        let address_cells = like_root.address_cells.to_be_bytes();
        let size_cells = like_root.size_cells.to_be_bytes();
        blob.set(reserved, "#size-cells", &[&size_cells])?;
        blob.set(reserved, "#address-cells", &[&address_cells])?;
    }
    let node = reserved(blob.tree())?;
    if node.is_some_and(|node| node.property("ranges").is_none()) {
        // Required by the specification, and Linux reserves nothing without.
        blob.set(reserved, "ranges", &[])?;
    }
    // Backwards, since each child goes before its siblings.
    for range in engine.iter().rev().filter(|range| !range.is_empty()) {
        reserve_range(blob, *range)?;
    }
    Ok(())
}

fn reserve_range(blob: &mut Blob<'_>, range: PaRange) -> Result<(), EditError> {
    let mut name = String::<32>::new();
    write!(name, "bulkhead@{:x}", range.start()).map_err(|_| BootError::TooMany {
        what: "letters in a node's name",
        most: name.capacity(),
    })?;
    add_missing(blob, reserved, &name)?;
    let cells = reserved(blob.tree())?
        .unwrap_or(blob.tree().root())
        .address_space();
    let start = range.start().to_be_bytes();
    let size = range.size().to_be_bytes();
    let reg = [
        fit(&start, cells.address_cells)?,
        fit(&size, cells.size_cells)?,
    ];
    blob.set(reserved_child(&name), "no-map", &[])?;
    blob.set(reserved_child(&name), "reg", &reg)
}

/// A number as a bus with `cells` cells writes it.
fn fit(number: &[u8; 8], cells: u32) -> Result<&[u8], BootError> {
    match (cells, number) {
        (1, [0, 0, 0, 0, low @ ..]) => Ok(low),
        (2, both) => Ok(both),
        _ => Err(BootError::BadNode(
            "the cells under /reserved-memory cannot hold the engine's memory",
        )),
    }
}

/// Adds a child to the node that `find` finds unless it has it; says whether it did.
fn add_missing(blob: &mut Blob<'_>, find: impl Find, name: &str) -> Result<bool, EditError> {
    let parent = find.find(blob.tree())?;
    if parent.is_some_and(|parent| child(&parent, name).is_some()) {
        return Ok(false);
    }
    blob.add_child(find, name)?;
    Ok(true)
}

fn root(fdt: Fdt<'_>) -> Found<'_> {
    Ok(Some(fdt.root()))
}

fn chosen(fdt: Fdt<'_>) -> Found<'_> {
    Ok(child(&fdt.root(), "chosen"))
}

fn reserved(fdt: Fdt<'_>) -> Found<'_> {
    Ok(child(&fdt.root(), "reserved-memory"))
}

fn reserved_child(name: &str) -> impl Find {
    move |fdt| Ok(reserved(fdt)?.and_then(|parent| child(&parent, name)))
}

/// The child with exactly this name, where [`Node::child`] takes any unit address.
fn child<'t>(node: &FdtNode<'t>, name: &str) -> Option<FdtNode<'t>> {
    node.children().find(|child| child.name() == name)
}

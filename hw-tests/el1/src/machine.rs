//! What the device tree says about the machine.
//!
//! Invariants: everything is read once, on the boot core; nothing here changes afterwards. The
//! `for_each_*` and `find_*` functions take no lock and no memory, so that the map can be built
//! with the MMU off.

use crate::{cpu, entry::image_range};
use alloc::vec::Vec;
use dtoolkit::{
    Node, Property,
    fdt::{Fdt, FdtNode},
    standard::NodeStandard,
};
use spin::Once;

/// A run of physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

impl Range {
    /// One past the last byte.
    pub fn end(self) -> u64 {
        self.start + self.size
    }

    /// Whether `address` lies in it.
    pub fn contains(self, address: u64) -> bool {
        self.start <= address && address < self.end()
    }
}

/// How PSCI is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// By HVC: the plain QEMU machine, without the engine.
    Hvc,
    /// By SMC, which the engine traps.
    Smc,
}

/// The machine, as far as an image needs it.
#[derive(Debug)]
pub struct Machine {
    /// RAM, as the tree lists it.
    pub ram: Vec<Range>,
    /// Parts of RAM that are not ours: `/reserved-memory` and the memory reservation block.
    pub reserved: Vec<Range>,
    /// Those of them that the engine says are its own.
    pub engine: Vec<Range>,
    /// This image, its heap and boot stack included.
    pub image: Range,
    /// The device tree itself.
    pub tree: Range,
    /// The initial RAM disk, if there is one.
    pub initrd: Option<Range>,
    /// The command line.
    pub bootargs: &'static str,
    /// MPIDR affinity of every core, the boot core first.
    pub cores: Vec<u64>,
    /// The GIC's distributor.
    pub distributor: Range,
    /// The GIC's redistributor regions.
    pub redistributors: Vec<Range>,
    /// The console's UART.
    pub uart: u64,
    /// Its interrupt, an SPI's INTID.
    pub uart_intid: Option<u32>,
    /// PSCI's conduit.
    pub conduit: Conduit,
}

impl Machine {
    /// The first address past all RAM.
    pub fn ram_end(&self) -> u64 {
        self.ram.iter().map(|ram| ram.end()).max().unwrap_or(0)
    }
}

/// Nodes under `/reserved-memory` by which the engine tells where it is.
const ENGINE_NODE: &str = "bulkhead";

static MACHINE: Once<Machine> = Once::new();

/// The machine this image runs on.
pub fn machine() -> &'static Machine {
    MACHINE
        .get()
        .expect("the runtime reads the device tree first")
}

/// How to call PSCI; the engine's way until the tree has been read.
pub(crate) fn conduit() -> Conduit {
    MACHINE
        .get()
        .map_or(Conduit::Smc, |machine| machine.conduit)
}

/// The device tree at `dtb`, by its own length.
///
/// # Safety
/// `dtb` points to a device tree that stays readable and unchanged for the life of the image.
pub(crate) unsafe fn tree_at(dtb: *const u8) -> Fdt<'static> {
    // SAFETY: a device tree's header holds its length, big-endian, in bytes 4 to 7.
    let size = unsafe { u32::from_be(dtb.cast::<u32>().add(1).read()) };
    // SAFETY: by this function's contract.
    let bytes = unsafe { core::slice::from_raw_parts(dtb, size as usize) };
    // Whoever wrote it is trusted. `Fdt::new` would refuse names of boards that are longer than the
    // specification allows.
    Fdt::new_unchecked(bytes)
}

/// Calls `f` with each range of a node's `reg`.
fn for_each_reg(node: FdtNode<'_>, mut f: impl FnMut(usize, Range)) {
    let Ok(Some(ranges)) = node.reg() else { return };
    for (index, reg) in ranges.enumerate() {
        if let (Ok(start), Ok(size)) = (reg.address::<u64>(), reg.size::<u64>()) {
            f(index, Range { start, size });
        }
    }
}

/// Calls `f` with each range of RAM.
pub(crate) fn for_each_ram(tree: Fdt<'_>, mut f: impl FnMut(Range)) {
    for node in tree.root().children() {
        if node.name_without_address() == "memory" {
            for_each_reg(node, |_, range| f(range));
        }
    }
}

/// Calls `f` with the GICv3's distributor (index 0) and each redistributor region (1 and up).
pub(crate) fn for_each_gic_frame(tree: Fdt<'_>, mut f: impl FnMut(usize, Range)) {
    let root = tree.root();
    let Some(gic) = root.find_compatible("arm,gic-v3").next() else {
        return;
    };
    let regions = gic
        .property("#redistributor-regions")
        .and_then(|p| p.value_as::<u32>().ok())
        .unwrap_or(1) as usize;
    for_each_reg(gic, |index, range| {
        if index <= regions {
            f(index, range);
        }
    });
}

/// How the console's UART is programmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UartKind {
    /// Arm's PL011, or the part of it that SBSA demands.
    Pl011,
    /// A 16550: distance of its registers as a power of two, and bytes of an access.
    Ns16550 { shift: u64, width: u64 },
}

/// The first PL011, or else the first 16550.
fn uart_node(tree: Fdt<'_>) -> Option<FdtNode<'_>> {
    let root = tree.root();
    let names = ["arm,pl011", "ns16550a", "ns16550", "snps,dw-apb-uart"];
    let mut nodes = names.iter().flat_map(|name| root.find_compatible(name));
    nodes.next()
}

/// Base and kind of the console's UART.
pub(crate) fn find_uart(tree: Fdt<'_>) -> Option<(u64, UartKind)> {
    let node = uart_node(tree)?;
    let number = |name| node.property(name).map(|it| read_be(it.value()));
    let kind = match node.is_compatible("arm,pl011") {
        true => UartKind::Pl011,
        false => UartKind::Ns16550 {
            shift: number("reg-shift").unwrap_or(0).min(3),
            width: number("reg-io-width").unwrap_or(1),
        },
    };
    let mut base = None;
    for_each_reg(node, |index, range| {
        if index == 0 {
            base = Some(range.start);
        }
    });
    base.map(|base| (base, kind))
}

/// INTID of the console's UART: a GICv3 specifier is (0 = SPI, number, flags).
fn find_uart_intid(tree: Fdt<'_>) -> Option<u32> {
    let uart = uart_node(tree)?;
    let interrupts = uart.property("interrupts")?;
    let mut cells = interrupts.value().chunks_exact(4).map(read_be);
    match (cells.next()?, cells.next()?) {
        (0, number) => u32::try_from(number + 32).ok(),
        _ => None,
    }
}

/// A big-endian number of at most eight bytes.
fn read_be(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A `/chosen` address of four or eight bytes.
fn chosen_address(tree: Fdt<'_>, name: &str) -> Option<u64> {
    Some(read_be(tree.find_node("/chosen")?.property(name)?.value()))
}

/// Reads the tree into [`machine`].
pub(crate) fn init(tree: Fdt<'static>) {
    MACHINE.call_once(|| read(tree));
}

fn read(tree: Fdt<'static>) -> Machine {
    let mut ram = Vec::new();
    for_each_ram(tree, |range| ram.push(range));

    let mut reserved: Vec<Range> = tree
        .memory_reservations()
        .map(|r| Range {
            start: r.address(),
            size: r.size(),
        })
        .collect();
    let mut engine = Vec::new();
    for node in tree
        .find_node("/reserved-memory")
        .iter()
        .flat_map(Node::children)
    {
        let is_engine = node.name_without_address() == ENGINE_NODE;
        for_each_reg(node, |_, range| {
            reserved.push(range);
            if is_engine {
                engine.push(range);
            }
        });
    }

    let boot = cpu::mpidr();
    let mut cores = alloc::vec![boot];
    for core in tree.find_node("/cpus").iter().flat_map(Node::children) {
        if core.name_without_address() == "cpu"
            && let Some(reg) = core.property("reg")
            && read_be(reg.value()) != boot
        {
            cores.push(read_be(reg.value()));
        }
    }

    let mut frames = Vec::new();
    for_each_gic_frame(tree, |_, range| frames.push(range));
    let (distributor, redistributors) =
        frames.split_first().expect("the device tree names a GICv3");

    let initrd = chosen_address(tree, "linux,initrd-start")
        .zip(chosen_address(tree, "linux,initrd-end"))
        .map(|(start, end)| Range {
            start,
            size: end.saturating_sub(start),
        });
    let smc = tree
        .find_node("/psci")
        .and_then(|psci| psci.property("method"))
        .is_some_and(|method| method.value().starts_with(b"smc"));

    Machine {
        ram,
        reserved,
        engine,
        image: image_range(),
        tree: Range {
            start: tree.data().as_ptr() as u64,
            size: tree.data().len() as u64,
        },
        initrd,
        bootargs: tree.chosen().and_then(read_bootargs).unwrap_or(""),
        cores,
        distributor: *distributor,
        redistributors: redistributors.to_vec(),
        uart: find_uart(tree).expect("the device tree names a UART").0,
        uart_intid: find_uart_intid(tree),
        conduit: if smc { Conduit::Smc } else { Conduit::Hvc },
    }
}

fn read_bootargs(chosen: dtoolkit::standard::Chosen<FdtNode<'static>>) -> Option<&'static str> {
    chosen.property("bootargs")?.value_as::<&'static str>().ok()
}

//! Device tree to [`MachineInfo`], read in place.
//!
//! Pure: runs on any machine. The tree comes from the boot loader and is trusted to describe the
//! machine, but not to be well formed: every odd value ends in a [`BootError`], none in a panic.
//! Bounded by the size of the blob; no recursion.
//!
//! Properties are those of the Devicetree Specification v0.4 and of the kernel's bindings for
//! `arm,gic-v3`, `arm,psci` and `arm,armv8-timer`.

mod uart;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::{NodeStandard, Status};
use dtoolkit::{Node, Property};
use heapless::Vec;
use percpu::MAX_CPUS;

use crate::error::BootError;
use crate::machine::{
    Gic, MAX_RAM, MAX_RESERVED, MachineInfo, Mpidr, Redistributors, TimerPpis, UartInfo,
};
use crate::range::PaRange;
use crate::tree::{self, Path};
use crate::wellformed;

/// Most bytes of a blob: the arm64 boot protocol's limit.
pub const MAX_BLOB: u64 = 2 << 20;

/// The size that a blob's header claims, if the header can be believed.
pub fn blob_size(header: [u32; 2]) -> Result<u64, &'static str> {
    let [magic, size] = header.map(u32::from_be);
    match (magic, u64::from(size)) {
        (0xd00d_feed, 40..=MAX_BLOB) => Ok(size.into()),
        (0xd00d_feed, _) => Err("size in the header is not between 40 bytes and 2 MiB"),
        _ => Err("no magic number"),
    }
}

/// Reads the tree `blob`, which lies at `dtb`, on the core `boot`, into an empty `machine`.
pub fn parse(
    blob: &[u8],
    dtb: PaRange,
    boot: Mpidr,
    machine: &mut MachineInfo,
) -> Result<(), BootError> {
    let fdt = open(blob, dtb.start())?;
    require_psci(fdt)?;
    read_ram(fdt, &mut machine.ram)?;
    read_reserved(fdt, &mut machine.reserved)?;
    read_cpus(fdt, boot, &mut machine.cpus)?;
    read_gic(fdt, &mut machine.gic)?;
    machine.uart = uart::read(fdt);
    machine.timer = read_timer(fdt)?;
    machine.initrd = read_initrd(fdt)?;
    machine.dtb = dtb;
    Ok(())
}

/// The console's registers, found apart from the rest so that a bad tree can be complained about.
pub fn find_uart(blob: &[u8]) -> Option<UartInfo> {
    uart::read(open(blob, 0).ok()?)
}

/// Whether the tree says that PSCI is called by HVC.
pub fn psci_is_by_hvc(blob: &[u8]) -> bool {
    open(blob, 0).is_ok_and(|fdt| psci_method(fdt) == Some("hvc"))
}

fn open(blob: &[u8], at: u64) -> Result<Fdt<'_>, BootError> {
    wellformed::open(blob).ok_or(BootError::BadTree {
        at,
        what: "malformed",
    })
}

fn push<T, const N: usize>(
    list: &mut Vec<T, N>,
    item: T,
    what: &'static str,
) -> Result<(), BootError> {
    list.push(item)
        .map_err(|_| BootError::TooMany { what, most: N })
}

fn is_okay(node: &FdtNode<'_>) -> bool {
    // "ok" predates the specification and is still met.
    matches!(node.status(), Ok(Status::Okay))
        || node
            .property("status")
            .is_some_and(|status| status.value() == b"ok\0")
}

/// RAM: root children with `device_type = "memory"` that are in use. A disabled one is the secure
/// world's.
fn read_ram(fdt: Fdt<'_>, ram: &mut Vec<PaRange, MAX_RAM>) -> Result<(), BootError> {
    let root = fdt.root();
    for node in root.children() {
        let is_memory = node
            .property("device_type")
            .is_some_and(|kind| kind.value() == b"memory\0");
        if !is_memory || !is_okay(&node) {
            continue;
        }
        for range in tree::regs(&[root, node]) {
            let range = range?.pages_within();
            if !range.is_empty() {
                push(ram, range, "ranges of RAM")?;
            }
        }
    }
    ram.sort_unstable();
    join_neighbours(ram);
    if ram.is_empty() {
        return Err(BootError::BadNode("no memory node with RAM"));
    }
    Ok(())
}

/// Joins ranges that touch or overlap in an ascending list.
fn join_neighbours(ranges: &mut Vec<PaRange, MAX_RAM>) {
    let mut at = 1;
    while let (Some(&low), Some(&high)) = (ranges.get(at - 1), ranges.get(at)) {
        if high.start() > low.end() {
            at += 1;
        } else {
            ranges[at - 1] = low.hull(high);
            ranges.remove(at);
        }
    }
}

/// The reservation block, and the static children of `/reserved-memory`. Children without `reg`
/// ask the operating system to choose a place, which is the host's affair.
fn read_reserved(fdt: Fdt<'_>, reserved: &mut Vec<PaRange, MAX_RESERVED>) -> Result<(), BootError> {
    const WHAT: &str = "reserved ranges";
    for entry in fdt.memory_reservations() {
        let range = PaRange::new(entry.address(), entry.size())
            .ok_or(BootError::BadNode("a memory reservation wraps"))?;
        push(reserved, range.pages_around(), WHAT)?;
    }
    let root = fdt.root();
    let Some(parent) = root.child("reserved-memory") else {
        return Ok(());
    };
    for node in parent.children() {
        for range in tree::regs(&[root, parent, node]) {
            push(reserved, range?.pages_around(), WHAT)?;
        }
    }
    Ok(())
}

/// Cores that PSCI can start, the boot core first.
fn read_cpus(fdt: Fdt<'_>, boot: Mpidr, cpus: &mut Vec<Mpidr, MAX_CPUS>) -> Result<(), BootError> {
    let parent = fdt
        .root()
        .child("cpus")
        .ok_or(BootError::BadNode("no /cpus"))?;
    push(cpus, boot, "cores")?;
    let mut boot_seen = false;
    for node in parent
        .children()
        .filter(|node| node.name_without_address() == "cpu")
    {
        // "disabled" only says that the core is not running yet; "fail" that it never will.
        if matches!(node.status(), Ok(Status::Fail | Status::FailSss)) {
            continue;
        }
        let id = node
            .reg()
            .ok()
            .flatten()
            .and_then(|mut regs| regs.next())
            .and_then(|reg| reg.address::<u64>().ok())
            .ok_or(BootError::BadNode("a core without reg"))?;
        let mpidr = Mpidr::from_bits(id);
        if mpidr.bits() != id {
            return Err(BootError::BadNode("a core's reg is no affinity"));
        }
        if mpidr == boot && !boot_seen {
            boot_seen = true;
            continue;
        }
        if cpus.contains(&mpidr) {
            return Err(BootError::BadNode("two cores with one reg"));
        }
        let by_psci = node
            .property("enable-method")
            .is_some_and(|method| method.value().starts_with(b"psci\0"));
        if !by_psci {
            return Err(BootError::BadNode("a core that is not started by PSCI"));
        }
        push(cpus, mpidr, "cores")?;
    }
    if boot_seen {
        Ok(())
    } else {
        Err(BootError::BootCoreUnknown(boot))
    }
}

/// The interrupt controller: `reg` is the distributor, then the regions of redistributors, then
/// GICv2 compatibility frames that are not used (binding arm,gic-v3).
fn read_gic(fdt: Fdt<'_>, gic: &mut Gic) -> Result<(), BootError> {
    let mut found = false;
    tree::each(fdt, |path| {
        let Some(node) = path.last() else {
            return Ok(());
        };
        if !found && node.is_compatible("arm,gic-v3") && is_okay(node) {
            found = true;
            read_gic_node(path, node, gic)?;
        }
        if node.is_compatible("arm,gic-v3-its") {
            for range in tree::regs(path) {
                push(
                    &mut gic.its,
                    range?.pages_around(),
                    "interrupt translation services",
                )?;
            }
        }
        Ok(())
    })?;
    if found {
        Ok(())
    } else {
        Err(BootError::NoGicV3)
    }
}

/// Bytes of the smallest redistributor (IHI0069 12.10).
const REDISTRIBUTOR_BYTES: u64 = 2 << 16;

fn read_gic_node(path: Path<'_, '_>, node: &FdtNode<'_>, gic: &mut Gic) -> Result<(), BootError> {
    let regions = number(node, "#redistributor-regions")?.unwrap_or(1);
    let stride = number(node, "redistributor-stride")?;
    if stride == Some(0) {
        return Err(BootError::BadNode("redistributor-stride is 0"));
    }
    let mut regs = tree::regs(path);
    let mut next = || -> Result<PaRange, BootError> {
        let reg = regs
            .next()
            .ok_or(BootError::BadNode("the GIC has too few reg entries"))?;
        Ok(reg?.pages_around())
    };
    gic.distributor = next()?;
    for _ in 0..regions {
        let region = Redistributors {
            range: next()?,
            stride,
        };
        if region.range.size() < REDISTRIBUTOR_BYTES {
            return Err(BootError::BadNode("a region holds no redistributor"));
        }
        push(&mut gic.redistributors, region, "regions of redistributors")?;
    }
    Ok(())
}

fn psci_method(fdt: Fdt<'_>) -> Option<&str> {
    let is_psci = |node: &FdtNode<'_>| {
        ["arm,psci-0.2", "arm,psci-1.0"]
            .iter()
            .any(|it| node.is_compatible(it))
    };
    let node = tree::find_first(fdt, is_psci).ok().flatten()?;
    node.property("method")?.value_as::<&str>().ok()
}

fn require_psci(fdt: Fdt<'_>) -> Result<(), BootError> {
    match psci_method(fdt) {
        Some("smc") => Ok(()),
        Some("hvc") => Err(BootError::PsciByHvc),
        _ => Err(BootError::NoPsci),
    }
}

/// Timer interrupts, by name or in the binding's order.
fn read_timer(fdt: Fdt<'_>) -> Result<TimerPpis, BootError> {
    let mut timer = TimerPpis::default();
    let node = tree::find_first(fdt, |node| node.is_compatible("arm,armv8-timer"))?
        .ok_or(BootError::BadNode("no arm,armv8-timer"))?;
    let interrupts = node
        .property("interrupts")
        .ok_or(BootError::BadNode("the timer has no interrupts"))?;
    let names = node.property("interrupt-names");
    let mut named = names
        .iter()
        .flat_map(|names| names.value().split(|&byte| byte == 0));
    let mut in_order = [
        b"sec-phys".as_slice(),
        b"phys",
        b"virt",
        b"hyp-phys",
        b"hyp-virt",
    ]
    .into_iter();
    // A GICv3 specifier is type, number, flags; a fourth cell partitions PPIs, which no server does.
    let cells = interrupts.value().chunks_exact(12);
    if !cells.remainder().is_empty() {
        return Err(BootError::BadNode(
            "the timer's interrupts are not of three cells",
        ));
    }
    for cell in cells {
        let name = if names.is_some() {
            named.next()
        } else {
            in_order.next()
        };
        let &[_, _, _, 1, _, _, _, ppi @ 0..16, ..] = cell else {
            return Err(BootError::BadNode("a timer interrupt is no PPI"));
        };
        let intid = Some(16 + u32::from(ppi));
        match name {
            Some(b"phys") => timer.physical = intid,
            Some(b"virt") => timer.virtual_ = intid,
            Some(b"hyp-phys") => timer.hypervisor = intid,
            _ => {}
        }
    }
    Ok(timer)
}

/// The initrd: end is exclusive; both may be of one or two cells.
fn read_initrd(fdt: Fdt<'_>) -> Result<Option<PaRange>, BootError> {
    let Some(chosen) = fdt.root().child("chosen") else {
        return Ok(None);
    };
    let start = number(&chosen, "linux,initrd-start")?;
    let end = number(&chosen, "linux,initrd-end")?;
    match (start, end) {
        (Some(start), Some(end)) => PaRange::between(start, end)
            .filter(|range| !range.is_empty())
            .map(Some)
            .ok_or(BootError::BadNode("the initrd ends before it starts")),
        (None, None) => Ok(None),
        _ => Err(BootError::BadNode(
            "the initrd has a start or an end, not both",
        )),
    }
}

/// A property of one or two cells as a number.
fn number(node: &FdtNode<'_>, name: &str) -> Result<Option<u64>, BootError> {
    let Some(property) = node.property(name) else {
        return Ok(None);
    };
    match *property.value() {
        [a, b, c, d] => Ok(Some(u32::from_be_bytes([a, b, c, d]).into())),
        [a, b, c, d, e, f, g, h] => Ok(Some(u64::from_be_bytes([a, b, c, d, e, f, g, h]))),
        _ => Err(BootError::BadNode(
            "a number is neither of one nor of two cells",
        )),
    }
}

//! The device tree for the engine: written from ACPI's words, or the firmware's own; completed with
//! memory and the boot archive.
//!
//! A tree of the firmware's keeps all but its memory nodes and its command line: as soon as boot services have run, only the
//! memory map knows what is free. What the firmware keeps is in the tree's reservation block.
//!
//! Bindings: Devicetree Specification v0.4; those of the kernel for `arm,gic-v3`, `arm,psci`,
//! `arm,armv8-timer`, `arm,sbsa-uart`, `ns16550a` and `host-generic-pci`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, Property};
use smp_boot::machine::MachineInfo;
use smp_boot::{Mpidr, PaRange};

use crate::Refusal;
use crate::acpi::gtdt::{TimerInterrupt, Timers};
use crate::acpi::spcr::{Kind, Uart};
use crate::machine::{DISTRIBUTOR_BYTES, ITS_BYTES, Machine};
use crate::memory::Memory;

/// The interrupt controller's phandle.
const GIC: u32 = 1;
/// Kinds of interrupts in the GIC's binding.
const SPI: u32 = 0;
const PPI: u32 = 1;
/// Triggers in it.
const EDGE_RISING: u32 = 1;
const EDGE_FALLING: u32 = 2;
const LEVEL_HIGH: u32 = 4;
const LEVEL_LOW: u32 = 8;
/// Deepest node of a firmware's tree.
const MAX_DEPTH: u32 = 16;

/// A tree with what ACPI said, memory left out.
pub fn describe(machine: &Machine) -> DeviceTree {
    let mut tree = DeviceTree::new();
    let root = &mut tree.root;
    set(root, "#address-cells", &[2]);
    set(root, "#size-cells", &[2]);
    set_text(root, "compatible", &["bulkhead,acpi"]);
    set_text(root, "model", &["described by ACPI"]);
    set(root, "interrupt-parent", &[GIC]);

    let mut chosen = node("chosen");
    if let Some(uart) = &machine.uart {
        let name = format!("serial@{:x}", uart.base);
        set_text(&mut chosen, "stdout-path", &[&format!("/{name}")]);
        root.add_child(serial(name, uart));
    }
    root.add_child(chosen);

    let mut psci = node("psci");
    set_text(&mut psci, "compatible", &["arm,psci-1.0", "arm,psci-0.2"]);
    set_text(&mut psci, "method", &["smc"]);
    root.add_child(psci);

    root.add_child(cpus(&machine.cores));
    root.add_child(gic(machine));
    root.add_child(timer(&machine.timers));
    tree
}

/// The firmware's own tree.
pub fn adopt(blob: &[u8]) -> Result<DeviceTree, Refusal> {
    if depth(blob).is_none_or(|depth| depth > MAX_DEPTH) {
        return Err(Refusal::BadTree("malformed, or too deep"));
    }
    let fdt = smp_boot::wellformed::open(blob).ok_or(Refusal::BadTree("malformed"))?;
    Ok(DeviceTree::from_fdt(&fdt))
}

/// Says in `tree` what memory there is, and where the boot archive lies; returns the blob.
pub fn complete(
    tree: &mut DeviceTree,
    memory: &Memory,
    archive: PaRange,
) -> Result<Vec<u8>, Refusal> {
    let root = &mut tree.root;
    let is_memory = |node: &&DeviceTreeNode| {
        let kind = node.property("device_type");
        kind.is_some_and(|kind| kind.value() == b"memory\0")
    };
    let old: Vec<String> = root
        .children()
        .filter(is_memory)
        .map(|node| node.name().into())
        .collect();
    for name in old {
        root.remove_child(&name);
    }
    let cells = ["#address-cells", "#size-cells"].map(|name| {
        let property = root.property(name);
        property.and_then(|cells| cells.value_as::<u32>().ok())
    });
    if cells != [Some(2), Some(2)] {
        return Err(Refusal::BadTree(
            "its addresses and sizes are not of two cells",
        ));
    }
    for ram in &memory.ram {
        let mut node = node(&format!("memory@{:x}", ram.start()));
        set_text(&mut node, "device_type", &["memory"]);
        set_ranges(&mut node, "reg", &[*ram]);
        root.add_child(node);
    }
    // By its whole name: `child` also finds one that has a unit address, which is another node.
    if root.child_mut("chosen").is_none() {
        root.add_child(node("chosen"));
    }
    if let Some(chosen) = root.child_mut("chosen") {
        // Where a firmware keeps its command line the host may write, and it could say that RAM was cleared. Nothing else
        // in it is for the engine.
        #[cfg(not(mutant = "efi-keep-bootargs"))]
        chosen.remove_property("bootargs");
        for (name, at) in [
            ("linux,initrd-start", archive.start()),
            ("linux,initrd-end", archive.end()),
        ] {
            put(chosen, name, at.to_be_bytes().to_vec());
        }
    }
    let kept = memory.reserved.iter();
    tree.memory_reservations
        .extend(kept.map(|range| MemoryReservation::new(range.start(), range.size())));
    Ok(tree.to_dtb())
}

/// What the engine will say to `blob`, asked while there is somebody to tell.
pub fn check(blob: &[u8], boot: u64) -> Result<MachineInfo, Refusal> {
    let mut machine = MachineInfo::new();
    let at = PaRange::new(0, blob.len() as u64).unwrap_or_default();
    smp_boot::fdt::parse(blob, at, Mpidr::from_bits(boot), &mut machine)?;
    Ok(machine)
}

fn cpus(cores: &[u64]) -> DeviceTreeNode {
    let mut cpus = node("cpus");
    set(&mut cpus, "#address-cells", &[2]);
    set(&mut cpus, "#size-cells", &[0]);
    for mpidr in cores {
        let mut cpu = node(&format!("cpu@{mpidr:x}"));
        set_text(&mut cpu, "device_type", &["cpu"]);
        set_text(&mut cpu, "compatible", &["arm,armv8"]);
        put(&mut cpu, "reg", mpidr.to_be_bytes().to_vec());
        set_text(&mut cpu, "enable-method", &["psci"]);
        cpus.add_child(cpu);
    }
    cpus
}

fn gic(machine: &Machine) -> DeviceTreeNode {
    let mut gic = node(&format!("interrupt-controller@{:x}", machine.distributor));
    set_text(&mut gic, "compatible", &["arm,gic-v3"]);
    set(&mut gic, "#interrupt-cells", &[3]);
    put(&mut gic, "interrupt-controller", Vec::new());
    set(&mut gic, "phandle", &[GIC]);
    set(&mut gic, "#address-cells", &[2]);
    set(&mut gic, "#size-cells", &[2]);
    put(&mut gic, "ranges", Vec::new());
    let regions = machine.redistributors.len();
    set(&mut gic, "#redistributor-regions", &[regions as u32]);
    let distributor = PaRange::new(machine.distributor, DISTRIBUTOR_BYTES);
    let frames = distributor.iter().chain(&machine.redistributors);
    let frames: Vec<PaRange> = frames.copied().collect();
    set_ranges(&mut gic, "reg", &frames);
    if let Some(intid) = machine.maintenance {
        set(&mut gic, "interrupts", &[PPI, intid - 16, LEVEL_HIGH]);
    }
    for (number, base) in machine.its.iter().enumerate() {
        let Some(range) = PaRange::new(*base, ITS_BYTES) else {
            continue;
        };
        let mut its = node(&format!("msi-controller@{base:x}"));
        set_text(&mut its, "compatible", &["arm,gic-v3-its"]);
        put(&mut its, "msi-controller", Vec::new());
        set(&mut its, "#msi-cells", &[1]);
        set(&mut its, "phandle", &[GIC + 1 + number as u32]);
        set_ranges(&mut its, "reg", &[range]);
        gic.add_child(its);
    }
    gic
}

fn timer(timers: &Timers) -> DeviceTreeNode {
    let mut timer = node("timer");
    set_text(&mut timer, "compatible", &["arm,armv8-timer"]);
    let all = [
        ("sec-phys", timers.secure),
        ("phys", timers.physical),
        ("virt", timers.virtual_),
        ("hyp-phys", timers.hypervisor),
    ];
    let there = || {
        all.iter()
            .filter_map(|(name, timer)| Some((*name, (*timer)?)))
    };
    let cells: Vec<u32> = there()
        .flat_map(|(_, it)| [PPI, it.intid - 16, trigger(it)])
        .collect();
    let names: Vec<&str> = there().map(|(name, _)| name).collect();
    set(&mut timer, "interrupts", &cells);
    set_text(&mut timer, "interrupt-names", &names);
    if timers.is_always_on {
        put(&mut timer, "always-on", Vec::new());
    }
    timer
}

fn trigger(timer: TimerInterrupt) -> u32 {
    match (timer.is_edge, timer.is_low) {
        (true, false) => EDGE_RISING,
        (true, true) => EDGE_FALLING,
        (false, false) => LEVEL_HIGH,
        (false, true) => LEVEL_LOW,
    }
}

fn serial(name: String, uart: &Uart) -> DeviceTreeNode {
    let mut serial = node(&name);
    match uart.kind {
        // The first is what Linux drives without knowing the UART's clock.
        Kind::Pl011 => set_text(&mut serial, "compatible", &["arm,sbsa-uart", "arm,pl011"]),
        Kind::Ns16550 => {
            set_text(&mut serial, "compatible", &["ns16550a"]);
            set(&mut serial, "reg-shift", &[uart.shift]);
            set(&mut serial, "reg-io-width", &[uart.width]);
        }
    }
    let registers = PaRange::new(uart.base, 0x1000).unwrap_or_default();
    set_ranges(&mut serial, "reg", &[registers]);
    if let Some(intid) = uart.intid {
        set(&mut serial, "interrupts", &[SPI, intid - 32, LEVEL_HIGH]);
    }
    // Linux drives no SBSA UART without a speed, which then says nothing; it takes this one under ACPI too.
    let unsaid = (uart.kind == Kind::Pl011).then_some(115_200);
    if let Some(baud) = uart.baud.or(unsaid) {
        set(&mut serial, "current-speed", &[baud]);
    }
    serial
}

/// The deepest node of a flattened tree; nothing if its structure block makes no sense. Read before
/// anything that goes down the tree by calling itself.
fn depth(blob: &[u8]) -> Option<u32> {
    let word = |at: usize| {
        blob.get(at..)?
            .first_chunk()
            .copied()
            .map(u32::from_be_bytes)
    };
    let mut at = word(8)? as usize;
    let (mut depth, mut deepest) = (0u32, 0);
    loop {
        let token = word(at)?;
        at = at.checked_add(4)?;
        match token {
            1 => {
                depth += 1;
                deepest = deepest.max(depth);
                let name = blob.get(at..)?.iter().position(|byte| *byte == 0)?;
                at = at.checked_add(name + 1)?.checked_next_multiple_of(4)?;
            }
            2 => depth = depth.checked_sub(1)?,
            3 => {
                let bytes = word(at)? as usize;
                at = at.checked_add(8)?.checked_add(bytes)?;
                at = at.checked_next_multiple_of(4)?;
            }
            4 => {}
            9 => return (depth == 0).then_some(deepest),
            _ => return None,
        }
    }
}

fn node(name: &str) -> DeviceTreeNode {
    DeviceTreeNode::new_unchecked(name)
}

/// Sets a property to these bytes.
fn put(node: &mut DeviceTreeNode, name: &str, value: Vec<u8>) {
    node.add_property(DeviceTreeProperty::new_unchecked(name, value));
}

/// Sets a property to these cells.
fn set(node: &mut DeviceTreeNode, name: &str, cells: &[u32]) {
    let bytes = cells.iter().flat_map(|cell| cell.to_be_bytes());
    put(node, name, bytes.collect());
}

/// Sets a property to a list of strings.
fn set_text(node: &mut DeviceTreeNode, name: &str, texts: &[&str]) {
    let mut bytes = Vec::new();
    for text in texts {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    put(node, name, bytes);
}

/// Sets a property to addresses and sizes of two cells each.
fn set_ranges(node: &mut DeviceTreeNode, name: &str, ranges: &[PaRange]) {
    let numbers = ranges
        .iter()
        .flat_map(|range| [range.start(), range.size()]);
    put(node, name, numbers.flat_map(u64::to_be_bytes).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firmwares_command_line_says_nothing() {
        let mut tree = DeviceTree::new();
        set(&mut tree.root, "#address-cells", &[2]);
        set(&mut tree.root, "#size-cells", &[2]);
        let mut chosen = node("chosen");
        set_text(&mut chosen, "bootargs", &["quiet ram-is-clear"]);
        set_text(&mut chosen, "stdout-path", &["/serial"]);
        tree.root.add_child(chosen);
        let archive = PaRange::new(0x1000, 0x1000).unwrap();
        complete(&mut tree, &Memory::default(), archive).unwrap();
        let chosen = tree.root.child("chosen").unwrap();
        assert!(chosen.property("bootargs").is_none());
        assert!(chosen.property("stdout-path").is_some());
    }
}

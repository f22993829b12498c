//! Device trees: read as the engine reads the boot loader's, and edited for the host.
//!
//! An input is a tree as it is (first byte even) or the making of one (odd). What is read must be what a second reader
//! reads; of a tree that is read, the host's tree must differ in what the engine keeps and in nothing else.

mod maker;
mod second;

use dtoolkit::fdt::FdtNode;
use smp_boot::carve::carve;
use smp_boot::edit::{EditError, HostTree, edit_for_host};
use smp_boot::fdt::{find_uart, parse, psci_is_by_hvc};
use smp_boot::machine::{MAX_RESERVED, MachineInfo};
use smp_boot::wellformed::open;
use smp_boot::{BootError, Mpidr, PaRange};

use crate::bytes::Bytes;
use second::{Entry, flatten, value};

/// Where the blob is said to lie.
const DTB: u64 = 0x4900_0000;
/// Room for what the edit adds.
const SPARE: usize = 4096;
/// What a byte of the buffer is that nobody has written.
const UNWRITTEN: u8 = 0xa5;

/// The tree that an input is or makes.
pub fn tree(bytes: &mut Bytes) -> Vec<u8> {
    match bytes.byte() % 2 {
        0 => bytes.rest(),
        _ => maker::tree(bytes),
    }
}

/// Plays an input.
///
/// # Panics
/// If something that must hold does not.
pub fn play(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let wishes = bytes.byte();
    let blob = tree(&mut bytes);
    // What is looked for before anything is known of the blob.
    let _ = (find_uart(&blob), psci_is_by_hvc(&blob));
    let machine = read(&blob);
    let is_tree = open(&blob).is_some();
    if let Ok(machine) = &machine {
        assert!(is_tree, "a machine was read in what is no tree");
        check_machine(&blob, machine);
        check_place(machine);
    }
    edit(&blob, wishes, machine.as_ref().ok());
}

/// Reads a tree as boot does.
fn read(blob: &[u8]) -> Result<MachineInfo, BootError> {
    let mut machine = MachineInfo::new();
    let at = PaRange::new(DTB, blob.len() as u64).expect("a blob's place");
    parse(blob, at, Mpidr::from_bits(0), &mut machine)?;
    Ok(machine)
}

fn is_pages(range: &PaRange) -> bool {
    range.start().is_multiple_of(4096) && range.end().is_multiple_of(4096)
}

/// What was read makes a machine, and a second reader reads the same.
fn check_machine(blob: &[u8], machine: &MachineInfo) {
    let tree = open(blob).expect("a tree");
    assert!(
        machine
            .ram
            .iter()
            .all(|ram| is_pages(ram) && !ram.is_empty())
    );
    let gaps = machine.ram.windows(2);
    assert!(gaps.into_iter().all(|two| two[0].end() < two[1].start()));
    assert_eq!(machine.ram.as_slice(), second::ram(&tree), "RAM");
    assert_eq!(machine.cpus.len(), second::cores(&tree), "cores");
    assert_eq!(
        machine.cpus[0],
        Mpidr::from_bits(0),
        "the boot core is first"
    );
    for (index, core) in machine.cpus.iter().enumerate() {
        assert!(
            !machine.cpus[..index].contains(core),
            "{core} is there twice"
        );
    }
    assert!(machine.reserved.iter().all(is_pages));
    assert!(is_pages(&machine.gic.distributor));
    for region in &machine.gic.redistributors {
        assert!(is_pages(&region.range) && region.range.size() >= 2 << 16);
        assert_ne!(region.stride, Some(0));
    }
    assert!(machine.initrd.is_none_or(|initrd| !initrd.is_empty()));
    if let Some(uart) = machine.uart {
        let first = PaRange::new(uart.base, 1).expect("a register");
        assert!(is_pages(&uart.pages) && uart.pages.contains(first));
    }
    assert_eq!(machine.uart, find_uart(blob), "the console");
    assert!(!psci_is_by_hvc(blob));
}

/// What boot keeps clear of when it looks for the engine's place.
fn taken(machine: &MachineInfo) -> Vec<PaRange> {
    let reserved = machine.reserved.iter().copied();
    let initrd = machine.initrd.map(PaRange::pages_around);
    reserved
        .chain(initrd)
        .chain([machine.dtb.pages_around()])
        .collect()
}

/// The engine's place is free RAM.
fn check_place(machine: &MachineInfo) {
    let taken = taken(machine);
    for need in [1, 3 << 20, 1 << 32, u64::MAX] {
        match carve(&machine.ram, &taken, need) {
            Ok(place) => {
                assert!(place.size() >= need && place.start().is_multiple_of(2 << 20));
                assert!(machine.ram.iter().any(|ram| ram.contains(place)));
                assert!(!taken.iter().any(|other| other.overlaps(place)));
            }
            Err(error) => assert!(matches!(error, BootError::TooLittleRam { .. })),
        }
    }
}

/// Edits a tree, and compares what the host sees with `machine`, which is what it was before.
fn edit(blob: &[u8], wishes: u8, machine: Option<&MachineInfo>) {
    let place = machine.and_then(|it| carve(&it.ram, &taken(it), 2 << 20).ok());
    let engine: Vec<PaRange> = match wishes & 3 {
        0 => Vec::new(),
        1 => PaRange::new(0x7fe0_0000, 0x10_0000).into_iter().collect(),
        _ => place.into_iter().collect(),
    };
    let tree = HostTree {
        bootargs: ["", "guests=2 vcpus=2"][usize::from(wishes >> 2 & 1)],
        initrd: (wishes & 8 != 0).then_some(PaRange::new(0x4500_0000, 0x1234).expect("a range")),
        engine: &engine,
    };
    let room = match wishes >> 4 {
        0 => usize::from(wishes) * 3,
        _ => SPARE,
    };
    let mut out = vec![UNWRITTEN; blob.len() + room];
    let size = match edit_for_host(blob, &mut out, &tree) {
        Ok(size) => size,
        Err(EditError::NoRoom { need, have }) => {
            assert!(need > have && have <= out.len());
            return;
        }
        Err(EditError::Tree(_)) => return,
    };
    assert!(
        out[size..].iter().all(|byte| *byte == UNWRITTEN),
        "wrote too far"
    );
    out.truncate(size);
    assert!(open(&out).is_some(), "the host's tree is none");
    check_rest(blob, &out);
    if engine_has_more(blob) {
        return;
    }
    // Once edited it stays as it is.
    let mut again = vec![UNWRITTEN; out.len() + SPARE];
    let once_more = edit_for_host(&out, &mut again, &tree);
    assert_eq!(once_more, Ok(out.len()), "edited once more");
    again.truncate(out.len());
    assert_eq!(out, again, "edited once more");
    if let Some(machine) = machine
        && machine.reserved.len() + engine.len() <= MAX_RESERVED
        && !is_moved(blob)
    {
        check_host(machine, &out, &tree);
    }
}

/// The host sees the machine less what the engine keeps.
fn check_host(machine: &MachineInfo, out: &[u8], tree: &HostTree<'_>) {
    let host = read(out).expect("what was read before can be read after");
    assert_eq!(host.ram, machine.ram);
    assert_eq!(host.cpus, machine.cpus);
    assert_eq!(host.gic.distributor, machine.gic.distributor);
    assert_eq!(host.gic.redistributors, machine.gic.redistributors);
    assert!(host.gic.its.is_empty(), "the host has an ITS");
    assert_eq!(host.initrd, tree.initrd);
    assert_eq!(
        (host.timer.virtual_, host.timer.physical),
        (None, machine.timer.physical)
    );
    for kept in tree.engine.iter().chain(&machine.reserved) {
        assert!(
            host.reserved.contains(kept),
            "{kept} is not reserved any more"
        );
    }
}

/// What no edit is about stays as it was.
fn check_rest(before: &[u8], after: &[u8]) {
    let rest = |blob: &[u8]| -> Vec<Entry> {
        let tree = open(blob).expect("a tree");
        let mut flat = flatten(&tree, |path, node| !is_its(node) && !is_ours(path));
        flat.retain(|(path, name, _)| !is_edited(path, name));
        flat
    };
    assert_eq!(rest(before), rest(after), "what the edit is not about");
}

/// Is a node that reserves memory for an engine before more than that? Whatever is in it goes with it.
fn engine_has_more(blob: &[u8]) -> bool {
    let tree = open(blob).expect("a tree");
    let flat = flatten(&tree, |_, _| true);
    flat.iter().any(|(path, name, _)| {
        is_ours(path) && (name == "compatible" || path.matches('/').count() > 2)
    })
}

/// Are the addresses of `/reserved-memory` others than the root's? The specification wants an empty `ranges` there (3.5),
/// and Linux looks at no more than that it is there.
fn is_moved(blob: &[u8]) -> bool {
    let tree = open(blob).expect("a tree");
    let flat = flatten(&tree, |_, _| true);
    let is_it = |(path, name, value): &Entry| {
        path == "/reserved-memory" && name == "ranges" && !value.is_empty()
    };
    flat.iter().any(is_it)
}

fn is_its(node: &FdtNode<'_>) -> bool {
    let compatible = value(node, "compatible").unwrap_or_default();
    let mut texts = compatible.split_inclusive(|byte| *byte == 0);
    texts.any(|text| text == b"arm,gic-v3-its\0")
}

fn is_ours(path: &str) -> bool {
    path.starts_with("/reserved-memory/bulkhead@")
}

fn is_edited(path: &str, name: &str) -> bool {
    let properties = [
        "msi-parent",
        "msi-map",
        "bootargs",
        "linux,initrd-start",
        "linux,initrd-end",
        "interrupts",
        "interrupt-names",
        "method",
    ];
    let is_node = name.is_empty() || ["ranges", "#address-cells", "#size-cells"].contains(&name);
    properties.contains(&name) || is_node && ["/chosen", "/reserved-memory"].contains(&path)
}

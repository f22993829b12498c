//! A firmware that has a device tree of its own: kept, but for memory.

use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node, Property};
use efi_boot::{Refusal, tree};
use smp_boot::PaRange;

use crate::tables;

/// QEMU's tree of a machine with two cores, and RAM where the memory map has none.
const VIRT: &[u8] = include_bytes!("../../../tests/virt-2.dtb");

fn complete(blob: &[u8]) -> Result<Vec<u8>, Refusal> {
    tree::complete(&mut tree::adopt(blob)?, &tables::ram(), tables::archive())
}

#[test]
fn memory_is_the_maps_and_all_else_the_firmwares() {
    let blob = complete(VIRT).unwrap();
    let read = tree::check(&blob, 0).unwrap();
    assert_eq!(read.ram.as_slice(), tables::ram().ram);
    assert_eq!(read.reserved.as_slice(), tables::ram().reserved);
    assert_eq!(read.initrd, Some(tables::archive()));
    assert_eq!(read.cpus.len(), 2);
    let (old, new) = (Fdt::new(VIRT).unwrap(), Fdt::new(&blob).unwrap());
    let names = |fdt: &Fdt<'_>| -> Vec<String> {
        let nodes = fdt.root().children();
        let mut names: Vec<String> = nodes
            .map(|node| node.name().to_owned())
            .filter(|name| !name.starts_with("memory@"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&old), names(&new));
    let gic = |fdt: &Fdt<'_>| {
        let node = fdt.root().find_compatible("arm,gic-v3").next().unwrap();
        node.property("reg").unwrap().value().to_vec()
    };
    assert_eq!(gic(&old), gic(&new));
}

#[test]
fn reservations_of_the_tree_stay() {
    use dtoolkit::memreserve::MemoryReservation;

    let mut own = tree::adopt(VIRT).unwrap();
    own.memory_reservations
        .push(MemoryReservation::new(0x4100_0000, 0x1000));
    let read = tree::check(&complete(&own.to_dtb()).unwrap(), 0).unwrap();
    let kept = PaRange::new(0x4100_0000, 0x1000).unwrap();
    assert!(read.reserved.contains(&kept));
    assert_eq!(read.reserved.len(), 1 + tables::ram().reserved.len());
}

/// Found by fuzzing: the archive went into neither node.
#[test]
fn a_node_whose_name_only_begins_like_chosen_does_not_keep_the_archive() {
    let mut own = tree::adopt(VIRT).unwrap();
    own.root.remove_child("chosen").unwrap();
    own.root
        .add_child(DeviceTreeNode::new_unchecked("chosen@1"));
    let read = tree::check(&complete(&own.to_dtb()).unwrap(), 0).unwrap();
    assert_eq!(read.initrd, Some(tables::archive()));
}

#[test]
fn a_tree_that_is_too_deep_is_refused_before_it_is_walked() {
    let mut node = DeviceTreeNode::new_unchecked("deepest");
    for _ in 0..100 {
        let mut above = DeviceTreeNode::new_unchecked("above");
        above.add_child(node);
        node = above;
    }
    let mut deep = DeviceTree::new();
    deep.root.add_child(node);
    assert!(matches!(
        tree::adopt(&deep.to_dtb()),
        Err(Refusal::BadTree(_))
    ));
}

#[test]
fn other_cells_than_two_are_refused() {
    let mut own = tree::adopt(VIRT).unwrap();
    let cells = own.root.property_mut("#size-cells").unwrap();
    cells.set_value(1u32);
    assert!(matches!(complete(&own.to_dtb()), Err(Refusal::BadTree(_))));
}

#[test]
fn each_byte_may_be_anything() {
    // A small one: each of its bytes costs two trees.
    let machine = tables::read(&tables::place(&tables::machine(2))).unwrap();
    let mut small = tree::describe(&machine);
    let small = tree::complete(&mut small, &tables::ram(), tables::archive()).unwrap();
    let (mut read, mut refused) = (0, 0);
    for at in 0..small.len() {
        for byte in [0, 0xff] {
            let mut blob = small.clone();
            blob[at] = byte;
            match complete(&blob).and_then(|blob| tree::check(&blob, 0)) {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(
        read > 100 && refused > 100,
        "{read} read, {refused} refused"
    );
}

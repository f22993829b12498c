//! Trees to edit, the edit, and a second reading of what it made.

use std::io::Write;
use std::process::{Command, Stdio};

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use smp_boot::PaRange;
use smp_boot::edit::{EditError, HostTree, edit_for_host};

pub(crate) const VIRT: &[u8] = include_bytes!("../virt-2.dtb");
pub(crate) const VIRT_192: &[u8] = include_bytes!("../virt-192.dtb");
pub(crate) const SOC: &[u8] = include_bytes!("../soc.dtb");

pub(crate) const SPARE: usize = 4096;

pub(crate) fn range(start: u64, end: u64) -> PaRange {
    PaRange::between(start, end).unwrap()
}

/// A tree as properties in order: path of the node, name, value. A node counts as one too.
pub(crate) type Flat = Vec<(String, String, Vec<u8>)>;

pub(crate) fn flatten(blob: &[u8]) -> Flat {
    fn add(node: &FdtNode<'_>, path: &str, flat: &mut Flat) {
        let path = format!("{path}{}", node.name());
        flat.push((path.clone(), String::new(), Vec::new()));
        for property in node.properties() {
            flat.push((
                path.clone(),
                property.name().into(),
                property.value().to_vec(),
            ));
        }
        for child in node.children() {
            add(&child, &format!("{path}/"), flat);
        }
    }
    let mut flat = Vec::new();
    add(&Fdt::new(blob).unwrap().root(), "", &mut flat);
    flat
}

pub(crate) fn value<'f>(flat: &'f Flat, path: &str, name: &str) -> Option<&'f [u8]> {
    flat.iter()
        .find(|it| it.0 == path && it.1 == name)
        .map(|it| &*it.2)
}

pub(crate) fn cells(cells: &[u32]) -> Vec<u8> {
    cells.iter().flat_map(|cell| cell.to_be_bytes()).collect()
}

pub(crate) fn edit_in(
    blob: &[u8],
    spare: usize,
    tree: &HostTree<'_>,
) -> Result<Vec<u8>, EditError> {
    let mut buffer = vec![0xa5; blob.len() + spare];
    let size = edit_for_host(blob, &mut buffer, tree)?;
    assert!(buffer[size..].iter().all(|&byte| byte == 0xa5));
    buffer.truncate(size);
    Ok(buffer)
}

pub(crate) fn edit(blob: &[u8], tree: &HostTree<'_>) -> Vec<u8> {
    edit_in(blob, SPARE, tree).unwrap()
}

/// What the second reader of trees makes of `blob`; `None` where it is not installed.
pub(crate) fn decompile(blob: &[u8]) -> Option<String> {
    let mut dtc = Command::new("dtc")
        .args(["-q", "-I", "dtb", "-O", "dts"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    dtc.stdin.take().unwrap().write_all(blob).unwrap();
    let output = dtc.wait_with_output().unwrap();
    assert!(output.status.success(), "dtc refuses the tree");
    Some(String::from_utf8(output.stdout).unwrap())
}

pub(crate) fn host_tree(engine: &[PaRange]) -> HostTree<'_> {
    HostTree {
        bootargs: "guests=2 vcpus=2",
        initrd: Some(range(0x4800_0000, 0x4801_2345)),
        engine,
    }
}

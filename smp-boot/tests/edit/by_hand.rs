//! Trees made by hand, for what no fixture has.

use crate::common::{SPARE, cells, edit, edit_in, flatten, host_tree, range, value};
use smp_boot::BootError;
use smp_boot::edit::EditError;

/// A tree made by hand. Strings are not shared, and there is a no-op before each node.
#[derive(Default)]
pub(crate) struct Maker {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl Maker {
    pub(crate) fn begin(mut self, name: &str) -> Self {
        if !self.structure.is_empty() {
            self.structure.extend(cells(&[4]));
        }
        self.structure.extend(cells(&[1]));
        self.structure.extend(name.as_bytes());
        self.structure.push(0);
        self.pad()
    }

    pub(crate) fn property(mut self, name: &str, value: &[u8]) -> Self {
        let head = cells(&[3, value.len() as u32, self.strings.len() as u32]);
        self.structure.extend(head);
        self.structure.extend(value);
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        self.pad()
    }

    pub(crate) fn end(mut self) -> Self {
        self.structure.extend(cells(&[2]));
        self
    }

    fn pad(mut self) -> Self {
        let len = self.structure.len().next_multiple_of(4);
        self.structure.resize(len, 0);
        self
    }

    /// A timer and PSCI, which every machine has.
    pub(crate) fn common(self) -> Self {
        let timer = [1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4];
        self.begin("psci")
            .property("compatible", b"arm,psci-1.0\0")
            .property("method", b"hvc\0")
            .end()
            .begin("timer")
            .property("compatible", b"arm,armv8-timer\0")
            .property("interrupts", &cells(&timer))
            .end()
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.structure.extend(cells(&[9]));
        let strings = 56 + self.structure.len();
        let total = strings + self.strings.len();
        let [structure_len, strings_len, strings, total] =
            [self.structure.len(), self.strings.len(), strings, total].map(|number| number as u32);
        let mut blob = cells(&[
            0xd00d_feed,
            total,
            56,
            strings,
            40,
            17,
            16,
            0,
            strings_len,
            structure_len,
        ]);
        blob.extend([0; 16]);
        blob.extend(self.structure);
        blob.extend(self.strings);
        blob
    }
}

#[test]
fn makes_what_is_missing() {
    // One cell each, and neither /chosen nor /reserved-memory; "chosen@1" is another node.
    let blob = Maker::default()
        .begin("")
        .property("#address-cells", &cells(&[1]))
        .property("#size-cells", &cells(&[1]))
        .common()
        .begin("chosen@1")
        .end()
        .end()
        .finish();
    let flat = flatten(&edit(&blob, &host_tree(&[range(0x8000_0000, 0x8000_3000)])));
    let get = |path, name| value(&flat, path, name);
    assert_eq!(get("/chosen", "bootargs"), Some(&b"guests=2 vcpus=2\0"[..]));
    assert_eq!(get("/chosen@1", "bootargs"), None);
    assert_eq!(
        get("/reserved-memory", "#address-cells"),
        Some(&*cells(&[1]))
    );
    assert_eq!(
        get("/reserved-memory/bulkhead@80000000", "reg"),
        Some(&*cells(&[0x8000_0000, 0x3000]))
    );
    assert_eq!(get("/psci", "method"), Some(&b"smc\0"[..]));
    let too_high = [range(0x1_0000_0000, 0x1_0000_1000)];
    assert!(matches!(
        edit_in(&blob, SPARE, &host_tree(&too_high)),
        Err(EditError::Tree(BootError::BadNode(_)))
    ));
}

#[test]
fn removes_references_to_the_its_alone() {
    let its = |maker: Maker, name, compatible: &[u8], phandle| {
        maker
            .begin(name)
            .property("compatible", compatible)
            .property("phandle", &cells(&[phandle]))
            .end()
    };
    let maker = Maker::default().begin("").common();
    let maker = its(maker, "its@1", b"arm,gic-v3-its\0", 7);
    let maker = its(maker, "frame@2", b"arm,gic-v2m-frame\0", 8);
    let blob = its(maker, "its@3", b"arm,gic-v3-its\0", 9)
        .begin("one")
        .property("msi-parent", &cells(&[7, 0x10]))
        .end()
        .begin("two")
        .property("msi-parent", &cells(&[8]))
        .property("iommu-map", &cells(&[0, 9, 0, 0x1_0000]))
        .begin("below")
        .property("msi-map", &cells(&[0, 8, 0, 0x100, 0x100, 9, 0, 0x100]))
        .end()
        .end()
        .begin("three")
        .property("msi-map", &cells(&[7, 8, 7, 9]))
        .end()
        .end()
        .finish();
    let flat = flatten(&edit(&blob, &host_tree(&[])));
    let get = |path, name| value(&flat, path, name);
    assert_eq!(get("/its@1", ""), None);
    assert_eq!(get("/its@3", ""), None);
    assert!(get("/frame@2", "").is_some());
    assert_eq!(get("/one", "msi-parent"), None);
    assert!(get("/two", "msi-parent").is_some());
    assert!(get("/two", "iommu-map").is_some());
    assert_eq!(get("/two/below", "msi-map"), None);
    assert!(get("/three", "msi-map").is_some());
}

#[test]
fn finds_timer_interrupts_by_name() {
    let timer = |names: &[u8], interrupts: &[u32]| {
        Maker::default()
            .begin("")
            .begin("timer@2a810000")
            .property("compatible", b"arm,armv7-timer-mem\0")
            .end()
            .begin("timer")
            .property("interrupt-names", names)
            .property("interrupts", &cells(interrupts))
            .property("compatible", b"arm,armv8-timer\0")
            .end()
            .begin("psci")
            .property("compatible", b"arm,psci-0.2\0")
            .end()
            .end()
            .finish()
    };
    let blob = timer(b"virt\0phys\0", &[1, 11, 8, 1, 14, 8]);
    let flat = flatten(&edit(&blob, &host_tree(&[])));
    assert_eq!(
        value(&flat, "/timer", "interrupts"),
        Some(&*cells(&[1, 14, 8]))
    );
    assert_eq!(
        value(&flat, "/timer", "interrupt-names"),
        Some(&b"phys\0"[..])
    );
    assert_eq!(value(&flat, "/timer@2a810000", "interrupt-names"), None);
    for (names, interrupts) in [
        (&b"virt\0"[..], &[1, 11, 8][..]),
        (b"virt\0phys\0", &[1, 11, 8]),
        (b"phys\0", &[1, 11]),
        (b"phys", &[1, 11, 8]),
    ] {
        let blob = timer(names, interrupts);
        assert!(matches!(
            edit_in(&blob, SPARE, &host_tree(&[])),
            Err(EditError::Tree(BootError::BadNode(_)))
        ));
    }
}

#[test]
fn names_what_is_missing() {
    let bare = Maker::default().begin("").end().finish();
    assert_eq!(
        edit_in(&bare, SPARE, &host_tree(&[])),
        Err(BootError::BadNode("no arm,armv8-timer").into())
    );
    let timer = Maker::default()
        .begin("")
        .begin("timer")
        .property("compatible", b"arm,armv8-timer\0")
        .property("interrupts", &cells(&[1, 13, 4, 1, 14, 4]))
        .end()
        .end()
        .finish();
    assert_eq!(
        edit_in(&timer, SPARE, &host_tree(&[])),
        Err(BootError::NoPsci.into())
    );
}

#[test]
fn the_root_stays() {
    let blob = Maker::default()
        .begin("")
        .property("compatible", b"arm,gic-v3-its\0")
        .common()
        .end()
        .finish();
    assert!(edit_in(&blob, SPARE, &host_tree(&[])).is_err());
}

/// Found by fuzzing: the host's tree had no `/chosen`, or no timer.
#[test]
fn what_the_host_needs_is_no_its() {
    for (node, compatible) in [
        ("chosen", &b"arm,gic-v3-its\0"[..]),
        ("reserved-memory", b"arm,gic-v3-its\0"),
        ("one", b"arm,gic-v3-its\0arm,armv8-timer\0"),
        ("two", b"arm,psci-1.0\0arm,gic-v3-its\0"),
        ("three", b"arm,gic-v3\0arm,gic-v3-its\0"),
    ] {
        let blob = Maker::default()
            .begin("")
            .common()
            .begin(node)
            .property("compatible", compatible)
            .end()
            .end()
            .finish();
        let malformed = BootError::BadNode("malformed");
        let edited = edit_in(&blob, SPARE, &host_tree(&[]));
        assert_eq!(edited, Err(malformed.into()), "{node}");
    }
}

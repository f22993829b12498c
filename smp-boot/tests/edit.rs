//! The host's device tree, from fixtures of real shape (see `device_tree.rs`), from trees made by
//! hand, and from damaged ones.

use std::io::Write;
use std::process::{Command, Stdio};

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use smp_boot::edit::{EditError, HostTree, edit_for_host};
use smp_boot::{BootError, PaRange};

const VIRT: &[u8] = include_bytes!("virt-2.dtb");
const VIRT_192: &[u8] = include_bytes!("virt-192.dtb");
const SOC: &[u8] = include_bytes!("soc.dtb");

const SPARE: usize = 4096;

fn range(start: u64, end: u64) -> PaRange {
    PaRange::between(start, end).unwrap()
}

/// A tree as properties in order: path of the node, name, value. A node counts as one too.
type Flat = Vec<(String, String, Vec<u8>)>;

fn flatten(blob: &[u8]) -> Flat {
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

fn value<'f>(flat: &'f Flat, path: &str, name: &str) -> Option<&'f [u8]> {
    flat.iter()
        .find(|it| it.0 == path && it.1 == name)
        .map(|it| &*it.2)
}

fn cells(cells: &[u32]) -> Vec<u8> {
    cells.iter().flat_map(|cell| cell.to_be_bytes()).collect()
}

fn edit_in(blob: &[u8], spare: usize, tree: &HostTree<'_>) -> Result<Vec<u8>, EditError> {
    let mut buffer = blob.to_vec();
    buffer.resize(blob.len() + spare, 0xa5);
    let size = edit_for_host(&mut buffer, tree)?;
    buffer.truncate(size);
    Ok(buffer)
}

fn edit(blob: &[u8], tree: &HostTree<'_>) -> Vec<u8> {
    edit_in(blob, SPARE, tree).unwrap()
}

/// What the second reader of trees makes of `blob`; `None` where it is not installed.
fn decompile(blob: &[u8]) -> Option<String> {
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

/// A tree made by hand. Strings are not shared, and there is a no-op before each node.
#[derive(Default)]
struct Maker {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl Maker {
    fn begin(mut self, name: &str) -> Self {
        if !self.structure.is_empty() {
            self.structure.extend(cells(&[4]));
        }
        self.structure.extend(cells(&[1]));
        self.structure.extend(name.as_bytes());
        self.structure.push(0);
        self.pad()
    }

    fn property(mut self, name: &str, value: &[u8]) -> Self {
        let head = cells(&[3, value.len() as u32, self.strings.len() as u32]);
        self.structure.extend(head);
        self.structure.extend(value);
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        self.pad()
    }

    fn end(mut self) -> Self {
        self.structure.extend(cells(&[2]));
        self
    }

    fn pad(mut self) -> Self {
        let len = self.structure.len().next_multiple_of(4);
        self.structure.resize(len, 0);
        self
    }

    /// A timer and PSCI, which every machine has.
    fn common(self) -> Self {
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

    fn finish(mut self) -> Vec<u8> {
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

fn host_tree(engine: &[PaRange]) -> HostTree<'_> {
    HostTree {
        bootargs: "guests=2 vcpus=2",
        initrd: Some(range(0x4800_0000, 0x4801_2345)),
        engine,
    }
}

#[test]
fn edits_virt() {
    let engine = [
        range(0x5000_0000, 0x5100_0000),
        range(0x1_4000_0000, 0x1_4020_0000),
    ];
    for blob in [VIRT, VIRT_192] {
        let after = edit(blob, &host_tree(&engine));
        let flat = flatten(&after);
        let get = |path, name| value(&flat, path, name);
        assert_eq!(get("/chosen", "bootargs"), Some(&b"guests=2 vcpus=2\0"[..]));
        assert_eq!(
            get("/chosen", "linux,initrd-start"),
            Some(&*cells(&[0, 0x4800_0000]))
        );
        assert_eq!(
            get("/chosen", "linux,initrd-end"),
            Some(&*cells(&[0, 0x4801_2345]))
        );
        assert_eq!(
            get("/chosen", "stdout-path"),
            Some(&b"/pl011@9000000\0"[..])
        );
        let low = "/reserved-memory/bulkhead@50000000";
        let high = "/reserved-memory/bulkhead@140000000";
        assert_eq!(
            get("/reserved-memory", "#address-cells"),
            Some(&*cells(&[2]))
        );
        assert_eq!(get("/reserved-memory", "#size-cells"), Some(&*cells(&[2])));
        assert_eq!(get("/reserved-memory", "ranges"), Some(&[][..]));
        assert_eq!(
            get(low, "reg"),
            Some(&*cells(&[0, 0x5000_0000, 0, 0x100_0000]))
        );
        assert_eq!(
            get(high, "reg"),
            Some(&*cells(&[1, 0x4000_0000, 0, 0x20_0000]))
        );
        assert_eq!(get(low, "no-map"), Some(&[][..]));
        assert_eq!(get(high, "no-map"), Some(&[][..]));
        // Five interrupts became three, without both of the virtual timers.
        assert_eq!(
            get("/timer", "interrupts"),
            Some(&*cells(&[1, 13, 4, 1, 14, 4, 1, 10, 4]))
        );
        assert_eq!(
            get("/timer", "interrupt-names"),
            Some(&b"sec-phys\0phys\0hyp-phys\0"[..])
        );
        assert_eq!(get("/psci", "method"), Some(&b"smc\0"[..]));
        assert!(!flat.iter().any(|it| it.0.contains("/its@")));
        assert!(!flat.iter().any(|it| it.1 == "msi-map"));
        if let Some(source) = decompile(&after) {
            assert!(source.contains("bulkhead@140000000 {"));
            assert!(!source.contains("arm,gic-v3-its"));
        }
    }
}

#[test]
fn leaves_the_rest_as_it_was() {
    let engine = [range(0x8000_0000, 0x8010_0000)];
    let edited = |it: &(String, String, Vec<u8>)| {
        let (path, name) = (&*it.0, &*it.1);
        path.contains("/its@")
            || path.contains("/msi-controller@")
            || path.contains("/bulkhead@")
            || ["bootargs", "linux,initrd-start", "linux,initrd-end"].contains(&name)
            || ["interrupt-names", "msi-map", "msi-parent"].contains(&name)
            || (path.ends_with("/timer") && name == "interrupts")
    };
    for blob in [VIRT, VIRT_192, SOC] {
        let mut before = flatten(blob);
        let mut after = flatten(&edit(blob, &host_tree(&engine)));
        before.retain(|it| !edited(it));
        after.retain(|it| !edited(it));
        if value(&before, "/reserved-memory", "").is_none() {
            after.retain(|it| it.0 != "/reserved-memory");
        }
        assert_eq!(before, after);
    }
    let reservations = |blob: &[u8]| {
        let fdt = Fdt::new(blob).unwrap();
        fdt.memory_reservations().collect::<Vec<_>>()
    };
    let after = edit(SOC, &host_tree(&engine));
    assert_eq!(reservations(&after), reservations(SOC));
}

#[test]
fn joins_reserved_memory_that_is_there() {
    let engine = [
        range(0x9000_0000, 0x9010_0000),
        PaRange::EMPTY,
        range(0x8_1000_0000, 0x8_1000_1000),
    ];
    let flat = flatten(&edit(SOC, &host_tree(&engine)));
    let children: Vec<&str> = flat
        .iter()
        .filter(|it| it.1.is_empty())
        .filter_map(|it| it.0.strip_prefix("/reserved-memory/"))
        .collect();
    assert_eq!(
        children,
        [
            "bulkhead@90000000",
            "bulkhead@810000000",
            "firmware@8f000000",
            "pool"
        ]
    );
    assert_eq!(
        value(&flat, "/reserved-memory/bulkhead@810000000", "reg"),
        Some(&*cells(&[8, 0x1000_0000, 0, 0x1000]))
    );
}

#[test]
fn twice_is_once() {
    let engine = [range(0x5000_0000, 0x5100_0000)];
    for blob in [VIRT, VIRT_192, SOC] {
        let once = edit(blob, &host_tree(&engine));
        assert_eq!(edit(&once, &host_tree(&engine)), once);
    }
}

#[test]
fn drops_the_initrd() {
    let tree = HostTree {
        initrd: None,
        ..host_tree(&[])
    };
    let flat = flatten(&edit(SOC, &tree));
    assert_eq!(value(&flat, "/chosen", "linux,initrd-start"), None);
    assert_eq!(value(&flat, "/chosen", "linux,initrd-end"), None);
    assert!(value(&flat, "/chosen", "stdout-path").is_some());
}

#[test]
fn uses_the_slack_inside() {
    let engine = [range(0x5000_0000, 0x5100_0000)];
    // As QEMU hands it over: a mebibyte, most of it zeros.
    let mut padded = VIRT.to_vec();
    padded.resize(1 << 20, 0);
    padded[4..8].copy_from_slice(&(1_u32 << 20).to_be_bytes());
    let after = edit_in(&padded, 0, &host_tree(&engine)).unwrap();
    assert_eq!(after, edit(VIRT, &host_tree(&engine)));
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

#[test]
fn says_when_there_is_no_room() {
    let engine = [range(0x8000_0000, 0x8010_0000)];
    let full = edit(SOC, &host_tree(&engine));
    for spare in (0..SPARE).step_by(4) {
        match edit_in(SOC, spare, &host_tree(&engine)) {
            Ok(after) => assert_eq!(after, full),
            Err(EditError::NoRoom { need, have }) => {
                assert_eq!(have, SOC.len() + spare);
                assert!(need > have);
            }
            Err(other) => panic!("{other}"),
        }
    }
    // The boot protocol's limit counts even where the buffer is larger.
    let long = "x".repeat(2 << 20);
    let tree = HostTree {
        bootargs: &long,
        ..host_tree(&[])
    };
    assert!(matches!(
        edit_in(SOC, 8 << 20, &tree),
        Err(EditError::NoRoom {
            have: 0x20_0000,
            ..
        })
    ));
}

#[test]
fn survives_short_buffers() {
    let tree = host_tree(&[]);
    for len in 0..SOC.len() {
        assert!(edit_for_host(&mut SOC[..len].to_vec(), &tree).is_err());
    }
}

#[test]
fn survives_damage() {
    let engine = [range(0x8000_0000, 0x8010_0000)];
    let mut bent = 0;
    for at in 0..SOC.len() {
        for damage in [0, 3, 0xff] {
            let mut blob = SOC.to_vec();
            blob[at] = damage;
            if let Ok(after) = edit_in(&blob, SPARE, &host_tree(&engine)) {
                Fdt::new(&after).unwrap();
                bent += 1;
            }
        }
    }
    assert!(bent > 0, "some damage is in values and goes unnoticed");
}

/// Tokens that leave their block for the strings, where an edit would tear them apart.
#[test]
fn refuses_tokens_outside_their_block() {
    let mut blob = Maker::default().begin("").common().end().finish();
    let size = u32::from_be_bytes(blob[36..40].try_into().unwrap());
    blob[36..40].copy_from_slice(&(size - 4).to_be_bytes());
    assert!(Fdt::new(&blob).is_ok(), "the reader does not mind");
    assert_eq!(
        edit_in(&blob, SPARE, &host_tree(&[])),
        Err(BootError::BadNode("malformed").into())
    );
}

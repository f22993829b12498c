//! Trees of real shape: what is edited, and that the rest stays.

use crate::common::{
    SOC, VIRT, VIRT_192, cells, decompile, edit, edit_in, flatten, host_tree, range, value,
};
use dtoolkit::fdt::Fdt;
use smp_boot::PaRange;
use smp_boot::edit::HostTree;

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

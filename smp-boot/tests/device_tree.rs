//! Device trees of real shape, and damaged ones.
//!
//! `virt-*.dtb` were written by QEMU 10.0.2 (`-M virt,gic-version=3,virtualization=on,dumpdtb=`,
//! then `dtc` both ways to drop the padding); `soc.dtb` is `soc.dts` through `dtc`; `versal.dtb` is of
//! QEMU's `-M xlnx-versal-virt -m 1G`, its padding cut off.

use smp_boot::edit::{HostTree, edit_for_host};
use smp_boot::machine::{UartInfo, UartKind};
use smp_boot::{BootError, MachineInfo, Mpidr, PaRange, fdt};

const VIRT: &[u8] = include_bytes!("virt-2.dtb");
const VIRT_192: &[u8] = include_bytes!("virt-192.dtb");
const VIRT_GICV2: &[u8] = include_bytes!("virt-gicv2.dtb");
const SOC: &[u8] = include_bytes!("soc.dtb");

const VERSAL: &[u8] = include_bytes!("versal.dtb");

const DTB_AT: u64 = 0x4400_0000;

fn parse_on(blob: &[u8], boot: u64) -> Result<MachineInfo, BootError> {
    let dtb = PaRange::new(DTB_AT, blob.len() as u64).unwrap();
    let mut machine = MachineInfo::new();
    fdt::parse(blob, dtb, Mpidr::from_bits(boot), &mut machine)?;
    Ok(machine)
}

fn parse(blob: &[u8]) -> Result<MachineInfo, BootError> {
    parse_on(blob, 0)
}

/// A PL011 with these registers.
fn pl011(pages: PaRange) -> UartInfo {
    UartInfo {
        base: pages.start(),
        pages,
        kind: UartKind::Pl011,
    }
}

fn range(start: u64, end: u64) -> PaRange {
    PaRange::between(start, end).unwrap()
}

/// The blob with every `from` replaced by `to`, which is as long.
fn replace(blob: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut blob = blob.to_vec();
    let mut found = false;
    for at in 0..=blob.len() - from.len() {
        if blob[at..].starts_with(from) {
            blob[at..at + to.len()].copy_from_slice(to);
            found = true;
        }
    }
    assert!(found, "the fixture does not hold {from:?}");
    blob
}

#[test]
fn reads_virt() {
    let machine = parse(VIRT).unwrap();
    assert_eq!(machine.ram, [range(0x4000_0000, 0x6000_0000)]);
    assert_eq!(machine.cpus, [Mpidr::from_bits(0), Mpidr::from_bits(1)]);
    assert_eq!(machine.gic.distributor, range(0x800_0000, 0x801_0000));
    assert_eq!(machine.gic.redistributors.len(), 1);
    assert_eq!(
        machine.gic.redistributors[0].range,
        range(0x80a_0000, 0x900_0000)
    );
    assert_eq!(machine.gic.its, [range(0x808_0000, 0x80a_0000)]);
    assert_eq!(machine.uart, Some(pl011(range(0x900_0000, 0x900_1000))));
    assert_eq!(machine.timer.physical, Some(30));
    assert_eq!(machine.timer.virtual_, Some(27));
    assert_eq!(machine.timer.hypervisor, Some(26));
    assert_eq!(machine.initrd, None);
    assert_eq!(machine.dtb.start(), DTB_AT);
}

#[test]
fn reads_virt_with_192_cores() {
    let machine = parse_on(VIRT_192, 0x101).unwrap();
    assert_eq!(machine.cpus.len(), 192);
    assert_eq!(
        machine.cpus[0],
        Mpidr::from_bits(0x101),
        "the boot core comes first"
    );
    assert_eq!(machine.cpus[1], Mpidr::from_bits(0));
    assert_eq!(
        machine.cpus[17],
        Mpidr::from_bits(0x100),
        "then the order of the tree"
    );
    assert_eq!(machine.cpus[18], Mpidr::from_bits(0x102));
    assert_eq!(machine.gic.redistributors.len(), 2);
    assert_eq!(machine.ram_bytes(), 8 << 30);
    assert_eq!(
        machine
            .cpu_of(Mpidr::from_bits(0xb0f))
            .map(|cpu| cpu.index()),
        Some(191)
    );
}

/// RAM from address 0, and a property with a longer name than the specification allows.
#[test]
fn reads_a_board_that_is_elsewhere() {
    let machine = parse(VERSAL).unwrap();
    assert_eq!(machine.ram, [range(0, 0x4000_0000)]);
    assert_eq!(machine.cpus, [Mpidr::from_bits(0), Mpidr::from_bits(1)]);
    assert_eq!(machine.gic.distributor, range(0xf900_0000, 0xf901_0000));
    assert_eq!(
        machine.gic.redistributors[0].range,
        range(0xf908_0000, 0xf910_0000)
    );
    assert_eq!(machine.uart, Some(pl011(range(0xff00_0000, 0xff00_1000))));
    assert_eq!(machine.timer.physical, Some(30));
    let long = b"snps,quirk-frame-length-adjustment\0";
    assert!(long.len() > 32 && VERSAL.windows(long.len()).any(|name| name == long));
}

#[test]
fn reads_nested_buses_and_everything_reserved() {
    let machine = parse(SOC).unwrap();
    let high = range(0x8_0000_1000, 0x8_4000_0000);
    assert_eq!(machine.ram, [range(0x8000_0000, 0xa000_0000), high]);
    assert_eq!(machine.ram_span(), range(0x8000_0000, 0x8_4000_0000));
    let reserved = [
        range(0x8000_0000, 0x8000_2000),
        range(0x8f00_0000, 0x8f00_1000),
    ];
    assert_eq!(machine.reserved, reserved);
    let cores = [0, 0x100, 0x1_0000_0100].map(Mpidr::from_bits);
    assert_eq!(
        machine.cpus, cores,
        "without the failed one, with the disabled one"
    );
    assert_eq!(machine.gic.distributor, range(0x1_3000_0000, 0x1_3001_0000));
    let regions: Vec<_> = machine
        .gic
        .redistributors
        .iter()
        .map(|it| it.range)
        .collect();
    let expected = [
        range(0x1_3010_0000, 0x1_3018_0000),
        range(0x1_3020_0000, 0x1_3028_0000),
    ];
    assert_eq!(regions, expected);
    assert_eq!(machine.gic.redistributors[0].stride, Some(0x4_0000));
    assert_eq!(machine.gic.its, [range(0x1_3004_0000, 0x1_3006_0000)]);
    assert_eq!(
        machine.uart,
        Some(pl011(range(0x1_0100_2000, 0x1_0100_3000)))
    );
    assert_eq!(machine.timer.physical, Some(30));
    assert_eq!(machine.timer.hypervisor, Some(26));
    assert_eq!(machine.initrd, Some(range(0x8800_0000, 0x8801_2345)));
}

/// The loader's word about RAM is a whole word of its command line, and nobody's else.
#[test]
fn ram_is_clear_if_the_loader_says_so() {
    let said = |bootargs| {
        let wishes = HostTree {
            bootargs,
            initrd: None,
            engine: &[],
        };
        let mut tree = vec![0; VIRT.len() + 4096];
        let size = edit_for_host(VIRT, &mut tree, &wishes).unwrap();
        parse(&tree[..size]).unwrap().ram_is_clear
    };
    for line in [
        "ram-is-clear",
        "quiet ram-is-clear",
        "ram-is-clear x=1",
        "a  ram-is-clear b",
    ] {
        assert!(said(line), "{line}");
    }
    for line in [
        "",
        " ",
        "ram-is-clear=0",
        "xram-is-clear",
        "ram-is-clea",
        "quiet",
    ] {
        assert!(!said(line), "{line}");
    }
    assert!(!parse(SOC).unwrap().ram_is_clear);
}

#[test]
fn refuses_a_machine_it_cannot_run_on() {
    assert_eq!(parse(VIRT_GICV2).unwrap_err(), BootError::NoGicV3);
    assert_eq!(
        parse_on(VIRT, 7).unwrap_err(),
        BootError::BootCoreUnknown(Mpidr::from_bits(7))
    );
    let by_hvc = replace(VIRT, b"smc\0", b"hvc\0");
    assert_eq!(parse(&by_hvc).unwrap_err(), BootError::PsciByHvc);
    assert!(fdt::psci_is_by_hvc(&by_hvc));
    let no_psci = replace(VIRT, b"arm,psci-", b"arm,pscX-");
    assert_eq!(parse(&no_psci).unwrap_err(), BootError::NoPsci);
    let no_ram = replace(VIRT, b"memory\0", b"memoXy\0");
    assert!(matches!(parse(&no_ram).unwrap_err(), BootError::BadNode(_)));
    let no_timer = replace(VIRT, b"arm,armv8-timer", b"arm,armv9-timer");
    assert!(matches!(
        parse(&no_timer).unwrap_err(),
        BootError::BadNode(_)
    ));
    let spin_table = replace(
        SOC,
        b"psci\0\0\0\0\0\0\0\x03\0\0\0\x09",
        b"spin\0\0\0\0\0\0\0\x03\0\0\0\x09",
    );
    assert!(matches!(
        parse(&spin_table).unwrap_err(),
        BootError::BadNode(_)
    ));
}

#[test]
fn says_so_when_there_is_too_much() {
    // The reservation block of `soc.dtb` has one entry; a blob with 200 is made by hand.
    let mut blob = SOC.to_vec();
    let entries: Vec<u8> = (1..=200u64)
        .flat_map(|n| [(n << 20).to_be_bytes(), 0x1000u64.to_be_bytes()].concat())
        .collect();
    blob.splice(40..40, entries.iter().copied());
    for field in [4, 8, 12] {
        let old = u32::from_be_bytes(blob[field..field + 4].try_into().unwrap());
        let new = old + entries.len() as u32;
        blob[field..field + 4].copy_from_slice(&new.to_be_bytes());
    }
    let expected = BootError::TooMany {
        what: "reserved ranges",
        most: 128,
    };
    assert_eq!(parse(&blob).unwrap_err(), expected);
}

#[test]
fn finds_the_console_when_the_rest_is_wrong() {
    let blob = replace(VIRT, b"arm,gic-v3", b"arm,gic-vX");
    assert!(parse(&blob).is_err());
    assert_eq!(
        fdt::find_uart(&blob),
        Some(pl011(range(0x900_0000, 0x900_1000)))
    );
    let other = replace(VIRT, b"arm,pl011", b"arm,pl0XX");
    assert_eq!(fdt::find_uart(&other), None);
    assert_eq!(parse(&other).unwrap().uart, None);
}

#[test]
fn a_console_may_be_a_16550() {
    // A name of the same length in its place; QEMU's node says nothing of distances and widths.
    let blob = replace(
        VIRT,
        b"arm,pl011\0arm,primecell",
        b"ns16550a\0Zarm,primecell",
    );
    let registers = range(0x900_0000, 0x900_1000);
    let expected = UartInfo {
        kind: UartKind::Ns16550 { shift: 0, width: 1 },
        ..pl011(registers)
    };
    assert_eq!(fdt::find_uart(&blob), Some(expected));
}

#[test]
fn a_console_that_cannot_be_written_to_is_none() {
    let reg = |base: u64, bytes: u64| [base.to_be_bytes(), bytes.to_be_bytes()].concat();
    for (base, bytes, why) in [
        (0x900_0000, 0, "nothing is mapped"),
        (0, 0x1000, "no address"),
        (0x900_0002, 0x1000, "unaligned"),
        (0x900_0fc0, 0x10, "its last registers are not mapped"),
        (u64::MAX - 0xfff, 0x1000, "it wraps"),
    ] {
        let blob = replace(VIRT, &reg(0x900_0000, 0x1000), &reg(base, bytes));
        assert_eq!(fdt::find_uart(&blob), None, "{why}");
    }
}

#[test]
fn a_region_too_small_for_a_redistributor_is_refused() {
    let reg = |bytes: u64| [0x80a_0000u64.to_be_bytes(), bytes.to_be_bytes()].concat();
    let of_one = replace(VIRT, &reg(0xf6_0000), &reg(2 << 16));
    assert!(parse(&of_one).is_ok());
    let blob = replace(VIRT, &reg(0xf6_0000), &reg(1 << 16));
    let expected = BootError::BadNode("a region holds no redistributor");
    assert_eq!(parse(&blob).unwrap_err(), expected);
}

#[test]
fn never_panics_on_a_damaged_tree() {
    for at in 0..SOC.len() {
        for damage in [0x00, 0xff, SOC[at] ^ 1] {
            let mut blob = SOC.to_vec();
            blob[at] = damage;
            let _ = parse(&blob);
            let _ = fdt::find_uart(&blob);
        }
    }
    for end in (0..SOC.len()).step_by(7) {
        assert!(parse(&SOC[..end]).is_err(), "cut off at {end}");
    }
}

#[test]
fn checks_the_header_before_it_believes_the_size() {
    let header = |magic: u32, size: u32| [magic.to_be(), size.to_be()];
    assert_eq!(
        fdt::blob_size(header(0xd00d_feed, 0x10_0000)),
        Ok(0x10_0000)
    );
    assert!(fdt::blob_size(header(0xd00d_feee, 0x10_0000)).is_err());
    assert!(fdt::blob_size(header(0xd00d_feed, 39)).is_err());
    assert!(fdt::blob_size(header(0xd00d_feed, 0x20_0001)).is_err());
}

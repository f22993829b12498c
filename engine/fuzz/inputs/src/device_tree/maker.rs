//! Trees made of an input: most of them well formed, with names and values that mean something.

use crate::bytes::Bytes;

const NAMES: [&str; 24] = [
    "cpus",
    "cpu@0",
    "cpu@1",
    "cpu@100",
    "memory@40000000",
    "memory",
    "chosen",
    "chosen@1",
    "reserved-memory",
    "psci",
    "timer",
    "intc@8000000",
    "its@8080000",
    "soc",
    "aliases",
    "serial@9000000",
    "bulkhead@7fe00000",
    "firmware",
    "pci",
    "x",
    "memory@0",
    "reserved-memory@1",
    "cpus@0",
    "",
];

const PROPERTIES: [&str; 32] = [
    "#address-cells",
    "#size-cells",
    "compatible",
    "reg",
    "device_type",
    "status",
    "ranges",
    "method",
    "enable-method",
    "interrupts",
    "interrupt-names",
    "stdout-path",
    "bootargs",
    "linux,initrd-start",
    "linux,initrd-end",
    "phandle",
    "linux,phandle",
    "msi-parent",
    "msi-map",
    "no-map",
    "#redistributor-regions",
    "redistributor-stride",
    "reg-shift",
    "reg-io-width",
    "serial0",
    "model",
    "interrupt-controller",
    "#interrupt-cells",
    "always-on",
    "size",
    "clock-names",
    "a-name-that-is-longer-than-the-31-letters-allowed",
];

const TEXTS: [&str; 32] = [
    "arm,gic-v3\0",
    "arm,gic-v3-its\0",
    "arm,psci-1.0\0arm,psci-0.2\0",
    "arm,armv8-timer\0",
    "arm,pl011\0",
    "ns16550a\0",
    "memory\0",
    "cpu\0",
    "okay\0",
    "disabled\0",
    "fail\0",
    "ok\0",
    "smc\0",
    "hvc\0",
    "psci\0",
    "spin-table\0",
    "/serial@9000000\0",
    "serial0:115200n8\0",
    "/soc/serial@9000000\0",
    "phys\0virt\0hyp-phys\0",
    "sec-phys\0phys\0virt\0hyp-phys\0",
    "virt\0phys\0",
    "simple-bus\0",
    "arm,gic-v3\0arm,psci-1.0\0",
    "no end",
    "\0",
    "\0\0",
    "arm,cortex-a76\0",
    "arm,psci-0.2\0arm,armv8-timer\0",
    "snps,dw-apb-uart\0",
    "fail-sss\0",
    "/serial\0",
];

const CELLS: [u32; 32] = [
    0,
    1,
    2,
    3,
    4,
    8,
    10,
    11,
    13,
    14,
    15,
    16,
    0x100,
    0x1000,
    0x1_0000,
    0x2_0000,
    0xf6_0000,
    0x80_0000,
    0x100_0000,
    0x800_0000,
    0x80a_0000,
    0x808_0000,
    0x900_0000,
    0x1000_0000,
    0x4000_0000,
    0x4800_0000,
    0x7fe0_0000,
    0x8000_0000,
    0x8000_0001,
    0xffff_f000,
    0xffff_ffff,
    0xfff,
];

/// A tree in the making.
#[derive(Default)]
struct Maker {
    structure: Vec<u8>,
    strings: Vec<u8>,
    /// Names that are there, and where.
    known: Vec<(&'static str, usize)>,
    depth: usize,
}

impl Maker {
    fn cell(&mut self, cell: u32) {
        self.structure.extend(cell.to_be_bytes());
    }

    fn pad(&mut self) {
        let length = self.structure.len().next_multiple_of(4);
        self.structure.resize(length, 0);
    }

    fn begin(&mut self, name: &str) {
        self.cell(1);
        self.structure.extend(name.as_bytes());
        self.structure.push(0);
        self.pad();
        self.depth += 1;
    }

    fn end(&mut self) {
        self.cell(2);
        self.depth = self.depth.saturating_sub(1);
    }

    fn property(&mut self, name: &'static str, value: &[u8]) {
        let known = self
            .known
            .iter()
            .find(|(known, _)| std::ptr::eq(*known, name));
        let at = known.map_or(self.strings.len(), |(_, at)| *at);
        if known.is_none() {
            self.known.push((name, at));
            self.strings.extend(name.as_bytes());
            self.strings.push(0);
        }
        self.cell(3);
        self.cell(value.len() as u32);
        self.cell(at as u32);
        self.structure.extend(value);
        self.pad();
    }

    fn text(&mut self, name: &'static str, text: &str) {
        self.property(name, text.as_bytes());
    }

    fn cells(&mut self, name: &'static str, cells: &[u32]) {
        let value: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.property(name, &value);
    }

    /// A whole node of those that a machine has, for root cells of two.
    fn piece(&mut self, which: u8, bytes: &mut Bytes) {
        match which % 12 {
            0 => {
                self.cells("#address-cells", &[2]);
                self.cells("#size-cells", &[2]);
            }
            1 => {
                self.begin("cpus");
                self.cells("#address-cells", &[1]);
                self.cells("#size-cells", &[0]);
                let count = 1 + bytes.byte() % 8;
                for core in 0..count {
                    self.begin(&format!("cpu@{core:x}"));
                    self.text("device_type", "cpu\0");
                    self.cells("reg", &[u32::from(core)]);
                    self.text("enable-method", "psci\0");
                    self.end();
                }
                self.end();
            }
            2 => {
                let start = u32::from(bytes.byte()) << 24;
                let size = u32::from(bytes.byte()) << 20;
                self.begin(&format!("memory@{start:x}"));
                self.text("device_type", "memory\0");
                self.cells("reg", &[0, start, 0, size]);
                self.end();
            }
            3 => {
                self.begin("psci");
                self.text("compatible", "arm,psci-1.0\0");
                self.text("method", "smc\0");
                self.end();
            }
            4 => {
                self.begin("timer");
                self.text("compatible", "arm,armv8-timer\0");
                let cells = [1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4];
                self.cells("interrupts", &cells);
                self.end();
            }
            5 => {
                self.begin("intc@8000000");
                self.text("compatible", "arm,gic-v3\0");
                self.cells(
                    "reg",
                    &[0, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000],
                );
                self.cells("#address-cells", &[2]);
                self.cells("#size-cells", &[2]);
                self.property("ranges", &[]);
                if bytes.byte() % 2 == 1 {
                    self.its();
                }
                self.end();
            }
            6 => self.its(),
            7 => {
                self.begin("reserved-memory");
                self.cells("#address-cells", &[2]);
                self.cells("#size-cells", &[2]);
                self.property("ranges", &[]);
                self.begin("firmware@40000000");
                let start = 0x4000_0000 + (u32::from(bytes.byte()) << 16);
                self.cells("reg", &[0, start, 0, u32::from(bytes.byte()) << 12]);
                self.end();
                self.end();
            }
            8 => {
                self.begin("chosen");
                self.text("stdout-path", "/serial@9000000\0");
                self.cells("linux,initrd-start", &[0x4400_0000]);
                self.cells("linux,initrd-end", &[0x4400_0000 + u32::from(bytes.half())]);
                self.end();
            }
            9 => {
                self.begin("serial@9000000");
                self.text("compatible", "arm,pl011\0arm,primecell\0");
                self.cells("reg", &[0, 0x900_0000, 0, 0x1000]);
                self.end();
            }
            10 => {
                self.begin("pci");
                self.cells("msi-map", &[0, 0x8002, 0, 0x1_0000]);
                self.cells("msi-parent", &[0x8002]);
                self.end();
            }
            _ => {
                self.begin("soc");
                self.cells("#address-cells", &[1]);
                self.cells("#size-cells", &[1]);
                self.cells("ranges", &[0, 0, 0x800_0000, 0x1000_0000]);
            }
        }
    }

    fn its(&mut self) {
        self.begin("its@8080000");
        self.text("compatible", "arm,gic-v3-its\0");
        self.cells("phandle", &[0x8002]);
        self.cells("reg", &[0, 0x808_0000, 0, 0x2_0000]);
        self.end();
    }

    fn finish(mut self, reservations: &[(u64, u64)], structure_end: usize) -> Vec<u8> {
        while self.depth > 0 {
            self.end();
        }
        self.cell(9);
        let structure = 40 + 16 * (reservations.len() + 1);
        let strings = structure + self.structure.len();
        let total = strings + self.strings.len();
        let mut blob = Vec::new();
        let size = self.structure.len().saturating_sub(structure_end);
        for word in [
            0xd00d_feed,
            total,
            structure,
            strings,
            40,
            17,
            16,
            0,
            self.strings.len(),
            size,
        ] {
            blob.extend((word as u32).to_be_bytes());
        }
        for (start, size) in reservations.iter().chain(&[(0, 0)]) {
            blob.extend(start.to_be_bytes());
            blob.extend(size.to_be_bytes());
        }
        blob.extend(self.structure);
        blob.extend(self.strings);
        blob
    }
}

fn value(bytes: &mut Bytes) -> Vec<u8> {
    let class = bytes.byte();
    match class {
        0..=31 => TEXTS[usize::from(class)].as_bytes().to_vec(),
        32..=223 => {
            let count = usize::from(class - 32) % 20;
            (0..count)
                .flat_map(|_| bytes.pick(&CELLS).to_be_bytes())
                .collect()
        }
        _ => bytes.take(usize::from(class - 224)),
    }
}

/// The tree that the rest of an input describes.
pub fn tree(bytes: &mut Bytes) -> Vec<u8> {
    let mut maker = Maker::default();
    let (mut reservations, mut structure_end) = (Vec::new(), 0);
    maker.begin("");
    while !bytes.is_empty() {
        let op = bytes.byte();
        match op {
            0..=0x3f => maker.begin(NAMES[usize::from(op) % NAMES.len()]),
            0x40..=0x9f => {
                let name = PROPERTIES[usize::from(op) % PROPERTIES.len()];
                let value = value(bytes);
                maker.property(name, &value);
            }
            0xa0..=0xbf if maker.depth > 1 => maker.end(),
            0xa0..=0xbf => maker.cell(4),
            0xc0..=0xdf => maker.piece(op, bytes),
            0xe0..=0xe7 => {
                let mut number = || u64::from(bytes.pick(&CELLS)) << (4 * (bytes.byte() % 9));
                reservations.push((number(), number()));
            }
            0xe8..=0xeb => maker.cell(4),
            0xec => maker.cell(bytes.word()),
            0xed => structure_end = usize::from(bytes.byte()),
            _ => maker.end(),
        }
    }
    maker.finish(&reservations, structure_end)
}

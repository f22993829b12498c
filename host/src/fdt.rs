//! The device tree of a guest.
//!
//! Invariants: the addresses and interrupts here are the machine that [`crate::gicd`],
//! [`crate::pl011`] and the engine's redistributors and timer emulate; nothing else is described.
//! Bindings: Linux's `Documentation/devicetree/bindings`.

use alloc::{format, string::String, vec, vec::Vec};
use vm_fdt::{Error, FdtWriter};

/// The distributor frame.
pub const GICD: u64 = 0x0800_0000;
/// The redistributor frames, 128 KiB for each vCPU.
pub const GICR: u64 = 0x080a_0000;
/// Bytes of a vCPU's redistributor frames.
pub const GICR_STRIDE: u64 = 0x2_0000;
/// The PL011.
pub const UART: u64 = 0x0900_0000;
/// Bytes of its registers.
pub const UART_SIZE: u64 = 0x1000;
/// Its interrupt.
pub const UART_INTID: u32 = 33;
/// No tree is larger: room is left for it before it is written.
pub const LARGEST: u64 = 64 << 10;

const PHANDLE_GIC: u32 = 1;
const PHANDLE_CLOCK: u32 = 2;
const SPI: u32 = 0;
const PPI: u32 = 1;
const LEVEL_HIGH: u32 = 4;

/// What differs from guest to guest.
#[derive(Clone, Debug)]
pub struct Description {
    /// First byte of RAM.
    pub ram: u64,
    /// Bytes of RAM.
    pub ram_size: u64,
    /// How many vCPUs.
    pub vcpus: usize,
    /// First byte of the initial RAM disk.
    pub initrd: u64,
    /// Bytes of it.
    pub initrd_size: u64,
    /// Linux's command line.
    pub bootargs: String,
}

/// MPIDR affinity of vCPU `index`: Aff0 counts to 15, as SGI target lists hold 16, then Aff1.
pub fn mpidr(index: usize) -> u64 {
    let index = index as u64;
    index >> 4 << 8 | index & 0xf
}

/// Writes the tree.
pub fn build(guest: &Description) -> Result<Vec<u8>, Error> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_u32("interrupt-parent", PHANDLE_GIC)?;
    fdt.property_string("compatible", "linux,dummy-virt")?;

    let chosen = fdt.begin_node("chosen")?;
    fdt.property_string("bootargs", &guest.bootargs)?;
    fdt.property_string("stdout-path", &format!("/pl011@{UART:x}"))?;
    fdt.property_u64("linux,initrd-start", guest.initrd)?;
    fdt.property_u64("linux,initrd-end", guest.initrd + guest.initrd_size)?;
    fdt.end_node(chosen)?;

    let memory = fdt.begin_node(&format!("memory@{:x}", guest.ram))?;
    fdt.property_string("device_type", "memory")?;
    fdt.property_array_u64("reg", &[guest.ram, guest.ram_size])?;
    fdt.end_node(memory)?;

    write_cpus(&mut fdt, guest.vcpus)?;
    write_interrupts(&mut fdt, guest.vcpus)?;
    write_uart(&mut fdt)?;
    fdt.end_node(root)?;
    fdt.finish()
}

fn write_cpus(fdt: &mut FdtWriter, vcpus: usize) -> Result<(), Error> {
    let cpus = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 1)?;
    fdt.property_u32("#size-cells", 0)?;
    for index in 0..vcpus {
        let reg = mpidr(index) as u32;
        let cpu = fdt.begin_node(&format!("cpu@{reg:x}"))?;
        fdt.property_string("device_type", "cpu")?;
        fdt.property_string("compatible", "arm,armv8")?;
        fdt.property_u32("reg", reg)?;
        fdt.property_string("enable-method", "psci")?;
        fdt.end_node(cpu)?;
    }
    fdt.end_node(cpus)?;

    let psci = fdt.begin_node("psci")?;
    fdt.property_string_list(
        "compatible",
        vec!["arm,psci-1.0".into(), "arm,psci-0.2".into()],
    )?;
    fdt.property_string("method", "hvc")?;
    fdt.end_node(psci)
}

fn write_interrupts(fdt: &mut FdtWriter, vcpus: usize) -> Result<(), Error> {
    let gic = fdt.begin_node(&format!("intc@{GICD:x}"))?;
    fdt.property_string("compatible", "arm,gic-v3")?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_u32("#address-cells", 0)?;
    fdt.property_u32("#interrupt-cells", 3)?;
    let frames = [GICD, crate::gicd::SIZE, GICR, GICR_STRIDE * vcpus as u64];
    fdt.property_array_u64("reg", &frames)?;
    fdt.property_phandle(PHANDLE_GIC)?;
    fdt.end_node(gic)?;

    // Secure, non-secure physical, virtual, hypervisor: PPIs 13, 14, 11, 10 are INTIDs 29, 30, 27,
    // 26.
    let timer = fdt.begin_node("timer")?;
    fdt.property_string("compatible", "arm,armv8-timer")?;
    let interrupts = [13, 14, 11, 10]
        .map(|number| [PPI, number, LEVEL_HIGH])
        .concat();
    fdt.property_array_u32("interrupts", &interrupts)?;
    fdt.property_null("always-on")?;
    fdt.end_node(timer)
}

fn write_uart(fdt: &mut FdtWriter) -> Result<(), Error> {
    let clock = fdt.begin_node("apb-pclk")?;
    fdt.property_string("compatible", "fixed-clock")?;
    fdt.property_u32("#clock-cells", 0)?;
    fdt.property_u32("clock-frequency", 24_000_000)?;
    fdt.property_string("clock-output-names", "clk24mhz")?;
    fdt.property_phandle(PHANDLE_CLOCK)?;
    fdt.end_node(clock)?;

    let uart = fdt.begin_node(&format!("pl011@{UART:x}"))?;
    fdt.property_string_list(
        "compatible",
        vec!["arm,pl011".into(), "arm,primecell".into()],
    )?;
    fdt.property_array_u64("reg", &[UART, UART_SIZE])?;
    fdt.property_array_u32("interrupts", &[SPI, UART_INTID - 32, LEVEL_HIGH])?;
    fdt.property_array_u32("clocks", &[PHANDLE_CLOCK, PHANDLE_CLOCK])?;
    fdt.property_string_list("clock-names", vec!["uartclk".into(), "apb_pclk".into()])?;
    fdt.end_node(uart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_tree_fits() {
        let guest = Description {
            ram: 1 << 36,
            ram_size: 1 << 30,
            vcpus: abi::limit::VCPUS_PER_VM,
            initrd: (1 << 36) + (64 << 20),
            initrd_size: 12345,
            bootargs: "x".repeat(1024),
        };
        let tree = build(&guest).unwrap();
        assert_eq!(tree[..4], [0xd0, 0x0d, 0xfe, 0xed]);
        assert!((tree.len() as u64) < LARGEST);
    }

    #[test]
    fn affinity_carries_into_aff1() {
        assert_eq!([0, 15, 16, 63].map(mpidr), [0, 15, 0x100, 0x30f]);
    }
}

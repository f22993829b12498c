//! The console that a device tree names.
//!
//! Invariant: what is found can be written to: its registers lie in the pages that are mapped for it, and an
//! access of theirs is aligned. Else a first line would end in an abort of the engine's own.

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node, Property};

use super::number;
use crate::machine::{UartInfo, UartKind};
use crate::range::PaRange;
use crate::tree;

/// Bytes of a PL011's registers up to the last that is used (DDI0183 3.2).
const PL011_BYTES: u64 = 0x48;

/// The UART behind `/chosen/stdout-path`, which is a path or an alias, with options after a colon.
pub fn read(fdt: Fdt<'_>) -> Option<UartInfo> {
    let root = fdt.root();
    let chosen = root.child("chosen")?;
    let stdout = chosen.property("stdout-path")?;
    let name = stdout.value_as::<&str>().ok()?.split(':').next()?;
    let aliases = root.child("aliases");
    let alias = aliases.and_then(|aliases| aliases.property(name));
    let full = match &alias {
        Some(alias) => alias.value_as::<&str>().ok()?,
        None => name,
    };
    let path = tree::find(fdt, full)?;
    let kind = kind_of(path.last()?)?;
    let registers = tree::regs(&path).next()?.ok()?;
    let (bytes, width) = match kind {
        UartKind::Pl011 => (PL011_BYTES, 4),
        UartKind::Ns16550 { shift, width } => (8 << shift, u64::from(width)),
    };
    let uart = UartInfo {
        base: registers.start(),
        pages: registers.pages_around(),
        kind,
    };
    let is_mapped = PaRange::new(uart.base, bytes).is_some_and(|it| uart.pages.contains(it));
    (uart.base != 0 && uart.base.is_multiple_of(width) && is_mapped).then_some(uart)
}

fn kind_of(node: &FdtNode<'_>) -> Option<UartKind> {
    let is_one_of = |names: &[&str]| names.iter().any(|name| node.is_compatible(name));
    if is_one_of(&["arm,pl011"]) {
        return Some(UartKind::Pl011);
    }
    if !is_one_of(&["ns16550a", "ns16550", "snps,dw-apb-uart"]) {
        return None;
    }
    let shift = number(node, "reg-shift").ok()?.unwrap_or(0);
    let width = number(node, "reg-io-width").ok()?.unwrap_or(1);
    match (shift, width) {
        (0..=3, 1 | 2 | 4) if width <= 1 << shift => Some(UartKind::Ns16550 {
            shift: shift as u32,
            width: width as u32,
        }),
        _ => None,
    }
}

//! The console that a device tree names.
//!
//! Invariant: what is found can be written to: its registers lie in the pages that are mapped for it, and an
//! access of theirs is aligned. Else a first line would end in an abort of the engine's own.

use core::ops::ControlFlow::Continue;

use crate::machine::{UartInfo, UartKind};
use crate::names::{Name, text_at};
use crate::range::PaRange;
use crate::tokens::{Blob, Token, Tokens};
use crate::tree::{self, Node, Path};

/// Bytes of a PL011's registers up to the last that is used (DDI0183 3.2).
const PL011_BYTES: u64 = 0x48;

/// What a tree says about its console, and its short names for nodes.
#[derive(Default)]
pub struct Wanted<'t> {
    /// `/chosen/stdout-path`.
    stdout: Option<&'t [u8]>,
    /// Where `/chosen` and `/aliases` begin.
    chosen: Option<usize>,
    aliases: Option<usize>,
}

impl<'t> Wanted<'t> {
    /// Sees a child of the root. Of two with one name the first counts.
    pub fn see(&mut self, node: &Node<'t>) {
        match node.name {
            b"chosen" if self.chosen.is_none() => {
                self.chosen = Some(node.at);
                self.stdout = node.get(Name::StdoutPath);
            }
            b"aliases" if self.aliases.is_none() => self.aliases = Some(node.at),
            _ => {}
        }
    }

    /// The UART behind the console, which is a path or an alias, with options after a colon.
    pub fn find(&self, blob: &Blob<'t>) -> Option<UartInfo> {
        let stdout = self.stdout?.strip_suffix(&[0])?;
        let name = tree::up_to(stdout, b':');
        let alias = self.aliases.and_then(|at| value_of(blob, at, name));
        let full = match alias {
            Some(alias) => alias.strip_suffix(&[0])?,
            None => name,
        };
        let mut found = None;
        tree::visit_one(blob, full, |path| found = read_node(path)).ok()?;
        found
    }
}

/// The UART of a tree that may be wrong in everything else.
pub fn find(blob: &Blob<'_>) -> Option<UartInfo> {
    let mut wanted = Wanted::default();
    tree::walk(
        blob,
        |depth, name| depth == 0 || depth == 1 && matches!(name, [b'c' | b'a', ..]),
        |path| {
            if let [_, node] = path {
                wanted.see(node);
            }
            Ok(Continue(()))
        },
    )
    .ok()?;
    wanted.find(blob)
}

/// The value of the property `name` of the node that begins at `at`.
fn value_of<'t>(blob: &Blob<'t>, at: usize, name: &[u8]) -> Option<&'t [u8]> {
    let mut tokens = Tokens::within(blob, at);
    tokens.next().ok()?;
    while let Ok(Some(Token::Property(offset, value))) = tokens.next() {
        if text_at(blob.strings, offset) == Some(name) {
            return Some(value);
        }
    }
    None
}

fn read_node(path: Path<'_, '_>) -> Option<UartInfo> {
    let kind = kind_of(path.last()?)?;
    let registers = tree::regs(path).next()?.ok()?;
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

fn kind_of(node: &Node<'_>) -> Option<UartKind> {
    if node.is_compatible(b"arm,pl011") {
        return Some(UartKind::Pl011);
    }
    let names: [&[u8]; 3] = [b"ns16550a", b"ns16550", b"snps,dw-apb-uart"];
    if !names.iter().any(|name| node.is_compatible(name)) {
        return None;
    }
    let shift = node.number(Name::RegShift).ok()?.unwrap_or(0);
    let width = node.number(Name::RegIoWidth).ok()?.unwrap_or(1);
    match (shift, width) {
        (0..=3, 1 | 2 | 4) if width <= 1 << shift => Some(UartKind::Ns16550 {
            shift: shift as u32,
            width: width as u32,
        }),
        _ => None,
    }
}

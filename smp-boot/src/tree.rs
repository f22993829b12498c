//! Walking a device tree once, with the way back up, which translating an address needs.
//!
//! A node's `reg` is an address on its parent's bus; each bus above says by `ranges` how it
//! appears one level up (Devicetree Specification 2.3.8). The walk keeps its own stack of bounded
//! depth: a deeper tree is an error, never recursion.
//!
//! Invariant: a node is visited when all its properties are known, before its children are.

use core::iter;
use core::ops::ControlFlow::{self, Continue};

use crate::error::BootError;
use crate::names::{NAMES, Name, Names};
use crate::range::PaRange;
use crate::tokens::{Blob, Token, Tokens};

/// Deepest node that is looked at, the root counted.
pub const MAX_DEPTH: usize = 16;

const TOO_DEEP: BootError = BootError::TooMany {
    what: "levels",
    most: MAX_DEPTH,
};

/// A tree, or what a walk met of one, is no device tree.
pub const MALFORMED: BootError = BootError::BadNode("malformed");

const BAD_REG: BootError = BootError::BadNode("a reg that does not fit its bus");
const BAD_BUS: BootError = BootError::BadNode("an address that its bus does not pass on");

/// A node with the properties that have a [`Name`].
#[derive(Clone, Copy, Debug)]
pub struct Node<'t> {
    /// Its name, the unit address included.
    pub name: &'t [u8],
    /// Where it begins in the blob.
    pub at: usize,
    /// A bit for each of `values` that it has.
    present: u32,
    values: [&'t [u8]; NAMES],
}

const _: () = assert!(NAMES <= 32);

impl<'t> Node<'t> {
    const NONE: Self = Self {
        name: b"",
        at: 0,
        present: 0,
        values: [b""; NAMES],
    };

    /// Takes a property. Of two with one name the first counts.
    #[inline(always)]
    fn add(&mut self, name: Name, value: &'t [u8]) {
        let bit = 1 << name as u32;
        if self.present & bit == 0
            && let Some(place) = self.values.get_mut(name as usize)
        {
            self.present |= bit;
            *place = value;
        }
    }

    /// The value of a property.
    #[inline(always)]
    pub fn get(&self, name: Name) -> Option<&'t [u8]> {
        let value = self.values.get(name as usize)?;
        (self.present & 1 << name as u32 != 0).then_some(*value)
    }

    /// Its name without the unit address.
    pub fn base_name(&self) -> &'t [u8] {
        up_to(self.name, b'@')
    }

    /// What it says it is compatible with, the most particular first.
    pub fn compatible(&self) -> impl Iterator<Item = &'t [u8]> + use<'t> {
        texts(self.get(Name::Compatible).unwrap_or_default())
    }

    /// Whether that is among it.
    pub fn is_compatible(&self, with: &[u8]) -> bool {
        self.compatible().any(|it| it == with)
    }

    /// Whether it is in use.
    pub fn is_okay(&self) -> bool {
        match self.get(Name::Status) {
            // "ok" predates the specification and is still met.
            Some(status) => matches!(status, b"okay\0" | b"ok\0"),
            None => true,
        }
    }

    /// A property of one or two cells as a number.
    pub fn number(&self, name: Name) -> Result<Option<u64>, BootError> {
        match self.get(name) {
            None => Ok(None),
            Some(value @ ([_, _, _, _] | [_, _, _, _, _, _, _, _])) => Ok(Some(join(value))),
            Some(_) => Err(BootError::BadNode(
                "a number is neither of one nor of two cells",
            )),
        }
    }

    /// Cells of an address and of a size on the bus that this node is.
    pub fn cells(&self) -> (u32, u32) {
        let cells = |name, or| match self.get(name) {
            Some(value @ [_, _, _, _]) => join(value) as u32,
            _ => or,
        };
        (cells(Name::AddressCells, 2), cells(Name::SizeCells, 1))
    }
}

/// The texts of a list, each of which ends in a zero.
pub fn texts(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    iter::from_fn(move || {
        let end = rest.iter().position(|&byte| byte == 0)?;
        let (text, behind) = rest.split_at_checked(end)?;
        (_, rest) = behind.split_first()?;
        Some(text)
    })
}

/// What is between the marks of a text: one part more than there are marks.
fn parts(text: &[u8], mark: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    iter::from_fn(move || {
        let text = rest?;
        let part = up_to(text, mark);
        let behind = text.get(part.len()..).unwrap_or_default();
        rest = behind.split_first().map(|(_, rest)| rest);
        Some(part)
    })
}

/// A text up to the first mark, all of it if there is none.
pub fn up_to(text: &[u8], mark: u8) -> &[u8] {
    let end = text.iter().position(|&byte| byte == mark);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Is this one of the words of a line, which ends with a zero?
pub fn has_word(line: &[u8], word: &[u8]) -> bool {
    let mut rest = up_to(line, 0);
    // Ends: each turn takes a byte at least.
    loop {
        let first = up_to(rest, b' ');
        if first == word {
            return true;
        }
        match rest.get(first.len().saturating_add(1)..) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
}

/// At most eight bytes as a number.
fn join(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Nodes from the root (first) to the one meant (last).
pub type Path<'p, 't> = &'p [Node<'t>];

/// Calls `visit` with the path of every node that `is_wanted`, by its depth and name, together with all above it;
/// parents before children, until it breaks.
pub fn walk<'t>(
    blob: &Blob<'t>,
    is_wanted: impl FnMut(usize, &'t [u8]) -> bool,
    visit: impl FnMut(Path<'_, 't>) -> Result<ControlFlow<()>, BootError>,
) -> Result<(), BootError> {
    walk_with(blob, &mut Names::new(blob.strings), is_wanted, visit)
}

/// The same with the names of this tree as far as they are known.
pub fn walk_with<'t>(
    blob: &Blob<'t>,
    names: &mut Names<'t>,
    mut is_wanted: impl FnMut(usize, &'t [u8]) -> bool,
    mut visit: impl FnMut(Path<'_, 't>) -> Result<ControlFlow<()>, BootError>,
) -> Result<(), BootError> {
    let mut tokens = Tokens::new(blob);
    let mut path = [Node::NONE; MAX_DEPTH];
    let mut depth = 0_usize;
    // Levels below the last wanted node that the walk is in.
    let mut unwanted = 0_usize;
    let mut is_visited = true;
    while let Some(token) = tokens.next().map_err(|_| MALFORMED)? {
        if let Token::Property(name, value) = token {
            let name = names.at(name).ok_or(MALFORMED)?;
            if unwanted == 0
                // The tokens give no property outside of a node.
                && let Some(node) = path.get_mut(depth.wrapping_sub(1))
            {
                node.add(name, value);
            }
            continue;
        }
        if !is_visited {
            is_visited = true;
            #[cfg(not(mutant = "path-by-index"))]
            let path = path.get(..depth).ok_or(TOO_DEEP)?;
            #[cfg(mutant = "path-by-index")]
            let path = &path[..depth];
            if visit(path)?.is_break() {
                return Ok(());
            }
        }
        match token {
            Token::Begin(name) if unwanted == 0 && is_wanted(depth, name) => {
                let node = path.get_mut(depth).ok_or(TOO_DEEP)?;
                (node.name, node.at, node.present) = (name, tokens.span().start, 0);
                depth += 1;
                is_visited = false;
            }
            // There are fewer nodes than bytes.
            Token::Begin(_) => unwanted = unwanted.wrapping_add(1),
            _ if unwanted > 0 => unwanted -= 1,
            // The tokens let no node end that has not begun.
            _ => depth = depth.saturating_sub(1),
        }
    }
    Ok(())
}

/// Every node is wanted.
pub fn all(_: usize, _: &[u8]) -> bool {
    true
}

/// Visits the node with a full name such as `/soc/serial@9000000`, or with parts of it without their unit addresses.
pub fn visit_one<'t>(
    blob: &Blob<'t>,
    full: &[u8],
    mut visit: impl FnMut(Path<'_, 't>),
) -> Result<(), BootError> {
    let Some(names) = full.strip_prefix(b"/") else {
        return Ok(());
    };
    let parts = || parts(names, b'/');
    // The root, and one for each part.
    let depth = parts().fold(1_usize, |depth, _| depth.saturating_add(1));
    walk(
        blob,
        |at, name| {
            let Some(at) = at.checked_sub(1) else {
                return true;
            };
            parts().nth(at).is_some_and(|part| {
                let rest = name.strip_prefix(part);
                rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'@' && !part.contains(&b'@'))
            })
        },
        |path| {
            if path.len() < depth {
                return Ok(Continue(()));
            }
            visit(path);
            Ok(ControlFlow::Break(()))
        },
    )
}

/// A value as entries of numbers of so many cells each; `None` if it is not a whole number of entries. A number of more
/// than two cells is `None`.
fn entries<const N: usize>(
    value: &[u8],
    cells: [u32; N],
) -> Option<impl Iterator<Item = Option<[u64; N]>>> {
    let total = cells
        .iter()
        .try_fold(0_u32, |sum, &cells| sum.checked_add(cells))?;
    let bytes = usize::try_from(total).ok()?.checked_mul(4)?;
    if bytes == 0 || !value.len().is_multiple_of(bytes) {
        return None;
    }
    Some(value.chunks_exact(bytes).map(move |mut entry| {
        let mut numbers = [0; N];
        for (number, cells) in numbers.iter_mut().zip(cells) {
            let (head, rest) = entry.split_at_checked(cells as usize * 4)?;
            if head.len() > 8 {
                return None;
            }
            (*number, entry) = (join(head), rest);
        }
        Some(numbers)
    }))
}

/// The first address of a node's `reg`, on a bus with these cells.
pub fn first_address(node: &Node<'_>, (address, size): (u32, u32)) -> Option<u64> {
    let value = node.get(Name::Reg)?;
    let first = entries(value, [address, size])?.next()?;
    first.map(|[address, _]| address)
}

/// The `reg` of the last node of `path` as the CPU sees it; nothing if it has none.
pub fn regs<'p>(path: Path<'p, '_>) -> impl Iterator<Item = Result<PaRange, BootError>> + 'p {
    let (value, buses) = match path {
        [buses @ .., node] => (node.get(Name::Reg), buses),
        [] => (None, path),
    };
    let (address, size) = buses.last().map_or((2, 1), Node::cells);
    let parts = value.map(|value| entries(value, [address, size]));
    let bad = matches!(parts, Some(None)).then_some(Err(BAD_REG));
    let good = parts.flatten().into_iter().flatten().map(move |entry| {
        let [address, size] = entry.ok_or(BAD_REG)?;
        let range = PaRange::new(address, size).ok_or(BAD_REG)?;
        translate(buses, range)
    });
    bad.into_iter().chain(good)
}

/// Takes `range` from the bus of the last of `buses` up to the root's.
fn translate(buses: Path<'_, '_>, mut range: PaRange) -> Result<PaRange, BootError> {
    for pair in buses.windows(2).rev() {
        let [parent, bus] = pair else { continue };
        let value = bus.get(Name::Ranges).ok_or(BAD_BUS)?;
        if value.is_empty() {
            continue;
        }
        let (address, size) = bus.cells();
        let mut windows = entries(value, [address, parent.cells().0, size]).ok_or(BAD_BUS)?;
        range = windows
            .find_map(|window| {
                let [from, to, length] = window?;
                let from = PaRange::new(from, length)?;
                let offset = range.start().checked_sub(from.start())?;
                let moved = PaRange::new(to.checked_add(offset)?, range.size())?;
                from.contains(range).then_some(moved)
            })
            .ok_or(BAD_BUS)?;
    }
    Ok(range)
}

//! The machine's device tree made into the tree that the demoted host gets.
//!
//! The host is to see the machine less what the engine keeps: its memory, the virtual timer and
//! the interrupt translation services. What is not named here stays byte for byte. Leaving things
//! out is a courtesy that spares the host a fault: what protects the engine is stage 2, not this.
//!
//! Pure: runs on any machine. The tree is gone through twice: once to find what is to be changed, once to write the
//! other one. As for [`mod@crate::fdt`], an odd tree ends in an error, never in a panic, and there is no recursion.
//! After an error the buffer holds part of a tree.
//!
//! Properties are those of the Devicetree Specification v0.4 (3.5 `/reserved-memory`, 3.6
//! `/chosen`) and of the kernel's bindings for `arm,gic-v3`, `arm,psci`, `arm,armv8-timer`,
//! `interrupt-controller/msi` and `pci-msi`.

mod find;
mod writer;

use heapless::Vec;
use thiserror::Error;

use self::find::Places;
use self::writer::Writer;
use crate::error::BootError;
use crate::names::{Name, Names};
use crate::range::PaRange;
use crate::tokens::{Blob, Token, Tokens};
use crate::tree::MALFORMED;

/// What the host's tree says that the machine's does not.
#[derive(Clone, Copy, Debug)]
pub struct HostTree<'a> {
    /// The host's command line.
    pub bootargs: &'a str,
    /// Where the host's own initrd lies.
    pub initrd: Option<PaRange>,
    /// Memory that is the engine's, and that the host must not touch.
    pub engine: &'a [PaRange],
}

/// Why there is no tree for the host.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EditError {
    /// The boot loader's tree is damaged or lacks something.
    #[error(transparent)]
    Tree(#[from] BootError),
    /// The caller's buffer is too small, or the tree would pass the boot protocol's limit.
    #[error("the host's device tree needs {need} bytes, there is room for {have}")]
    NoRoom {
        /// Bytes the tree would have had by the part that did not fit.
        need: usize,
        /// Bytes it may have.
        have: usize,
    },
}

/// Writes the host's tree, which `original` becomes, to the start of `out`; returns the bytes it has. No others are
/// written.
pub fn edit_for_host(
    original: &[u8],
    out: &mut [u8],
    wishes: &HostTree<'_>,
) -> Result<usize, EditError> {
    let blob = Blob::open(original).ok_or(MALFORMED)?;
    let mut names = Names::new(blob.strings);
    let places = Places::find(&blob, &mut names)?;
    let mut edit = Edit {
        writer: Writer::new(blob, out, names.places()),
        names,
        place: None,
        depth: 0,
        is_in_reserved: false,
        wishes,
        places,
    };
    let mut tokens = Tokens::new(&blob);
    while let Some(token) = tokens.next().map_err(|_| MALFORMED)? {
        edit.see(token, &mut tokens)?;
    }
    // A reader follows the tokens wherever they lead; here they must stay in their block.
    if tokens.span().end > blob.structure_end {
        return Err(MALFORMED.into());
    }
    edit.writer.take_to(tokens.span().end)?;
    edit.writer.finish()
}

/// A node that is edited.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Chosen,
    Reserved,
    Timer,
    Psci,
}

/// The second walk.
struct Edit<'o, 't, 'w> {
    writer: Writer<'o, 't>,
    names: Names<'t>,
    /// The node whose properties come, if it is edited.
    place: Option<Place>,
    /// Nodes that have begun and not ended.
    depth: usize,
    /// Whether `/reserved-memory` has begun and not ended.
    is_in_reserved: bool,
    wishes: &'w HostTree<'w>,
    places: Places<'t>,
}

impl<'t> Edit<'_, 't, '_> {
    fn see(&mut self, token: Token<'t>, tokens: &mut Tokens<'t>) -> Result<(), EditError> {
        let span = tokens.span();
        match token {
            Token::Property(name, value) => {
                let name = self.names.at(name).ok_or(MALFORMED)?;
                if self.drops(name, value) {
                    self.writer.take_to(span.start)?;
                    self.writer.skip_to(span.end);
                }
            }
            Token::Begin(name) => {
                self.end_properties(span.start)?;
                if let Some(plain) = &self.places.plain
                    && plain.start == span.start
                {
                    tokens.jump(plain.end);
                    return Ok(());
                }
                // One that is there already is written anew.
                let goes = self.places.is_its(span.start) && cfg!(not(mutant = "edit-keep-its"));
                if goes || self.is_ours(name) {
                    self.writer.take_to(span.start)?;
                    skip_node(tokens)?;
                    self.writer.skip_to(tokens.span().end);
                    return Ok(());
                }
                // There are fewer nodes than bytes.
                self.depth = self.depth.wrapping_add(1);
                self.place = self.place_at(span.start);
                self.is_in_reserved |= self.place == Some(Place::Reserved);
                self.writer.take_to(span.end)?;
                self.begin_properties()?;
            }
            Token::End => {
                self.end_properties(span.start)?;
                // The tokens let no node end that has not begun.
                self.depth = self.depth.saturating_sub(1);
                self.is_in_reserved &= self.depth > 1;
            }
        }
        Ok(())
    }

    fn place_at(&self, at: usize) -> Option<Place> {
        let places = &self.places;
        if self.depth == 1 {
            return Some(Place::Root);
        }
        [
            (places.chosen, Place::Chosen),
            (places.reserved.map(|(at, _)| at), Place::Reserved),
            (Some(places.timer.at), Place::Timer),
            (places.psci, Place::Psci),
        ]
        .into_iter()
        .find_map(|(known, place)| (known == Some(at)).then_some(place))
    }

    /// Whether the node that begins is a child of `/reserved-memory` with the name of one that is written.
    fn is_ours(&self, name: &[u8]) -> bool {
        let has_name = |range: &PaRange| !range.is_empty() && node_name(*range).as_slice() == name;
        self.is_in_reserved && self.depth == 2 && self.wishes.engine.iter().any(has_name)
    }

    /// Whether the property is left out: it is another one's in the host's tree, or sends a driver to what is not there.
    fn drops(&self, name: Name, value: &[u8]) -> bool {
        match (self.place, name) {
            (_, Name::MsiParent | Name::MsiMap) if self.places.sends_to_its(name, value) => true,
            (Some(Place::Chosen), Name::Bootargs | Name::InitrdStart | Name::InitrdEnd)
            | (Some(Place::Timer), Name::Interrupts | Name::InterruptNames)
            | (Some(Place::Psci), Name::Method) => true,
            _ => false,
        }
    }

    /// New properties go before a node's others.
    fn begin_properties(&mut self) -> Result<(), EditError> {
        match self.place {
            Some(Place::Chosen) => self.write_chosen(),
            // Required by the specification, and Linux reserves nothing without.
            Some(Place::Reserved) if !self.places.has_ranges => {
                self.writer.property(Name::Ranges, &[])
            }
            Some(Place::Timer) => {
                let timer = &self.places.timer;
                let interrupts = timer.interrupts.as_flattened();
                self.writer.property(Name::Interrupts, &[interrupts])?;
                self.writer.property(Name::InterruptNames, &timer.names)
            }
            // The engine is below the host now, and takes its calls where the firmware did.
            Some(Place::Psci) => self.writer.property(Name::Method, &[b"smc\0"]),
            _ => Ok(()),
        }
    }

    /// New nodes go before a node's others, whose properties end at `at`.
    fn end_properties(&mut self, at: usize) -> Result<(), EditError> {
        match self.place.take() {
            Some(Place::Root) => {
                self.writer.take_to(at)?;
                if self.places.reserved.is_none() {
                    let (address, size) = self.places.root_cells;
                    self.writer.begin(b"reserved-memory")?;
                    let cells = [(Name::AddressCells, address), (Name::SizeCells, size)];
                    for (name, cells) in cells {
                        self.writer.property(name, &[&cells.to_be_bytes()])?;
                    }
                    self.writer.property(Name::Ranges, &[])?;
                    self.write_reserved(self.places.root_cells)?;
                    self.writer.end()?;
                }
                if self.places.chosen.is_none() {
                    self.writer.begin(b"chosen")?;
                    self.write_chosen()?;
                    self.writer.end()?;
                }
                Ok(())
            }
            Some(Place::Reserved) => {
                self.writer.take_to(at)?;
                let cells = self.places.reserved.map(|(_, cells)| cells);
                self.write_reserved(cells.unwrap_or(self.places.root_cells))
            }
            _ => Ok(()),
        }
    }

    /// What the boot loader said to the engine becomes what the engine says to the host.
    fn write_chosen(&mut self) -> Result<(), EditError> {
        let bootargs = self.wishes.bootargs.as_bytes();
        self.writer.property(Name::Bootargs, &[bootargs, b"\0"])?;
        let Some(initrd) = self.wishes.initrd else {
            return Ok(());
        };
        let start = initrd.start().to_be_bytes();
        let end = initrd.end().to_be_bytes();
        self.writer.property(Name::InitrdStart, &[&start])?;
        self.writer.property(Name::InitrdEnd, &[&end])
    }

    /// Tells the host to map nothing where the engine is.
    fn write_reserved(&mut self, (address, size): (u32, u32)) -> Result<(), EditError> {
        for range in self.wishes.engine.iter().filter(|range| !range.is_empty()) {
            let start = range.start().to_be_bytes();
            let bytes = range.size().to_be_bytes();
            let reg = [fit(&start, address)?, fit(&bytes, size)?];
            self.writer.begin(&node_name(*range))?;
            self.writer.property(Name::NoMap, &[])?;
            self.writer.property(Name::Reg, &reg)?;
            self.writer.end()?;
        }
        Ok(())
    }
}

/// Goes past the end of the node that has just begun.
fn skip_node(tokens: &mut Tokens<'_>) -> Result<(), EditError> {
    let mut depth = 1_usize;
    while depth > 0 {
        match tokens.next().map_err(|_| MALFORMED)? {
            // There are fewer nodes than bytes.
            Some(Token::Begin(_)) => depth = depth.wrapping_add(1),
            Some(Token::Property(..)) => {}
            Some(Token::End) => depth -= 1,
            None => return Err(MALFORMED.into()),
        }
    }
    Ok(())
}

/// What the name of such a node begins with.
const NODE: &[u8] = b"bulkhead@";
/// Letters of the longest.
const NODE_NAME: usize = NODE.len() + 2 * size_of::<u64>();

/// The name of the node that reserves `range`: with its start in hexadecimal, as a unit address is written. By hand,
/// because a library's text adds up its length with checks.
fn node_name(range: PaRange) -> Vec<u8, NODE_NAME> {
    let bytes = range.start().to_be_bytes();
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let mut digits = digits.skip_while(|&digit| digit == 0).peekable();
    let zero = digits.peek().is_none().then_some(0);
    let letter = |digit: u8| b"0123456789abcdef".get(usize::from(digit)).copied();
    let address = digits.chain(zero).filter_map(letter);
    let mut name = Vec::new();
    for letter in NODE.iter().copied().chain(address) {
        // There is room for the longest.
        let _ = name.push(letter);
    }
    name
}

/// A number as a bus with `cells` cells writes it.
fn fit(number: &[u8; 8], cells: u32) -> Result<&[u8], BootError> {
    match (cells, number) {
        (1, [0, 0, 0, 0, low @ ..]) => Ok(low),
        (2, both) => Ok(both),
        _ => Err(BootError::BadNode(
            "the cells under /reserved-memory cannot hold the engine's memory",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn a_node_s_name_is_its_address_in_hexadecimal() {
        for start in [0, 9, 0xa, 0x10, 0x4000_0000, 0x12_3456_789a_b000, 1 << 62] {
            let range = PaRange::new(start, 1).unwrap();
            assert_eq!(node_name(range), format!("bulkhead@{start:x}").as_bytes());
        }
    }
}

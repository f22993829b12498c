//! A flattened device tree (Devicetree Specification v0.4, chapter 5) changed where it lies.
//!
//! Invariants: `bytes[..strings.end]` is a whole tree, well formed, with its strings last
//! and nothing behind them; its header says what the fields of [`Blob`] say, which only
//! [`Blob::resize`] and [`Blob::intern`] change. `bytes` is no longer than [`MAX_BLOB`], so every
//! offset fits a cell. Bytes are read and written here alone.
//!
//! `dtoolkit::fdt_mut` is not used: it finds a node by its path only, so that `/timer` may turn out
//! to be `/timer@2a810000`; it cannot add nodes; and it panics on strings without an end.

use core::ops::Range;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};

use super::EditError;
use crate::error::BootError;
use crate::fdt::MAX_BLOB;
use crate::wellformed;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Bytes in a token, to which the structure block is aligned.
const TOKEN: usize = 4;

/// Where the header holds what changes.
const TOTAL_SIZE: usize = 4;
const STRUCTURE_OFFSET: usize = 8;
const STRINGS_OFFSET: usize = 12;
const STRINGS_SIZE: usize = 32;
const STRUCTURE_SIZE: usize = 36;

const MALFORMED: EditError = EditError::Tree(BootError::BadNode("malformed"));
const MISSING: EditError = EditError::Tree(BootError::BadNode("a node to edit is missing"));

/// A tree with room to grow.
pub(super) struct Blob<'b> {
    bytes: &'b mut [u8],
    structure: Range<usize>,
    strings: Range<usize>,
}

impl<'b> Blob<'b> {
    /// Takes the tree at the start of `bytes`, and what lies behind its last string as room.
    pub(super) fn open(bytes: &'b mut [u8]) -> Result<Self, EditError> {
        let room = bytes.len().min(MAX_BLOB as usize);
        let bytes = &mut bytes[..room];
        let total = number_at(bytes, TOTAL_SIZE).ok_or(MALFORMED)?;
        let tree = bytes.get(..total).ok_or(MALFORMED)?;
        wellformed::open(tree).ok_or(MALFORMED)?;
        let block = |offset, size| {
            let start = number_at(tree, offset)?;
            Some(start..start.checked_add(number_at(tree, size)?)?)
        };
        let structure = block(STRUCTURE_OFFSET, STRUCTURE_SIZE).ok_or(MALFORMED)?;
        let strings = block(STRINGS_OFFSET, STRINGS_SIZE).ok_or(MALFORMED)?;
        // `Fdt` follows the tokens wherever they lead; here they must stay in their block.
        let tokens = tree.get(..structure.end).ok_or(MALFORMED)?;
        let end = node_end(tokens, structure.start).ok_or(MALFORMED)?;
        if word_at(tokens, end) != Some(END) {
            return Err(MALFORMED);
        }
        let mut blob = Self {
            bytes,
            structure,
            strings,
        };
        blob.write_header();
        Ok(blob)
    }

    /// Bytes in the tree.
    pub(super) fn len(&self) -> usize {
        self.strings.end
    }

    /// The tree, to read.
    pub(super) fn tree(&self) -> Fdt<'_> {
        Fdt::new_unchecked(&self.bytes[..self.strings.end])
    }

    /// Adds an empty node as the first child of the node that `find` finds.
    pub(super) fn add_child(&mut self, find: impl Find, name: &str) -> Result<(), EditError> {
        let parent = find.find(self.tree())?.ok_or(MISSING)?;
        let at = match parent.properties().last() {
            Some(last) => self.offset_of(last.value()) + last.value().len(),
            None => self.offset_of(parent.name().as_bytes()) + parent.name().len() + 1,
        };
        let at = at.next_multiple_of(TOKEN);
        let end = (TOKEN + name.len() + 1).next_multiple_of(TOKEN);
        let node = self.resize(at..at, end + TOKEN)?;
        node[..TOKEN].copy_from_slice(&BEGIN_NODE.to_be_bytes());
        node[TOKEN..TOKEN + name.len()].copy_from_slice(name.as_bytes());
        node[end..].copy_from_slice(&END_NODE.to_be_bytes());
        Ok(())
    }

    /// Removes the node that `find` finds, and what is below it; says whether it found one.
    pub(super) fn remove_node(&mut self, find: impl Find) -> Result<bool, EditError> {
        let Some(node) = find.find(self.tree())? else {
            return Ok(false);
        };
        if node.name().is_empty() {
            return Err(MALFORMED); // There is no tree without a root.
        }
        let start = self.offset_of(node.name().as_bytes()) - TOKEN;
        let end = node_end(self.bytes, start).ok_or(MALFORMED)?;
        self.resize(start..end, 0)?;
        Ok(true)
    }

    /// Gives the node that `find` finds the property `name`, its value being `parts` in a row.
    pub(super) fn set(
        &mut self,
        find: impl Find,
        name: &str,
        parts: &[&[u8]],
    ) -> Result<(), EditError> {
        let name_offset = self.intern(name)?;
        let node = find.find(self.tree())?.ok_or(MISSING)?;
        let old = self.property(&node, name).unwrap_or_else(|| {
            let end = self.offset_of(node.name().as_bytes()) + node.name().len() + 1;
            let first = end.next_multiple_of(TOKEN);
            first..first
        });
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let property = self.resize(old, (3 * TOKEN + len).next_multiple_of(TOKEN))?;
        let (head, mut value) = property.split_at_mut(3 * TOKEN);
        for (field, number) in head
            .chunks_exact_mut(TOKEN)
            .zip([PROP, len as u32, name_offset])
        {
            field.copy_from_slice(&number.to_be_bytes());
        }
        for part in parts {
            let (here, rest) = value.split_at_mut(part.len());
            here.copy_from_slice(part);
            value = rest;
        }
        Ok(())
    }

    /// Removes the property `name` of the node that `find` finds; says whether there was one.
    pub(super) fn remove_property(
        &mut self,
        find: impl Find,
        name: &str,
    ) -> Result<bool, EditError> {
        let node = find.find(self.tree())?;
        let Some(old) = node.and_then(|node| self.property(&node, name)) else {
            return Ok(false);
        };
        self.resize(old, 0)?;
        Ok(true)
    }

    /// Where a property of `node` lies, padding included.
    fn property(&self, node: &FdtNode<'_>, name: &str) -> Option<Range<usize>> {
        let property = node.property(name)?;
        let value = self.offset_of(property.value());
        let end = (value + property.value().len()).next_multiple_of(TOKEN);
        Some(value - 3 * TOKEN..end)
    }

    /// Where `part`, which is borrowed from [`Blob::tree`], lies.
    fn offset_of(&self, part: &[u8]) -> usize {
        part.as_ptr().addr() - self.bytes.as_ptr().addr()
    }

    /// The offset of `name` in the strings, to which it is added if need be.
    fn intern(&mut self, name: &str) -> Result<u32, EditError> {
        let strings = &self.bytes[self.strings.clone()];
        let is_name = |at: &[u8]| at.split_last() == Some((&0, name.as_bytes()));
        if let Some(known) = strings.windows(name.len() + 1).position(is_name) {
            return Ok(known as u32);
        }
        let start = self.strings.end;
        let end = start + name.len();
        self.require(end + 1)?;
        self.bytes[start..end].copy_from_slice(name.as_bytes());
        self.bytes[end] = 0;
        self.strings.end = end + 1;
        self.write_header();
        Ok((start - self.strings.start) as u32)
    }

    /// Puts `new` zero bytes in the place of `old`, a range of the structure block, and returns
    /// them. What is behind moves by a multiple of a token.
    fn resize(&mut self, old: Range<usize>, new: usize) -> Result<&mut [u8], EditError> {
        let moved = |at: usize| at - old.len() + new;
        self.require(moved(self.strings.end))?;
        let room = old.start..old.start + new;
        self.bytes.copy_within(old.end..self.strings.end, room.end);
        self.structure.end = moved(self.structure.end);
        self.strings = moved(self.strings.start)..moved(self.strings.end);
        self.write_header();
        let room = &mut self.bytes[room];
        room.fill(0);
        Ok(room)
    }

    fn require(&self, need: usize) -> Result<(), EditError> {
        let have = self.bytes.len();
        if need > have {
            return Err(EditError::NoRoom { need, have });
        }
        Ok(())
    }

    fn write_header(&mut self) {
        for (at, number) in [
            (TOTAL_SIZE, self.strings.end),
            (STRINGS_OFFSET, self.strings.start),
            (STRINGS_SIZE, self.strings.len()),
            (STRUCTURE_SIZE, self.structure.len()),
        ] {
            self.bytes[at..at + TOKEN].copy_from_slice(&(number as u32).to_be_bytes());
        }
    }
}

/// A way to a node, followed anew for each change because a change moves what is behind it.
pub(super) trait Find: for<'t> Fn(Fdt<'t>) -> Found<'t> {
    /// Follows it in `tree`.
    fn find<'t>(&self, tree: Fdt<'t>) -> Found<'t> {
        self(tree)
    }
}

impl<F: for<'t> Fn(Fdt<'t>) -> Found<'t>> Find for F {}

/// Where a [`Find`] ends.
pub(super) type Found<'t> = Result<Option<FdtNode<'t>>, BootError>;

fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*word))
}

fn number_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(word_at(bytes, at)?).ok()
}

/// The offset past the node that starts at `start`; `None` if it does not end in `bytes`.
fn node_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    let mut depth = 0_usize;
    loop {
        let token = word_at(bytes, at)?;
        at += TOKEN;
        match token {
            BEGIN_NODE => {
                let name = bytes.get(at..)?.iter().position(|&byte| byte == 0)?;
                at = (at + name + 1).next_multiple_of(TOKEN);
                depth += 1;
            }
            PROP => {
                let len = number_at(bytes, at)?;
                at = (at + 2 * TOKEN).checked_add(len)?.next_multiple_of(TOKEN);
            }
            END_NODE if depth == 1 => return Some(at),
            END_NODE => depth = depth.checked_sub(1)?,
            NOP => {}
            _ => return None,
        }
    }
}

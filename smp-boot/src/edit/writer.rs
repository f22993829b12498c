//! A device tree written from front to back: parts of another one as they are, and new nodes and properties between.
//!
//! Invariant: what is in `out` up to `len` is header, reservations and structure so far; strings and what the header says
//! of them come at the end. Names that the other tree does not have follow its strings.

use heapless::Vec;

use super::EditError;
use crate::bulk;
use crate::fdt::MAX_BLOB;
use crate::names::{NAMES, Name};
use crate::tokens::{BEGIN_NODE, Blob, END_NODE, PROPERTY, TOKEN};
use crate::tree::MALFORMED;

/// Where the header holds what changes.
const TOTAL_SIZE: usize = 4;
const STRINGS_OFFSET: usize = 12;
const STRINGS_SIZE: usize = 32;
const STRUCTURE_SIZE: usize = 36;

/// A tree that is being written after another.
pub(super) struct Writer<'o, 't> {
    blob: Blob<'t>,
    out: &'o mut [u8],
    len: usize,
    /// Up to where the other tree was taken over or left out.
    taken: usize,
    /// Where the strings have these names, those of `added` in the end.
    names: [Option<u32>; NAMES],
    added: Vec<Name, NAMES>,
    added_bytes: usize,
}

impl<'o, 't> Writer<'o, 't> {
    /// Writes to `out`, of which no more is used than a tree may have; `names` says where the strings have some.
    pub(super) fn new(blob: Blob<'t>, out: &'o mut [u8], names: [Option<u32>; NAMES]) -> Self {
        let room = out.len().min(MAX_BLOB as usize);
        Self {
            blob,
            out: out.get_mut(..room).unwrap_or_default(),
            len: 0,
            taken: 0,
            names,
            added: Vec::new(),
            added_bytes: 0,
        }
    }

    /// Takes over everything before `at` that was neither taken nor left out.
    pub(super) fn take_to(&mut self, at: usize) -> Result<(), EditError> {
        let part = self.blob.bytes.get(self.taken..at).unwrap_or_default();
        self.taken = at.max(self.taken);
        bulk::copy(self.room(part.len())?, part);
        Ok(())
    }

    /// Leaves out everything before `at` that was not taken.
    pub(super) fn skip_to(&mut self, at: usize) {
        self.taken = at.max(self.taken);
    }

    /// Begins a node.
    pub(super) fn begin(&mut self, name: &[u8]) -> Result<(), EditError> {
        self.word(BEGIN_NODE)?;
        self.padded(&[name, b"\0"])
    }

    /// Ends one.
    pub(super) fn end(&mut self) -> Result<(), EditError> {
        self.word(END_NODE)
    }

    /// A property of the node that began last, its value being `parts` in a row.
    pub(super) fn property(&mut self, name: Name, parts: &[&[u8]]) -> Result<(), EditError> {
        let offset = self.offset_of(name);
        let bytes = total(parts);
        self.word(PROPERTY)?;
        // What is too long for a cell is too long for the buffer.
        self.word(u32::try_from(bytes).unwrap_or(u32::MAX))?;
        self.word(offset)?;
        self.padded(parts)
    }

    /// Ends the tree; returns its bytes. All of the other one's structure was taken or left out.
    pub(super) fn finish(mut self) -> Result<usize, EditError> {
        let structure = self.len.checked_sub(self.blob.structure);
        let structure = structure.ok_or(MALFORMED)?;
        let strings = self.len;
        let own = self.blob.strings;
        bulk::copy(self.room(own.len())?, own);
        for at in 0..self.added.len() {
            let name = self.added.get(at).copied().unwrap_or(Name::Other);
            self.row(&[name.text(), b"\0"], 1)?;
        }
        // Does not wrap: what is written grows.
        let strings_bytes = self.len.wrapping_sub(strings);
        for (at, number) in [
            (TOTAL_SIZE, self.len),
            (STRINGS_OFFSET, strings),
            (STRINGS_SIZE, strings_bytes),
            (STRUCTURE_SIZE, structure),
        ] {
            // No number is larger than the room, which is below `MAX_BLOB`.
            if let Some(place) = self.out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
                *place = (number as u32).to_be_bytes();
            }
        }
        Ok(self.len)
    }

    /// Where the strings have or will have this name.
    fn offset_of(&mut self, name: Name) -> u32 {
        if let Some(Some(offset)) = self.names.get(name as usize) {
            return *offset;
        }
        // Does not wrap: the strings are a blob's, the names few.
        let offset = self.blob.strings.len().wrapping_add(self.added_bytes) as u32;
        // There is room for each name once.
        if self.added.push(name).is_ok() {
            let bytes = name.text().len().wrapping_add(1);
            self.added_bytes = self.added_bytes.wrapping_add(bytes);
            if let Some(known) = self.names.get_mut(name as usize) {
                *known = Some(offset);
            }
        }
        offset
    }

    fn word(&mut self, word: u32) -> Result<(), EditError> {
        if let Some(room) = self.room(TOKEN)?.first_chunk_mut() {
            *room = word.to_be_bytes();
        }
        Ok(())
    }

    /// `parts` in a row, and zeroes up to the next token.
    fn padded(&mut self, parts: &[&[u8]]) -> Result<(), EditError> {
        self.row(parts, TOKEN)
    }

    /// `parts` in a row, and zeroes up to a multiple of `unit` bytes.
    fn row(&mut self, parts: &[&[u8]], unit: usize) -> Result<(), EditError> {
        // What is too long to be counted is too long for the buffer.
        let bytes = total(parts).checked_next_multiple_of(unit);
        let mut room = self.room(bytes.unwrap_or(usize::MAX))?;
        for part in parts {
            // There is room for the sum of them.
            let left = core::mem::take(&mut room);
            if let Some((here, rest)) = left.split_at_mut_checked(part.len()) {
                bulk::copy(here, part);
                room = rest;
            }
        }
        room.fill(0);
        Ok(())
    }

    /// The next bytes to be written.
    fn room(&mut self, bytes: usize) -> Result<&mut [u8], EditError> {
        let have = self.out.len();
        let need = self.len.saturating_add(bytes);
        let room = self.out.get_mut(self.len..need);
        let room = room.ok_or(EditError::NoRoom { need, have })?;
        self.len = need;
        Ok(room)
    }
}

/// Bytes of all `parts`.
fn total(parts: &[&[u8]]) -> usize {
    let sizes = parts.iter().map(|part| part.len());
    sizes.fold(0, usize::saturating_add)
}

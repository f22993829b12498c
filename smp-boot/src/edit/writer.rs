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
            out: &mut out[..room],
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
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        self.word(PROPERTY)?;
        // What is too long for a cell is too long for the buffer.
        self.word(u32::try_from(bytes).unwrap_or(u32::MAX))?;
        self.word(offset)?;
        self.padded(parts)
    }

    /// Ends the tree; returns its bytes. All of the other one's structure was taken or left out.
    pub(super) fn finish(mut self) -> Result<usize, EditError> {
        let structure = self.len - self.blob.structure;
        let strings = self.len;
        let own = self.blob.strings;
        bulk::copy(self.room(own.len())?, own);
        for at in 0..self.added.len() {
            let text = self.added[at].text();
            let room = self.room(text.len() + 1)?;
            room[..text.len()].copy_from_slice(text);
            room[text.len()] = 0;
        }
        for (at, number) in [
            (TOTAL_SIZE, self.len),
            (STRINGS_OFFSET, strings),
            (STRINGS_SIZE, self.len - strings),
            (STRUCTURE_SIZE, structure),
        ] {
            // No number is larger than the room, which is below `MAX_BLOB`.
            self.out[at..at + TOKEN].copy_from_slice(&(number as u32).to_be_bytes());
        }
        Ok(self.len)
    }

    /// Where the strings have or will have this name.
    fn offset_of(&mut self, name: Name) -> u32 {
        if let Some(Some(offset)) = self.names.get(name as usize) {
            return *offset;
        }
        let offset = (self.blob.strings.len() + self.added_bytes) as u32;
        // There is room for each name once.
        if self.added.push(name).is_ok() {
            self.added_bytes += name.text().len() + 1;
            self.names[name as usize] = Some(offset);
        }
        offset
    }

    fn word(&mut self, word: u32) -> Result<(), EditError> {
        self.room(TOKEN)?.copy_from_slice(&word.to_be_bytes());
        Ok(())
    }

    /// `parts` in a row, and zeroes up to the next token.
    fn padded(&mut self, parts: &[&[u8]]) -> Result<(), EditError> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let mut room = self.room(bytes.next_multiple_of(TOKEN))?;
        for part in parts {
            let (here, rest) = room.split_at_mut(part.len());
            here.copy_from_slice(part);
            room = rest;
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

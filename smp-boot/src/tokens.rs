//! The tokens of a flattened device tree (Devicetree Specification v0.4, chapter 5), from front to back.
//!
//! Pure. The blob is the boot loader's and may be damaged in any way: every offset, length and name is checked where it
//! is used, and what is not well formed ends the walk. Bounded by the blob: each token is behind the one before. Names are
//! ASCII, as the specification asks (2.2.1 and 2.2.4), but may be longer than it allows, as boards' are.

use core::ops::Range;

const MAGIC: u32 = 0xd00d_feed;
/// The version of the format that is read; later ones say whether they can be read as it.
const VERSION: u32 = 17;
/// Bytes in the header.
const HEADER: usize = 40;
/// Bytes in a token, to which the structure is aligned.
pub const TOKEN: usize = 4;
/// Bytes in an entry of the reservation block.
const RESERVATION: usize = 16;

pub const BEGIN_NODE: u32 = 1;
pub const END_NODE: u32 = 2;
pub const PROPERTY: u32 = 3;
const NOP: u32 = 4;
pub const END: u32 = 9;

/// What is not well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A blob whose header was checked, and that has room for what the header says.
#[derive(Clone, Copy, Debug)]
pub struct Blob<'t> {
    /// All of it.
    pub bytes: &'t [u8],
    /// Where the structure begins.
    pub structure: usize,
    /// Where the header says that it ends. Tokens may go on behind it: not all writers count well.
    pub structure_end: usize,
    /// The properties' names. Ends in a zero, if it is not empty.
    pub strings: &'t [u8],
    reservations: &'t [[u8; RESERVATION]],
}

impl<'t> Blob<'t> {
    /// The blob in `bytes`.
    pub fn open(bytes: &'t [u8]) -> Option<Self> {
        bytes.get(..HEADER)?;
        let word = |index: usize| word_at(bytes, index * 4);
        let offset = |index| Some(word(index)? as usize);
        let is_known = word(0)? == MAGIC
            && offset(1)? == bytes.len()
            && (word(6)?..=word(5)?).contains(&VERSION);
        let (structure, strings, reservations) = (offset(2)?, offset(3)?, offset(4)?);
        let structure_end = structure.checked_add(offset(9)?)?;
        let strings_end = strings.checked_add(offset(8)?)?;
        let is_in_order = HEADER <= reservations && structure_end <= strings;
        let is_aligned = reservations.is_multiple_of(8) && structure.is_multiple_of(TOKEN);
        let strings = bytes.get(strings..strings_end)?;
        let are_texts = strings.is_ascii() && strings.last().is_none_or(|&last| last == 0);
        if !(is_known && is_in_order && is_aligned && are_texts) {
            return None;
        }
        let reservations = bytes.get(reservations..structure)?;
        let (entries, _) = reservations.as_chunks::<RESERVATION>();
        let end = entries.iter().position(|entry| *entry == [0; _])?;
        Some(Self {
            bytes,
            structure,
            structure_end,
            strings,
            reservations: entries.get(..end)?,
        })
    }

    /// Address and size of each entry of the reservation block.
    pub fn reservations(&self) -> impl Iterator<Item = (u64, u64)> + 't {
        self.reservations.iter().map(|entry| {
            let both = u128::from_be_bytes(*entry);
            ((both >> 64) as u64, both as u64)
        })
    }
}

/// A token with what belongs to it.
#[derive(Clone, Copy, Debug)]
pub enum Token<'t> {
    /// A node begins. Only the root has no name.
    Begin(&'t [u8]),
    /// One of its properties, all of which come before its children: where its name is, and its value.
    Property(u32, &'t [u8]),
    /// It ends.
    End,
}

/// The tokens of one node with everything in it, and nothing behind.
#[derive(Clone, Debug)]
pub struct Tokens<'t> {
    bytes: &'t [u8],
    start: usize,
    at: usize,
    depth: usize,
    has_begun: bool,
    takes_properties: bool,
}

impl<'t> Tokens<'t> {
    /// Those of the root.
    pub fn new(blob: &Blob<'t>) -> Self {
        Self {
            bytes: blob.bytes,
            start: blob.structure,
            at: blob.structure,
            depth: 0,
            has_begun: false,
            takes_properties: false,
        }
    }

    /// Those of the node that begins at `at`, which is not the root.
    pub fn within(blob: &Blob<'t>, at: usize) -> Self {
        Self {
            start: at,
            at,
            depth: 1,
            has_begun: true,
            ..Self::new(blob)
        }
    }

    /// Goes past the node that has just begun, which ends at `end`.
    pub fn jump(&mut self, end: usize) {
        self.at = end;
        self.depth = self.depth.saturating_sub(1);
        self.takes_properties = false;
    }

    /// Where the token that came last lies, with what belongs to it.
    pub fn span(&self) -> Range<usize> {
        self.start..self.at
    }

    /// The next; `None` behind the root's end, if the structure ends there.
    #[inline(always)]
    pub fn next(&mut self) -> Result<Option<Token<'t>>, Malformed> {
        loop {
            self.start = self.at;
            let token = word_at(self.bytes, self.at).ok_or(Malformed)?;
            // No sum of `at` and of what was found there wraps: a blob ends far below the top of the addresses.
            self.at = self.at.wrapping_add(TOKEN);
            match token {
                PROPERTY if self.takes_properties => {
                    let (size, name) = words_at(self.bytes, self.at).ok_or(Malformed)?;
                    let value = self.at.wrapping_add(2 * TOKEN);
                    let value = value..value.checked_add(size as usize).ok_or(Malformed)?;
                    let end = value.end.checked_next_multiple_of(TOKEN);
                    self.at = end.ok_or(Malformed)?;
                    let value = self.bytes.get(value).ok_or(Malformed)?;
                    return Ok(Some(Token::Property(name, value)));
                }
                BEGIN_NODE => {
                    let name = name_at(self.bytes, self.at).ok_or(Malformed)?;
                    let is_root = self.depth == 0;
                    if name.is_empty() != is_root || is_root && self.has_begun {
                        return Err(Malformed);
                    }
                    self.has_begun = true;
                    // The zero, and up to the next token.
                    let end = self.at.wrapping_add(name.len());
                    self.at = end.wrapping_add(TOKEN) / TOKEN * TOKEN;
                    // There are fewer nodes than bytes.
                    self.depth = self.depth.wrapping_add(1);
                    self.takes_properties = true;
                    return Ok(Some(Token::Begin(name)));
                }
                END_NODE => {
                    self.depth = self.depth.checked_sub(1).ok_or(Malformed)?;
                    self.takes_properties = false;
                    return Ok(Some(Token::End));
                }
                NOP if self.depth > 0 => {}
                END if self.depth == 0 && self.has_begun => return Ok(None),
                _ => return Err(Malformed),
            }
        }
    }
}

/// The name up to the first zero.
fn name_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let end = rest
        .iter()
        .position(|&byte| byte == 0 || !byte.is_ascii())?;
    (rest[end] == 0).then_some(&rest[..end])
}

#[inline(always)]
fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*word))
}

#[inline(always)]
fn words_at(bytes: &[u8], at: usize) -> Option<(u32, u32)> {
    let both = u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
    Some(((both >> 32) as u32, both as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtoolkit::fdt::FdtNode;
    use dtoolkit::{Node, Property};
    use std::string::String;
    use std::vec::Vec;

    const TREES: [&[u8]; 4] = [
        include_bytes!("../tests/virt-2.dtb"),
        include_bytes!("../tests/virt-192.dtb"),
        include_bytes!("../tests/versal.dtb"),
        include_bytes!("../tests/soc.dtb"),
    ];

    /// Names of nodes and properties with values, in order, and where nodes end.
    type Flat = Vec<(String, Vec<u8>)>;

    fn by_tokens(bytes: &[u8]) -> Option<Flat> {
        let blob = Blob::open(bytes)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut flat = Flat::new();
        let mut tokens = Tokens::new(&blob);
        while let Some(token) = tokens.next().ok()? {
            flat.push(match token {
                Token::Begin(name) => (text(name), Vec::new()),
                Token::Property(at, value) => {
                    let name = crate::names::text_at(blob.strings, at)?;
                    (text(name), value.to_vec())
                }
                Token::End => ("end".into(), Vec::new()),
            });
        }
        Some(flat)
    }

    fn by_library(node: &FdtNode<'_>, flat: &mut Flat) {
        flat.push((node.name().into(), Vec::new()));
        for property in node.properties() {
            flat.push((property.name().into(), property.value().to_vec()));
        }
        for child in node.children() {
            by_library(&child, flat);
        }
        flat.push(("end".into(), Vec::new()));
    }

    /// Both see the same, or this side sees that it is no tree.
    fn compare(bytes: &[u8]) -> bool {
        let Some(tree) = crate::wellformed::open(bytes) else {
            return false;
        };
        let mut flat = Flat::new();
        by_library(&tree.root(), &mut flat);
        assert_eq!(by_tokens(bytes), Some(flat));
        true
    }

    #[test]
    fn another_reader_sees_the_same() {
        assert!(TREES.into_iter().all(compare));
    }

    #[test]
    fn another_reader_sees_the_same_of_damaged_trees() {
        let mut good = 0;
        let soc = TREES[3];
        for at in 0..soc.len() {
            for damage in [0, 1, 3, 4, 0xff, soc[at] ^ 0x20] {
                let mut bytes = soc.to_vec();
                bytes[at] = damage;
                good += usize::from(compare(&bytes));
            }
        }
        assert!(good > 0, "some damage is in values and names");
    }

    #[test]
    fn reservations_are_read_up_to_the_empty_one() {
        let blob = Blob::open(TREES[3]).unwrap();
        let tree = crate::wellformed::open(TREES[3]).unwrap();
        let other = tree.memory_reservations();
        let other: Vec<_> = other.map(|it| (it.address(), it.size())).collect();
        assert_eq!(blob.reservations().collect::<Vec<_>>(), other);
        assert!(!other.is_empty());
    }
}

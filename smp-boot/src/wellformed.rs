//! Whether a blob is a device tree that can be read without a surprise.
//!
//! Pure. Every offset, length and string that [`Fdt`]'s methods rely on is checked once, here, so that
//! none of them panics later. `Fdt::new` checks this too and more: that no name is longer than 31
//! characters, as the Devicetree Specification asks (v0.4, 2.2.1 and 2.2.4). Boards' trees have longer
//! ones, and every kernel takes them.

use dtoolkit::fdt::Fdt;

const MAGIC: u32 = 0xd00d_feed;
/// The version of the format that is read; later ones say whether they can be read as it.
const VERSION: u32 = 17;
/// Bytes in the header.
const HEADER: usize = 40;
/// Bytes in a token.
const TOKEN: usize = 4;
/// Bytes in an entry of the reservation block.
const RESERVATION: usize = 16;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// The tree in `blob`, if it is well formed.
pub fn open(blob: &[u8]) -> Option<Fdt<'_>> {
    let header = Header::read(blob)?;
    check_reservations(blob, &header)?;
    check_structure(blob, &header)?;
    Some(Fdt::new_unchecked(blob))
}

/// Where the blocks are.
struct Header {
    reservations: usize,
    structure: usize,
    strings: usize,
    strings_end: usize,
}

impl Header {
    fn read(blob: &[u8]) -> Option<Self> {
        blob.get(..HEADER)?;
        let word = |index: usize| word_at(blob, index * 4);
        let offset = |index| Some(word(index)? as usize);
        let is_known = word(0)? == MAGIC
            && offset(1)? == blob.len()
            && (word(6)?..=word(5)?).contains(&VERSION);
        let header = Self {
            structure: offset(2)?,
            strings: offset(3)?,
            reservations: offset(4)?,
            strings_end: offset(3)?.checked_add(offset(8)?)?,
        };
        let structure_end = header.structure.checked_add(offset(9)?)?;
        let is_in_order = HEADER <= header.reservations
            && header.reservations <= header.structure
            && structure_end <= header.strings
            && header.strings_end <= blob.len();
        let is_aligned =
            header.reservations.is_multiple_of(8) && header.structure.is_multiple_of(4);
        (is_known && is_in_order && is_aligned).then_some(header)
    }
}

/// The reservation block ends before the structure begins.
fn check_reservations(blob: &[u8], header: &Header) -> Option<()> {
    let block = blob.get(header.reservations..header.structure)?;
    let mut entries = block.chunks_exact(RESERVATION);
    entries
        .any(|entry| entry.iter().all(|&byte| byte == 0))
        .then_some(())
}

/// Tokens make one node with everything in it, properties before nodes. Ends: each turn goes on by a
/// token at least.
fn check_structure(blob: &[u8], header: &Header) -> Option<()> {
    let mut at = header.structure;
    let mut depth = 0_usize;
    let mut takes_properties = false;
    loop {
        let token = word_at(blob, at)?;
        at += TOKEN;
        match token {
            BEGIN_NODE => {
                let name = string_at(blob.get(at..)?)?;
                // The root has no name, and nobody else may be without.
                if name.is_empty() != (depth == 0) {
                    return None;
                }
                at = (at + name.len() + 1).next_multiple_of(TOKEN);
                depth += 1;
                takes_properties = true;
            }
            PROPERTY if takes_properties => {
                let size = word_at(blob, at)? as usize;
                let name = header
                    .strings
                    .checked_add(word_at(blob, at + 4)? as usize)?;
                if string_at(blob.get(name..header.strings_end)?)?.is_empty() {
                    return None;
                }
                let value = at + 2 * TOKEN;
                blob.get(value..value.checked_add(size)?)?;
                at = (value + size).next_multiple_of(TOKEN);
            }
            END_NODE => {
                depth = depth.checked_sub(1)?;
                takes_properties = false;
                if depth == 0 {
                    break;
                }
            }
            NOP if depth > 0 => {}
            _ => return None,
        }
    }
    (word_at(blob, at)? == END).then_some(())
}

/// The text up to the first zero.
fn string_at(bytes: &[u8]) -> Option<&str> {
    let text = core::ffi::CStr::from_bytes_until_nul(bytes).ok()?;
    text.to_str().ok()
}

fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*word))
}

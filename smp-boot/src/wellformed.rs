//! Whether a blob is a device tree that can be read without a surprise.
//!
//! Pure. Every offset, length and string that [`Fdt`]'s methods rely on is checked once, here, so that
//! none of them panics later. `Fdt::new` checks this too and more: that no name is longer than 31
//! characters, as the Devicetree Specification asks (v0.4, 2.2.1 and 2.2.4). Boards' trees have longer
//! ones, and every kernel takes them.

use dtoolkit::fdt::Fdt;

use crate::names::Names;
use crate::tokens::{Blob, Token, Tokens};

/// The tree in `bytes`, if it is well formed.
pub fn open(bytes: &[u8]) -> Option<Fdt<'_>> {
    let blob = Blob::open(bytes)?;
    let mut names = Names::new(blob.strings);
    let mut tokens = Tokens::new(&blob);
    while let Some(token) = tokens.next().ok()? {
        if let Token::Property(name, _) = token {
            names.at(name)?;
        }
    }
    Some(Fdt::new_unchecked(bytes))
}

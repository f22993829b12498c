//! Values that say who wrote them.
//!
//! Every store of a guest or the host in the simulated machine is such a value, so a page's content
//! tells whose it is. Invariant: a *secret* was written to a page that was its writer's alone then; a
//! public value to one that another could use too.

/// Bits 63:60 of a marked value.
const MARK: u64 = 0xa << 60;
const SECRET: u64 = 1 << 59;
const WRITER_SHIFT: u32 = 32;
const WRITER: u64 = (1 << 27) - 1;

/// The host, as a writer.
pub const HOST: u64 = 1;

/// Who wrote a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// 1 the host; others VMs, each life of a slot another one.
    pub writer: u64,
    /// Nobody else could read the page then.
    pub secret: bool,
}

/// A value that `writer` writes; `nonce` makes it unlike others.
pub const fn mark(writer: u64, secret: bool, nonce: u32) -> u64 {
    let secret = if secret { SECRET } else { 0 };
    MARK | secret | (writer & WRITER) << WRITER_SHIFT | nonce as u64
}

/// Who wrote this value, if it is a marked one.
pub const fn origin(value: u64) -> Option<Origin> {
    if value >> 60 != MARK >> 60 {
        return None;
    }
    Some(Origin {
        writer: value >> WRITER_SHIFT & WRITER,
        secret: value & SECRET != 0,
    })
}

/// The words of a page that guests and the host write, and the checker looks at: both ends and two
/// between, so that a page scrubbed in part is seen.
pub const PROBED: [usize; 4] = [0, 7, 256, 511];

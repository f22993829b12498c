//! Guest programs: position-independent code that is copied into donated pages and runs at EL1 with
//! the MMU off, unless they are told to turn it on.
//!
//! | program | what it does |
//! | --- | --- |
//! | [`Program::Puppet`] | does what the host tells it, one step at a time |
//! | [`Gadget`] | routines that the puppet calls |
//! | [`Program::Canary`] | fills its registers with a canary, then exits in each way in turn |
//! | [`Program::Keeper`] | signs its pages, looks after them, and exits in each way at random |
//!
//! Invariants: no program has a stack or data of its own; addresses are made by `adr` from the
//! place where the code lies. Layout of every test guest's IPA space is here.

mod canary;
mod gadgets;
mod keeper;
mod puppet;

pub use canary::is_canary;
pub use gadgets::{DIGEST_WORDS, Gadget, TURNS};
pub use keeper::{KEPT_PAGES, KEY_BITS, PUBLIC, STEP};
pub use puppet::{
    CALL, LOAD, LOAD_TWICE, LOOK_AT_FP, LOOK_AT_SYSTEM, PAGING, SET_TIMER, SMC, SPIN, STORE,
    STORE_TWICE, SWEEP, WAIT,
};

/// RAM of every test guest.
pub const RAM: u64 = 0x4000_0000;
/// Its size.
pub const RAM_SIZE: u64 = 64 << 20;
/// Where the programs lie.
pub const CODE: u64 = RAM;
/// Where the gadgets lie in a guest that has them.
pub const GADGETS: u64 = RAM + (1 << 20);
/// A second RAM range, into which the host may lend pages; the first one is private.
pub const WINDOW: u64 = 0x6000_0000;
/// Its size.
pub const WINDOW_SIZE: u64 = 1 << 20;
/// A page that the host lends.
pub const MAILBOX: u64 = WINDOW;
/// RAM without a page, until the test gives it one.
pub const HOLE: u64 = RAM + (2 << 20);
/// 2 MiB-aligned RAM for data.
pub const DATA: u64 = RAM + (4 << 20);
/// Redistributor frames.
pub const GICR: u64 = 0x0800_0000;
/// No RAM: a device of the host's.
pub const MMIO: u64 = 0x0900_0000;

/// Forwarded call: the puppet has done its step; x1–x4 results, x5 and x6 ESR and FAR of its fault.
pub const CALL_NEXT: u64 = 0xC600_0080;
/// Forwarded call: a guest's own check failed; x1 says where, x2 is ESR_EL1.
pub const CALL_WRONG: u64 = 0xC600_0081;
/// Forwarded call of the canary program; the answer is [`ANSWER`].
pub const CALL_ASK: u64 = 0xC600_0082;
/// Forwarded call of the keeper: x1 is how many pages it has looked at and found as they should be.
pub const CALL_KEPT: u64 = 0xC600_0083;
/// vCPUs that a keeper's VM has at most.
pub const KEEPER_VCPUS: u64 = 3;
/// What the host answers to the canary program's read and call.
pub const ANSWER: u64 = 0x1234_5678;

/// The code of all gadgets.
pub fn gadgets() -> &'static [u8] {
    gadgets::code()
}

/// Where a vCPU begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Step by step, as told.
    Puppet,
    /// Exits in each way.
    Canary,
    /// Looks after its pages.
    Keeper,
}

impl Program {
    /// Its code: what lies at [`CODE`].
    pub fn code(self) -> &'static [u8] {
        match self {
            Self::Puppet => puppet::code(),
            Self::Canary => canary::code(),
            Self::Keeper => keeper::code(),
        }
    }

    /// IPA of its first instruction.
    pub fn entry(self) -> u64 {
        CODE + match self {
            Self::Puppet => puppet::entry(),
            Self::Canary => canary::entry(),
            Self::Keeper => keeper::entry(),
        }
    }
}

/// The bytes between two symbols of this image.
///
/// # Safety
/// `start` and `end` delimit one read-only section of this image.
unsafe fn between(start: *const u8, end: *const u8) -> &'static [u8] {
    // SAFETY: by this function's contract.
    unsafe { core::slice::from_raw_parts(start, end as usize - start as usize) }
}

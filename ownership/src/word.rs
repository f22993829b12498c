//! The page word: how a page's state is packed into 64 bits, and nothing else.
//!
//! Invariants: all zero is `Reserved`, which denies everything; packing and unpacking are total, and
//! a bit pattern that no state packs to means `Reserved`; only `claim`, `tree` and `table` write
//! words.
//!
//! | bits  | field                                                                  |
//! |-------|------------------------------------------------------------------------|
//! | 2:0   | kind of the settled state (a claimed word keeps the one it came from)  |
//! | 3     | claimed                                                                |
//! | 4     | zero                                                                   |
//! | 8:5   | operation (claimed only)                                               |
//! | 17:9  | owner (`Owned`, `Shared`, `Scrubbing`): 1 engine, 2 host, 3 + slot a VM |
//! | 26:18 | borrower (`Shared`)                                                    |
//! | 31:27 | zero                                                                   |
//! | 47:32 | times mapped by the borrower (`Shared`), pages done (`Scrubbing`); not 0 |
//! | 63:48 | CPU (claimed only)                                                     |

use crate::addr::GranuleSize;

/// A VM slot, 0 to 253: with VMID = slot + 1 that is what 8-bit VMIDs allow beside the host's 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct VmSlot(u16);

impl VmSlot {
    /// Number of slots.
    pub const COUNT: u16 = 254;

    /// The slot with this number, if there is one.
    pub const fn new(raw: u16) -> Option<Self> {
        if raw < Self::COUNT {
            Some(Self(raw))
        } else {
            None
        }
    }

    /// Its number.
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// Its number, as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Its VMID, fixed for the slot's life.
    pub const fn vmid(self) -> u16 {
        self.0.wrapping_add(1)
    }
}

/// Who a page can belong to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    /// The engine itself.
    Engine,
    /// The host.
    Host,
    /// The VM in a slot.
    Vm(VmSlot),
}

impl Owner {
    const fn pack(self) -> u64 {
        match self {
            Self::Engine => 1,
            Self::Host => 2,
            Self::Vm(slot) => 3 + slot.raw() as u64,
        }
    }

    const fn unpack(bits: u64) -> Option<Self> {
        match bits {
            0 => None,
            1 => Some(Self::Engine),
            2 => Some(Self::Host),
            _ => match VmSlot::new(bits.wrapping_sub(3) as u16) {
                Some(slot) => Some(Self::Vm(slot)),
                None => None,
            },
        }
    }
}

/// The operations that change, or hold still, a page's state. One claim is for one operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Op {
    /// Setting the state before a second CPU is up; never a claim.
    Boot = 1,
    /// VM_MAP, VM_MAP_LIST: the host's page becomes a VM's.
    VmMap = 2,
    /// ENGINE_DONATE: the host's page becomes the engine's.
    EngineDonate = 3,
    /// ENGINE_RECLAIM: and back.
    EngineReclaim = 4,
    /// VM_LEND: a VM may use the host's page too.
    Lend = 5,
    /// VM_UNLEND: no longer.
    Unlend = 6,
    /// The guest's MEM_SHARE: the host may use the VM's page too.
    Share = 7,
    /// The guest's MEM_UNSHARE: no longer.
    Unshare = 8,
    /// The guest's MEM_RELINQUISH: a VM's page becomes the host's.
    Relinquish = 9,
    /// VM_RECLAIM: a dying VM's pages come home.
    Reclaim = 10,
    /// A host access that found no translation: the page is held while it is mapped again.
    HostFault = 11,
    /// PAGE_POISON, or an error found by the engine.
    Poison = 12,
    /// A page of the host's is held while the engine reads arguments from it.
    ReadList = 13,
}

impl Op {
    /// All operations.
    pub const ALL: [Self; 13] = [
        Self::Boot,
        Self::VmMap,
        Self::EngineDonate,
        Self::EngineReclaim,
        Self::Lend,
        Self::Unlend,
        Self::Share,
        Self::Unshare,
        Self::Relinquish,
        Self::Reclaim,
        Self::HostFault,
        Self::Poison,
        Self::ReadList,
    ];

    fn unpack(bits: u64) -> Option<Self> {
        Self::ALL.get((bits as usize).checked_sub(1)?).copied()
    }
}

// `unpack` looks them up by number.
const _: () = {
    let mut index = 0;
    while index < Op::ALL.len() {
        assert!(Op::ALL[index] as usize == index + 1);
        index += 1;
    }
};

/// What a page's word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Unknown or the firmware's: nobody reaches it through the engine.
    Reserved,
    /// Firmware tables and the like: the host may use it, it can never be donated.
    HostFixed,
    /// Its owner alone reaches it.
    Owned(Owner),
    /// Its owner and one borrower reach it.
    Shared {
        /// Whose it is.
        owner: Owner,
        /// Who may use it too.
        borrower: Owner,
        /// How many leaves of the borrower name it; not 0.
        count: u16,
    },
    /// An operation is changing it; nobody new reaches it.
    Claimed {
        /// The settled state it came from, to which a roll-back returns.
        from: Word,
        /// The operation.
        op: Op,
        /// The CPU that runs it.
        cpu: u16,
    },
    /// A 2 MiB granule of a dying VM, still the VM's, whose first pages have been zeroed. Nobody
    /// reaches it. Never what a page's own word says, nor that of 1 GiB.
    Scrubbing {
        /// Whose it is.
        vm: VmSlot,
        /// How many of its pages are zero; not 0, and not all.
        done: u16,
    },
    /// A hardware memory error: nobody reaches it, ever.
    Poisoned,
    /// A large granule whose parts have words of their own: ask below.
    Split,
}

/// A page word.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Word(u64);

const KIND: u64 = 0b111;
const CLAIMED: u64 = 1 << 3;
const OP_SHIFT: u32 = 5;
const OWNER_SHIFT: u32 = 9;
const BORROWER_SHIFT: u32 = 18;
const COUNT_SHIFT: u32 = 32;
const CPU_SHIFT: u32 = 48;
const OP: u64 = 0xf << OP_SHIFT;
const PARTY: u64 = 0x1ff;
const COUNT: u64 = 0xffff << COUNT_SHIFT;
const CPU: u64 = 0xffff << CPU_SHIFT;

const KIND_RESERVED: u64 = 0;
const KIND_HOST_FIXED: u64 = 1;
const KIND_OWNED: u64 = 2;
const KIND_SHARED: u64 = 3;
const KIND_POISONED: u64 = 4;
const KIND_SPLIT: u64 = 5;
const KIND_SCRUBBING: u64 = 7;

/// Numbers of [`Word::sort`].
pub(crate) const SORTS: usize = (KIND | CLAIMED) as usize + 1;

/// What words of one sort have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sort {
    Reserved,
    HostFixed,
    /// `Owned`, or `Scrubbing`, which is a VM's.
    Owned,
    Shared,
    Poisoned,
    /// `Claimed` or `Split`.
    Changing,
}

impl Sort {
    /// That of the words with this number.
    pub(crate) const fn numbered(sort: usize) -> Self {
        match sort as u64 {
            KIND_RESERVED => Self::Reserved,
            KIND_HOST_FIXED => Self::HostFixed,
            KIND_OWNED | KIND_SCRUBBING => Self::Owned,
            KIND_SHARED => Self::Shared,
            KIND_POISONED => Self::Poisoned,
            _ => Self::Changing,
        }
    }
}

impl Word {
    /// The word with these bits.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Its bits.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The word of what said `from` and `cpu` has claimed for `op`.
    pub(crate) const fn claimed(from: Self, op: Op, cpu: u16) -> Self {
        Self(from.0 | CLAIMED | (op as u64) << OP_SHIFT | (cpu as u64) << CPU_SHIFT)
    }

    /// Is it claimed for `op`? Of the bits alone: of a word that a claim wrote.
    pub(crate) const fn is_claimed_for(self, op: Op) -> bool {
        self.0 & (CLAIMED | OP) == CLAIMED | (op as u64) << OP_SHIFT
    }

    /// By which CPU and for what it is claimed; of a word that a claim wrote.
    pub(crate) fn claimant(self) -> Option<(Op, u16)> {
        let op = Op::unpack((self.0 & OP) >> OP_SHIFT)?;
        Some((op, (self.0 >> CPU_SHIFT) as u16))
    }

    /// Packs a state. Inlined: of a state that is known it is a number.
    #[inline(always)]
    pub const fn pack(state: State) -> Self {
        Self(match state {
            State::Reserved => KIND_RESERVED,
            State::HostFixed => KIND_HOST_FIXED,
            State::Owned(owner) => KIND_OWNED | owner.pack() << OWNER_SHIFT,
            State::Shared {
                owner,
                borrower,
                count,
            } => {
                KIND_SHARED
                    | owner.pack() << OWNER_SHIFT
                    | borrower.pack() << BORROWER_SHIFT
                    | (count as u64) << COUNT_SHIFT
            }
            State::Claimed { from, op, cpu } => Self::claimed(from, op, cpu).0,
            State::Scrubbing { vm, done } => {
                KIND_SCRUBBING | Owner::Vm(vm).pack() << OWNER_SHIFT | (done as u64) << COUNT_SHIFT
            }
            State::Poisoned => KIND_POISONED,
            State::Split => KIND_SPLIT,
        })
    }

    /// What it says. Bits that no state packs to mean [`State::Reserved`]: they give nothing away.
    #[inline]
    pub fn state(self) -> State {
        // The commonest by far, and the only word with these bits alone.
        if self.0 & !(PARTY << OWNER_SHIFT) == KIND_OWNED
            && let Some(owner) = Owner::unpack(self.0 >> OWNER_SHIFT)
        {
            return State::Owned(owner);
        }
        self.other_state()
    }

    /// The parties of a word of kind `Shared`.
    #[inline(always)]
    const fn shared(self) -> Option<State> {
        let owner = Owner::unpack(self.0 >> OWNER_SHIFT & PARTY);
        let borrower = Owner::unpack(self.0 >> BORROWER_SHIFT & PARTY);
        match (owner, borrower, (self.0 >> COUNT_SHIFT) as u16) {
            (None, _, _) | (_, None, _) | (_, _, 0) => None,
            (Some(owner), Some(borrower), count) => Some(State::Shared {
                owner,
                borrower,
                count,
            }),
        }
    }

    /// Its kind and whether it is claimed, as a number below [`SORTS`]. Of the bits alone: of words that the table wrote.
    pub(crate) const fn sort(self) -> usize {
        (self.0 & (KIND | CLAIMED)) as usize
    }

    /// Is it claimed? Of the bits alone: of words that the table wrote.
    pub(crate) const fn is_claimed(self) -> bool {
        self.0 & CLAIMED != 0
    }

    /// Is it claimed, by another CPU than `mine`? Of the bits alone: of words that claims wrote.
    pub(crate) const fn is_claimed_by_other(self, mine: Self) -> bool {
        self.0 & CLAIMED != 0 && (self.0 ^ mine.0) & CPU != 0
    }

    #[inline(never)]
    fn other_state(self) -> State {
        if self.0 & !(PARTY << OWNER_SHIFT | PARTY << BORROWER_SHIFT | COUNT) == KIND_SHARED {
            return self.shared().unwrap_or(State::Reserved);
        }
        match self.unpack() {
            Some(state) if Self::pack(state) == self => state,
            _ => State::Reserved,
        }
    }

    fn unpack(self) -> Option<State> {
        if self.0 & CLAIMED == 0 {
            return self.unpack_settled();
        }
        let from = Self(self.0 & !(CLAIMED | OP | CPU));
        // A claim never comes from bits that mean nothing.
        if Self::pack(from.unpack_settled()?) != from {
            return None;
        }
        let (op, cpu) = self.claimant()?;
        Some(State::Claimed { from, op, cpu })
    }

    fn unpack_settled(self) -> Option<State> {
        match self.0 & KIND {
            KIND_RESERVED => Some(State::Reserved),
            KIND_HOST_FIXED => Some(State::HostFixed),
            KIND_OWNED => Some(State::Owned(Owner::unpack(self.0 >> OWNER_SHIFT & PARTY)?)),
            KIND_SHARED => self.shared(),
            KIND_POISONED => Some(State::Poisoned),
            KIND_SPLIT => Some(State::Split),
            _ => {
                let Owner::Vm(vm) = Owner::unpack(self.0 >> OWNER_SHIFT & PARTY)? else {
                    return None;
                };
                let done = (self.0 >> COUNT_SHIFT) as u16;
                let some = done != 0 && u64::from(done) < GranuleSize::Block2M.pages();
                some.then_some(State::Scrubbing { vm, done })
            }
        }
    }
}

impl From<State> for Word {
    #[inline(always)]
    fn from(state: State) -> Self {
        Self::pack(state)
    }
}

impl core::fmt::Debug for Word {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Word({:#018x})", self.0)
    }
}

#[cfg(all(test, not(loom)))]
#[path = "word_tests.rs"]
mod tests;

//! Instruction and data aborts (Arm ARM D19.2.37: ISS of classes 0x20 and 0x24), and the accesses they are about.
//!
//! An abort is its syndrome: a field is taken out where it is asked for, and none is unpacked for nothing.
//! Invariant: decoding is total; a status code that the engine does not know is [`FaultKind::Reserved`].

use super::ISS;

/// An instruction or data abort from a lower exception level: its ISS, and whether it was a fetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abort(u32);

/// Above the ISS: an instruction abort.
const FETCH: u32 = 1 << 31;

impl Abort {
    /// The data abort of an ESR_EL2.
    pub const fn of_data(esr: u64) -> Self {
        Self((esr & ISS) as u32)
    }

    /// The instruction abort of an ESR_EL2.
    pub const fn of_fetch(esr: u64) -> Self {
        Self((esr & ISS) as u32 | FETCH)
    }

    const fn bit(self, index: u32) -> bool {
        self.0 >> index & 1 != 0
    }

    /// Was it an instruction fetch, rather than a load, store or cache maintenance?
    pub const fn is_fetch(self) -> bool {
        self.0 & FETCH != 0
    }

    /// What went wrong.
    #[inline(always)]
    pub const fn kind(self) -> FaultKind {
        FaultKind::of(self.0)
    }

    /// At which level of a walk it did, -2 to 3, where the code tells.
    pub const fn level(self) -> Option<i8> {
        FaultKind::level(self.0)
    }

    /// S1PTW: the access was a stage-1 walk's own.
    pub const fn on_walk(self) -> bool {
        self.bit(7)
    }

    /// WnR: a store, or cache maintenance; the bit means nothing of a fetch.
    pub const fn is_write(self) -> bool {
        !self.is_fetch() && self.bit(6)
    }

    /// CM: cache maintenance or address translation, not a load or store.
    pub const fn is_cache_op(self) -> bool {
        !self.is_fetch() && self.bit(8)
    }

    /// FnV clear: FAR_EL2 holds the faulting virtual address.
    pub const fn far_valid(self) -> bool {
        !self.bit(10)
    }

    /// ISV: how the access would be done in software. Only for one plain load or store.
    #[inline(always)]
    pub fn access(self) -> Option<Access> {
        (!self.is_fetch() && self.bit(24)).then_some(Access(self.0))
    }

    /// The intermediate physical address that faulted. `None` where HPFAR_EL2 is UNKNOWN (Arm ARM
    /// D19.2.60): a permission fault outside a walk above all, whose address must be translated.
    #[inline(always)]
    pub fn ipa(self, hpfar: u64, far: u64) -> Option<FaultAddress> {
        let written = match self.kind() {
            FaultKind::Translation | FaultKind::AccessFlag | FaultKind::AddressSize => true,
            FaultKind::Permission => self.on_walk(),
            _ => false,
        };
        written.then(|| FaultAddress {
            page: (hpfar >> 4 & FIPA_MASK) << 12,
            // During a walk FAR_EL2 is the address being translated, not the entry's.
            offset: (self.far_valid() && !self.on_walk()).then_some((far & 0xfff) as u16),
        })
    }
}

/// HPFAR_EL2.FIPA, bits 43:4, is IPA bits 51:12.
#[cfg(not(mutant = "fault-cut-ipa"))]
const FIPA_MASK: u64 = (1 << 40) - 1;
#[cfg(mutant = "fault-cut-ipa")]
const FIPA_MASK: u64 = (1 << 27) - 1;

/// Where a stage-2 fault was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultAddress {
    /// Intermediate physical address of the page.
    pub page: u64,
    /// Offset in the page, if the syndrome tells.
    pub offset: Option<u16>,
}

impl FaultAddress {
    /// The whole address.
    pub fn exact(&self) -> Option<u64> {
        self.offset.map(|offset| self.page | u64::from(offset))
    }
}

/// One plain load or store, as the ISS of its abort describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access(u32);

impl Access {
    /// A load or store of 8 bytes by x0.
    #[cfg(mutant = "mmio-any-access")]
    pub const OF_X0: Self = Self(0b11 << 22 | 1 << 15);

    /// SAS: 1, 2, 4 or 8.
    pub const fn bytes(self) -> u8 {
        1 << (self.0 >> 22 & 0b11)
    }

    /// SSE: the load sign-extends.
    pub const fn sign_extends(self) -> bool {
        self.0 >> 21 & 1 != 0
    }

    /// SRT: the general register; 31 is XZR.
    pub const fn rt(self) -> u8 {
        (self.0 >> 16 & 0x1f) as u8
    }

    /// SF: the register is 64 bits wide.
    pub const fn is_64bit(self) -> bool {
        self.0 >> 15 & 1 != 0
    }

    /// Bits of a general register that the access leaves out: 56, 48, 32 or 0.
    const fn unused(self) -> u32 {
        64 - (8 << (self.0 >> 22 & 0b11))
    }

    /// What the general register holds after a load of `data`.
    pub const fn extend(self, data: u64) -> u64 {
        let unused = self.unused();
        let value = if self.sign_extends() {
            (data.wrapping_shl(unused) as i64).wrapping_shr(unused) as u64
        } else {
            data.wrapping_shl(unused).wrapping_shr(unused)
        };
        if self.is_64bit() {
            value
        } else {
            value & 0xffff_ffff
        }
    }

    /// What a store of a general register holding `value` puts on the bus.
    pub const fn narrow(self, value: u64) -> u64 {
        let unused = self.unused();
        value.wrapping_shl(unused).wrapping_shr(unused)
    }
}

/// Kinds of fault, of DFSC or IFSC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// An address wider than the configured size.
    AddressSize,
    /// No valid entry.
    Translation,
    /// The entry's access flag is clear.
    AccessFlag,
    /// The entry forbids this kind of access.
    Permission,
    /// Synchronous external abort on the access itself.
    External,
    /// Synchronous external abort on a walk.
    ExternalOnWalk,
    /// Synchronous parity or ECC error on the access itself.
    Parity,
    /// Synchronous parity or ECC error on a walk.
    ParityOnWalk,
    /// Allocation tag check.
    TagCheck,
    /// Alignment.
    Alignment,
    /// Granule protection, of a walk or of the access.
    GranuleProtection,
    /// Two TLB entries for one address.
    TlbConflict,
    /// The memory does not support hardware update of the entry.
    UnsupportedUpdate,
    /// IMPLEMENTATION DEFINED: lockdown.
    Lockdown,
    /// Exclusive or atomic access to memory that does not support it.
    UnsupportedExclusive,
    /// No meaning assigned when this was written.
    Reserved,
}

impl FaultKind {
    /// Of a status code in the lowest 6 bits.
    #[inline(always)]
    const fn of(iss: u32) -> Self {
        match iss & 0x3f {
            0b00_0000..=0b00_0011 | 0b10_1001 | 0b10_1100 => Self::AddressSize,
            0b00_0100..=0b00_0111 | 0b10_1010 | 0b10_1011 => Self::Translation,
            0b00_1000..=0b00_1011 => Self::AccessFlag,
            0b00_1100..=0b00_1111 => Self::Permission,
            0b01_0000 => Self::External,
            0b01_0001 => Self::TagCheck,
            0b01_0010..=0b01_0111 => Self::ExternalOnWalk,
            0b01_1000 => Self::Parity,
            0b01_1011..=0b01_1111 => Self::ParityOnWalk,
            0b10_0001 => Self::Alignment,
            0b10_0010..=0b10_1000 => Self::GranuleProtection,
            0b11_0000 => Self::TlbConflict,
            0b11_0001 => Self::UnsupportedUpdate,
            0b11_0100 => Self::Lockdown,
            0b11_0101 => Self::UnsupportedExclusive,
            _ => Self::Reserved,
        }
    }

    /// The level of a walk that the same bits name.
    const fn level(iss: u32) -> Option<i8> {
        match iss & 0x3f {
            // Four codes of each kind, by level 0 to 3 (parity on a walk and granule protection too).
            0b00_0000..=0b00_1111
            | 0b01_0100..=0b01_0111
            | 0b01_1100..=0b01_1111
            | 0b10_0100..=0b10_0111 => Some((iss & 0b11) as i8),
            0b01_0011 | 0b01_1011 | 0b10_0011 | 0b10_1001 | 0b10_1011 => Some(-1),
            0b01_0010 | 0b10_0010 | 0b10_1010 | 0b10_1100 => Some(-2),
            _ => None,
        }
    }
}

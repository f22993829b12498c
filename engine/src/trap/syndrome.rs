//! From ESR_EL2 to a reason (Arm ARM D19.2.37, ESR_EL2).
//!
//! Invariant: [`Trap::decode`] is total: a class that the engine does not know is [`Trap::Other`],
//! a fault status it does not know is [`FaultKind::Reserved`].

use super::sysreg::SysregId;

#[cfg(test)]
mod tests;

/// ESR_ELx.EC: the exception class.
pub mod class {
    /// Unknown reason: an undefined instruction.
    pub const UNKNOWN: u8 = 0x00;
    /// Trapped WFI, WFE, WFIT or WFET.
    pub const WFX: u8 = 0x01;
    /// Trapped SVE, Advanced SIMD or floating-point access.
    pub const FP_ACCESS: u8 = 0x07;
    /// Trapped use of a pointer authentication instruction or key.
    pub const PAUTH: u8 = 0x09;
    /// Illegal execution state.
    pub const ILLEGAL: u8 = 0x0e;
    /// HVC from AArch64.
    pub const HVC: u8 = 0x16;
    /// SMC from AArch64.
    pub const SMC: u8 = 0x17;
    /// Trapped MSR, MRS or system instruction.
    pub const SYSREG: u8 = 0x18;
    /// Trapped SVE access.
    pub const SVE: u8 = 0x19;
    /// Trapped SME access.
    pub const SME: u8 = 0x1d;
    /// Instruction abort from a lower exception level.
    pub const INSTR_ABORT_LOWER: u8 = 0x20;
    /// Instruction abort without a change of exception level.
    pub const INSTR_ABORT_SAME: u8 = 0x21;
    /// Data abort from a lower exception level.
    pub const DATA_ABORT_LOWER: u8 = 0x24;
    /// Data abort without a change of exception level.
    pub const DATA_ABORT_SAME: u8 = 0x25;
}

/// Why a lower exception level trapped to EL2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// Unknown reason: an instruction that is undefined at EL2's word, such as HVC while disabled.
    Unknown,
    /// WFI or WFE.
    Wfx {
        /// It waits for an event, not for an interrupt.
        is_wfe: bool,
        /// WFIT or WFET: it also ends by itself at a counter value.
        is_timed: bool,
    },
    /// First use of FP/SIMD registers.
    FpAccess,
    /// Pointer authentication that EL2 has switched off.
    PauthAccess,
    /// Use of SVE.
    Sve,
    /// Use of SME.
    Sme,
    /// HVC; the return address is behind it.
    Hvc {
        /// Its immediate.
        imm: u16,
    },
    /// SMC; the return address is the instruction itself.
    Smc {
        /// Its immediate.
        imm: u16,
    },
    /// MSR, MRS or a system instruction; the return address is the instruction itself.
    Sysreg(SysregAccess),
    /// A load, store or cache maintenance by address.
    DataAbort(Abort),
    /// An instruction fetch.
    InstrAbort(Abort),
    /// PSTATE.IL was set.
    Illegal,
    /// A debug exception routed to EL2: its class.
    Debug(u8),
    /// A trapped AArch32 instruction, from an EL0 that the ID registers do not offer: its class.
    Aarch32(u8),
    /// Any other class.
    Other(u8),
}

impl Trap {
    /// Decodes ESR_EL2. Inlined: else all of it goes through memory by the byte.
    #[inline(always)]
    pub fn decode(esr: u64) -> Self {
        let iss = (esr & ISS) as u32;
        match exception_class(esr) {
            class::UNKNOWN => Self::Unknown,
            // ISS.TI: WFI, WFE, WFIT, WFET.
            class::WFX => Self::Wfx {
                is_wfe: bit(iss, 0),
                is_timed: bit(iss, 1),
            },
            class::FP_ACCESS => Self::FpAccess,
            class::PAUTH => Self::PauthAccess,
            class::ILLEGAL => Self::Illegal,
            class::HVC => Self::Hvc { imm: iss as u16 },
            class::SMC => Self::Smc { imm: iss as u16 },
            class::SYSREG => Self::Sysreg(SysregAccess::of(esr)),
            class::SVE => Self::Sve,
            class::SME => Self::Sme,
            class::INSTR_ABORT_LOWER => Self::InstrAbort(Abort::decode_instruction(iss)),
            class::DATA_ABORT_LOWER => Self::DataAbort(Abort::decode_data(iss)),
            ec @ 0x30..=0x3f => Self::Debug(ec),
            // CP15, CP14, VMRS, BXJ, SVC, HVC and SMC of AArch32.
            ec @ (0x03..=0x06 | 0x08 | 0x0c | 0x11..=0x13) => Self::Aarch32(ec),
            ec => Self::Other(ec),
        }
    }
}

/// ESR_ELx.ISS.
const ISS: u64 = 0x1ff_ffff;

/// ESR_ELx.EC.
pub const fn exception_class(esr: u64) -> u8 {
    (esr >> 26 & 0x3f) as u8
}

/// A trapped MSR, MRS or system instruction (ISS of class 0x18).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SysregAccess {
    /// The register.
    pub register: SysregId,
    /// The general register: 31 is XZR.
    pub rt: u8,
    /// MRS, rather than MSR or a system instruction.
    pub is_read: bool,
}

impl SysregAccess {
    /// The access of an exception of class [`class::SYSREG`].
    pub fn of(esr: u64) -> Self {
        let iss = (esr & ISS) as u32;
        let field = |lsb: u32, width: u32| (iss >> lsb & ((1 << width) - 1)) as u8;
        Self {
            register: SysregId::new(
                field(20, 2),
                field(14, 3),
                field(10, 4),
                field(1, 4),
                field(17, 3),
            ),
            rt: field(5, 5),
            is_read: bit(iss, 0),
        }
    }
}

/// An instruction or data abort from a lower exception level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abort {
    /// What went wrong, and at which level of which walk.
    pub status: FaultStatus,
    /// S1PTW: the access was a stage-1 walk's own.
    pub on_walk: bool,
    /// WnR: a store, or cache maintenance. Never set for an instruction abort.
    pub is_write: bool,
    /// CM: cache maintenance or address translation, not a load or store.
    pub is_cache_op: bool,
    /// FnV clear: FAR_EL2 holds the faulting virtual address.
    pub far_valid: bool,
    /// EA: the implementation's classification of an external abort.
    pub external_type: bool,
    /// ISV: how the access would be done in software. Only for one plain load or store.
    pub access: Option<Access>,
}

impl Abort {
    /// Decodes the ISS of a data abort.
    #[inline(always)]
    pub fn decode_data(iss: u32) -> Self {
        let access = bit(iss, 24).then(|| Access {
            bytes: 1 << (iss >> 22 & 0b11),
            sign_extend: bit(iss, 21),
            rt: (iss >> 16 & 0x1f) as u8,
            is_64bit: bit(iss, 15),
        });
        Self {
            is_write: bit(iss, 6),
            is_cache_op: bit(iss, 8),
            access,
            ..Self::common(iss)
        }
    }

    /// Decodes the ISS of an instruction abort.
    pub fn decode_instruction(iss: u32) -> Self {
        Self::common(iss)
    }

    #[inline(always)]
    fn common(iss: u32) -> Self {
        Self {
            status: FaultStatus::decode((iss & 0x3f) as u8),
            on_walk: bit(iss, 7),
            is_write: false,
            is_cache_op: false,
            far_valid: !bit(iss, 10),
            external_type: bit(iss, 9),
            access: None,
        }
    }

    /// The intermediate physical address that faulted. `None` where HPFAR_EL2 is UNKNOWN (Arm ARM
    /// D19.2.60): a permission fault outside a walk above all, whose address must be translated.
    pub fn ipa(&self, hpfar: u64, far: u64) -> Option<FaultAddress> {
        let kind = self.status.kind;
        let written = match kind {
            FaultKind::Translation | FaultKind::AccessFlag | FaultKind::AddressSize => true,
            FaultKind::Permission => self.on_walk,
            _ => false,
        };
        written.then(|| FaultAddress {
            page: (hpfar >> 4 & FIPA_MASK) << 12,
            // During a walk FAR_EL2 is the address being translated, not the entry's.
            offset: (self.far_valid && !self.on_walk).then_some((far & 0xfff) as u16),
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

/// One plain load or store, as the syndrome describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// SAS: 1, 2, 4 or 8.
    pub bytes: u8,
    /// SSE: the load sign-extends.
    pub sign_extend: bool,
    /// SRT: the general register; 31 is XZR.
    pub rt: u8,
    /// SF: the register is 64 bits wide.
    pub is_64bit: bool,
}

impl Access {
    /// What the general register holds after a load of `data`.
    pub fn extend(&self, data: u64) -> u64 {
        let unused = 64 - 8 * u32::from(self.bytes.clamp(1, 8));
        let value = if self.sign_extend {
            ((data << unused) as i64 >> unused) as u64
        } else {
            data << unused >> unused
        };
        if self.is_64bit {
            value
        } else {
            value & 0xffff_ffff
        }
    }

    /// What a store of a general register holding `value` puts on the bus.
    pub fn narrow(&self, value: u64) -> u64 {
        let unused = 64 - 8 * u32::from(self.bytes.clamp(1, 8));
        value << unused >> unused
    }
}

/// DFSC or IFSC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultStatus {
    /// What went wrong.
    pub kind: FaultKind,
    /// Level of the walk at which it did, -2 to 3, where the code tells.
    pub level: Option<i8>,
}

/// Kinds of fault.
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

impl FaultStatus {
    /// Decodes a 6-bit status code.
    pub fn decode(code: u8) -> Self {
        use FaultKind::*;
        let level = (code & 0b11) as i8;
        let (kind, level) = match code & 0x3f {
            0b00_0000..=0b00_0011 => (AddressSize, Some(level)),
            0b00_0100..=0b00_0111 => (Translation, Some(level)),
            0b00_1000..=0b00_1011 => (AccessFlag, Some(level)),
            0b00_1100..=0b00_1111 => (Permission, Some(level)),
            0b01_0000 => (External, None),
            0b01_0001 => (TagCheck, None),
            0b01_0010 => (ExternalOnWalk, Some(-2)),
            0b01_0011 => (ExternalOnWalk, Some(-1)),
            0b01_0100..=0b01_0111 => (ExternalOnWalk, Some(level)),
            0b01_1000 => (Parity, None),
            0b01_1011 => (ParityOnWalk, Some(-1)),
            0b01_1100..=0b01_1111 => (ParityOnWalk, Some(level)),
            0b10_0001 => (Alignment, None),
            0b10_0010 => (GranuleProtection, Some(-2)),
            0b10_0011 => (GranuleProtection, Some(-1)),
            0b10_0100..=0b10_0111 => (GranuleProtection, Some(level)),
            0b10_1000 => (GranuleProtection, None),
            0b10_1001 => (AddressSize, Some(-1)),
            0b10_1010 => (Translation, Some(-2)),
            0b10_1011 => (Translation, Some(-1)),
            0b10_1100 => (AddressSize, Some(-2)),
            0b11_0000 => (TlbConflict, None),
            0b11_0001 => (UnsupportedUpdate, None),
            0b11_0100 => (Lockdown, None),
            0b11_0101 => (UnsupportedExclusive, None),
            _ => (Reserved, None),
        };
        Self { kind, level }
    }
}

fn bit(word: u32, index: u32) -> bool {
    word >> index & 1 != 0
}

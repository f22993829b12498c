//! The first argument of `VM_CREATE`: how large the VM is.
//!
//! Invariant: a [`VmShape`] has no bit outside its fields; whether the numbers are acceptable is
//! the engine's to say.

/// vCPUs in bits 15:0, IPA bits in bits 31:16; bits 32 and 33 say into which RAM range the host may
/// lend pages; bits 63:34 are flags that don't exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmShape {
    /// How many vCPUs the VM can have.
    pub vcpus: u16,
    /// Width of its intermediate physical addresses, in bits.
    pub ipa_bits: u16,
    /// Bit *n*: the host may lend its own pages into RAM range *n* ([`crate::Call::VmLend`]). Into
    /// other ranges it can only give pages away: what the VM stores there is the VM's alone.
    pub lendable: u8,
}

const LENDABLE_SHIFT: u32 = 32;
const LENDABLE_MASK: u64 = 0b11;

impl VmShape {
    /// Its value in a register.
    pub const fn raw(self) -> u64 {
        (self.lendable as u64) << LENDABLE_SHIFT | (self.ipa_bits as u64) << 16 | self.vcpus as u64
    }

    /// The shape that a register says; none if a flag is set.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        if raw >> LENDABLE_SHIFT > LENDABLE_MASK {
            return None;
        }
        Some(Self {
            vcpus: raw as u16,
            ipa_bits: (raw >> 16) as u16,
            lendable: (raw >> LENDABLE_SHIFT) as u8,
        })
    }
}

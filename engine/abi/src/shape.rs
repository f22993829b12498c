//! The first argument of `VM_CREATE`: how large the VM is.
//!
//! Invariant: a [`VmShape`] has no bit outside its fields; whether the numbers are acceptable is
//! the engine's to say.

/// vCPUs in bits 15:0, IPA bits in bits 31:16; bits 63:32 are flags, none of which exists yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmShape {
    /// How many vCPUs the VM can have.
    pub vcpus: u16,
    /// Width of its intermediate physical addresses, in bits.
    pub ipa_bits: u16,
}

impl VmShape {
    /// Its value in a register.
    pub const fn raw(self) -> u64 {
        (self.ipa_bits as u64) << 16 | self.vcpus as u64
    }

    /// The shape that a register says; none if a flag is set.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        if raw >> 32 != 0 {
            return None;
        }
        Some(Self {
            vcpus: raw as u16,
            ipa_bits: (raw >> 16) as u16,
        })
    }
}

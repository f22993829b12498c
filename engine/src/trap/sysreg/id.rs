//! The machine's feature-ID registers, as the weakest core has them.
//!
//! Invariants: the boot core's values, constant from then on; a core that would narrow them is left
//! out when it comes up. It holds the truth; the policies in `features` say what is shown.

use super::features::{self, Order};
use super::number::SysregId;

/// Values of the registers op0 3, op1 0, CRn 0, CRm 1 to 7, by CRm and op2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdRegisters {
    words: [[u64; 8]; 8],
}

impl Default for IdRegisters {
    fn default() -> Self {
        Self::new()
    }
}

impl IdRegisters {
    /// All zero.
    pub const fn new() -> Self {
        Self { words: [[0; 8]; 8] }
    }

    /// The registers to read at boot: every feature-ID encoding, since reserved ones read as zero.
    pub fn registers() -> impl Iterator<Item = SysregId> {
        (1..8).flat_map(|crm| (0..8).map(move |op2| SysregId::feature(crm, op2)))
    }

    /// Records this core's value of a feature-ID register; others are ignored.
    pub fn set(&mut self, register: SysregId, value: u64) {
        if let Some((crm, op2)) = register.as_feature()
            && let Some(word) = self.words.get_mut(crm).and_then(|row| row.get_mut(op2))
        {
            *word = value;
        }
    }

    /// The value of a feature-ID register; zero for any other.
    pub fn get(&self, register: SysregId) -> u64 {
        register
            .as_feature()
            .and_then(|(crm, op2)| self.words.get(crm)?.get(op2).copied())
            .unwrap_or(0)
    }

    /// The value of the register of this CRm and op2.
    #[inline(always)]
    pub const fn word(&self, crm: usize, op2: usize) -> u64 {
        self.words[crm][op2]
    }

    /// One 4-bit field.
    pub fn field(&self, register: SysregId, lsb: u32) -> u8 {
        nibble(self.get(register), lsb)
    }

    /// Lowers every field to what `other` has too. Fields are unsigned, zero meaning absent, but
    /// for those that the policy table marks otherwise (Arm ARM D19.1.3).
    pub fn narrow(&mut self, other: &Self) {
        for register in Self::registers() {
            let (ours, theirs) = (self.get(register), other.get(register));
            if ours == theirs {
                // As on most machines: of a large one each core looks at all fields else.
                continue;
            }
            let weakest = (0..64).step_by(4).fold(0, |word, lsb| {
                let order = features::order(register, lsb);
                let field = order.weaker(nibble(ours, lsb), nibble(theirs, lsb));
                word | u64::from(field) << (lsb & 63)
            });
            self.set(register, weakest);
        }
    }
}

/// The 4 bits of `word` from bit `lsb` up.
pub(super) fn nibble(word: u64, lsb: u32) -> u8 {
    (word >> (lsb & 63) & 0xf) as u8
}

impl Order {
    /// The field value that promises less.
    pub fn weaker(self, a: u8, b: u8) -> u8 {
        let is_lower = match self {
            Self::Unsigned => a < b,
            // 4-bit two's complement: 0b1111 is -1, "not implemented".
            Self::Signed => a ^ 8 < b ^ 8,
            Self::HigherIsWeaker => a > b,
        };
        if is_lower { a } else { b }
    }
}

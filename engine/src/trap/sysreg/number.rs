//! Names of system registers: the five numbers of MSR and MRS in one word (Arm ARM D18.3).
//!
//! Invariant: two [`SysregId`]s are equal exactly if the instruction encodings are.

use core::fmt;

/// A system register or system instruction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SysregId(u16);

impl SysregId {
    /// From the fields of the encoding; bits beyond a field's width are dropped.
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Self {
        Self(
            (op0 as u16 & 3) << 14
                | (op1 as u16 & 7) << 11
                | (crn as u16 & 15) << 7
                | (crm as u16 & 15) << 3
                | (op2 as u16 & 7),
        )
    }

    /// A register of the feature-ID space, op0 3, op1 0, CRn 0.
    pub const fn feature(crm: u8, op2: u8) -> Self {
        Self::new(3, 0, 0, crm, op2)
    }

    /// op0, op1, CRn, CRm and op2.
    pub const fn parts(self) -> (u8, u8, u8, u8, u8) {
        let word = self.0;
        (
            (word >> 14) as u8,
            (word >> 11 & 7) as u8,
            (word >> 7 & 15) as u8,
            (word >> 3 & 15) as u8,
            (word & 7) as u8,
        )
    }

    /// CRm and op2 of a feature-ID register, CRm 1 to 7. These are what HCR_EL2.TID3 traps,
    /// reserved encodings included.
    pub const fn as_feature(self) -> Option<(usize, usize)> {
        match self.parts() {
            (3, 0, 0, crm @ 1..=7, op2) => Some((crm as usize, op2 as usize)),
            _ => None,
        }
    }
}

impl fmt::Debug for SysregId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (op0, op1, crn, crm, op2) = self.parts();
        write!(f, "S{op0}_{op1}_C{crn}_C{crm}_{op2}")
    }
}

/// The registers that the policies name, in the Arm ARM's spelling.
#[expect(
    missing_docs,
    reason = "each constant is the Arm ARM register of its name"
)]
pub mod reg {
    use super::SysregId;

    const fn debug(op1: u8, crn: u8, crm: u8, op2: u8) -> SysregId {
        SysregId::new(2, op1, crn, crm, op2)
    }

    pub const ID_AA64PFR0_EL1: SysregId = SysregId::feature(4, 0);
    pub const ID_AA64PFR1_EL1: SysregId = SysregId::feature(4, 1);
    pub const ID_AA64PFR2_EL1: SysregId = SysregId::feature(4, 2);
    pub const ID_AA64ZFR0_EL1: SysregId = SysregId::feature(4, 4);
    pub const ID_AA64SMFR0_EL1: SysregId = SysregId::feature(4, 5);
    pub const ID_AA64FPFR0_EL1: SysregId = SysregId::feature(4, 7);
    pub const ID_AA64DFR0_EL1: SysregId = SysregId::feature(5, 0);
    pub const ID_AA64DFR1_EL1: SysregId = SysregId::feature(5, 1);
    pub const ID_AA64ISAR0_EL1: SysregId = SysregId::feature(6, 0);
    pub const ID_AA64ISAR1_EL1: SysregId = SysregId::feature(6, 1);
    pub const ID_AA64ISAR2_EL1: SysregId = SysregId::feature(6, 2);
    pub const ID_AA64ISAR3_EL1: SysregId = SysregId::feature(6, 3);
    pub const ID_AA64MMFR0_EL1: SysregId = SysregId::feature(7, 0);
    pub const ID_AA64MMFR1_EL1: SysregId = SysregId::feature(7, 1);
    pub const ID_AA64MMFR2_EL1: SysregId = SysregId::feature(7, 2);
    pub const ID_AA64MMFR3_EL1: SysregId = SysregId::feature(7, 3);
    pub const ID_AA64MMFR4_EL1: SysregId = SysregId::feature(7, 4);

    pub const ACTLR_EL1: SysregId = SysregId::new(3, 0, 1, 0, 1);
    pub const ICC_SGI1R_EL1: SysregId = SysregId::new(3, 0, 12, 11, 5);
    pub const ICC_ASGI1R_EL1: SysregId = SysregId::new(3, 0, 12, 11, 6);
    pub const ICC_SGI0R_EL1: SysregId = SysregId::new(3, 0, 12, 11, 7);
    pub const ICC_SRE_EL1: SysregId = SysregId::new(3, 0, 12, 12, 5);
    pub const CNTPCT_EL0: SysregId = SysregId::new(3, 3, 14, 0, 1);
    pub const CNTPCTSS_EL0: SysregId = SysregId::new(3, 3, 14, 0, 5);

    pub const DC_ISW: SysregId = SysregId::new(1, 0, 7, 6, 2);
    pub const DC_CSW: SysregId = SysregId::new(1, 0, 7, 10, 2);
    pub const DC_CISW: SysregId = SysregId::new(1, 0, 7, 14, 2);

    pub const OSDTRRX_EL1: SysregId = debug(0, 0, 0, 2);
    pub const MDCCINT_EL1: SysregId = debug(0, 0, 2, 0);
    pub const MDSCR_EL1: SysregId = debug(0, 0, 2, 2);
    pub const OSDTRTX_EL1: SysregId = debug(0, 0, 3, 2);
    pub const OSECCR_EL1: SysregId = debug(0, 0, 6, 2);
    pub const DBGBVR0_EL1: SysregId = debug(0, 0, 0, 4);
    pub const DBGBVR1_EL1: SysregId = debug(0, 0, 1, 4);
    pub const DBGBCR0_EL1: SysregId = debug(0, 0, 0, 5);
    pub const DBGBCR1_EL1: SysregId = debug(0, 0, 1, 5);
    pub const DBGWVR0_EL1: SysregId = debug(0, 0, 0, 6);
    pub const DBGWVR1_EL1: SysregId = debug(0, 0, 1, 6);
    pub const DBGWCR0_EL1: SysregId = debug(0, 0, 0, 7);
    pub const DBGWCR1_EL1: SysregId = debug(0, 0, 1, 7);
    pub const MDRAR_EL1: SysregId = debug(0, 1, 0, 0);
    pub const OSLAR_EL1: SysregId = debug(0, 1, 0, 4);
    pub const OSLSR_EL1: SysregId = debug(0, 1, 1, 4);
    pub const OSDLR_EL1: SysregId = debug(0, 1, 3, 4);
    pub const DBGPRCR_EL1: SysregId = debug(0, 1, 4, 4);
    pub const DBGCLAIMSET_EL1: SysregId = debug(0, 7, 8, 6);
    pub const DBGCLAIMCLR_EL1: SysregId = debug(0, 7, 9, 6);
    pub const DBGAUTHSTATUS_EL1: SysregId = debug(0, 7, 14, 6);
    pub const MDCCSR_EL0: SysregId = debug(3, 0, 1, 0);
    pub const DBGDTR_EL0: SysregId = debug(3, 0, 4, 0);
    pub const DBGDTRRX_EL0: SysregId = debug(3, 0, 5, 0);
}

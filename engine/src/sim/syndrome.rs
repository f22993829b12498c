//! Syndrome registers of what traps to EL2, as hardware would give them (Arm ARM D19.2.37, D19.2.60).

use super::access::{Fault, Want};

/// MSR ICC_SGI1R_EL1, as the ISS of a trapped one says (Arm ARM D19.2.37).
pub(super) const SEND_SGI: u64 = 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1;
/// The register that loads, stores and moves use.
pub(super) const RT: usize = 9;

/// What a load or store of a register is of, as a syndrome says it (Arm ARM D19.2.37).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// SAS: the logarithm of its bytes.
    pub size: u8,
    /// SSE: a load extends the sign.
    pub signed: bool,
    /// SF: the register has 64 bits.
    pub wide: bool,
}

impl Shape {
    /// 64 bits.
    pub const WORD: Self = Self {
        size: 3,
        signed: false,
        wide: true,
    };

    /// ISV, SAS, SSE, SRT, SF.
    fn syndrome(self) -> u64 {
        let (signed, wide) = (u64::from(self.signed), u64::from(self.wide));
        1 << 24 | u64::from(self.size) << 22 | signed << 21 | (RT as u64) << 16 | wide << 15
    }
}

/// ESR of an exception of this class.
pub(super) const fn esr(class: u64, iss: u64) -> u64 {
    class << 26 | 1 << 25 | iss
}

/// ESR, FAR and HPFAR of an abort at `address` that is taken to EL2 (Arm ARM D19.2.37, DFSC and IFSC).
pub(super) fn abort_registers(
    address: u64,
    want: Want,
    shape: Option<Shape>,
    fault: Fault,
) -> (u64, u64, u64) {
    let status = match fault {
        Fault::Translation { level } => 0b00_0100 | u64::from(level),
        Fault::Permission { level } => 0b00_1100 | u64::from(level),
        Fault::External => 0b01_0000,
    };
    let access = shape.map_or(0, Shape::syndrome);
    let esr = match want {
        Want::Fetch => esr(0x20, status),
        Want::Load => esr(0x24, access | status),
        Want::Store | Want::StoreRaw(_) => esr(0x24, access | 1 << 6 | status),
    };
    // After others HPFAR_EL2 is UNKNOWN.
    let page = match fault {
        Fault::Translation { .. } => address >> 12,
        _ => 0x5a5a5,
    };
    (esr, address, page << 4)
}

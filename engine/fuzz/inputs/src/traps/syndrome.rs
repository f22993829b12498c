//! Syndromes by the Arm ARM's fields (D19.2.37), made and taken apart: the second reading that the engine's own is
//! held against.

use crate::bytes::Bytes;

/// Exception classes that the engine tells apart.
pub mod class {
    pub const WFX: u64 = 0x01;
    pub const ILLEGAL: u64 = 0x0e;
    pub const HVC: u64 = 0x16;
    pub const SMC: u64 = 0x17;
    pub const SYSREG: u64 = 0x18;
    pub const FETCH: u64 = 0x20;
    pub const DATA: u64 = 0x24;
}

/// ISS of an access to a system register: op0, op1, CRn, CRm, op2.
pub const fn sysreg([op0, op1, crn, crm, op2]: [u64; 5]) -> u64 {
    op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1
}

/// Bits of the ISS that name the register.
pub const SYSREG: u64 = sysreg([3, 7, 15, 15, 7]);
/// A write of this sends SGIs of any group.
pub const ICC_SGI1R: u64 = sysreg([3, 0, 12, 11, 5]);
/// `ICC_SGI0R_EL1` (the same).
pub const ICC_SGI0R: u64 = sysreg([3, 0, 12, 11, 7]);

const SYSREGS: [[u64; 5]; 32] = [
    [3, 0, 12, 11, 5],
    [3, 0, 12, 11, 6],
    [3, 0, 12, 11, 7],
    [3, 0, 12, 11, 1],
    [3, 0, 12, 12, 5],
    [3, 0, 12, 12, 0],
    [3, 0, 4, 6, 0],
    [3, 0, 0, 4, 0],
    [3, 0, 0, 4, 1],
    [3, 0, 0, 5, 0],
    [3, 0, 0, 6, 0],
    [3, 0, 0, 7, 0],
    [3, 0, 0, 7, 7],
    [3, 0, 0, 1, 0],
    [3, 0, 0, 0, 5],
    [3, 0, 1, 0, 1],
    [3, 3, 14, 0, 1],
    [3, 3, 14, 0, 5],
    [3, 3, 14, 2, 1],
    [3, 3, 14, 3, 1],
    [1, 0, 7, 6, 2],
    [1, 0, 7, 14, 2],
    [2, 0, 0, 2, 2],
    [2, 0, 1, 0, 4],
    [2, 0, 1, 1, 4],
    [2, 0, 0, 0, 4],
    [2, 3, 0, 1, 0],
    [2, 3, 0, 4, 0],
    [3, 3, 9, 12, 0],
    [3, 0, 9, 14, 1],
    [3, 4, 1, 1, 0],
    [3, 0, 15, 0, 0],
];

/// A syndrome of the input's.
pub fn syndrome(bytes: &mut Bytes) -> u64 {
    let of = |class: u64, iss: u64| class << 26 | 1 << 25 | iss & 0x1ff_ffff;
    match bytes.byte() {
        0..=79 => {
            // SAS, SSE, SF, WnR, S1PTW; then SRT; ISV is mostly there.
            let (flags, register) = (u64::from(bytes.byte()), u64::from(bytes.byte()));
            let iss = (flags & 3) << 22
                | (flags >> 2 & 1) << 21
                | (flags >> 3 & 1) << 15
                | (flags >> 4 & 1) << 6
                | u64::from(flags >> 5 == 7) << 7
                | u64::from(flags >> 5 == 6) << 8
                | u64::from(flags >> 5 == 5) << 10
                | u64::from(register < 240) << 24
                | (register & 31) << 16;
            of(class::DATA, iss | status(bytes))
        }
        80..=95 => {
            let flags = u64::from(bytes.byte() & 1) << 7;
            of(class::FETCH, flags | status(bytes))
        }
        96..=159 => {
            let access = u64::from(bytes.byte());
            let register = match access >> 7 {
                0 => sysreg(bytes.pick(&SYSREGS)),
                _ => u64::from(bytes.word()) & SYSREG,
            };
            let rt = (access & 31) << 5;
            let read = access >> 5 & 1;
            of(class::SYSREG, register | rt | read)
        }
        160..=191 => of(class::HVC, 0),
        192..=207 => of(class::SMC, 0),
        208..=215 => {
            let call = if bytes.byte() & 1 == 0 {
                class::HVC
            } else {
                class::SMC
            };
            of(call, u64::from(bytes.half()))
        }
        216..=223 => of(class::WFX, u64::from(bytes.byte() & 3)),
        224..=239 => of(u64::from(bytes.byte() & 0x3f), u64::from(bytes.half())),
        _ => u64::from(bytes.word()),
    }
}

/// A fault status: mostly a translation fault.
fn status(bytes: &mut Bytes) -> u64 {
    match bytes.byte() {
        status @ 0..=63 => u64::from(status),
        status => 0b100 | u64::from(status & 3),
    }
}

/// A syndrome taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// EC.
    pub class: u64,
    /// ISS.
    pub iss: u64,
}

impl Said {
    /// What `esr` says.
    pub const fn of(esr: u64) -> Self {
        Self {
            class: esr >> 26 & 0x3f,
            iss: esr & 0x1ff_ffff,
        }
    }

    const fn bit(self, at: u32) -> bool {
        self.iss >> at & 1 != 0
    }

    /// The abort is one that the host may be told of as an access to a device.
    pub const fn is_plain(self) -> bool {
        self.class == class::DATA && self.bit(24) && !self.bit(7) && !self.bit(10)
    }

    /// Translation, access flag or address size, on a load, store or fetch: its address is known.
    pub const fn has_address(self) -> bool {
        matches!(self.iss & 0x3f, 0..=0b1011 | 0b10_1001..=0b10_1100)
    }

    /// Bytes of the access.
    pub const fn bytes(self) -> u64 {
        1 << (self.iss >> 22 & 3)
    }

    /// The general register of the access: of a load, store or system register.
    pub const fn register(self) -> usize {
        match self.class {
            class::SYSREG => (self.iss >> 5 & 31) as usize,
            _ => (self.iss >> 16 & 31) as usize,
        }
    }

    /// A store, or a write of a system register.
    pub const fn is_write(self) -> bool {
        match self.class {
            class::SYSREG => !self.bit(0),
            _ => self.bit(6),
        }
    }

    /// The bits of a register that an access moves.
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * self.bytes())
    }

    /// What a load of `data` leaves in its register.
    pub const fn loaded(self, data: u64) -> u64 {
        let data = data & self.mask();
        let sign = data >> (8 * self.bytes() - 1) & 1 != 0;
        let data = if self.bit(21) && sign {
            data | !self.mask()
        } else {
            data
        };
        if self.bit(15) {
            data
        } else {
            data & 0xffff_ffff
        }
    }
}

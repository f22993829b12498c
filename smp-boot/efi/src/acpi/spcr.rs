//! The Serial Port Console Redirection table (Microsoft's specification, revision 4): the console.

use super::{u8_at, u32_at, u64_at};

/// Interrupt type, bit 3: a GIC's interrupt.
const BY_GIC: u8 = 1 << 3;
/// Address space of a register: memory.
const MEMORY: u8 = 0;

/// What kind of UART.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Arm's PL011, or the part of it that SBSA demands.
    Pl011,
    /// A 16550 or what is programmed like one.
    Ns16550,
}

/// The console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uart {
    /// Its kind.
    pub kind: Kind,
    /// Its registers.
    pub base: u64,
    /// Bytes from one register to the next, as a power of two.
    pub shift: u32,
    /// Bytes of one access.
    pub width: u32,
    /// Its interrupt's INTID.
    pub intid: Option<u32>,
    /// Bits per second, where the table says it.
    pub baud: Option<u32>,
}

/// Reads the table; nothing if the console is of a kind that the engine cannot write to.
pub fn read(table: &[u8]) -> Option<Uart> {
    let kind = match u8_at(table, 36)? {
        0x03 | 0x0d | 0x0e => Kind::Pl011,
        0x00 | 0x01 | 0x12 => Kind::Ns16550,
        _ => return None,
    };
    let (space, bits, access) = (u8_at(table, 40)?, u8_at(table, 41)?, u8_at(table, 43)?);
    let base = u64_at(table, 44)?;
    if space != MEMORY || base == 0 {
        return None;
    }
    let width: u32 = match access {
        2 => 2,
        3 => 4,
        _ => 1,
    };
    let by_gic = u8_at(table, 52)? & BY_GIC != 0;
    Some(Uart {
        kind,
        base,
        // Registers that are wider than a byte lie as far apart as they are wide, and no access is wider.
        shift: match bits {
            16 => 1,
            32 => 2,
            _ => 0,
        }
        .max(width.ilog2()),
        width,
        intid: by_gic
            .then(|| u32_at(table, 54))
            .flatten()
            .filter(|intid| (32..1020).contains(intid)),
        baud: match u8_at(table, 58)? {
            3 => Some(9600),
            4 => Some(19200),
            6 => Some(57600),
            7 => Some(115_200),
            _ => None,
        },
    })
}

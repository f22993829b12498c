//! A guest's PL011: transmits at once, receives into 16 bytes.
//!
//! Invariants: the transmit FIFO is always empty, so that the transmit interrupt is raised by each
//! byte sent and stays until cleared; the receive interrupts are raised while bytes wait. A byte
//! is taken from its source only when there is room for it, so that none is lost here. Written
//! under its owner's lock. Registers: Arm PL011 TRM (DDI0183) 3.2.

/// Bytes the receive FIFO holds.
const FIFO: usize = 16;

const DR: u64 = 0x000;
const RSR: u64 = 0x004;
const FR: u64 = 0x018;
const ILPR: u64 = 0x020;
const IBRD: u64 = 0x024;
const FBRD: u64 = 0x028;
const LCR_H: u64 = 0x02c;
const CR: u64 = 0x030;
const IFLS: u64 = 0x034;
const IMSC: u64 = 0x038;
const RIS: u64 = 0x03c;
const MIS: u64 = 0x040;
const ICR: u64 = 0x044;
const DMACR: u64 = 0x048;
/// First of the eight identification registers, a byte in each word.
const ID: u64 = 0xfe0;
/// Peripheral identification (part 0x011, designer Arm, revision 1: FIFOs of 16), then PrimeCell's.
const ID_BYTES: [u8; 8] = [0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1];

const FR_RX_EMPTY: u32 = 1 << 4;
const FR_RX_FULL: u32 = 1 << 6;
const FR_TX_EMPTY: u32 = 1 << 7;
const INT_RX: u32 = 1 << 4;
const INT_TX: u32 = 1 << 5;
const INT_RX_TIMEOUT: u32 = 1 << 6;
const INT_ALL: u32 = 0x7ff;

/// The registers and the receive FIFO.
#[derive(Clone, Debug)]
pub struct Pl011 {
    fifo: [u8; FIFO],
    first: usize,
    waiting: usize,
    raw: u32,
    mask: u32,
    /// ILPR, IBRD, FBRD, LCR_H, CR, IFLS and DMACR: kept, without effect.
    kept: [u32; 7],
}

impl Default for Pl011 {
    fn default() -> Self {
        // Reset values: CR has receive and transmit enabled, IFLS both levels at half.
        let kept = [0, 0, 0, 0, 0x300, 0x12, 0];
        Self {
            fifo: [0; FIFO],
            first: 0,
            waiting: 0,
            raw: 0,
            mask: 0,
            kept,
        }
    }
}

/// Where a register without effect is kept.
fn kept_index(offset: u64) -> Option<usize> {
    Some(match offset {
        ILPR => 0,
        IBRD => 1,
        FBRD => 2,
        LCR_H => 3,
        CR => 4,
        IFLS => 5,
        DMACR => 6,
        _ => return None,
    })
}

impl Pl011 {
    /// The interrupt line.
    pub fn line(&self) -> bool {
        self.raw & self.mask != 0
    }

    /// The guest reads a register.
    pub fn read(&mut self, offset: u64) -> u32 {
        match offset {
            DR => self.take_byte(),
            FR => self.flags(),
            IMSC => self.mask,
            RIS => self.raw,
            MIS => self.raw & self.mask,
            ID.. => self.read_id(offset),
            _ => kept_index(offset).map_or(0, |index| self.kept[index]),
        }
    }

    /// The guest writes a register; returns the byte that it sends, if it does.
    pub fn write(&mut self, offset: u64, value: u32) -> Option<u8> {
        match offset {
            DR => {
                self.raw |= INT_TX;
                return Some(value as u8);
            }
            IMSC => self.mask = value & INT_ALL,
            ICR => self.raw &= !value,
            RSR => {}
            _ => {
                if let Some(index) = kept_index(offset) {
                    self.kept[index] = value;
                }
            }
        }
        None
    }

    /// Whether there is no room for another byte.
    pub fn is_full(&self) -> bool {
        self.waiting == FIFO
    }

    /// Receives what `next` has while there is room; true if `next` ran out first.
    pub fn receive_from(&mut self, mut next: impl FnMut() -> Option<u8>) -> bool {
        while !self.is_full() {
            let Some(byte) = next() else {
                return true;
            };
            self.fifo[(self.first + self.waiting) % FIFO] = byte;
            self.waiting += 1;
            self.raw |= INT_RX | INT_RX_TIMEOUT;
        }
        false
    }

    fn take_byte(&mut self) -> u32 {
        let byte = self.fifo[self.first];
        if self.waiting != 0 {
            self.first = (self.first + 1) % FIFO;
            self.waiting -= 1;
        }
        if self.waiting == 0 {
            self.raw &= !(INT_RX | INT_RX_TIMEOUT);
        }
        u32::from(byte)
    }

    fn flags(&self) -> u32 {
        let receive = match self.waiting {
            0 => FR_RX_EMPTY,
            FIFO => FR_RX_FULL,
            _ => 0,
        };
        FR_TX_EMPTY | receive
    }

    fn read_id(&self, offset: u64) -> u32 {
        ID_BYTES
            .get(((offset - ID) / 4) as usize)
            .map_or(0, |byte| u32::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn identifies_itself() {
        let mut uart = Pl011::default();
        let id = (0..4).fold(0, |id, n| id | uart.read(0xfe0 + 4 * n) << (8 * n));
        assert_eq!(id, 0x0014_1011);
        let cell = (0..4).fold(0, |id, n| id | uart.read(0xff0 + 4 * n) << (8 * n));
        assert_eq!(cell, 0xb105_f00d);
    }

    #[test]
    fn transmit_interrupt_follows_mask_and_clear() {
        let mut uart = Pl011::default();
        assert_eq!(uart.write(DR, 0x41), Some(0x41));
        assert!(!uart.line());
        uart.write(IMSC, INT_TX);
        assert!(uart.line());
        assert_eq!(uart.read(MIS), INT_TX);
        uart.write(ICR, INT_TX);
        assert!(!uart.line());
    }

    #[test]
    fn receives_in_order_and_takes_no_more_than_fits() {
        let mut uart = Pl011::default();
        uart.write(IMSC, INT_RX | INT_RX_TIMEOUT);
        assert_ne!(uart.read(FR) & FR_RX_EMPTY, 0);
        let mut typed = 0..20;
        assert!(!uart.receive_from(|| typed.next()));
        assert_eq!(typed, 16..20);
        assert!(uart.line() && uart.is_full());
        assert_ne!(uart.read(FR) & FR_RX_FULL, 0);
        for byte in 0..16 {
            assert!(uart.line());
            assert_eq!(uart.read(DR), byte);
        }
        assert!(!uart.line());
        assert_ne!(uart.read(FR) & FR_RX_EMPTY, 0);
    }

    #[test]
    fn bytes_that_waited_follow_when_there_is_room() {
        let mut uart = Pl011::default();
        uart.write(IMSC, INT_RX);
        let mut typed = 0..=255;
        let mut got = Vec::new();
        while !uart.receive_from(|| typed.next()) {
            got.push(uart.read(DR) as u8);
            assert!(uart.line(), "fifteen bytes still wait");
        }
        while uart.line() {
            got.push(uart.read(DR) as u8);
        }
        assert_eq!(got, (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn keeps_registers_without_effect() {
        let mut uart = Pl011::default();
        for (offset, value) in [(IBRD, 13), (FBRD, 1), (LCR_H, 0x70), (CR, 0x301), (IFLS, 0)] {
            uart.write(offset, value);
            assert_eq!(uart.read(offset), value);
        }
    }
}

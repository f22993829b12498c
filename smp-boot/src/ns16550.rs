//! A 16550 UART, as far as writing to it goes. Registers: National Semiconductor PC16550D, 8.0.
//!
//! Invariant: only the transmitter is touched; speed and format stay as the firmware set them.

/// Transmitter holding register.
const THR: usize = 0;
/// Line status register.
const LSR: usize = 5;
/// In it: the transmitter takes a byte.
const LSR_EMPTY: u8 = 1 << 5;

/// The UART.
#[derive(Debug)]
pub struct Ns16550 {
    base: usize,
    shift: u32,
    width: u32,
}

impl Ns16550 {
    /// The UART whose registers begin at `base`, 2 to the power of `shift` bytes apart, accessed by
    /// `width` bytes.
    ///
    /// # Safety
    ///
    /// They are such a UART's and can be accessed there, as device memory, as long as this lives.
    pub unsafe fn new(base: usize, shift: u32, width: u32) -> Self {
        Self { base, shift, width }
    }

    /// Whether it takes no byte now.
    pub fn is_full(&self) -> bool {
        let at = self.at(LSR);
        // SAFETY: `new`'s caller promised the registers.
        let status = unsafe {
            match self.width {
                4 => (at as *const u32).read_volatile() as u8,
                2 => (at as *const u16).read_volatile() as u8,
                _ => (at as *const u8).read_volatile(),
            }
        };
        status & LSR_EMPTY == 0
    }

    /// Sends a byte, or loses it if the UART is full.
    pub fn write(&mut self, byte: u8) {
        let at = self.at(THR);
        // SAFETY: as in `is_full`.
        unsafe {
            match self.width {
                4 => (at as *mut u32).write_volatile(byte.into()),
                2 => (at as *mut u16).write_volatile(byte.into()),
                _ => (at as *mut u8).write_volatile(byte),
            }
        }
    }

    fn at(&self, register: usize) -> usize {
        // Does not wrap: the registers lie in the pages that are mapped for them, and `shift` is 3 at most.
        self.base.wrapping_add(register.wrapping_shl(self.shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Registers that are not a device's.
    #[repr(align(8))]
    struct Fake([u8; 64]);

    #[test]
    fn registers_are_where_and_as_wide_as_is_said() {
        for (shift, width) in [(0, 1), (1, 2), (2, 1), (2, 4), (3, 4)] {
            let mut fake = Fake([0xff; 64]);
            let base = fake.0.as_mut_ptr() as usize;
            // SAFETY: 64 bytes have room for eight registers, eight bytes apart, and live longer.
            let mut uart = unsafe { Ns16550::new(base, shift, width) };
            assert!(!uart.is_full(), "{shift} {width}");
            // SAFETY: inside the same bytes, which nobody borrows.
            unsafe { ((base + (5 << shift)) as *mut u8).write_volatile(0xdf) };
            assert!(uart.is_full(), "{shift} {width}");
            uart.write(b'x');
            let mut expected = [0xff; 64];
            expected[5 << shift] = 0xdf;
            expected[..width as usize].fill(0);
            expected[0] = b'x';
            assert_eq!(fake.0, expected, "{shift} {width}");
        }
    }
}

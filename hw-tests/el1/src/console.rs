//! The machine's PL011, line by line under one lock.
//!
//! Invariants: registers are written under [`CONSOLE`]'s lock only, except by [`print_unlocked`],
//! which serves the last words of a crash. Registers: Arm PL011 TRM (DDI0183) 3.3.

use crate::Lock;
use core::{
    fmt::{self, Write},
    hint,
    sync::atomic::{AtomicU64, Ordering},
};

const DR: u64 = 0x00;
const FR: u64 = 0x18;
const IMSC: u64 = 0x38;
const FR_RX_EMPTY: u32 = 1 << 4;
const FR_TX_FULL: u32 = 1 << 5;
/// Receive and receive-timeout interrupts.
const RX_INTERRUPTS: u32 = 1 << 4 | 1 << 6;

/// Base of the UART; 0 until [`init`].
static BASE: AtomicU64 = AtomicU64::new(0);
static CONSOLE: Lock<Uart> = Lock::new(Uart);

struct Uart;

impl Uart {
    fn read(&self, offset: u64) -> u32 {
        // Relaxed: set once before any other core runs.
        let base = BASE.load(Ordering::Relaxed);
        // SAFETY: the UART's registers are mapped as Device memory at `base`.
        unsafe { ((base + offset) as *const u32).read_volatile() }
    }

    fn write(&mut self, offset: u64, value: u32) {
        // Relaxed: as in `read`.
        let base = BASE.load(Ordering::Relaxed);
        // SAFETY: as in `read`.
        unsafe { ((base + offset) as *mut u32).write_volatile(value) }
    }

    fn put(&mut self, byte: u8) {
        while self.read(FR) & FR_TX_FULL != 0 {
            hint::spin_loop();
        }
        self.write(DR, u32::from(byte));
    }
}

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Relaxed: as in `read`.
        if BASE.load(Ordering::Relaxed) != 0 {
            for byte in text.bytes() {
                if byte == b'\n' {
                    self.put(b'\r');
                }
                self.put(byte);
            }
        }
        Ok(())
    }
}

/// Names the UART; the firmware or QEMU has set its speed.
pub(crate) fn init(base: u64) {
    // Relaxed: no other core runs yet.
    BASE.store(base, Ordering::Relaxed);
}

/// Prints under the lock, so that one call's text stays together.
pub fn print(text: fmt::Arguments<'_>) {
    // A `Uart` never fails to write.
    let _ = CONSOLE.lock().write_fmt(text);
}

/// Prints without the lock: for a crash, whose core may hold it.
pub fn print_unlocked(text: fmt::Arguments<'_>) {
    // As in `print`.
    let _ = Uart.write_fmt(text);
}

/// The next byte typed, if there is one.
pub fn read_byte() -> Option<u8> {
    let uart = CONSOLE.lock();
    (uart.read(FR) & FR_RX_EMPTY == 0).then(|| uart.read(DR) as u8)
}

/// Lets the UART interrupt when bytes wait. Some UARTs tell of the first byte only: to be called
/// after [`read_byte`] found none.
pub fn enable_receive_interrupt() {
    CONSOLE.lock().write(IMSC, RX_INTERRUPTS);
}

/// Keeps the UART from interrupting: bytes wait in it, and their sender behind it.
pub fn disable_receive_interrupt() {
    CONSOLE.lock().write(IMSC, 0);
}

/// Prints to the console.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::console::print(format_args!($($arg)*)) };
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    ($($arg:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($arg)*))) };
}

//! The machine's UART, a PL011 or a 16550, line by line under one lock.
//!
//! Invariants: registers are written under [`CONSOLE`]'s lock only, except by [`print_unlocked`],
//! which serves the last words of a crash. Registers: Arm PL011 TRM (DDI0183) 3.3; National
//! Semiconductor PC16550D 8.0.

use crate::{Lock, machine::UartKind};
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

/// A 16550's data, interrupt enable and line status registers, by number.
const DATA: u64 = 0;
const INTERRUPTS: u64 = 1;
const STATUS: u64 = 5;
/// In them: bytes wait, they interrupt; the transmitter takes a byte.
const STATUS_READY: u32 = 1 << 0;
const INTERRUPTS_READY: u32 = 1 << 0;
const STATUS_EMPTY: u32 = 1 << 5;

/// Base of the UART; 0 until [`init`].
static BASE: AtomicU64 = AtomicU64::new(0);
/// Bytes of an access to a 16550's registers, and bits to shift their numbers by in bits 8 and up; 0 for a
/// PL011.
static LAYOUT: AtomicU64 = AtomicU64::new(0);
static CONSOLE: Lock<Uart> = Lock::new(Uart);

struct Uart;

impl Uart {
    /// Address of a register, and bytes of an access to it.
    fn place(&self, pl011: u64, ns16550: u64) -> (u64, u64) {
        // Relaxed: set once before any other core runs.
        let base = BASE.load(Ordering::Relaxed);
        // Relaxed: as above.
        match LAYOUT.load(Ordering::Relaxed) {
            0 => (base + pl011, 4),
            layout => (base + (ns16550 << (layout >> 8)), layout & 0xff),
        }
    }

    fn is_pl011(&self) -> bool {
        // Relaxed: as in `place`.
        LAYOUT.load(Ordering::Relaxed) == 0
    }

    /// Reads a register, a PL011's or a 16550's.
    fn read(&self, pl011: u64, ns16550: u64) -> u32 {
        let (at, width) = self.place(pl011, ns16550);
        // SAFETY: the UART's registers are mapped as Device memory at its base.
        unsafe {
            match width {
                4 => (at as *const u32).read_volatile(),
                2 => (at as *const u16).read_volatile().into(),
                _ => (at as *const u8).read_volatile().into(),
            }
        }
    }

    /// Writes a register.
    fn write(&mut self, pl011: u64, ns16550: u64, value: u32) {
        let (at, width) = self.place(pl011, ns16550);
        // SAFETY: as in `read`.
        unsafe {
            match width {
                4 => (at as *mut u32).write_volatile(value),
                2 => (at as *mut u16).write_volatile(value as u16),
                _ => (at as *mut u8).write_volatile(value as u8),
            }
        }
    }

    fn is_full(&self) -> bool {
        let flags = self.read(FR, STATUS);
        match self.is_pl011() {
            true => flags & FR_TX_FULL != 0,
            false => flags & STATUS_EMPTY == 0,
        }
    }

    fn is_empty(&self) -> bool {
        let flags = self.read(FR, STATUS);
        match self.is_pl011() {
            true => flags & FR_RX_EMPTY != 0,
            false => flags & STATUS_READY == 0,
        }
    }

    fn put(&mut self, byte: u8) {
        while self.is_full() {
            hint::spin_loop();
        }
        self.write(DR, DATA, u32::from(byte));
    }

    fn set_receive_interrupt(&mut self, on: bool) {
        let bits = match self.is_pl011() {
            true => RX_INTERRUPTS,
            false => INTERRUPTS_READY,
        };
        self.write(IMSC, INTERRUPTS, if on { bits } else { 0 });
    }
}

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Relaxed: as in `place`.
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
pub(crate) fn init(base: u64, kind: UartKind) {
    let layout = match kind {
        UartKind::Pl011 => 0,
        UartKind::Ns16550 { shift, width } => shift << 8 | width.clamp(1, 4),
    };
    // Relaxed: no other core runs yet.
    LAYOUT.store(layout, Ordering::Relaxed);
    // Relaxed: as above.
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
    (!uart.is_empty()).then(|| uart.read(DR, DATA) as u8)
}

/// Lets the UART interrupt when bytes wait. Some UARTs tell of the first byte only: to be called
/// after [`read_byte`] found none.
pub fn enable_receive_interrupt() {
    CONSOLE.lock().set_receive_interrupt(true);
}

/// Keeps the UART from interrupting: bytes wait in it, and their sender behind it.
pub fn disable_receive_interrupt() {
    CONSOLE.lock().set_receive_interrupt(false);
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

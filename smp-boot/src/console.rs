//! The console: for the banner, for a refusal to start, and for a crash record. Nothing on a
//! hypercall's path writes here, and once the host runs the UART is the host's.
//!
//! Every wait is bounded: if the UART never drains, characters are lost, not the machine.

use core::fmt::{self, Write};

use arm_pl011_uart::{PL011Registers, Uart, UniqueMmioPointer};
use core::ptr::NonNull;
use spin::Mutex;

use crate::machine::{UartInfo, UartKind};
use crate::ns16550::Ns16550;

/// Polls for room for one character: at least a few milliseconds on any core.
const PATIENCE: u32 = 1_000_000;

static CONSOLE: Mutex<Option<Console>> = Mutex::new(None);

/// A UART that was set up by the firmware.
pub enum Console {
    /// Arm's.
    Pl011(Uart<'static>),
    /// The one of old PCs, and of some servers.
    Ns16550(Ns16550),
}

impl Console {
    /// The console on `uart`.
    ///
    /// # Safety
    ///
    /// The registers are such a UART's, can be accessed at VA == PA as device memory, and this is
    /// the only `Console` for it.
    pub unsafe fn new(uart: UartInfo) -> Option<Self> {
        match uart.kind {
            UartKind::Pl011 => {
                let registers = NonNull::new(uart.base as usize as *mut PL011Registers)?;
                // SAFETY: the caller's promise.
                Some(Self::Pl011(Uart::new(unsafe {
                    UniqueMmioPointer::new(registers)
                })))
            }
            UartKind::Ns16550 { shift, width } => {
                // SAFETY: the caller's promise.
                Some(Self::Ns16550(unsafe {
                    Ns16550::new(uart.base as usize, shift, width)
                }))
            }
        }
    }

    fn is_full(&self) -> bool {
        match self {
            Self::Pl011(uart) => uart.is_tx_fifo_full(),
            Self::Ns16550(uart) => uart.is_full(),
        }
    }

    fn put(&mut self, byte: u8) {
        for _ in 0..PATIENCE {
            if !self.is_full() {
                match self {
                    Self::Pl011(uart) => uart.write_word(byte),
                    Self::Ns16550(uart) => uart.write(byte),
                }
                return;
            }
        }
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.put(b'\r');
            }
            self.put(byte);
        }
        Ok(())
    }
}

/// Makes `console` the engine's.
pub fn install(console: Console) {
    *CONSOLE.lock() = Some(console);
}

/// Writes to the console if there is one; what the macros call.
pub fn write(text: fmt::Arguments<'_>) {
    if let Some(console) = CONSOLE.lock().as_mut() {
        // Cannot fail: `write_str` does not.
        let _ = console.write_fmt(text);
    }
}

/// Writes even if the lock is held by a core that will never let go of it.
pub fn write_in_crash(text: fmt::Arguments<'_>) {
    for _ in 0..PATIENCE {
        if !CONSOLE.is_locked() {
            break;
        }
        core::hint::spin_loop();
    }
    // SAFETY: only the first core to crash comes here and it never returns. If another core still
    // holds the lock, the worst is two lines mixed on the wire: a PL011 takes a byte per store.
    unsafe { CONSOLE.force_unlock() };
    write(text);
}

/// Prints a line on the engine's console.
#[macro_export]
macro_rules! println {
    ($($text:tt)*) => {
        $crate::console::write(::core::format_args!("{}\n", ::core::format_args!($($text)*)))
    };
}

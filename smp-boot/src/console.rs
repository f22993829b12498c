//! The console: for the banner, for a refusal to start, and for a crash record. Nothing on a
//! hypercall's path writes here, and once the host runs the UART is the host's.
//!
//! Every wait is bounded, and only the first is long: if the UART never drains, characters are lost, not the
//! machine.

use core::fmt::{self, Write};

use arm_pl011_uart::{PL011Registers, Uart, UniqueMmioPointer};
use core::ptr::NonNull;
use spin::Mutex;

use crate::machine::{UartInfo, UartKind};
use crate::ns16550::Ns16550;
use crate::witness::{PATIENCE, Wait};

static CONSOLE: Mutex<Option<Console>> = Mutex::new(None);

/// What is written to, and whether it has stopped taking anything.
pub struct Console {
    uart: Driver,
    /// Once it did not drain in time, a byte that it does not take at once is lost.
    wait: Wait,
}

/// A UART that was set up by the firmware.
enum Driver {
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
        let uart = match uart.kind {
            UartKind::Pl011 => {
                let registers = NonNull::new(uart.base as usize as *mut PL011Registers)?;
                // SAFETY: the caller's promise.
                Driver::Pl011(Uart::new(unsafe { UniqueMmioPointer::new(registers) }))
            }
            UartKind::Ns16550 { shift, width } => {
                // SAFETY: the caller's promise.
                Driver::Ns16550(unsafe { Ns16550::new(uart.base as usize, shift, width) })
            }
        };
        Some(Self {
            uart,
            wait: Wait::default(),
        })
    }

    fn put(&mut self, byte: u8) {
        if self.wait.until(|| self.uart.is_ready()) {
            self.uart.write(byte);
        }
    }
}

impl Driver {
    fn is_ready(&self) -> bool {
        match self {
            Self::Pl011(uart) => !uart.is_tx_fifo_full(),
            Self::Ns16550(uart) => !uart.is_full(),
        }
    }

    fn write(&mut self, byte: u8) {
        match self {
            Self::Pl011(uart) => uart.write_word(byte),
            Self::Ns16550(uart) => uart.write(byte),
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
    // holds the lock, the worst is two lines mixed on the wire, or a byte of one lost.
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

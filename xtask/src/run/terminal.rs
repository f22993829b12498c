//! The terminal that an interactive run borrows.
//!
//! Invariant: once the machine has ended, however it did, the terminal is set as before.

use std::io::{self, IsTerminal};
use std::process::{Command, Stdio};

/// The terminal's settings, which QEMU changes and does not restore when it is stopped.
pub struct Terminal(String);

impl Terminal {
    /// Remembers how it is set; none if standard input is no terminal.
    pub fn save() -> Option<Self> {
        if !io::stdin().is_terminal() {
            return None;
        }
        let output = Command::new("stty")
            .arg("-g")
            .stdin(Stdio::inherit())
            .output();
        let text = String::from_utf8(output.ok()?.stdout).ok()?;
        Some(Self(text.trim().to_owned()))
    }

    /// Sets it as it was.
    pub fn restore(self) {
        // Nothing can be done about a terminal that refuses its own settings.
        let _ = Command::new("stty")
            .arg(self.0)
            .stdin(Stdio::inherit())
            .status();
    }
}

//! A machine's console on its way to the terminal and the log.
//!
//! Output is passed on byte by byte, so that an interactive guest can prompt; only a line that
//! starts with `@` is held until it is complete.

use std::collections::VecDeque;
use std::io::{self, Write};

use crate::hw;
use crate::run::autopsy::Places;
use crate::run::events::Event;

/// The line that a run ends with, for this tool only.
pub const SUMMARY: &str = "@summary ";
/// The line that an engine or host prints when it cannot go on.
pub const CRASH: &str = "@crash ";
/// Console lines kept to be shown when something went wrong.
const TAIL: usize = 30;

/// See the header.
pub struct Console<O, L> {
    out: O,
    log: L,
    /// The line that is not complete.
    pub line: Vec<u8>,
    tail: VecDeque<String>,
    records: Vec<String>,
    events: Vec<String>,
    /// Has it said how it went?
    pub has_last_word: bool,
    /// Where the engine's image and events are.
    pub places: Places,
}

/// What a console said.
pub struct Said {
    /// Lines that start with `@`, in order, without the events.
    pub records: Vec<String>,
    /// The last lines.
    pub tail: Vec<String>,
    /// The engine's events in words.
    pub events: Vec<String>,
}

impl<O: Write, L: Write> Console<O, L> {
    /// A console that goes to both.
    pub fn new(out: O, log: L) -> Self {
        Self {
            out,
            log,
            line: Vec::new(),
            tail: VecDeque::with_capacity(TAIL),
            records: Vec::new(),
            events: Vec::new(),
            has_last_word: false,
            places: Places::default(),
        }
    }

    /// Takes what came.
    pub fn feed(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.log.write_all(chunk)?;
        for &byte in chunk {
            self.line.push(byte);
            let held = self.line[0] == b'@';
            if !held {
                self.out.write_all(&[byte])?;
            }
            if byte == b'\n' {
                self.end_line(held)?;
            }
        }
        self.out.flush()
    }

    fn end_line(&mut self, held: bool) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        if let Some(event) = Event::parse(&line) {
            self.events.push(event.to_string());
            return self.out.write_all(&bytes);
        }
        if held {
            self.records.push(line.clone());
            let last_words = [SUMMARY, CRASH, hw::TOTAL];
            self.has_last_word |= last_words.iter().any(|mark| line.starts_with(mark));
            if line.starts_with(SUMMARY) {
                return Ok(());
            }
            self.out.write_all(&bytes)?;
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.places.read(&line);
        self.tail.push_back(line);
        Ok(())
    }

    /// The end of the stream.
    pub fn finish(mut self) -> io::Result<Said> {
        if !self.line.is_empty() {
            let held = self.line[0] == b'@';
            self.end_line(held)?;
            self.out.write_all(b"\n")?;
        }
        self.out.flush()?;
        Ok(Said {
            records: self.records,
            tail: self.tail.into(),
            events: self.events,
        })
    }

    /// Takes what is not for the terminal: it goes to the log alone.
    pub fn log_only(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.log.write_all(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> Console<Vec<u8>, Vec<u8>> {
        Console::new(Vec::new(), Vec::new())
    }

    #[test]
    fn summary_is_taken_out_and_everything_is_logged() {
        let mut console = console();
        console.feed(b"[guest 0] hello\r\n@sum").unwrap();
        console.feed(b"mary {\"result\":1}\r\n@odd\nlast").unwrap();
        assert_eq!(console.out, b"[guest 0] hello\r\n@odd\nlast");
        assert_eq!(console.records, ["@summary {\"result\":1}", "@odd"]);
        assert!(console.log.starts_with(b"[guest 0] hello\r\n@summary"));
    }

    #[test]
    fn prompt_without_newline_is_shown_at_once() {
        let mut console = console();
        console.feed(b"~ # ").unwrap();
        assert_eq!(console.out, b"~ # ");
    }

    #[test]
    fn events_are_told_in_words_and_crowd_nothing_out() {
        let mut console = console();
        console
            .feed(b"last\n@trace 0 1 0400000000000007 3\n")
            .unwrap();
        assert!(console.out.ends_with(b"@trace 0 1 0400000000000007 3\n"));
        let said = console.finish().unwrap();
        assert_eq!(said.tail, ["last"]);
        assert_eq!(said.records, Vec::<String>::new());
        assert_eq!(said.events, ["core 0, event 1 at 3: host denied page 0x7"]);
    }
}

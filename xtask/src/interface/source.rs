//! Rust source text, laid out as rustfmt would.

use super::wrap;
use std::fmt::Write;

/// Widest line.
const WIDTH: usize = 100;
/// Widest array on one line, as rustfmt has it.
const ARRAY_WIDTH: usize = 60;

/// Text that grows line by line.
#[derive(Default)]
pub(super) struct Source(pub(super) String);

impl Source {
    /// One line, or several.
    pub(super) fn text(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// The doc comment of the item that follows; a blank line sets it off from a function before.
    pub(super) fn doc(&mut self, indent: usize, text: &str) {
        if indent > 0 && self.0.ends_with("    }\n") {
            self.0.push('\n');
        }
        for line in wrap(text, WIDTH - indent - 4) {
            let _ = writeln!(self.0, "{:indent$}/// {line}", "");
        }
    }

    /// `before [items] after`, on one line if rustfmt would keep it there.
    pub(super) fn array(&mut self, indent: usize, before: &str, items: &[String], after: &str) {
        let joined = items.join(", ");
        let line = format!("{:indent$}{before}[{joined}]{after}", "");
        if joined.len() <= ARRAY_WIDTH && line.len() <= WIDTH {
            self.text(&line);
            return;
        }
        self.text(&format!("{:indent$}{before}[", ""));
        for item in items {
            self.text(&format!("{:indent$}    {item},", ""));
        }
        self.text(&format!("{:indent$}]{after}", ""));
    }
}

//! The checker, a process: told a history, it says whether the specification has an order for it.
//!
//! Invariant: what it does not answer, and what it cannot read, is no order.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

/// How histories end, a line.
pub const END: &str = ".";

/// What it says of one history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order; it looked at so many places.
    Explained(u64),
    /// There is none, and why.
    Refused(String),
}

/// A running checker.
pub struct Checker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Checker {
    /// Starts the program.
    pub fn start(program: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let input = child.stdin.take().context("a pipe to the checker")?;
        let output = child.stdout.take().context("a pipe from the checker")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Is there an order for this history, which has no end yet?
    pub fn check(&mut self, history: &str) -> Result<Verdict> {
        let said = || "the checker has ended";
        writeln!(self.input, "{}\n{END}", history.trim_end()).with_context(said)?;
        self.input.flush().with_context(said)?;
        let mut first = String::new();
        self.output.read_line(&mut first)?;
        match first.trim_end().split_once(' ') {
            Some(("ok", places)) => return Ok(Verdict::Explained(places.parse()?)),
            _ if first.trim_end() == "no" => {}
            _ => bail!("the checker said {first:?}"),
        }
        let mut why = String::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 || line.trim_end() == END {
                return Ok(Verdict::Refused(why));
            }
            why += &line;
        }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The histories of a file.
pub fn split(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut one = String::new();
    for line in text.lines() {
        if line == END {
            all.push(std::mem::take(&mut one));
        } else {
            one += line;
            one += "\n";
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_history_ends_with_a_dot_and_one_without_is_none() {
        assert_eq!(split("a\nb\n.\nc\n.\nd\n"), ["a\nb\n", "c\n"]);
        assert!(split("a\n").is_empty());
    }
}

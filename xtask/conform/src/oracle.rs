//! The oracle: the extracted specification as a process, which is told what was done and seen, and says
//! whether the model agrees.
//!
//! Invariant: lines are collected and answered for together, so that nobody waits for each; `oracle/main.ml`
//! reads them.

use std::fmt::Arguments;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

/// A running oracle.
pub struct Oracle {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What is done meanwhile it has been told before.
    muted: bool,
}

impl Oracle {
    /// Starts the program.
    pub fn start(program: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let input = child.stdin.take().context("a pipe to the oracle")?;
        let output = child.stdout.take().context("a pipe from the oracle")?;
        Ok(Self {
            child,
            input: BufWriter::with_capacity(1 << 16, input),
            output: BufReader::new(output),
            muted: false,
        })
    }

    /// From now on it is told nothing, or is told again.
    pub fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Is it told nothing?
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// Tells it a line.
    pub fn line(&mut self, line: Arguments<'_>) {
        if self.muted {
            return;
        }
        // One that has ended is found out by `agrees`.
        let _ = self.input.write_fmt(line);
        let _ = self.input.write_all(b"\n");
    }

    /// Tells it the engine's state.
    pub fn state(&mut self, text: &str) {
        if self.muted {
            return;
        }
        self.line(format_args!("D {}", text.len()));
        let _ = self.input.write_all(text.as_bytes());
    }

    /// What differs from the model first since the machine was made, if anything.
    pub fn ask(&mut self) -> Result<Option<String>> {
        self.line(format_args!("Q"));
        self.input.flush().context("the oracle has ended")?;
        let mut first = String::new();
        self.output.read_line(&mut first)?;
        match first.trim_end().split_once(' ') {
            Some(("ok", _)) => return Ok(None),
            _ if first.trim_end() == "no" => {}
            _ => bail!("the oracle said {first:?}"),
        }
        let mut what = String::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 || line == ".\n" {
                return Ok(Some(what));
            }
            what += &line;
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

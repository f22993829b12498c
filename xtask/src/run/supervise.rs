//! Runs QEMU under supervision: its console is shown and logged, its time is bounded, and the
//! lines that are meant for this tool are picked out.
//!
//! Output is passed on byte by byte, so that an interactive guest can prompt; only a line that
//! starts with `@` is held until it is complete.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::hw;
use crate::process::{find_program, wrap};
use crate::run::terminal::Terminal;

/// The line that a run ends with, for this tool only.
const SUMMARY: &str = "@summary ";
/// The line that an engine or host prints when it cannot go on.
const CRASH: &str = "@crash ";
/// How the line begins in which the engine says why it does not start on this machine.
const REFUSAL: &str = "bulkhead: cannot start: ";
/// Console lines kept to be shown when something went wrong.
const TAIL: usize = 30;
/// How the line begins on which our guests' shell waits for commands.
const PROMPT: &[u8] = b"/ # ";
/// After its last word the machine has this long to power off.
const POWER_OFF: Duration = Duration::from_secs(20);

/// How a machine ended.
pub enum End {
    /// By itself.
    Exited(ExitStatus),
    /// Stopped by us at the time limit.
    TimedOut(Duration),
    /// Stopped by us: it had said its last word and did not power off.
    Hung,
}

/// What a machine said, and how it ended.
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Its lines that start with `@`, in order.
    pub records: Vec<String>,
    /// The last lines on the console.
    pub tail: Vec<String>,
}

impl Outcome {
    /// The JSON text of its summary.
    pub fn summary(&self) -> Option<&str> {
        self.records
            .iter()
            .find_map(|record| record.strip_prefix(SUMMARY))
    }

    /// What is wrong with how it ended, without a word of its results.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        match self.end {
            End::Exited(status) if status.success() => {}
            End::Exited(status) => troubles.push(format!("QEMU ended with {status}")),
            End::TimedOut(limit) => troubles.push(format!("stopped after {} s", limit.as_secs())),
            End::Hung => troubles.push("it did not power off after its last word".into()),
        }
        troubles.extend(self.crash().map(str::to_owned));
        troubles
    }

    /// Its first crash line.
    pub fn crash(&self) -> Option<&str> {
        let mut records = self.records.iter().map(String::as_str);
        records.find(|line| line.starts_with(CRASH))
    }

    /// Why the engine did not start.
    pub fn refusal(&self) -> Option<&str> {
        let mut lines = self.tail.iter();
        lines.find_map(|line| line.strip_prefix(REFUSAL))
    }

    /// The console's last lines, marked as such.
    pub fn quoted_tail(&self) -> impl Iterator<Item = String> {
        std::iter::once("the console's last lines:".to_owned())
            .chain(self.tail.iter().map(|line| format!("| {line}")))
    }
}

/// What a machine reads.
pub enum Input {
    /// Nothing.
    Nothing,
    /// What this program would read.
    Ours,
    /// This, all at once, when a guest's shell prompts.
    Script(Vec<u8>),
}

/// How to watch over a machine.
pub struct Supervision<'a> {
    /// How long it may run.
    pub limit: Option<Duration>,
    /// What its console reads.
    pub input: Input,
    /// Where its console is kept.
    pub log: &'a Path,
}

impl Supervision<'_> {
    /// Runs `command` until it ends or its time is over; its console goes to `out` too.
    pub fn run(self, command: Command, out: impl Write) -> Result<Outcome> {
        let name = || format!("log {}", self.log.display());
        if let Some(dir) = self.log.parent() {
            std::fs::create_dir_all(dir).with_context(name)?;
        }
        let log = File::create(self.log).with_context(name)?;
        let (stdin, terminal, script) = match self.input {
            Input::Nothing => (Stdio::null(), None, None),
            Input::Ours => (Stdio::inherit(), Terminal::save(), None),
            Input::Script(script) => (Stdio::piped(), None, Some(script)),
        };
        let (mut child, chunks) = start(command, stdin)?;
        let script = script.and_then(|script| Some((child.stdin.take()?, script)));
        let outcome = Watch {
            child,
            script,
            console: Console::new(out, log),
            deadline: self.limit.map(|limit| (Instant::now() + limit, limit)),
            last_word: None,
        }
        .until_end(&chunks);
        if let Some(terminal) = terminal {
            terminal.restore();
        }
        outcome
    }
}

/// Starts the machine with its output and errors in one stream of chunks.
fn start(command: Command, stdin: Stdio) -> Result<(Child, Receiver<Vec<u8>>)> {
    let mut command = die_with_parent(command);
    let (mut reader, writer) = io::pipe()?;
    command
        .stdin(stdin)
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    // The command still holds the pipe's other end: the reader would never see it close.
    drop(command);
    let (sender, chunks) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = reader.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    Ok((child, chunks))
}

/// Wraps `command` so that the kernel ends it when this program is killed: a machine left behind
/// would spin forever.
fn die_with_parent(command: Command) -> Command {
    let Some(setpriv) = find_program("setpriv") else {
        return command;
    };
    wrap(setpriv, &["--pdeathsig", "KILL"], &command)
}

struct Watch<O: Write, L: Write> {
    child: Child,
    /// What is to be typed at the first prompt, and where.
    script: Option<(ChildStdin, Vec<u8>)>,
    console: Console<O, L>,
    deadline: Option<(Instant, Duration)>,
    /// Until when it may take to power off, once it has said how it went.
    last_word: Option<Instant>,
}

impl<O: Write, L: Write> Watch<O, L> {
    fn until_end(mut self, chunks: &Receiver<Vec<u8>>) -> Result<Outcome> {
        let end = loop {
            match self.next_chunk(chunks) {
                Ok(chunk) => self.console.feed(&chunk)?,
                Err(RecvTimeoutError::Disconnected) => break End::Exited(self.child.wait()?),
                Err(RecvTimeoutError::Timeout) => {
                    self.child.kill()?;
                    self.child.wait()?;
                    break match (self.last_word, self.deadline) {
                        (None, Some((_, limit))) => End::TimedOut(limit),
                        _ => End::Hung,
                    };
                }
            }
            if self.console.line.starts_with(PROMPT)
                && let Some((input, script)) = self.script.take()
            {
                type_in(input, script);
            }
            if self.last_word.is_none() && self.console.has_last_word() {
                self.last_word = Some(Instant::now() + POWER_OFF);
            }
        };
        Ok(self.console.finish(end)?)
    }

    fn next_chunk(&self, chunks: &Receiver<Vec<u8>>) -> Result<Vec<u8>, RecvTimeoutError> {
        let deadline = self.deadline.map(|(deadline, _)| deadline);
        match self.last_word.or(deadline) {
            Some(until) => chunks.recv_timeout(until.saturating_duration_since(Instant::now())),
            None => chunks.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }
}

/// Types `script` as fast as the machine takes it, beside everything else.
fn type_in(mut input: ChildStdin, script: Vec<u8>) {
    // A machine that ends before it has read all shows that by its verdict.
    thread::spawn(move || input.write_all(&script));
}

/// The console's text on its way to the terminal and the log.
struct Console<O, L> {
    out: O,
    log: L,
    line: Vec<u8>,
    tail: VecDeque<String>,
    records: Vec<String>,
}

impl<O: Write, L: Write> Console<O, L> {
    fn new(out: O, log: L) -> Self {
        Self {
            out,
            log,
            line: Vec::new(),
            tail: VecDeque::with_capacity(TAIL),
            records: Vec::new(),
        }
    }

    fn has_last_word(&self) -> bool {
        self.records.iter().any(|record| {
            [SUMMARY, CRASH, hw::TOTAL]
                .iter()
                .any(|mark| record.starts_with(mark))
        })
    }

    fn feed(&mut self, chunk: &[u8]) -> io::Result<()> {
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
        if held {
            self.records.push(line.clone());
            if line.starts_with(SUMMARY) {
                return Ok(());
            }
            self.out.write_all(&bytes)?;
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
        Ok(())
    }

    fn finish(mut self, end: End) -> io::Result<Outcome> {
        if !self.line.is_empty() {
            let held = self.line[0] == b'@';
            self.end_line(held)?;
            self.out.write_all(b"\n")?;
        }
        self.out.flush()?;
        Ok(Outcome {
            end,
            records: self.records,
            tail: self.tail.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn console() -> Console<Vec<u8>, Vec<u8>> {
        Console::new(Vec::new(), Vec::new())
    }

    fn shell(program: &str, limit: Duration) -> Outcome {
        shell_reading(program, None, limit)
    }

    fn shell_reading(program: &str, script: Option<&str>, limit: Duration) -> Outcome {
        let mut command = Command::new("sh");
        command.args(["-c", program]);
        let (mut child, chunks) = start(command, Stdio::piped()).unwrap();
        let input = child.stdin.take().unwrap();
        Watch {
            child,
            script: script.map(|script| (input, script.into())),
            console: console(),
            deadline: Some((Instant::now() + limit, limit)),
            last_word: None,
        }
        .until_end(&chunks)
        .unwrap()
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
    fn script_is_typed_at_the_prompt() {
        let program = "printf '/ # '; read word; echo; echo got $word";
        let outcome = shell_reading(program, Some("typed\n"), LONG);
        assert_eq!(outcome.tail, ["/ #", "got typed"]);
    }

    #[test]
    fn silent_machine_is_stopped_with_its_last_lines() {
        let limit = Duration::from_millis(300);
        let outcome = shell("echo early; echo late >&2; exec sleep 60", limit);
        assert!(matches!(outcome.end, End::TimedOut(_)));
        assert_eq!(outcome.tail, ["early", "late"]);
    }

    #[test]
    fn crash_and_exit_status_are_troubles() {
        let outcome = shell("echo @crash esr=1; echo @crash esr=2; exit 3", LONG);
        assert_eq!(
            outcome.troubles(),
            ["QEMU ended with exit status: 3", "@crash esr=1"]
        );
        assert!(
            shell("echo @hwtests passed=1 failed=0 skipped=0", LONG)
                .troubles()
                .is_empty()
        );
    }

    #[test]
    fn reason_not_to_start_is_found() {
        let program = "echo 'bulkhead: cannot start: device tree: no GICv3'";
        let outcome = shell(program, LONG);
        assert!(outcome.troubles().is_empty());
        assert_eq!(outcome.refusal(), Some("device tree: no GICv3"));
        assert_eq!(shell("echo bulkhead 0.1.0", LONG).refusal(), None);
    }

    #[test]
    fn machine_that_ends_by_itself_is_not_waited_for() {
        let outcome = shell("echo @summary {}; exit 3", LONG);
        assert!(matches!(outcome.end, End::Exited(status) if status.code() == Some(3)));
        assert_eq!(outcome.summary(), Some("{}"));
    }
}

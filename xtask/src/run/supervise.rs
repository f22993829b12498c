//! Runs QEMU under supervision: its console is shown and logged, its time is bounded, the lines that are meant
//! for this tool are picked out, and a machine that hangs is asked what it was doing.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process::{find_program, wrap};
use crate::run::autopsy;
use crate::run::console::{CRASH, Console, SUMMARY};
use crate::run::terminal::Terminal;

/// How the line begins in which the engine says why it does not start on this machine.
const REFUSAL: &str = "bulkhead: cannot start: ";
/// How the line begins on which our guests' shell waits for commands.
const PROMPT: &[u8] = b"/ # ";
/// QEMU's monitor has this long to say what a machine was doing.
const MONITOR: Duration = Duration::from_secs(20);
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
    /// What the cores did last, in words: told by the engine or the host, or found in a machine that hung.
    pub events: Vec<String>,
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

    /// What the cores did last, marked as such.
    pub fn quoted_events(&self) -> impl Iterator<Item = String> {
        let title = (!self.events.is_empty()).then(|| "what the cores did last:".to_owned());
        let lines = self.events.iter().map(|line| format!("| {line}"));
        title.into_iter().chain(lines)
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
            // Nobody types, but the monitor may be asked.
            Input::Nothing => (Stdio::piped(), None, None),
            Input::Ours => (Stdio::inherit(), Terminal::save(), None),
            Input::Script(script) => (Stdio::piped(), None, Some(script)),
        };
        let (mut child, chunks) = start(command, stdin)?;
        let script = script.and_then(|script| Some((child.stdin.take()?, script)));
        let outcome = Watch {
            monitor: child.stdin.take(),
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
    /// Where QEMU's monitor can be asked.
    monitor: Option<ChildStdin>,
    console: Console<O, L>,
    deadline: Option<(Instant, Duration)>,
    /// Until when it may take to power off, once it has said how it went.
    last_word: Option<Instant>,
}

impl<O: Write, L: Write> Watch<O, L> {
    fn until_end(mut self, chunks: &Receiver<Vec<u8>>) -> Result<Outcome> {
        let mut found = Vec::new();
        let end = loop {
            match self.next_chunk(chunks) {
                Ok(chunk) => self.console.feed(&chunk)?,
                Err(RecvTimeoutError::Disconnected) => break End::Exited(self.child.wait()?),
                Err(RecvTimeoutError::Timeout) => {
                    found = self.ask_monitor(chunks)?;
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
            if self.last_word.is_none() && self.console.has_last_word {
                self.last_word = Some(Instant::now() + POWER_OFF);
            }
        };
        let said = self.console.finish()?;
        let mut events = said.events;
        events.extend(found);
        Ok(Outcome {
            end,
            records: said.records,
            tail: said.tail,
            events,
        })
    }

    /// What QEMU's monitor says of a machine that hangs.
    fn ask_monitor(&mut self, chunks: &Receiver<Vec<u8>>) -> Result<Vec<String>> {
        let Some(mut input) = self.monitor.take() else {
            return Ok(Vec::new());
        };
        let places = self.console.places.clone();
        if autopsy::ask(&mut input, &places).is_err() {
            // It is gone already; how it ended tells enough.
            return Ok(Vec::new());
        }
        let mut answers = Vec::new();
        let until = Instant::now() + MONITOR;
        while let Ok(chunk) = chunks.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.console.log_only(&chunk)?;
            answers.extend(chunk);
        }
        Ok(autopsy::read(&String::from_utf8_lossy(&answers), &places))
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

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

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
            console: Console::new(Vec::new(), Vec::new()),
            monitor: None,
            deadline: Some((Instant::now() + limit, limit)),
            last_word: None,
        }
        .until_end(&chunks)
        .unwrap()
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

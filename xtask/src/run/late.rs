//! A core that does not run at first: QEMU's debugger interface starts all cores but the last, and that one later.
//! What the machine does is its own; CPU_ON of the core succeeds, and nothing comes of it.
//!
//! Invariant: a machine whose last core was not held so long, or was not seen to run afterwards, is a failure.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::run::debugger::Debugger;

/// How often the last core is looked at, once it may run, and for how long it runs before each look: the first
/// time so shortly that the machine can't have ended, then twice as long each time up to the last.
const LOOKS: u32 = 100;
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(200);

/// A core that is held, or was.
pub struct Held(JoinHandle<Result<()>>);

impl Held {
    /// What went wrong, of a machine that has ended.
    pub fn trouble(self) -> Option<String> {
        let error = match self.0.join() {
            Ok(result) => format!("{:#}", result.err()?),
            Err(_) => "its thread panicked".into(),
        };
        Some(format!("the last core was not seen to come late: {error}"))
    }
}

/// Lets the machine of `command` begin without its last core, which begins `late` afterwards. The debugger's
/// socket is in `folder`.
pub fn hold_last_core(
    command: &mut Command,
    cpus: u32,
    late: Duration,
    folder: &Path,
) -> Result<Held> {
    ensure!(cpus > 1, "a machine of one core has none to hold");
    let socket = folder.join(format!("gdb-{}", std::process::id()));
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error)?,
        _ => {}
    }
    command.arg("-S").arg("-gdb").arg(format!(
        "unix:{},server=on,wait=off",
        socket.display().to_string().replace(',', ",,")
    ));
    Ok(Held(thread::spawn(move || drive(socket, cpus, late))))
}

fn drive(socket: PathBuf, cpus: u32, late: Duration) -> Result<()> {
    let mut debugger = Debugger::connect(&socket)?;
    debugger.resume(1..cpus)?;
    thread::sleep(late);
    debugger.stop().context("it ended before")?;
    let held = debugger.program_counter(cpus)?;
    let mut look = FIRST_LOOK;
    for _ in 0..LOOKS {
        debugger.resume(1..=cpus)?;
        thread::sleep(look);
        look = LAST_LOOK.min(2 * look);
        debugger.stop()?;
        if debugger.program_counter(cpus)? != held {
            return debugger.leave();
        }
    }
    debugger.leave()?;
    bail!("it stays at {held:#x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_alone_is_not_held() {
        let mut command = Command::new("true");
        let held = hold_last_core(&mut command, 1, Duration::ZERO, Path::new("/nowhere"));
        assert!(held.is_err());
    }

    #[test]
    fn a_machine_that_ends_before_has_not_seen_its_last_core() {
        let folder = std::env::temp_dir().join(format!("bulkhead-late-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("true");
        let held = hold_last_core(&mut command, 2, Duration::ZERO, &folder).unwrap();
        let socket = folder.join(format!("gdb-{}", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        drop(listener.accept().unwrap());
        let trouble = held.trouble().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(trouble.contains("not seen to come late"), "{trouble}");
    }
}

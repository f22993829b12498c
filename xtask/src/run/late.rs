//! A core that does not run at first: QEMU's debugger interface starts all cores but the last, and that one later
//! or never. What the machine does is its own; CPU_ON of the core succeeds, and nothing comes of it.
//!
//! The debugger's protocol is that of GDB's manual, appendix E: a packet is `$TEXT#SUM`; QEMU numbers its threads,
//! the cores, from 1.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long QEMU may take to listen, and to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lets the machine of `command` begin without its last core, which begins `late` afterwards. The debugger's
/// socket is in `folder`.
pub fn hold_last_core(
    command: &mut Command,
    cpus: u32,
    late: Duration,
    folder: &Path,
) -> Result<()> {
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
    // A machine that is not let go, or ends before, shows that by its own results.
    thread::spawn(move || drive(socket, cpus, late));
    Ok(())
}

fn drive(socket: PathBuf, cpus: u32, late: Duration) -> Result<()> {
    let mut stream = connect(&socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let others: Vec<String> = (1..cpus).map(|thread| format!(";c:{thread:x}")).collect();
    send(&mut stream, &format!("vCont{}", others.concat()))?;
    thread::sleep(late);
    // Stops all, and leaves them running for good.
    stream.write_all(&[3])?;
    let mut answer = [0; 64];
    let read = stream.read(&mut answer)?;
    ensure!(read > 0, "QEMU has ended");
    send(&mut stream, "D")
}

fn connect(socket: &Path) -> Result<UnixStream> {
    let begin = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Err(_) if begin.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(50)),
            result => return result.context("QEMU's debugger interface"),
        }
    }
}

/// Sends a packet and reads that it came.
fn send(stream: &mut UnixStream, text: &str) -> Result<()> {
    stream.write_all(packet(text).as_bytes())?;
    let mut answer = [0];
    // What QEMU said before is of no interest.
    while answer != [b'+'] {
        let read = stream.read(&mut answer)?;
        ensure!(read == 1, "QEMU has ended");
    }
    Ok(())
}

fn packet(text: &str) -> String {
    let sum = text.bytes().fold(0u8, u8::wrapping_add);
    format!("${text}#{sum:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_carry_the_sum_of_their_bytes() {
        assert_eq!(packet("D"), "$D#44");
        assert_eq!(packet("vCont;c"), "$vCont;c#a8");
    }

    #[test]
    fn one_core_alone_is_not_held() {
        let mut command = Command::new("true");
        let held = hold_last_core(&mut command, 1, Duration::ZERO, Path::new("/nowhere"));
        assert!(held.is_err());
    }
}

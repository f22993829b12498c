//! QEMU's debugger interface: a machine's cores are stopped, let go and looked at from outside.
//!
//! The protocol is that of GDB's manual, appendix E: a packet is `$TEXT#SUM`, and who reads one says `+`. QEMU
//! numbers its threads, the cores, from 1. Invariant: while cores run nothing is sent but [`Debugger::stop`], as
//! QEMU takes any byte for it.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long QEMU may take to listen, and to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of an answer.
const LONGEST: usize = 1 << 16;
/// Among the registers of an AArch64 core, 8 bytes each, SP and the program counter stand behind x0 to x30.
const SP: usize = 31;
const PC: usize = 32;

/// A connection.
pub struct Debugger<S> {
    stream: S,
}

impl Debugger<UnixStream> {
    /// Connects to the socket of a machine that is being started.
    pub fn connect(socket: &Path) -> Result<Self> {
        let begin = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Err(_) if begin.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(50)),
                result => break result.context("QEMU's debugger interface")?,
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }
}

impl<S: Read + Write> Debugger<S> {
    /// Lets the cores with these numbers go.
    pub fn resume(&mut self, cores: impl Iterator<Item = u32>) -> Result<()> {
        let cores: Vec<String> = cores.map(|core| format!(";c:{core:x}")).collect();
        self.send(&format!("vCont{}", cores.concat()))
    }

    /// Stops every core.
    pub fn stop(&mut self) -> Result<()> {
        self.stream.write_all(&[3])?;
        let answer = self.answer()?;
        ensure!(answer.starts_with('T'), "QEMU does not stop: {answer:?}");
        Ok(())
    }

    /// Lets all cores go until the first of them is at `address`; which one that is.
    pub fn run_to(&mut self, address: u64) -> Result<u32> {
        self.send(&format!("Z1,{address:x},4"))?;
        self.expect_ok()?;
        self.send("vCont;c")?;
        let answer = self.answer()?;
        let core = answer.split_once("thread:").map(|(_, rest)| rest);
        let digits = core.and_then(|rest| rest.split(';').next());
        let core = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let core = core.with_context(|| format!("no core in QEMU's answer {answer:?}"))?;
        self.send(&format!("z1,{address:x},4"))?;
        self.expect_ok()?;
        let pc = self.program_counter(core)?;
        ensure!(
            pc == address,
            "core {core} stopped at {pc:#x}, not {address:#x}"
        );
        Ok(core)
    }

    /// Where a core is; all are stopped.
    pub fn program_counter(&mut self, core: u32) -> Result<u64> {
        self.register(core, PC)
    }

    /// A core's stack pointer; all are stopped.
    pub fn stack_pointer(&mut self, core: u32) -> Result<u64> {
        self.register(core, SP)
    }

    /// Makes a core's stack pointer this; all are stopped.
    pub fn set_stack_pointer(&mut self, core: u32, value: u64) -> Result<()> {
        self.choose(core)?;
        self.send(&format!("P{SP:x}={:016x}", value.swap_bytes()))?;
        self.expect_ok()
    }

    fn register(&mut self, core: u32, index: usize) -> Result<u64> {
        self.choose(core)?;
        self.send("g")?;
        let registers = self.answer()?;
        let digits = registers.get(index * 16..(index + 1) * 16);
        let value = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        Ok(value
            .context("too few registers in QEMU's answer")?
            .swap_bytes())
    }

    fn choose(&mut self, core: u32) -> Result<()> {
        self.send(&format!("Hg{core:x}"))?;
        self.expect_ok()
    }

    /// Leaves the machine, every core running: from here on it may be at its end before it has answered, or heard that
    /// its answer came.
    pub fn leave(mut self) -> Result<()> {
        self.send("D")?;
        match self.text() {
            Ok(answer) => ensure!(answer == "OK", "QEMU refuses: {answer:?}"),
            Err(error) if error.downcast_ref::<std::io::Error>().is_some() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn expect_ok(&mut self) -> Result<()> {
        let answer = self.answer()?;
        ensure!(answer == "OK", "QEMU refuses: {answer:?}");
        Ok(())
    }

    /// Sends a packet and reads that it came.
    fn send(&mut self, text: &str) -> Result<()> {
        self.stream.write_all(packet(text).as_bytes())?;
        let answer = self.byte()?;
        ensure!(answer == b'+', "QEMU did not understand {text:?}");
        Ok(())
    }

    /// The text of the next packet, which QEMU is told has come.
    fn answer(&mut self) -> Result<String> {
        let text = self.text()?;
        self.stream.write_all(b"+")?;
        Ok(text)
    }

    /// The text of the next packet.
    fn text(&mut self) -> Result<String> {
        while self.byte()? != b'$' {}
        let mut text = String::new();
        while text.len() < LONGEST {
            match self.byte()? {
                b'#' => {
                    let sum = [self.byte()?, self.byte()?];
                    ensure!(
                        packet(&text).as_bytes().ends_with(&sum),
                        "a broken packet: {text:?}"
                    );
                    return Ok(text);
                }
                byte => text.push(char::from(byte)),
            }
        }
        bail!("a packet of QEMU's does not end")
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        match self.stream.read_exact(&mut byte) {
            Ok(()) => Ok(byte[0]),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(error).context("QEMU has ended")
            }
            Err(error) => Err(error).context("QEMU's debugger interface"),
        }
    }
}

fn packet(text: &str) -> String {
    let sum = text.bytes().fold(0u8, u8::wrapping_add);
    format!("${text}#{sum:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that says this, whatever it hears.
    fn saying(text: &str) -> Debugger<UnixStream> {
        let (stream, mut other) = UnixStream::pair().unwrap();
        other.write_all(text.as_bytes()).unwrap();
        other.shutdown(std::net::Shutdown::Write).unwrap();
        // What is heard has room in the socket; it stays open.
        std::mem::forget(other);
        Debugger { stream }
    }

    #[test]
    fn packets_carry_the_sum_of_their_bytes() {
        assert_eq!(packet("D"), "$D#44");
        assert_eq!(packet("vCont;c"), "$vCont;c#a8");
    }

    #[test]
    fn a_machine_that_was_left_may_end_before_it_answers() {
        assert!(saying(&format!("+{}", packet("OK"))).leave().is_ok());
        assert!(saying("+").leave().is_ok());
        assert!(saying(&format!("+{}", packet("E22"))).leave().is_err());
        assert!(saying("").leave().is_err());
        // Nobody is there any more who could hear that the answer came.
        let (stream, mut other) = UnixStream::pair().unwrap();
        other
            .write_all(format!("+{}", packet("OK")).as_bytes())
            .unwrap();
        let reader = std::thread::spawn(move || other.read_exact(&mut [0; 5]));
        assert!(Debugger { stream }.leave().is_ok());
        assert!(reader.join().unwrap().is_ok());
    }

    #[test]
    fn a_core_is_where_its_registers_say() {
        let registers = "0".repeat(PC * 16) + "0010204000000000" + "c5030060";
        let said = format!("+{}+{}", packet("OK"), packet(&registers));
        assert_eq!(saying(&said).program_counter(4).unwrap(), 0x4020_1000);
        let short = format!("+{}+{}", packet("OK"), packet("E22"));
        assert!(saying(&short).program_counter(4).is_err());
    }

    #[test]
    fn a_machine_runs_to_where_a_core_is_then() {
        let registers = "0".repeat(PC * 16) + "0010204000000000";
        let ok = packet("OK");
        let said = |at: &str| {
            let stopped = packet(&format!("T05thread:{at}"));
            let answers = [&ok, &stopped, &ok, &ok, &packet(&registers)];
            answers.map(|it| format!("+{it}")).concat()
        };
        assert_eq!(saying(&said("0a;")).run_to(0x4020_1000).unwrap(), 10);
        assert!(saying(&said("0a;")).run_to(0x4020_1004).is_err());
        assert!(saying(&said("")).run_to(0x4020_1000).is_err());
        let set = format!("+{ok}+{ok}");
        assert!(saying(&set).set_stack_pointer(1, 0x1000).is_ok());
        assert!(
            saying(&format!("+{ok}+{}", packet("E22")))
                .set_stack_pointer(1, 0)
                .is_err()
        );
    }

    #[test]
    fn what_qemu_does_not_say_did_not_happen() {
        assert!(saying(&packet("T02thread:01;")).stop().is_ok());
        assert!(saying("+$OK#9a").leave().is_ok());
        for said in ["", "+$OK#9b", "+$E22#a9", "-"] {
            assert!(saying(said).leave().is_err(), "{said}");
        }
        for said in ["", "$T02", "$W00#b7"] {
            assert!(saying(said).stop().is_err(), "{said}");
        }
    }
}

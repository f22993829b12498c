//! A core without room on its stack: QEMU's debugger interface stops it where it enters a function of the engine's,
//! puts SP to the lowest words of its stack, and lets it go. The function's own frame is then beyond the stack's end,
//! in the page below, which must not be mapped: the engine ends with a crash record that names an address there.
//!
//! Invariant: only a crash by a data abort from EL2, at an address in the page below that very core's stack, is right.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, ensure};

use crate::litmus::Program;
use crate::run::debugger::Debugger;

/// Bytes of the page below a stack.
const PAGE: u64 = 4096;
/// Bytes that are left to the core.
const LEFT: u64 = 16;
/// EC of a data abort without a change of level (Arm ARM D24.2.40), and the vector for it.
const DATA_ABORT: u64 = 0x25;
const VECTOR: u64 = 4;

/// One such case.
pub struct Overrun {
    pub name: &'static str,
    /// The function; the first core that comes to it is the one.
    pub at: &'static str,
    /// Whether that is the boot core.
    pub is_boot: bool,
    /// Tests that have a core come there.
    pub filter: &'static str,
}

/// The boot core's stack is the image's, the others' are in the engine's memory.
pub const ALL: [Overrun; 2] = [
    Overrun {
        name: "overrun-boot",
        at: "engine::arch::calls::host_call",
        is_boot: true,
        filter: "arguments::page_calls",
    },
    Overrun {
        name: "overrun-other",
        at: "engine::arch::metal::Metal::park_core",
        is_boot: false,
        filter: "cores::",
    },
];

impl Overrun {
    /// A core's block of stacks, and of its upper stack, in bytes.
    pub fn room(&self, program: &Program) -> Result<(u64, u64)> {
        let value = |name: &str| {
            let value = program.value(name);
            value.with_context(|| format!("the image has no {name}"))
        };
        Ok((
            value("smp_boot_stack_block")?,
            value("smp_boot_stack_bytes")?,
        ))
    }
}

/// Where a core was stopped.
#[derive(Debug)]
pub struct Place {
    /// Its number, from 0.
    pub core: u32,
    /// The lowest address of its stack.
    pub bottom: u64,
}

/// A core that is being stopped.
pub struct Moved(JoinHandle<Result<Place>>);

/// Has the machine of `command` stopped where the first core comes to `at`. The debugger's socket is in `folder`.
pub fn begin(command: &mut Command, folder: &Path, at: u64, room: (u64, u64)) -> Result<Moved> {
    let socket = folder.join(format!("gdb-{}", std::process::id()));
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error)?,
        _ => {}
    }
    command.arg("-S").arg("-gdb").arg(format!(
        "unix:{},server=on,wait=off",
        socket.display().to_string().replace(',', ",,")
    ));
    Ok(Moved(thread::spawn(move || drive(socket, at, room))))
}

/// Where it was, of a machine that has ended.
pub fn end(moved: Moved) -> Result<Place> {
    let result = moved.0.join();
    result.unwrap_or_else(|_| Err(anyhow!("the debugger's thread panicked")))
}

fn drive(socket: PathBuf, at: u64, (block, bytes): (u64, u64)) -> Result<Place> {
    let mut debugger = Debugger::connect(&socket)?;
    let core = debugger.run_to(at)?;
    let sp = debugger.stack_pointer(core)?;
    // An empty stack's SP is where the next block begins.
    let bottom = ((sp - 1) / block + 1) * block - bytes;
    ensure!(sp > bottom, "SP {sp:#x} is on no stack");
    debugger.set_stack_pointer(core, bottom + LEFT)?;
    debugger.leave()?;
    Ok(Place {
        core: core - 1,
        bottom,
    })
}

/// Did the machine end as it must?
pub fn judge(overrun: &Overrun, place: &Place, crash: Option<&str>) -> Result<()> {
    let bottom = place.bottom;
    ensure!(
        (place.core == 0) == overrun.is_boot,
        "core {} was the first there",
        place.core
    );
    let crash = crash.with_context(|| format!("nothing happened below {bottom:#x}"))?;
    let word = |name: &str| {
        let mut words = crash.split_whitespace();
        let text = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let number = text.and_then(|text| match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        });
        number.with_context(|| format!("no {name} in: {crash}"))
    };
    let is_abort = word("vector")? == VECTOR && word("esr")? >> 26 & 0x3f == DATA_ABORT;
    let far = word("far")?;
    ensure!(
        is_abort && (bottom - PAGE..bottom).contains(&far),
        "not by the page below {bottom:#x}: {crash}"
    );
    println!(
        "    core {}: {far:#x} is below {bottom:#x}, and a data abort",
        place.core
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_abort_in_the_page_below_is_right() {
        let boot = &ALL[0];
        let place = Place {
            core: 0,
            bottom: 0x4026_5000,
        };
        let crash = |vector: u64, esr: u64, far: u64| {
            format!(
                "@crash core=0.0.0.0 vector={vector} esr={esr:#x} elr=image+0x1 far={far:#x} sp=0x2"
            )
        };
        let judge = |place: &Place, crash: Option<String>| judge(boot, place, crash.as_deref());
        let esr = 0x9600_0047;
        assert!(judge(&place, Some(crash(4, esr, 0x4026_4ff0))).is_ok());
        assert!(judge(&place, Some(crash(4, esr, 0x4026_5000))).is_err());
        assert!(judge(&place, Some(crash(4, esr, 0x4026_3ff0))).is_err());
        assert!(judge(&place, Some(crash(5, esr, 0x4026_4ff0))).is_err());
        assert!(judge(&place, Some(crash(4, 0x8600_0047, 0x4026_4ff0))).is_err());
        assert!(judge(&place, Some("@crash core=0 a panic".into())).is_err());
        assert!(judge(&place, None).is_err());
        let other = Place { core: 1, ..place };
        assert!(judge(&other, Some(crash(4, esr, 0x4026_4ff0))).is_err());
    }
}

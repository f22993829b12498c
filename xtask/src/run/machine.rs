//! A QEMU machine and its command line.

use std::path::Path;
use std::process::Command;

use crate::image::boot::BootFiles;
use crate::process::{find_program, wrap};
use crate::run::size::{Bytes, GIB};
use crate::setup::qemu::Qemu;

/// From here on QEMU must not reserve the RAM that it promises.
const RESERVE_LIMIT: Bytes = Bytes(64 * GIB);

/// More emulated cores than this share one processor: see [`pinned`].
const CROWD: u32 = 32;

/// A board that is not `virt`: RAM from address 0, GIC and UART at other addresses too, a GIC with two
/// security states, a device tree that is a board's. It stands where a processor model stands.
const BOARD: &str = "xlnx-versal-virt";

/// Cores of that board, which `-smp` counts, that are no application processors.
const BOARD_OTHER_CORES: u32 = 2;

/// What is emulated, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Cores.
    pub cpus: u32,
    /// The `-cpu` argument, or a board that has processors of its own.
    pub cpu: String,
    /// RAM.
    pub mem: Bytes,
    /// Deterministic, one tick of time per instruction.
    pub icount: bool,
    /// Waits for a debugger.
    pub gdb: bool,
    /// QEMU's RAM is zeroes, and the engine is told so where QEMU boots it (firmware tells no such thing); else it clears
    /// what will be the host's.
    pub is_ram_clear: bool,
}

impl Machine {
    /// The command that boots `files`.
    pub fn command(&self, qemu: &Qemu, files: &BootFiles) -> Command {
        let mut command = self.hardware(qemu);
        command
            .arg("-kernel")
            .arg(&files.engine)
            .arg("-initrd")
            .arg(&files.archive);
        if self.is_ram_clear {
            command.args(["-append", "ram-is-clear"]);
        }
        self.placed(command)
    }

    /// The command that starts the firmware in the file `firmware`, with the folder `disk` as a disk that
    /// cannot be written. The firmware describes the machine by ACPI alone, or by a device tree alone.
    pub fn command_by_firmware(
        &self,
        qemu: &Qemu,
        firmware: &Path,
        disk: &Path,
        acpi: bool,
    ) -> Command {
        let mut command = self.hardware(qemu);
        // A comma ends an option's value unless there are two.
        let folder = disk.display().to_string().replace(',', ",,");
        command
            .args(["-machine", if acpi { "acpi=on" } else { "acpi=off" }])
            .arg("-bios")
            .arg(firmware)
            .arg("-drive")
            .arg(format!(
                "if=none,id=esp,format=raw,readonly=on,file=fat:{folder}"
            ))
            .args(["-device", "virtio-blk-pci,drive=esp,bootindex=0"]);
        self.placed(command)
    }

    /// Has a machine that is no board keep its RAM in a file, where its next start finds it.
    pub fn keep_ram(&self, command: &mut Command, file: &Path) {
        // A comma ends an option's value unless there are two.
        let file = file.display().to_string().replace(',', ",,");
        let size = self.mem.0;
        let object = format!("memory-backend-file,id=kept,size={size},mem-path={file},share=on");
        command.args(["-object", &object, "-machine", "memory-backend=kept"]);
    }

    /// The machine without anything to boot.
    pub fn hardware(&self, qemu: &Qemu) -> Command {
        let (mut machine, cores) = match self.is_board() {
            true => (BOARD.to_owned(), self.cpus + BOARD_OTHER_CORES),
            false => ("virt,gic-version=3,virtualization=on".to_owned(), self.cpus),
        };
        let mut command = qemu.command();
        if self.mem > RESERVE_LIMIT {
            machine += ",memory-backend=ram";
            let object = format!("memory-backend-ram,id=ram,size={},reserve=off", self.mem.0);
            command.args(["-object", &object]);
        }
        if self.icount {
            machine += ",dtb-randomness=off";
            command
                .args(["-icount", "shift=0,sleep=off", "-seed", "1"])
                .args(["-rtc", "base=2026-01-01,clock=vm"]);
        }
        if self.gdb {
            command.args(["-S", "-gdb", "tcp:localhost:1234"]);
        }
        if !self.is_board() {
            command.args(["-cpu", &self.cpu]);
        }
        command
            .args(["-M", &machine])
            .args(["-smp", &cores.to_string()])
            .args(["-m", &format!("size={}B", self.mem.0)])
            .args(["-nodefaults", "-nographic", "-serial", "mon:stdio"]);
        command
    }

    fn is_board(&self) -> bool {
        self.cpu == BOARD
    }

    /// The command where it should run.
    fn placed(&self, command: Command) -> Command {
        match self.cpus > CROWD {
            true => pinned(command),
            false => command,
        }
    }
}

/// The same command on one processor of this machine, where that can be had.
///
/// QEMU runs each emulated core in a thread and wakes all of them for each broadcast TLB
/// invalidation. A Linux guest makes tens of thousands while it boots; with 192 threads that fight
/// over locks on two processors it does not get through, on one it does.
fn pinned(command: Command) -> Command {
    let (Some(taskset), Some(processor)) = (find_program("taskset"), last_processor()) else {
        return command;
    };
    wrap(taskset, &["-c", &processor], &command)
}

/// The last processor that this process may use.
fn last_processor() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().rsplit([',', '-']).next().map(str::to_owned)
}

/// The `-cpu` argument for a processor model.
pub fn cpu_argument(model: &str, icount: bool) -> String {
    match model {
        // Pointer authentication by a cheap hash: emulating the real cipher is slow.
        "max" => "max,pauth-impdef=on".to_owned(),
        // One counter tick per instruction, as on `max`.
        _ if icount => format!("{model},cntfrq=1000000000"),
        _ => model.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_processors_count_like_max_under_icount() {
        assert_eq!(cpu_argument("max", true), "max,pauth-impdef=on");
        assert_eq!(cpu_argument("neoverse-v1", false), "neoverse-v1");
        assert_eq!(
            cpu_argument("neoverse-v1", true),
            "neoverse-v1,cntfrq=1000000000"
        );
    }
}

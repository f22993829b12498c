//! `cargo xtask bench --linux`: what it takes a private Linux VM to boot, beside the same kernel without engine and host.
//!
//! Both boot Debian's kernel with the initramfs of `cargo xtask run`, one core, 256 MiB, the same command line, device
//! tree and processor features, one tick of time per instruction. Counted are all instructions of the machine, by our QEMU
//! plugin: from the host's VM_START, or from reset, to the first instruction of `/init`, which a program of ours has the
//! place of. It marks that, and turns the machine off.
//!
//! Invariant: the two machines differ in the engine, the host and where RAM is, and in nothing else that Linux sees.

use std::fs;
use std::io;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use host::fdt;

use crate::bench::figure::Figure;
use crate::bench::machine::Machine;
use crate::figures::plugin::{Counts, Plugin};
use crate::image::boot::{BootFiles, GuestContent, HostFiles};
use crate::image::build::{self, HOST, write_if_changed};
use crate::run::machine::{self, cpu_argument};
use crate::run::size::{Bytes, GIB, MIB};
use crate::run::summary::Summary;
use crate::run::supervise::{Input, Outcome, Supervision};

const LIMIT: Duration = Duration::from_secs(600);
/// RAM of guest and native machine.
const MEM: u64 = 256 * MIB;
/// Where QEMU's `virt` machine has it.
const RAM: u64 = 0x4000_0000;
/// What the engine hides from a guest of `max`, or takes over: scalable vectors, and the performance monitor.
const WITHOUT: &str = ",sve=off,sme=off,pmu=off";

/// What Linux says on its console.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    quiet: bool,
}

const CASES: [Case; 2] = [
    Case {
        name: "linux_boot",
        quiet: false,
    },
    Case {
        name: "linux_boot_quiet",
        quiet: true,
    },
];

impl Case {
    /// What the host says to its first guest.
    fn command_line(self) -> String {
        let console = if self.quiet { "quiet" } else { "earlycon" };
        format!("console=ttyAMA0 {console} panic=-1 bulkhead.guest=0 bulkhead.parts=1")
    }
}

/// Both machines' figures, of the cases with `filter` in their names.
pub fn run(machine: &Machine<'_>, filter: &str) -> Result<Vec<Figure>> {
    let cases = CASES.iter().filter(|case| case.name.contains(filter));
    let content = GuestContent::debian(machine.paths(), &last_init()?)?;
    let mut figures = Vec::new();
    for case in cases {
        figures.extend(compare(machine, &content, *case)?);
    }
    ensure!(!figures.is_empty(), "no boot has {filter:?} in its name");
    Ok(figures)
}

fn compare(machine: &Machine<'_>, content: &GuestContent, case: Case) -> Result<Vec<Figure>> {
    let name = case.name;
    println!("==> {name}: without an engine");
    let native = native(machine, content, case)?;
    println!("==> {name}: a private VM");
    let (guest, summary) = guest(machine, content, case)?;
    for (exit, count) in summary.exits.iter().filter(|(_, count)| **count > 0) {
        println!("    {count:>8} exits: {exit}");
    }
    let all = |counts: &Counts| counts.engine + counts.low + counts.high;
    // What is in the lower half natively, the kernel does there in the guest as well.
    let host = guest.low.saturating_sub(native.low);
    let ratio = all(&guest) as f64 / all(&native) as f64;
    let part = |part: &str, count: u64| {
        Figure::single(&format!("{name}_{part}"), "instructions", count as f64)
    };
    Ok(vec![
        Figure::single(name, "times native's", ratio),
        part("native", all(&native)),
        part("guest", all(&guest)),
        part("in_guest", guest.high + guest.low - host),
        part("in_engine", guest.engine),
        part("in_host", host),
    ])
}

/// An archive with nothing but an `/init` that ends the measurement; one that follows another replaces the file.
fn last_init() -> Result<Vec<u8>> {
    let mut archive = crate::image::cpio::Archive::default();
    archive.add_file("init", 0o755, &program())?;
    archive.finish()
}

/// A program whose first instruction is the plugin's mark, and that turns the machine off.
fn program() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let move_to = |register: u32, value: u32| {
        let [low, high] = [value & 0xffff, value >> 16];
        [
            0xd280_0000 | low << 5 | register,
            0xf2a0_0000 | high << 5 | register,
        ]
    };
    let mut code = vec![0xd503_201f | 113 << 5];
    // reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF)
    for (register, value) in [
        (0, 0xfee1_dead),
        (1, 0x2812_1969),
        (2, 0x4321_fedc),
        (8, 142),
    ] {
        code.extend(move_to(register, value));
    }
    // SVC #0, and nothing behind it.
    code.extend([0xd400_0001, 0x1400_0000]);
    let size = HEADERS + 4 * code.len() as u64;

    let mut file = Vec::new();
    // 64 bits, little-endian, an executable for AArch64 with one segment and no sections.
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend([2_u16, 183].map(u16::to_le_bytes).concat());
    file.extend(1_u32.to_le_bytes());
    file.extend([BASE + HEADERS, 64, 0].map(u64::to_le_bytes).concat());
    file.extend(0_u32.to_le_bytes());
    file.extend([64_u16, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
    // Loadable, readable and executable, all of the file.
    file.extend([1_u32, 5].map(u32::to_le_bytes).concat());
    let segment = [0, BASE, BASE, size, size, 0x1000];
    file.extend(segment.map(u64::to_le_bytes).concat());
    file.extend(code.into_iter().flat_map(u32::to_le_bytes));
    file
}

/// Runs a machine; its console and how it ended.
fn watch(machine: &Machine<'_>, name: &str, command: Command) -> Result<(String, Outcome)> {
    let log = machine.paths().logs().join(format!("{name}.log"));
    let outcome = Supervision {
        limit: Some(LIMIT),
        input: Input::Nothing,
        log: &log,
    }
    .run(command, io::sink())?;
    let troubles = outcome.troubles();
    ensure!(
        troubles.is_empty(),
        "{}\nlog: {}",
        troubles.join(", "),
        log.display()
    );
    let console = fs::read(&log)?;
    Ok((String::from_utf8_lossy(&console).into_owned(), outcome))
}

/// The one window of the first core.
fn window(cores: &[crate::figures::plugin::Core]) -> Result<Counts> {
    match cores.iter().map(|core| &core.windows[..]).next() {
        Some([window]) => Ok(*window),
        windows => Err(anyhow!(
            "{} windows, not one: did /init start?",
            windows.map_or(0, <[_]>::len)
        )),
    }
}

fn plugin(machine: &Machine<'_>, name: &str) -> Result<Plugin> {
    let counts = machine.paths().logs().join(format!("{name}.json"));
    Plugin::build(machine.paths(), machine.engine(), &counts)
}

fn guest(machine: &Machine<'_>, content: &GuestContent, case: Case) -> Result<(Counts, Summary)> {
    const NAME: &str = "bench-linux";
    let image = build::build(machine.paths(), machine.toolchain(), HOST, None)?;
    let host = HostFiles {
        image: &image,
        cmdline: &format!(
            "guests=1 vcpus=1 guest-mem={MEM} attack=0 quiet={} deadline=540",
            u8::from(case.quiet)
        ),
        initrd: &content.archive()?,
    };
    let files = BootFiles::write(machine.paths(), NAME, machine.engine(), &host)?;
    let mut command = machine::Machine {
        cpus: 1,
        cpu: cpu_argument(machine.cpu(), true),
        mem: Bytes(GIB),
        icount: true,
        gdb: false,
        is_ram_clear: true,
    }
    .command(machine.qemu(), &files);
    let plugin = plugin(machine, NAME)?;
    plugin.count_each(&mut command);
    let (console, outcome) = watch(machine, NAME, command)?;
    let counts = window(&plugin.read(&console)?.cores)?;
    let summary = outcome.summary().context("the host printed no summary")?;
    Ok((counts, Summary::parse(summary)?))
}

fn native(machine: &Machine<'_>, content: &GuestContent, case: Case) -> Result<Counts> {
    const NAME: &str = "bench-linux-native";
    let dir = machine.paths().images().join(NAME);
    let tree = fdt::build(&fdt::Description {
        ram: RAM,
        ram_size: MEM,
        vcpus: 1,
        // QEMU says where it puts it.
        initrd: RAM,
        initrd_size: 0,
        bootargs: case.command_line(),
    })
    .map_err(|error| anyhow!("device tree: {error}"))?;
    let file = |name: &str, bytes: &[u8]| {
        let file = dir.join(name);
        write_if_changed(&file, bytes).map(|()| file)
    };
    let mut command = machine.qemu().command();
    command
        .args(["-icount", "shift=0,sleep=off", "-seed", "1"])
        .args(["-rtc", "base=2026-01-01,clock=vm"])
        .args(["-cpu", &(cpu_argument(machine.cpu(), true) + WITHOUT)])
        .args(["-M", "virt,gic-version=3,its=off,dtb-randomness=off"])
        .args(["-smp", "1", "-m", &format!("size={MEM}B")])
        .args(["-nodefaults", "-nographic", "-serial", "mon:stdio"])
        .arg("-kernel")
        .arg(file("kernel", content.kernel())?)
        .arg("-initrd")
        .arg(file("initrd", content.initrd())?)
        .arg("-dtb")
        .arg(file("tree.dtb", &tree)?)
        .args(["-append", &case.command_line()]);
    let plugin = plugin(machine, NAME)?;
    plugin.count_each(&mut command);
    watch(machine, NAME, command)?;
    let mut counts = window(&plugin.read_without_engine()?.cores)?;
    // There is none: what is at its addresses is the kernel's beginning.
    counts.low += std::mem::take(&mut counts.engine);
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use elf::ElfBytes;
    use elf::endian::LittleEndian;

    #[test]
    fn the_program_is_an_executable_that_begins_with_the_mark() {
        let bytes = program();
        let file = ElfBytes::<LittleEndian>::minimal_parse(&bytes).unwrap();
        let segment = file.segments().unwrap().iter().next().unwrap();
        assert_eq!(segment.p_filesz, bytes.len() as u64);
        let at = (file.ehdr.e_entry - segment.p_vaddr) as usize;
        assert_eq!(bytes[at..at + 4], 0xd503_2e3f_u32.to_le_bytes());
    }
}

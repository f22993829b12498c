//! What the host said, judged: one test per promise, each of which fails on silence.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::count::Count;
use crate::linux_host::disk::Disk;
use crate::linux_host::said::{Outcome, Said};
use crate::linux_host::{initramfs, work};

/// The kernel's last word before PSCI's SYSTEM_OFF.
const POWER_DOWN: &str = "reboot: Power down";
/// SIGBUS as an exit status: what an external abort ends a process with.
const BUS_ERROR: &str = "135";
/// What an undisturbed kernel does not say.
const BAD: &[&str] = &[
    "WARNING:",
    "BUG",
    "Oops",
    "Internal error",
    "Kernel panic",
    "SError",
    "stall",
    "lockup",
    "blocked for more than",
    "Unexpected variation",
    "nobody cared",
    "I/O error",
    "failed to come online",
    "failed to boot",
    "may not have shut down cleanly",
];

/// What must have been.
pub struct Expectation<'a> {
    /// Cores.
    pub cpus: u32,
    /// Cores 1 to this were turned off and on.
    pub hotplug: u32,
    /// What `uname -r` says.
    pub release: &'a str,
    /// The disks.
    pub disks: &'a [Disk],
}

/// Tests by name, with what they saw.
#[derive(Debug, Default)]
pub struct Report(Vec<(String, Outcome)>);

impl Report {
    /// Judges a console.
    pub fn judge(expected: &Expectation<'_>, console: &str) -> Self {
        let said = Said::read(console);
        let cores = 0..expected.cpus;
        let mut report = Self::default();
        report.add("kernel", said.expect("kernel", expected.release));
        report.add("cores", said.expect("online", &expected.cpus.to_string()));
        report.add("timer", said.timer(&cores));
        report.add("interrupts_between_cores", said.between_cores(expected));
        for module in initramfs::module_names() {
            let loaded = said.expect(&format!("module {module}"), "0");
            report.add(&format!("module::{module}"), loaded);
        }
        for disk in expected.disks {
            report.add(&format!("pci::{}", disk.name), said.pci(disk));
            let read = said.expect(&format!("disk-read {}", disk.name), &disk.digest());
            report.add(&format!("disk_read::{}", disk.name), read);
            report.add(&format!("disk_written::{}", disk.name), said.written(disk));
            let interrupts = said.device_interrupts(disk.interrupt);
            report.add(&format!("disk_interrupts::{}", disk.name), interrupts);
        }
        if expected.hotplug > 0 {
            report.add("hotplug", said.hotplug(expected));
        }
        let hash = |core, value: &str| value == work::hash(core);
        report.add("hash", said.rounds("hash", &cores, hash));
        let float = |number, value: &str| value.parse() == Ok(work::float(number));
        report.add("float", said.rounds("float", &cores, float));
        report.add("memory", said.memory(&cores));
        report.add("engine_memory", said.engine_memory());
        report.add("kernel_log", said.kernel_log());
        report.add("power_off", said.power_off());
        report
    }

    /// Prints a line per test, and returns how many there were.
    pub fn print(&self) -> Count {
        let mut count = Count::default();
        for (name, outcome) in &self.0 {
            match outcome {
                Ok(seen) => {
                    println!("test linux_host::{name} ... ok ({seen})");
                    count.passed += 1;
                }
                Err(why) => {
                    println!("test linux_host::{name} ... FAILED: {why}");
                    count.failed += 1;
                }
            }
        }
        count
    }

    fn add(&mut self, name: &str, outcome: Outcome) {
        self.0.push((name.to_owned(), outcome));
    }
}

impl Said<'_> {
    fn timer(&self, cores: &Range<u32>) -> Outcome {
        let is_it = |line: &str| line.contains("GICv3") && line.contains("arch_timer");
        let (before, after) = (
            self.interrupts("before", is_it),
            self.interrupts("after", is_it),
        );
        if before.len() != cores.len() || after.len() != cores.len() {
            return Err(format!("{} and {} counts", before.len(), after.len()));
        }
        let still = before.iter().zip(&after).position(|(a, b)| b <= a);
        match still {
            Some(core) => Err(format!("core {core}: {} interrupts, no more", after[core])),
            None => Ok(format!("{} interrupts", after.iter().sum::<u64>())),
        }
    }

    fn between_cores(&self, expected: &Expectation<'_>) -> Outcome {
        let mut total = vec![0; expected.cpus as usize];
        for kind in ["IPI0:", "IPI1:"] {
            let counts = self.interrupts("after", |line| line.starts_with(kind));
            if counts.len() != total.len() {
                return Err(format!("{kind} {} counts", counts.len()));
            }
            total.iter_mut().zip(counts).for_each(|(all, n)| *all += n);
        }
        match total.iter().position(|count| *count == 0) {
            Some(core) if expected.cpus > 1 => Err(format!("none on core {core}")),
            _ => Ok(format!("{} interrupts", total.iter().sum::<u64>())),
        }
    }

    fn pci(&self, disk: &Disk) -> Outcome {
        let wanted = disk.pci.join(" ");
        let mut devices = self.of("pci");
        match devices.find_map(|line| line.split_once(' ').filter(|(_, rest)| *rest == wanted)) {
            Some((at, _)) => Ok(format!("{at}: {wanted}")),
            None => Err(format!("no {wanted} on the bus")),
        }
    }

    fn written(&self, disk: &Disk) -> Outcome {
        self.expect(&format!("disk-written {}", disk.name), "0")?;
        match disk.is_as_written() {
            Ok(true) => Ok("and is in the file".into()),
            Ok(false) => Err("the file holds something else".into()),
            Err(error) => Err(format!("the file: {error:#}")),
        }
    }

    fn device_interrupts(&self, name: &str) -> Outcome {
        let is_it = |line: &str| {
            let last = line.split_whitespace().next_back();
            line.contains("GICv3") && last.is_some_and(|last| last.starts_with(name))
        };
        match self.interrupts("after", is_it).iter().sum::<u64>() {
            0 => Err("none".into()),
            count => Ok(format!("{count} interrupts")),
        }
    }

    fn hotplug(&self, expected: &Expectation<'_>) -> Outcome {
        let (all, less) = (expected.cpus, expected.cpus - 1);
        for core in 1..=expected.hotplug {
            let wanted = format!("0 {less} 1 {all}");
            self.expect(&format!("hotplug {core}"), &wanted)
                .map_err(|why| format!("core {core}: {why}"))?;
        }
        Ok(format!("{} cores off and on", expected.hotplug))
    }

    /// Each core's rounds of `work` gave the right result each time.
    fn rounds(
        &self,
        work: &str,
        cores: &Range<u32>,
        is_right: impl Fn(u32, &str) -> bool,
    ) -> Outcome {
        let mut total = 0;
        for core in cores.clone() {
            let said = self.numbers(work, core)?;
            let [rounds, good, first] = said[..] else {
                return Err(format!("core {core}: {}", said.join(" ")));
            };
            let count: u64 = rounds.parse().unwrap_or(0);
            if count == 0 || rounds != good || !is_right(core, first) {
                let what = format!("{good} of {rounds} rounds alike, the first {first}");
                return Err(format!("core {core}: {what}"));
            }
            total += count;
        }
        Ok(format!("{total} rounds"))
    }

    fn memory(&self, cores: &Range<u32>) -> Outcome {
        let mut total = 0;
        for core in cores.clone() {
            let said = self.numbers("fill", core)?;
            match said[..] {
                [blocks, good] if blocks == good && blocks != "0" => {
                    total += blocks.parse::<u64>().unwrap_or(0);
                }
                _ => return Err(format!("core {core}: {} blocks good", said.join(", "))),
            }
        }
        let mib = total * (work::BLOCK_KIB * work::FILL_BLOCKS / 1024) as u64;
        Ok(format!("{mib} MiB filled and read back"))
    }

    fn engine_memory(&self) -> Outcome {
        let mut tried: BTreeMap<&str, &str> = BTreeMap::new();
        for line in self.of("engine") {
            if let Some((attempt, status)) = line.rsplit_once(' ') {
                tried.insert(attempt, status);
            }
        }
        if tried.is_empty() {
            return Err("nothing tried".into());
        }
        match tried.iter().find(|(_, status)| **status != BUS_ERROR) {
            Some((attempt, status)) => Err(format!("{attempt}: status {status}")),
            None => Ok(format!("{} accesses refused", tried.len())),
        }
    }

    fn kernel_log(&self) -> Outcome {
        let lines = self.of("log").count();
        if lines < 50 {
            return Err(format!("{lines} lines only"));
        }
        let bad = |line: &&str| BAD.iter().any(|bad| line.contains(bad));
        match self.console.lines().find(bad) {
            Some(line) => Err(line.trim_end().to_owned()),
            None => Ok(format!("{lines} lines")),
        }
    }

    fn power_off(&self) -> Outcome {
        if !self.lines.contains(&"done") {
            return Err("the script did not end".into());
        }
        match self.console.contains(POWER_DOWN) {
            true => Ok("by PSCI".into()),
            false => Err("the kernel did not power off".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::linux_host::said::MARK;

    /// A console of two cores and no disks on which all is well.
    fn good() -> &'static str {
        static CONSOLE: OnceLock<String> = OnceLock::new();
        CONSOLE.get_or_init(make_good)
    }

    fn make_good() -> String {
        let mut lines = vec![
            "kernel 6.12.1".to_owned(),
            "online 2".into(),
            "before 10: 5 6 GICv3 30 Level arch_timer".into(),
            "after 10: 50 60 GICv3 30 Level arch_timer".into(),
            "after IPI0: 0 9 Rescheduling interrupts".into(),
            "after IPI1: 4 0 Function call interrupts".into(),
            "module virtio_blk.ko.xz 0".into(),
            "hotplug 1 0 1 1 2".into(),
            "engine 0x40200000 read 135".into(),
            "engine 0x40200000 write 135".into(),
        ];
        for core in 0..2 {
            lines.push(format!("hash {core} 3 3 {}", work::hash(core)));
            lines.push(format!("float {core} 2 2 {:.17}", work::float(core)));
            lines.push(format!("fill {core} 4 4"));
        }
        lines.extend((0..60).map(|at| format!("log <6>[ {at}] all is well")));
        lines.push("done".into());
        let said: String = lines
            .iter()
            .map(|line| format!("{MARK}{line}\r\n"))
            .collect();
        format!("bulkhead 0.1.0\r\n{said}[ 9.0] {POWER_DOWN}\r\n")
    }

    fn failed(console: &str) -> Vec<String> {
        let expected = Expectation {
            cpus: 2,
            hotplug: 1,
            release: "6.12.1",
            disks: &[],
        };
        let Report(tests) = Report::judge(&expected, console);
        let failed = tests.into_iter().filter(|(_, outcome)| outcome.is_err());
        failed.map(|(name, _)| name).collect()
    }

    #[test]
    fn a_good_console_passes_and_silence_fails_every_test() {
        assert_eq!(failed(good()), Vec::<String>::new());
        assert_eq!(failed("bulkhead 0.1.0\n").len(), 12);
    }

    #[test]
    fn each_promise_is_judged() {
        let float = format!("{:.17}", work::float(1));
        let (digit, rest) = float.split_at(4);
        let other_float = format!("{digit}{}", rest.replacen(['1', '2', '3', '4'], "5", 1));
        for (test, good_text, bad_text) in [
            ("kernel", "kernel 6.12.1", "kernel 6.12.2"),
            ("cores", "online 2", "online 1"),
            ("timer", "after 10: 50 60", "after 10: 50 6"),
            ("timer", "after 10: 50 60", "after 10: 50"),
            ("interrupts_between_cores", "IPI1: 4 0", "IPI1: 0 0"),
            ("module::virtio_blk.ko.xz", "xz 0", "xz 1"),
            ("hotplug", "hotplug 1 0 1 1 2", "hotplug 1 1 2 1 2"),
            ("hash", "hash 1 3 3", "hash 1 3 2"),
            ("hash", "hash 1 3 3", "hash 1 0 0"),
            ("hash", "hash 1 3 3 ", "hash 1 3 3 0"),
            ("float", &float, &other_float),
            ("memory", "fill 1 4 4", "fill 1 4 3"),
            ("memory", "fill 1 4 4", "fill 1 0 0"),
            ("engine_memory", "write 135", "write 0"),
            ("kernel_log", "[ 7] all is well", "[ 7] BUG: all is ill"),
            ("power_off", POWER_DOWN, "reboot: Restarting system"),
            ("power_off", "HOST: done", "HOST: don"),
        ] {
            assert!(good().contains(good_text), "{good_text}");
            let console = good().replacen(good_text, bad_text, 1);
            assert_eq!(failed(&console), [test], "{bad_text}");
        }
    }

    #[test]
    fn a_disk_must_be_read_written_and_heard_of() {
        let dir = std::env::temp_dir().join(format!("xtask-verdict-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let disks = Disk::all(&dir);
        let console = format!(
            "HOST: pci 0000:00:01.0 {}\nHOST: disk-read nvme0n1 {}\nHOST: disk-written nvme0n1 0\n\
             HOST: after 13: 0 7 GICv3 36 Level nvme0q0, nvme0q1\n",
            disks[0].pci.join(" "),
            disks[0].digest()
        );
        let said = Said::read(&console);
        assert!(said.pci(&disks[0]).is_ok() && said.pci(&disks[1]).is_err());
        assert!(said.device_interrupts("nvme").is_ok());
        assert!(said.device_interrupts("virtio").is_err());
        // The host says that it wrote; the file says otherwise.
        disks[0].write().unwrap();
        assert!(said.written(&disks[0]).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

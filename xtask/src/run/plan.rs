//! Checks the options against each other before anything is built, and works out the machine.
//!
//! Every refusal is one line that names the option to change.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::run::fate::{self, Fate};
use crate::run::machine::{Machine, cpu_argument};
use crate::run::options::RunOptions;
use crate::run::size::{Bytes, GIB, MIB};

/// The GICv3 of QEMU's `virt` machine takes no more.
const MOST_CPUS: u32 = 512;
/// `VMS` in interface.toml, less the VM that the host keeps creating and destroying meanwhile.
const MOST_GUESTS: u32 = 253;
/// `VCPUS_PER_VM` in interface.toml; also what divides the workload evenly.
const MOST_VCPUS: u32 = 64;
/// Linux does not boot in less.
const LEAST_GUEST_MEM: u64 = 128 * MIB;
/// Guest memory is mapped in blocks of this size.
const BLOCK: u64 = 2 * MIB;
/// Seconds; the longest that the host takes.
const NO_DEADLINE: u64 = 1_000_000;
/// Engine, host and firmware need this beside the guests.
const HOST_MEM: u64 = 256 * MIB;
/// And this for each core: stacks, per-CPU areas, the host's own.
const MEM_PER_CPU: u64 = MIB;
/// RAM of a machine that has more is taken for clear, as QEMU's is: what nobody touches of it costs nothing.
const CLEARED_MOST: Bytes = Bytes(8 * GIB);

/// A machine that the options describe and that can work.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The machine.
    pub machine: Machine,
    /// Guests that are not to end well.
    pub fates: BTreeMap<u32, Fate>,
    /// The host's command line.
    pub host_cmdline: String,
}

impl Plan {
    /// Works out the machine.
    pub fn new(options: &RunOptions) -> Result<Self> {
        check_counts(options)?;
        let fates = fate::by_guest(&options.fate, options.guests)?;
        let mem = memory(options)?;
        Ok(Self {
            machine: Machine {
                cpus: options.cpus,
                cpu: cpu_argument(&options.cpu, options.icount),
                mem,
                icount: options.icount,
                gdb: options.gdb,
                // What becomes of guests is seen sooner where this is not seen once more.
                is_ram_clear: mem > CLEARED_MOST || !fates.is_empty(),
            },
            host_cmdline: host_cmdline(options, &fates),
            fates,
        })
    }

    /// Refuses a processor that is not among `models`, and guests whose content of `content`
    /// bytes leaves them too little.
    pub fn check(&self, options: &RunOptions, models: &[String], content: u64) -> Result<()> {
        ensure!(
            models.contains(&options.cpu),
            "--cpu {}: QEMU has no such processor",
            options.cpu
        );
        ensure!(
            content.saturating_mul(2) <= options.guest_mem.0,
            "--guest-mem {}: kernel and initramfs alone have {}",
            options.guest_mem,
            Bytes(content.next_multiple_of(MIB))
        );
        Ok(())
    }
}

fn check_counts(options: &RunOptions) -> Result<()> {
    let limits = [
        ("--cpus", options.cpus, MOST_CPUS),
        ("--guests", options.guests, MOST_GUESTS),
        ("--vcpus", options.vcpus, MOST_VCPUS),
    ];
    for (name, value, most) in limits {
        ensure!(
            (1..=most).contains(&value),
            "{name} {value}: 1 to {most} work"
        );
    }
    if let Some(guest) = options.console {
        ensure!(
            guest < options.guests,
            "--console {guest}: guests are 0 to {}",
            options.guests - 1
        );
    }
    let guest_mem = options.guest_mem;
    ensure!(
        guest_mem.0 >= LEAST_GUEST_MEM && guest_mem.0.is_multiple_of(BLOCK),
        "--guest-mem {guest_mem}: at least {}, in steps of {}",
        Bytes(LEAST_GUEST_MEM),
        Bytes(BLOCK)
    );
    Ok(())
}

fn memory(options: &RunOptions) -> Result<Bytes> {
    let guests = u64::from(options.guests)
        .checked_mul(options.guest_mem.0)
        .filter(|&bytes| bytes <= 1 << 42);
    let Some(guests) = guests else {
        anyhow::bail!("--guest-mem {}: more than any machine", options.guest_mem);
    };
    let least = guests + HOST_MEM + u64::from(options.cpus) * MEM_PER_CPU;
    match options.mem {
        Some(mem) => {
            ensure!(
                mem.0 >= least,
                "--mem {mem}: {} guests of {} and the host need {}",
                options.guests,
                options.guest_mem,
                Bytes(least)
            );
            ensure!(mem.0.is_multiple_of(MIB), "--mem {mem}: whole MiB, please");
            Ok(mem)
        }
        None => Ok(Bytes(least.next_multiple_of(GIB))),
    }
}

fn host_cmdline(options: &RunOptions, fates: &BTreeMap<u32, Fate>) -> String {
    let mut line = format!(
        "guests={} vcpus={} guest-mem={} attack=1",
        options.guests, options.vcpus, options.guest_mem.0
    );
    if let Some(guest) = options.console {
        line += &format!(" console={guest}");
    }
    for (guest, fate) in fates {
        line += &format!(" {}={guest}", fate.key());
    }
    // The host gives up on a guest before we give up on the host: then it can still report.
    let seconds = options.time_limit().map(|limit| limit.as_secs() * 9 / 10);
    line += &format!(" deadline={}", seconds.unwrap_or(NO_DEADLINE).max(1));
    line
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: RunOptions,
    }

    fn options(words: &str) -> RunOptions {
        Line::parse_from(std::iter::once("run").chain(words.split_whitespace())).options
    }

    fn plan(words: &str) -> Result<Plan> {
        Plan::new(&options(words))
    }

    #[test]
    fn defaults_make_a_machine() {
        let plan = plan("").unwrap();
        assert_eq!(plan.machine.mem, Bytes(GIB));
        assert_eq!(plan.machine.cpu, "max,pauth-impdef=on");
        let line = "guests=2 vcpus=2 guest-mem=268435456 attack=1 deadline=540";
        assert_eq!(plan.host_cmdline, line);
    }

    #[test]
    fn fates_reach_the_host() {
        let plan = plan("--guests 3 --fate 2=crash --fate 0=kill").unwrap();
        let line = "guests=3 vcpus=2 guest-mem=268435456 attack=1 kill=0 crash=2 deadline=540";
        assert_eq!(plan.host_cmdline, line);
    }

    #[test]
    fn memory_follows_guests_and_cores() {
        assert_eq!(
            plan("--cpus 192 --guests 4").unwrap().machine.mem,
            Bytes(2 * GIB)
        );
        assert_eq!(plan("--mem 900M").unwrap().machine.mem, Bytes(900 * MIB));
    }

    #[test]
    fn refusals_name_the_option() {
        for (words, said) in [
            ("--cpus 0", "--cpus 0"),
            ("--cpus 513", "--cpus 513"),
            ("--guests 254", "--guests 254"),
            ("--vcpus 65", "--vcpus 65"),
            ("--guest-mem 64M", "--guest-mem 64 MiB"),
            ("--guest-mem 255M", "--guest-mem 255 MiB"),
            ("--guests 4 --mem 1G", "--mem 1 GiB"),
            ("--console 2", "--console 2"),
            ("--fate 2=spin", "--fate 2=spin"),
            ("--fate 1=spin --fate 1=kill", "--fate 1=kill"),
            ("--guest-mem 9999999T", "--guest-mem"),
        ] {
            let error = plan(words).unwrap_err().to_string();
            assert!(error.starts_with(said), "{words}: {error}");
            assert!(!error.contains('\n'), "{words}: {error}");
        }
    }

    #[test]
    fn guest_memory_must_hold_twice_its_content_and_the_processor_exist() {
        let check = |words: &str, content| {
            let models = ["max", "neoverse-v1"].map(str::to_owned);
            plan(words)
                .unwrap()
                .check(&options(words), &models, content)
        };
        assert!(check("--guest-mem 128M", 64 * MIB).is_ok());
        assert!(check("--guest-mem 128M", 65 * MIB).is_err());
        assert!(check("--cpu neoverse-v1", MIB).is_ok());
        assert!(check("--cpu pentium", MIB).is_err());
    }
}

//! One boot of a peer: its machine, its log, and whether what it measured is what was asked for.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::bench::peers::probe::Probe;
use crate::bench::peers::recorded::{Peer, Run};
use crate::bench::peers::told::Told;
use crate::bench::peers::xen;
use crate::paths::Paths;
use crate::process::show_with_environment;
use crate::run::machine::{Machine, cpu_argument};
use crate::run::size::{Bytes, GIB};
use crate::run::supervise::{Input, Supervision};
use crate::setup::qemu::Qemu;

/// On an idle machine of two cores no run takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(400);
const LINUX_OPTIONS: &str = "console=ttyAMA0 quiet panic=-1";
const XEN_OPTIONS: &str = "dom0_mem=1G console=dtuart dtuart=/pl011@9000000 dom0_max_vcpus=1";
const DOM0_OPTIONS: &str = "console=hvc0 quiet panic=-1";
/// Where dom0's files lie until Xen takes them.
const DOM0_KERNEL: &str = "0x50000000";
const DOM0_ARCHIVE: &str = "0x56000000";
/// What a thousand instructions without effect count.
const THOUSAND: i64 = 1000;

/// A run and what it is made of.
pub struct Boot<'a> {
    /// How it is configured.
    pub run: &'a Run,
    /// Linux, alone or as dom0.
    pub probe: &'a Probe,
    /// Xen's image, if that is the peer.
    pub xen: Option<&'a Path>,
}

impl Boot<'_> {
    /// Boots it, and returns its medians.
    pub fn measure(&self, paths: &Paths, qemu: &Qemu) -> Result<BTreeMap<String, f64>> {
        let run = self.run;
        let command = self.command(qemu)?;
        let again = show_with_environment(&command);
        let name = run.name().replace('/', "-");
        let log = paths.logs().join(format!("peers/{name}.log"));
        let measure = || {
            let outcome = Supervision {
                limit: Some(LIMIT),
                input: Input::Nothing,
                log: &log,
            }
            .run(command, io::sink())?;
            let troubles = outcome.troubles();
            ensure!(troubles.is_empty(), troubles.join(", "));
            let console = fs::read(&log).with_context(|| log.display().to_string())?;
            let told = Told::read(&String::from_utf8_lossy(&console))?;
            judge(run, &told)?;
            Ok(told.medians())
        };
        measure().with_context(|| {
            let log = log.display();
            format!("again: {again}\n    console: {log}\n    why")
        })
    }

    fn command(&self, qemu: &Qemu) -> Result<Command> {
        let Self { run, probe, xen } = self;
        let gib = if xen.is_some() { 2 } else { 1 };
        let machine = Machine {
            cpus: run.cores,
            cpu: cpu_argument(&run.cpu, true),
            mem: Bytes(gib * GIB),
            icount: true,
            gdb: false,
            is_ram_clear: false,
        };
        let mut command = machine.hardware(qemu);
        command.args(["-no-reboot", "-kernel"]);
        if let Some(xen) = xen {
            let archive = probe.write_archive("xen", &run.mode)?;
            let (kernel, archive) = (probe.kernel.display(), archive.display());
            command
                .arg(xen)
                .args(["-append", XEN_OPTIONS, "-device"])
                .arg(format!(
                    "guest-loader,addr={DOM0_KERNEL},kernel={kernel},bootargs={DOM0_OPTIONS}"
                ))
                .arg("-device")
                .arg(format!("guest-loader,addr={DOM0_ARCHIVE},initrd={archive}"));
        } else {
            let what = if run.cores > 1 { "kvm-ipi" } else { "kvm" };
            // Where the processor has VHE, KVM uses it unless it is told not to.
            let mode = match run.mode.as_str() {
                "vhe" => String::new(),
                mode => format!(" kvm-arm.mode={mode}"),
            };
            command
                .arg(&probe.kernel)
                .arg("-initrd")
                .arg(probe.write_archive(what, &run.mode)?)
                .arg("-append")
                .arg(format!("{LINUX_OPTIONS}{mode}"));
        }
        Ok(command)
    }
}

/// Whether the run told what it had to, of the peer that was meant, with a counter that counts instructions.
fn judge(run: &Run, told: &Told) -> Result<()> {
    ensure!(!told.medians().is_empty(), "it told no figures");
    let thousand = told.value("nop1000.median");
    ensure!(
        thousand == Some(THOUSAND),
        "1000 instructions count as {thousand:?}"
    );
    match run.peer {
        Peer::Kvm => {
            let notes = told
                .notes
                .iter()
                .filter(|note| note.contains("initialized"));
            let modes: Vec<_> = notes.map(|note| mode_of(note)).collect();
            ensure!(
                modes == [Some(run.mode.as_str())],
                "KVM's mode is not {}: {:?}",
                run.mode,
                told.notes
            );
        }
        Peer::Xen => {
            let version = run.version.as_deref().and_then(xen::version_number);
            let said = told.value("xen_version");
            ensure!(
                said == version && said.is_some(),
                "Xen says that it is {said:?}"
            );
        }
        Peer::Nova | Peer::Jailhouse => bail!("data only"),
    }
    let refused = told.refused();
    ensure!(refused.is_empty(), "refused: {}", refused.join(", "));
    Ok(())
}

/// The mode that KVM says it is in, as its option on the command line calls it.
fn mode_of(note: &str) -> Option<&'static str> {
    if note.contains("Protected") {
        Some("protected")
    } else if note.contains("]: VHE mode") {
        Some("vhe")
    } else if note.contains("]: Hyp mode") || note.contains("]: Hyp nVHE mode") {
        Some("nvhe")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(peer: Peer, version: &str, mode: &str) -> Run {
        Run {
            peer,
            version: Some(version.into()),
            mode: mode.into(),
            cpu: "max".into(),
            cores: 1,
            medians: BTreeMap::new(),
        }
    }

    #[test]
    fn kvm_says_which_mode_it_is_in() {
        for (text, mode) in [
            ("kvm [1]: VHE mode initialized successfully", Some("vhe")),
            ("kvm [1]: Hyp mode initialized successfully", Some("nvhe")),
            (
                "kvm [1]: Hyp nVHE mode initialized successfully",
                Some("nvhe"),
            ),
            (
                "kvm [1]: Protected hVHE mode initialized successfully",
                Some("protected"),
            ),
            (
                "kvm [1]: Protected nVHE mode initialized successfully",
                Some("protected"),
            ),
            ("kvm [1]: HYP mode not available", None),
        ] {
            assert_eq!(mode_of(text), mode, "{text}");
        }
    }

    #[test]
    fn another_peer_than_the_one_meant_is_refused() {
        let console = "@peer nop1000.median 1000 instructions\n@peer a.median 7 instructions\n";
        let vhe = format!("{console}@peer-note kvm [1]: VHE mode initialized successfully\n");
        let judged = |run: &Run, console: &str| judge(run, &Told::read(console).unwrap()).is_ok();
        assert!(judged(&run(Peer::Kvm, "6.1", "vhe"), &vhe));
        assert!(!judged(&run(Peer::Kvm, "6.1", "nvhe"), &vhe));
        assert!(!judged(&run(Peer::Kvm, "6.1", "vhe"), console));
        assert!(!judged(
            &run(Peer::Kvm, "6.1", "vhe"),
            &vhe.replace("1000 ", "1001 ")
        ));
        assert!(!judged(
            &run(Peer::Kvm, "6.1", "vhe"),
            &vhe.replace("a.median", "a.min")
        ));
        let xen = format!("{console}@peer xen_version {} version\n", 0x4_0014);
        assert!(judged(&run(Peer::Xen, "4.20", "dom0"), &xen));
        assert!(!judged(&run(Peer::Xen, "4.17", "dom0"), &xen));
        let refused = format!("{xen}@peer grant_errors 1 calls\n");
        assert!(!judged(&run(Peer::Xen, "4.20", "dom0"), &refused));
    }
}

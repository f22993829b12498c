//! The options of `cargo xtask run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::run::fate::GuestFate;
use crate::run::size::Bytes;

/// What to boot and how to judge it.
#[derive(Args, Clone, Debug)]
pub struct RunOptions {
    /// Cores of the machine, 1 to 512
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub cpus: u32,
    /// Linux guests, each a private VM
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub guests: u32,
    /// vCPUs of each guest
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub vcpus: u32,
    /// RAM of each guest, such as 256M
    #[arg(long, value_name = "SIZE", default_value = "256M")]
    pub guest_mem: Bytes,
    /// RAM of the machine [default: what guests and host need, in whole GiB]
    #[arg(long, value_name = "SIZE")]
    pub mem: Option<Bytes>,
    /// Processor model: max, neoverse-v1, neoverse-n1, cortex-a72, …
    #[arg(long, value_name = "MODEL", default_value = "max")]
    pub cpu: String,
    /// Guests' kernel: an arm64 Image [default: Debian's cloud kernel]
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Guests' initramfs [default: busybox and the workload]
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// An interactive shell in this guest (Ctrl-A X ends QEMU)
    #[arg(long, value_name = "N")]
    pub console: Option<u32>,
    /// Let this guest crash, spin or be killed (crash, spin, kill); can be repeated
    #[arg(long, value_name = "N=FATE", conflicts_with = "initrd")]
    pub fate: Vec<GuestFate>,
    /// Type this file into that shell once it prompts, as if it were pasted
    #[arg(long, value_name = "FILE", requires = "console", hide = true)]
    pub console_script: Option<PathBuf>,
    /// Build the engine without a protection whose lack the run shows; `list` names these
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
    /// Deterministic: count instructions, one core at a time
    #[arg(long)]
    pub icount: bool,
    /// Wait for a debugger on port 1234 before the first instruction
    #[arg(long)]
    pub gdb: bool,
    /// Stop the machine after this time [default: 600, 3600 with --icount or many cores]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Write the summary here too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl RunOptions {
    /// How long the machine may run.
    pub fn time_limit(&self) -> Option<Duration> {
        let interactive = self.gdb || (self.console.is_some() && self.console_script.is_none());
        let seconds = match self.timeout {
            Some(seconds) => seconds,
            None if interactive => return None,
            None if self.icount || self.cpus > 32 || self.guests > 8 => 3600,
            None => 600,
        };
        Some(Duration::from_secs(seconds))
    }
}

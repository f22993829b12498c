//! The bare-metal platform: `Platform` for AArch64 cores at EL2 with E2H = 0 and a GICv3.
//!
//! Everything that only hardware can do is in here and in `smp-boot`, and nothing else is: which
//! page, which VM, which exit is for whom is decided by the code above.
//!
//! Invariants:
//! - a core's [`MetalCpu`] private state is touched by that core alone, with interrupts masked, and
//!   by one method at a time;
//! - either the host's EL1 state is loaded, or the host's is in the core's [`session::Session`] and
//!   some guest's is (or was) loaded; [`Platform::return_to_host`] ends that;
//! - whenever the host or a guest runs, every EL2 control register holds the value for that side
//!   from `controls`, and nothing of the other side's is readable by it.
//!
//! Layout: `regs` names of registers; `controls` values of the EL2 control registers; `init` and
//! `features` at boot; `enter` vectors and ERET, `calls` what the vectors
//! answer; `host`, `guest`, `session`, `el1`, `fp`, `vgic`, `timer_tie` the
//! world switch; `tlb`, `tables`, `window`, `foreign` memory; `serror`; `redistributor`, `interrupts`, `park` the GIC;
//! `firmware` SMC.

mod calls;
mod controls;
mod el1;
mod enter;
mod errata;
mod features;
mod firmware;
mod foreign;
mod fp;
mod guest;
mod host;
mod id;
mod init;
mod interrupts;
mod metal;
mod park;
mod redistributor;
mod regs;
mod serror;
mod session;
mod tables;
mod timer_tie;
mod tlb;
mod vgic;
mod window;

pub use calls::HostCalls;
pub use enter::host_vectors as vectors;
pub use features::{detect, list_registers_type, weakest};
pub use host::HostExit;
pub use id::{has_id_registers, midr, read_id_registers};
pub use init::{HostRegime, Refusal, check_core};
pub use interrupts::{counter, counter_hz};
pub use metal::{Metal, MetalCpu};
pub use tlb::SavedRegime;

//! Bulkhead's engine: the separation kernel that runs alone at EL2.
//!
//! The host above it keeps policy; the engine keeps one mechanism: nothing touches guest memory,
//! guest registers or a guest's device except through a call that it checks. The same source runs
//! on metal, on a simulated machine and under loom: hardware is reached only through
//! [`platform::Platform`].
//!
//! ```text
//! vectors -> arch/enter -> host/trap -> hypercall/{memory, vm, vcpu, info}
//!                       \-> vcpu/exit -> vcpu/{abort, calls, interrupts}
//!     -> ownership claim -> stage2 -> memory/tlb -> memory/scrub -> ownership commit -> return
//! ```

#![no_std]
#![forbid(unsafe_op_in_unsafe_fn)]

#[cfg(any(test, feature = "sim"))]
extern crate std;

#[cfg(target_os = "none")]
pub mod arch;
pub mod bite;
pub mod engine;
#[cfg(all(test, not(target_os = "none")))]
#[path = "arch/errata.rs"]
mod errata; // Pure: its tests run where `arch` is not.
pub mod gic;
pub mod host;
pub mod hypercall;
pub mod memory;
pub mod platform;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stage2;
pub mod stats;
pub mod trace;
pub mod trap;
pub mod vcpu;
pub mod vm;

pub use engine::{CoreState, Engine, Parts};

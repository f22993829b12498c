//! PSCI calls by the conduit that the device tree names (DEN0022).

use crate::machine::{Conduit, conduit};
use aarch64_cpu::asm;
use smccc::{
    Hvc, Smc,
    psci::{self, AffinityState, LowestAffinityLevel},
};

pub use smccc::psci::error::Error;

/// Starts the core `mpidr` at `entry` with `x0 = argument` (5.6).
pub fn cpu_on(mpidr: u64, entry: u64, argument: u64) -> Result<(), Error> {
    match conduit() {
        Conduit::Smc => psci::cpu_on::<Smc>(mpidr, entry, argument),
        Conduit::Hvc => psci::cpu_on::<Hvc>(mpidr, entry, argument),
    }
}

/// Turns this core off (5.5); returns only when refused.
pub fn cpu_off() -> Error {
    let result = match conduit() {
        Conduit::Smc => psci::cpu_off::<Smc>(),
        Conduit::Hvc => psci::cpu_off::<Hvc>(),
    };
    result.err().unwrap_or(Error::InternalFailure)
}

/// Whether the core `mpidr` is on, off, or coming (5.7).
pub fn affinity_info(mpidr: u64) -> Result<AffinityState, Error> {
    let level = LowestAffinityLevel::All;
    match conduit() {
        Conduit::Smc => psci::affinity_info::<Smc>(mpidr, level),
        Conduit::Hvc => psci::affinity_info::<Hvc>(mpidr, level),
    }
}

/// Turns the machine off (5.9).
pub fn system_off() -> ! {
    // The machine is off after this; should the firmware refuse, the core sleeps.
    let _ = match conduit() {
        Conduit::Smc => psci::system_off::<Smc>(),
        Conduit::Hvc => psci::system_off::<Hvc>(),
    };
    loop {
        asm::wfi();
    }
}

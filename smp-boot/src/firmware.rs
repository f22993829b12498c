//! Calls to the firmware: PSCI (DEN0022) by SMC.

use aarch64_cpu::asm::wfi;
use smccc::{Hvc, Smc, psci};

pub use smccc::psci::{Error, Version};

use crate::machine::Mpidr;

/// PSCI_VERSION.
pub fn psci_version() -> Option<Version> {
    psci::version::<Smc>().ok()
}

/// CPU_ON: starts `mpidr` at `entry`, at EL2 with the MMU off and `context` in x0.
pub fn start_core(mpidr: Mpidr, entry: u64, context: u64) -> Result<(), Error> {
    psci::cpu_on::<Smc>(mpidr.bits(), entry, context)
}

/// SYSTEM_OFF.
pub fn power_off() -> ! {
    // Returns only if it failed; there is nobody to tell.
    let _ = psci::system_off::<Smc>();
    halt()
}

/// SYSTEM_OFF from EL1 where PSCI is called by HVC: for a boot loader's mistake.
pub fn power_off_by_hvc() -> ! {
    let _ = psci::system_off::<Hvc>();
    halt()
}

/// Stops this core for good.
pub fn halt() -> ! {
    loop {
        wfi();
    }
}

//! The Fixed ACPI Description Table (5.2.9): here only how firmware is called on Arm.

use super::u16_at;

/// ARM_BOOT_ARCH.
const ARM_BOOT_ARCH: usize = 129;
const PSCI_COMPLIANT: u16 = 1 << 0;
const PSCI_USE_HVC: u16 = 1 << 1;

/// How PSCI is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Psci {
    /// The firmware says nothing of it.
    Absent,
    /// By SMC.
    Smc,
    /// By HVC.
    Hvc,
}

/// What the table says of PSCI.
pub fn psci(table: &[u8]) -> Psci {
    match u16_at(table, ARM_BOOT_ARCH) {
        Some(flags) if flags & PSCI_COMPLIANT == 0 => Psci::Absent,
        Some(flags) if flags & PSCI_USE_HVC != 0 => Psci::Hvc,
        Some(_) => Psci::Smc,
        None => Psci::Absent,
    }
}

//! Why a machine is not started, in one line. Until the firmware is left each of them returns to it, and
//! the firmware goes on to what it would boot next.

use smp_boot::{BootError, PaRange};
use thiserror::Error;

use crate::acpi::Signature;

/// Why the engine is not started here.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The firmware runs its applications at EL1: something else lives at EL2, or there is none.
    #[error("the firmware runs at EL{0}; needs EL2")]
    NotEl2(u64),
    /// Neither description of the machine.
    #[error("the firmware gives neither a device tree nor ACPI tables")]
    NoDescription,
    /// A table without which nothing can be said.
    #[error("ACPI: no table {0}")]
    NoTable(Signature),
    /// A table that cannot be believed.
    #[error("ACPI table {0}: {1}")]
    BadTable(Signature, &'static str),
    /// FADT's ARM boot flags.
    #[error("ACPI: the firmware has no PSCI")]
    NoPsci,
    /// PSCI by HVC means that somebody else already lives at EL2.
    #[error("ACPI: PSCI is called by HVC; needs SMC")]
    PsciByHvc,
    /// MADT's distributor is older, or there are no redistributors.
    #[error("ACPI: no GICv3")]
    NoGicV3,
    /// MADT names redistributors one by one, and one is missing.
    #[error("ACPI: a core has no redistributor")]
    NoRedistributor,
    /// MADT names redistributors one by one, also of cores that are not there.
    #[error("ACPI: a redistributor belongs to a core that cannot be used")]
    UnusableRedistributor,
    /// The memory map.
    #[error("the EFI memory map has no RAM")]
    NoRam,
    /// The firmware's own tree.
    #[error("device tree: {0}")]
    BadTree(&'static str),
    /// What the engine itself would say to the tree.
    #[error("{0}")]
    Boot(#[from] BootError),
    /// The engine's file.
    #[error("the file {0} is not an arm64 Image")]
    NotAnImage(&'static str),
    /// A file that should lie beside the application.
    #[error("cannot read the file {0}, which should lie beside this application")]
    NoFile(&'static str),
    /// No room for something in RAM.
    #[error("the firmware has no {0} bytes of free memory")]
    NoMemory(u64),
    /// A service of the firmware failed.
    #[error("the firmware refused: {0}")]
    Firmware(&'static str),
    /// A table that lies where there is no memory.
    #[error("the firmware's tables point at {0}, where the memory map has no memory")]
    Nowhere(PaRange),
}

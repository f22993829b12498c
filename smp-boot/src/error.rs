//! Why a machine is refused. Each reason ends in one line on the console and a power-off: by the
//! time a reason is known there is nobody to return an error to.

use thiserror::Error;

use crate::machine::Mpidr;
use crate::range::PaRange;

/// Why the engine does not start here.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BootError {
    /// The boot loader's mistake, or a machine without EL2.
    #[error("entered at EL{0}; needs EL2")]
    NotEl2(u64),
    /// The core implements only the VHE layout of EL2 (FEAT_E2H0 absent).
    #[error("this core cannot clear HCR_EL2.E2H; needs a core with EL2 without VHE")]
    OnlyVhe,
    /// The blob is not a well-formed device tree.
    #[error("device tree at {at:#x}: {what}")]
    BadTree {
        /// Where the boot loader said it is.
        at: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A node that is needed lacks something or holds nonsense.
    #[error("device tree: {0}")]
    BadNode(&'static str),
    /// More of something than this build has room for.
    #[error("device tree: more than {most} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there is room for.
        most: usize,
    },
    /// No interrupt controller that the engine can drive.
    #[error("device tree: no GICv3 (a node compatible with arm,gic-v3)")]
    NoGicV3,
    /// No way to start cores or to power off.
    #[error("device tree: no PSCI 0.2 or later")]
    NoPsci,
    /// PSCI by HVC means that somebody else already lives at EL2.
    #[error("device tree: PSCI is called by HVC; needs SMC")]
    PsciByHvc,
    /// The core that runs this is not in the tree.
    #[error("device tree: boot core {0} is not under /cpus")]
    BootCoreUnknown(Mpidr),
    /// No run of RAM is long enough.
    #[error("too little RAM: needs {need} bytes in one free piece, the largest has {largest}")]
    TooLittleRam {
        /// What the engine asked for, with boot's own share.
        need: u64,
        /// The largest free piece.
        largest: u64,
    },
    /// The engine's image lies where the tree has no RAM: nothing would keep it from the host.
    #[error("device tree: the engine's image at {0} is not in RAM")]
    ImageOutsideRam(PaRange),
    /// RAM or a device where the engine's address space has no room for it.
    #[error("{0} is beyond the engine's address space")]
    OutOfReach(PaRange),
    /// Two things of the machine claim one page, so that they need two memory types at once.
    #[error("{0} overlaps something that is mapped already")]
    Overlap(PaRange),
    /// A core that the tree names, and no redistributor says that it is this core's.
    #[error("core {0} has no redistributor")]
    NoRedistributor(Mpidr),
    /// The estimate of boot's own memory was too low: the engine's bug.
    #[error("engine bug: boot memory ran out")]
    OutOfBootMemory,
}

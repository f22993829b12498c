//! What boot knows about the machine, in fixed capacity, once and for all.
//!
//! Filled by [`crate::fdt::parse`] and never changed afterwards. No address or count of any
//! particular board is assumed anywhere else: whatever code needs of the machine is in here.

use core::fmt;

use heapless::Vec;
use percpu::{CpuId, MAX_CPUS};

use crate::range::PaRange;

/// Most ranges of RAM, after neighbours were joined.
pub const MAX_RAM: usize = 64;
/// Most reserved ranges.
pub const MAX_RESERVED: usize = 128;
/// Most regions of redistributors.
pub const MAX_REDISTRIBUTORS: usize = 64;
/// Most interrupt translation services.
pub const MAX_ITS: usize = 16;

/// The affinity fields of MPIDR_EL1 (Arm ARM D24.2): what PSCI and the GIC know a core by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mpidr(u64);

impl Mpidr {
    const AFFINITY: u64 = 0xff_00ff_ffff;

    /// The affinity part of a register value or of a tree's `reg`.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & Self::AFFINITY)
    }

    /// Aff3 in bits 39:32, Aff2 to Aff0 in bits 23:0, all else zero.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Mpidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// One region of GICv3 redistributors (IHI0069 12.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redistributors {
    /// Where their frames lie.
    pub range: PaRange,
    /// Distance from one core's frames to the next one's, if the tree gives it.
    pub stride: Option<u64>,
}

/// The interrupt controller.
#[derive(Clone, Debug, Default)]
pub struct Gic {
    /// The distributor's frame.
    pub distributor: PaRange,
    /// The redistributors, in the order of the tree.
    pub redistributors: Vec<Redistributors, MAX_REDISTRIBUTORS>,
    /// Translation services. Never mapped by the engine: a list of what a VM must not be given.
    pub its: Vec<PaRange, MAX_ITS>,
}

/// How a UART is programmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UartKind {
    /// Arm's PL011, or the part of it that SBSA demands.
    Pl011,
    /// A 16550, its registers 2 to the power of `shift` bytes apart, accessed by `width` bytes.
    Ns16550 {
        /// At most 3.
        shift: u32,
        /// 1, 2 or 4.
        width: u32,
    },
}

/// The console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UartInfo {
    /// Its first register.
    pub base: u64,
    /// Its registers, in whole pages.
    pub pages: PaRange,
    /// What it is.
    pub kind: UartKind,
}

/// The INTIDs of the architected timers (Arm ARM D12), those that the tree names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerPpis {
    /// EL1 physical timer.
    pub physical: Option<u32>,
    /// EL1 virtual timer.
    pub virtual_: Option<u32>,
    /// EL2 physical timer.
    pub hypervisor: Option<u32>,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct MachineInfo {
    /// RAM in whole pages, ascending, neighbours joined.
    pub ram: Vec<PaRange, MAX_RAM>,
    /// What firmware keeps, in whole pages, in the order of the tree. May lie in RAM or not.
    pub reserved: Vec<PaRange, MAX_RESERVED>,
    /// Cores: the boot core first, then the others in the order of the tree. The index is the
    /// core's [`CpuId`].
    pub cpus: Vec<Mpidr, MAX_CPUS>,
    /// Interrupt controller.
    pub gic: Gic,
    /// The UART that the tree names as its console, if it is of a known kind.
    pub uart: Option<UartInfo>,
    /// Architected timers.
    pub timer: TimerPpis,
    /// The boot loader's initrd, to the byte.
    pub initrd: Option<PaRange>,
    /// The boot loader's word, by `ram-is-clear` in its command line: all RAM was overwritten since the last reset.
    pub ram_is_clear: bool,
    /// The device tree itself, to the byte.
    pub dtb: PaRange,
}

impl MachineInfo {
    /// Knows nothing yet. About 10 KiB, so it is filled in place.
    pub const fn new() -> Self {
        const NOTHING: PaRange = PaRange::EMPTY;
        Self {
            ram: Vec::new(),
            reserved: Vec::new(),
            cpus: Vec::new(),
            gic: Gic {
                distributor: NOTHING,
                redistributors: Vec::new(),
                its: Vec::new(),
            },
            uart: None,
            timer: TimerPpis {
                physical: None,
                virtual_: None,
                hypervisor: None,
            },
            initrd: None,
            ram_is_clear: false,
            dtb: NOTHING,
        }
    }

    /// From the lowest address of RAM to past the highest, holes included.
    pub fn ram_span(&self) -> PaRange {
        match (self.ram.first(), self.ram.last()) {
            (Some(low), Some(high)) => {
                PaRange::between(low.start(), high.end()).unwrap_or_default()
            }
            _ => PaRange::default(),
        }
    }

    /// Bytes of RAM.
    pub fn ram_bytes(&self) -> u64 {
        let sizes = self.ram.iter().map(|range| range.size());
        sizes.fold(0, u64::saturating_add)
    }

    /// The number of the core with these affinity fields.
    pub fn cpu_of(&self, mpidr: Mpidr) -> Option<CpuId> {
        let index = self.cpus.iter().position(|&known| known == mpidr)?;
        CpuId::new(u16::try_from(index).ok()?)
    }
}

impl Default for MachineInfo {
    fn default() -> Self {
        Self::new()
    }
}

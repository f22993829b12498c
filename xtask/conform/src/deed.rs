//! What is done to a machine: by its host, its guests, its hardware.
//!
//! Invariant: a deed says all that it needs: the same deeds on the same machine do the same.

use std::fmt::{self, Display, Formatter};

use abi::Call;
use engine::sim::Shape;

/// One thing that is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// `HVC #imm` of the host with x0 to x6.
    Hvc {
        /// On this core.
        cpu: usize,
        /// The immediate.
        imm: u16,
        /// x0 to x6.
        x: [u64; 7],
    },
    /// `SMC #0` of the host with x0 to x3.
    Smc {
        /// On this core.
        cpu: usize,
        /// x0 to x3.
        x: [u64; 4],
    },
    /// The host loads a word.
    Load {
        /// On this core.
        cpu: usize,
        /// From this address.
        address: u64,
    },
    /// The host stores a word.
    Store {
        /// On this core.
        cpu: usize,
        /// To this address.
        address: u64,
        /// This.
        value: u64,
    },
    /// A guest has more to do when it runs.
    Script {
        /// Slot of its VM.
        vm: u16,
        /// Affinity of the vCPU.
        affinity: u64,
        /// What.
        acts: Vec<Act>,
    },
    /// No guest has anything more to do.
    Idle,
    /// A page gets a memory error.
    Break {
        /// Which.
        page: u64,
    },
    /// A physical interrupt for the host comes, or goes.
    Interrupt {
        /// At this core.
        cpu: usize,
        /// It comes.
        waits: bool,
    },
    /// A core that was turned on begins to run the host.
    Begin {
        /// Which.
        cpu: usize,
    },
}

/// What a guest does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Loads a word.
    Load(u64),
    /// Loads a pair of words.
    LoadPair(u64),
    /// Stores a word.
    Store(u64, u64),
    /// Loads a part of a word from a device.
    LoadPart(u64, Shape),
    /// Stores a part of this value to one.
    StorePart(u64, Shape, u64),
    /// Fetches an instruction.
    Fetch(u64),
    /// HVC with x0 to x6.
    Hvc([u64; 7]),
    /// SMC with x0 to x6.
    Smc([u64; 7]),
    /// WFI.
    Wfi,
    /// Writes this to ICC_SGI1R_EL1.
    Sgi(u64),
    /// A physical SError comes while it runs.
    SError,
    /// Meanwhile another core does this, if it is in no call.
    Elsewhere(Box<Deed>),
}

impl Deed {
    /// One of the engine's calls.
    pub fn call(cpu: usize, call: Call, arguments: &[u64]) -> Self {
        let mut x = [0; 7];
        x[0] = call.function_id();
        x[1..=arguments.len()].copy_from_slice(arguments);
        Self::Hvc { cpu, imm: 0, x }
    }

    /// The core that does it.
    pub fn cpu(&self) -> Option<usize> {
        match self {
            Self::Hvc { cpu, .. }
            | Self::Smc { cpu, .. }
            | Self::Load { cpu, .. }
            | Self::Store { cpu, .. } => Some(*cpu),
            Self::Script { .. }
            | Self::Idle
            | Self::Break { .. }
            | Self::Interrupt { .. }
            | Self::Begin { .. } => None,
        }
    }
}

/// The engine's call that these registers ask for.
pub fn call_of(imm: u16, x0: u64) -> Option<Call> {
    (imm == 0)
        .then(|| Call::from_function_id(x0 & 0xffff_ffff))
        .flatten()
}

impl Display for Deed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hvc { cpu, imm, x } => match call_of(*imm, x[0]) {
                Some(call) => write!(f, "core {cpu}: {} {:x?}", call.name(), &x[1..]),
                None => write!(f, "core {cpu}: HVC #{imm} {x:x?}"),
            },
            Self::Smc { cpu, x } => write!(f, "core {cpu}: SMC {x:x?}"),
            Self::Load { cpu, address } => write!(f, "core {cpu}: load {address:#x}"),
            Self::Store {
                cpu,
                address,
                value,
            } => {
                write!(f, "core {cpu}: store {value:#x} at {address:#x}")
            }
            Self::Script { vm, affinity, acts } => {
                write!(f, "guest {vm}.{affinity} will:")?;
                for act in acts {
                    match act {
                        Act::Elsewhere(deed) => write!(f, " (meanwhile {deed})")?,
                        other => write!(f, " {other:x?}")?,
                    }
                }
                Ok(())
            }
            Self::Idle => write!(f, "guests have nothing more to do"),
            Self::Break { page } => write!(f, "page {page:#x} breaks"),
            Self::Interrupt { cpu, waits: true } => write!(f, "interrupt at core {cpu}"),
            Self::Interrupt { cpu, waits: false } => write!(f, "no interrupt at core {cpu}"),
            Self::Begin { cpu } => write!(f, "core {cpu} begins"),
        }
    }
}

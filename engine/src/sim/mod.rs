//! The simulated machine: the engine's own source on a machine that forgives nothing.
//!
//! [`Sim`] implements [`Platform`](crate::platform::Platform): memory is words at physical
//! addresses, translation tables are real descriptor bits in it, each core's TLB keeps all that it
//! may, walkers see a store as late as they may. [`Machine`] is an engine on it, with scripted guests
//! and a host that takes its faults as hardware would; after each call [`check`] compares what every
//! VM can reach with what the page words say.
//!
//! | file | what |
//! | --- | --- |
//! | `ram` | memory |
//! | `tlb` | what TLBs may hold: plain data, to be shared with a model checker |
//! | `walker` | an own reading of the tables; stores that walkers have not seen |
//! | `content` | values that say who wrote them, and who may read them |
//! | `access` | one load, store or fetch of the host or a guest |
//! | `platform` | the engine's side: barriers, TLBIs, entries, scrubbing |
//! | `guest` | scripts that guests run |
//! | `machine` | booting an engine on it, calls, host accesses |
//! | `check` | the invariants, after each call |
//! | `snapshot` | what anybody can observe, to compare before and after |
//!
//! Invariants: everything follows from the seed and the calls; what goes wrong is written down when
//! it happens ([`Sim::violations`]) and fails the next check.

pub mod access;
pub mod check;
pub mod content;
pub mod guest;
pub mod machine;
mod platform;
pub mod ram;
pub mod snapshot;
pub mod tlb;
pub mod walker;

pub use access::{Fault, Want};
pub use guest::{GuestOp, Seen};
pub use machine::{Config, HostAbort, Machine, Reply};
pub use platform::Sim;

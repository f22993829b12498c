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
//! | `tlb`, `translation` | what TLBs may hold: plain data, shared with the models |
//! | `tables` | an own reading of translation tables, shared with the models too |
//! | `walker` | which tables walkers know; stores that they have not seen |
//! | `content` | values that say who wrote them, and who may read them |
//! | `access` | one load, store or fetch of the host or a guest |
//! | `hardware` | what the machine is made of |
//! | `reach` | whom a change lets reach what, judged at once |
//! | `platform` | the engine's side: barriers, TLBIs, entries, scrubbing |
//! | `guest` | guests, which run scripts |
//! | `script` | what guests are told to do, and what they saw |
//! | `syndrome` | syndrome registers of what traps |
//! | `told` | what guests did, step by step, for who listens |
//! | `boot` | booting an engine on it |
//! | `machine` | the host's calls |
//! | `host` | the host's SMCs, loads and stores |
//! | `check` | the invariants, after each call |
//! | `portrait` | the whole state, to compare with the specification's |
//! | `snapshot` | what anybody can observe, to compare before and after |
//!
//! Invariants: everything follows from the seed and the calls; what goes wrong is written down when
//! it happens ([`Sim::violations`]) and fails the next check.

pub mod access;
mod boot;
pub mod check;
pub mod content;
mod guest;
mod hardware;
mod host;
pub mod machine;
mod platform;
pub mod portrait;
pub mod ram;
mod reach;
mod script;
pub mod snapshot;
mod syndrome;
pub mod tables;
pub mod tlb;
pub mod told;
mod translation;
mod walker;

pub use access::{Fault, Want};
pub use boot::Config;
pub use hardware::{HostException, Sim};
pub use host::HostAbort;
pub use machine::{Machine, Reply};
pub use portrait::Portrait;
pub use script::{AfterTrap, AnyTrap, GuestOp, Seen};
pub use syndrome::Shape;
